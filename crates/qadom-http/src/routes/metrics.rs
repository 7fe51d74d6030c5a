//! `GET /metrics`: what `status` tells, in the OpenMetrics text format that Prometheus reads.
//!
//! What must stay true: names, units and labels are only ever added, since dashboards and alerts
//! name them; a label only takes values out of lists of ours, never what a peer has sent.

use std::fmt;
use std::sync::Mutex;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use qadom_node::Reason;

use super::{Answer, daemon};
use crate::api;
use crate::problem::Problem;
use crate::router::App;

/// The content type of the OpenMetrics text format.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /metrics`.
pub(crate) async fn metrics(State(app): State<App>) -> Answer<Response> {
    let status = daemon::current(&app).await?;
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot(Mutex::new(status))));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)
        .map_err(|error| Problem::new(Reason::Internal, error.to_string()))?;
    let content_type = HeaderValue::from_static(CONTENT_TYPE);
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}

/// The state of the node when it was asked.
#[derive(Debug)]
struct Snapshot(Mutex<api::Status>);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let status = self.0.lock().map_err(|_| fmt::Error)?;
        state(&mut encoder, &status)?;
        network(&mut encoder, &status)?;
        budgets(&mut encoder, &status)
    }
}

/// How the node is doing.
fn state(encoder: &mut DescriptorEncoder<'_>, status: &api::Status) -> fmt::Result {
    let mut build = encoder.encode_descriptor(
        "qadom_build",
        "The version of the daemon",
        None,
        MetricType::Info,
    )?;
    build.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])?;
    one_of(
        encoder,
        "qadom_verdict",
        "1 for how the node is doing, 0 for the other words",
        "verdict",
        &["starting", "healthy", "degraded", "isolated"],
        status.verdict.as_str(),
    )?;
    one_of(
        encoder,
        "qadom_mode",
        "1 for whether the node stores for others, 0 for the other word",
        "mode",
        &["storing", "client"],
        &status.mode,
    )?;
    one_of(
        encoder,
        "qadom_reachability",
        "1 for whether others reach the node, 0 for the other words",
        "reachability",
        &["reachable", "unreachable", "unknown"],
        &status.reachability,
    )?;
    gauge(
        encoder,
        "qadom_clock_offset_seconds",
        "What the clocks of the peers say that the own one is behind",
        millis(status.clock_offset_ms),
    )
}

/// What messages cost by what they were for.
fn costs(encoder: &mut DescriptorEncoder<'_>, traffic: &api::Traffic) -> fmt::Result {
    let mut bytes = encoder.encode_descriptor(
        "qadom_cause_bytes",
        "What messages cost both ways since the start, by what they were for",
        None,
        MetricType::Counter,
    )?;
    for line in &traffic.causes {
        let both = line.bytes_in.saturating_add(line.bytes_out);
        counter(&mut bytes, "cause", &line.cause, both)?;
    }
    Ok(())
}

/// What the node knows of the network, and what went over it.
fn network(encoder: &mut DescriptorEncoder<'_>, status: &api::Status) -> fmt::Result {
    let peers = u32::try_from(status.peers).unwrap_or(u32::MAX);
    gauge(
        encoder,
        "qadom_peers",
        "Contacts in the routing table",
        f64::from(peers),
    )?;
    if let Some(size) = status.network_size {
        gauge(
            encoder,
            "qadom_network_size_nodes",
            "Storing nodes that the network seems to have",
            size.estimate,
        )?;
        gauge(
            encoder,
            "qadom_network_size_error_ratio",
            "The relative standard error of that estimate",
            size.error,
        )?;
    }
    if status.density.lookups > 0 {
        gauge(
            encoder,
            "qadom_lookup_density_nats",
            "How densely nodes stand round the key looked up last; above 0.94 is an alarm",
            status.density.latest,
        )?;
    }
    costs(encoder, &status.traffic)?;
    let traffic = &status.traffic;
    let mut bytes = encoder.encode_descriptor(
        "qadom_traffic_bytes",
        "UDP payload since the start",
        None,
        MetricType::Counter,
    )?;
    counter(&mut bytes, "direction", "in", traffic.bytes_in)?;
    counter(&mut bytes, "direction", "out", traffic.bytes_out)?;
    let mut datagrams = encoder.encode_descriptor(
        "qadom_traffic_datagrams",
        "Datagrams since the start",
        None,
        MetricType::Counter,
    )?;
    counter(&mut datagrams, "direction", "in", traffic.datagrams_in)?;
    counter(&mut datagrams, "direction", "out", traffic.datagrams_out)?;
    let mut drops = encoder.encode_descriptor(
        "qadom_drops",
        "Messages, datagrams and requests dropped or refused since the start, by reason",
        None,
        MetricType::Counter,
    )?;
    for (reason, count) in &status.drops {
        counter(&mut drops, "reason", reason, *count)?;
    }
    Ok(())
}

/// Every limit beside its use.
fn budgets(encoder: &mut DescriptorEncoder<'_>, status: &api::Status) -> fmt::Result {
    let mut used = encoder.encode_descriptor(
        "qadom_limit_used",
        "How much of a limit is in use, in the unit of its name",
        None,
        MetricType::Gauge,
    )?;
    for limit in &status.limits {
        let labels = [("name", limit.name.as_str())];
        ConstGauge::new(large(limit.used)).encode(used.encode_family(&labels)?)?;
    }
    let mut most = encoder.encode_descriptor(
        "qadom_limit_max",
        "How much of a limit there may be, in the unit of its name",
        None,
        MetricType::Gauge,
    )?;
    for limit in &status.limits {
        let labels = [("name", limit.name.as_str())];
        ConstGauge::new(large(limit.limit)).encode(most.encode_family(&labels)?)?;
    }
    Ok(())
}

/// A gauge of its own for each word that a state may be, 1 for the one that it is.
fn one_of(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    words: &[&str],
    word: &str,
) -> fmt::Result {
    let mut states = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for known in words {
        let is_it = i64::from(*known == word);
        ConstGauge::new(is_it).encode(states.encode_family(&[(label, *known)])?)?;
    }
    Ok(())
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> fmt::Result {
    let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(value).encode(gauge)
}

fn counter(counters: &mut MetricEncoder<'_>, label: &str, value: &str, count: u64) -> fmt::Result {
    ConstCounter::new(count).encode(counters.encode_family(&[(label, value)])?)
}

/// Milliseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "offsets are far below 2^52 ms")]
fn millis(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

/// A number as gauges hold it.
#[expect(
    clippy::cast_precision_loss,
    reason = "a limit above 2^52 need not be exact to the last byte"
)]
fn large(number: u64) -> f64 {
    number as f64
}
