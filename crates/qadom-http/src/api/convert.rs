//! Turns a node's own types into the JSON of the API.

mod files;
mod records;

use std::net::SocketAddr;
use std::time::Duration;

use qadom_node::{Contact, Mode, Reason};

use super::{
    CauseCost, Check, Closest, Density, Diagnosis, Fetched, JoinProblem, Joined, Limit, Lookup,
    LookupEnd, LookupEvent, LookupStep, NetworkSize, NodeText, Peer, Pong, Quarantined, Receipt,
    Refusal, Source, Status, Timestamp, Traffic, Verdict, Written,
};

/// Milliseconds, exact to the microsecond.
fn milliseconds(span: Duration) -> f64 {
    // Rounded first: a text like 1.234 shall not become 1.2339999.
    (span.as_secs_f64() * 1e6).round() / 1e3
}

fn mode(mode: Mode) -> String {
    let text = match mode {
        Mode::Storing => "storing",
        Mode::Client => "client",
    };
    text.to_owned()
}

fn addresses(contact: &Contact) -> Vec<SocketAddr> {
    let v4 = contact.v4().map(SocketAddr::V4);
    v4.into_iter()
        .chain(contact.v6().map(SocketAddr::V6))
        .collect()
}

impl From<qadom_node::Diagnosis> for Diagnosis {
    fn from(diagnosis: qadom_node::Diagnosis) -> Self {
        let checks = diagnosis.checks.into_iter().map(|check| Check {
            name: check.name.to_owned(),
            ok: check.ok,
            detail: check.detail,
            advice: check.advice,
        });
        Self {
            verdict: Verdict::from(diagnosis.verdict),
            checks: checks.collect(),
        }
    }
}

impl From<&qadom_node::Receipt> for Receipt {
    fn from(receipt: &qadom_node::Receipt) -> Self {
        let refused = receipt.refused.iter().map(|refusal| Refusal {
            node: NodeText(refusal.node),
            reason: refusal.reason.as_str().to_owned(),
        });
        Self {
            wanted: receipt.wanted,
            reachable: receipt.reachable,
            stored: receipt.stored,
            alone: receipt.alone,
            refused: refused.collect(),
            hops: receipt.hops,
            messages: receipt.messages,
            took_ms: milliseconds(receipt.took),
            expires_at: Timestamp::from_seconds(receipt.expires_at),
        }
    }
}

impl From<&qadom_node::Receipt> for Written {
    fn from(receipt: &qadom_node::Receipt) -> Self {
        Self {
            key: receipt.key,
            receipt: receipt.into(),
            writer: None,
            public_key: None,
            signature: None,
            seq: None,
        }
    }
}

impl From<qadom_node::Source> for Source {
    fn from(source: qadom_node::Source) -> Self {
        match source {
            qadom_node::Source::Local => Self::Local,
            qadom_node::Source::Node(node) => Self::Node(NodeText(node)),
        }
    }
}

impl From<qadom_node::Fetched> for Fetched {
    fn from(fetched: qadom_node::Fetched) -> Self {
        Self {
            key: fetched.key,
            value: fetched.value,
            source: fetched.source.into(),
            age_ms: u64::try_from(fetched.age.as_millis()).unwrap_or(u64::MAX),
            hops: fetched.hops,
            messages: fetched.messages,
            took_ms: milliseconds(fetched.took),
        }
    }
}

impl From<&qadom_node::Peer> for Peer {
    fn from(peer: &qadom_node::Peer) -> Self {
        Self {
            node: NodeText(peer.node),
            address: peer.address.to_string(),
            mode: mode(peer.mode),
            rtt_ms: peer.rtt.map(milliseconds),
            last_seen: Timestamp::from_seconds(peer.last_seen_utc_micros / 1_000_000),
            bucket: peer.bucket,
        }
    }
}

impl From<&qadom_node::LookupReport> for Lookup {
    fn from(report: &qadom_node::LookupReport) -> Self {
        let steps = report.steps.iter();
        let steps = steps.map(|step| LookupStep::new(step.at.since(report.began), step));
        Self {
            steps: steps.collect(),
            end: report.into(),
        }
    }
}

impl LookupStep {
    /// A step that happened so long after the lookup began.
    pub(crate) fn new(after: Duration, step: &qadom_node::Step) -> Self {
        Self {
            at_ms: milliseconds(after),
            event: (&step.event).into(),
            node: NodeText(*step.contact.id()),
            addresses: addresses(&step.contact),
            hop: step.hop,
            shared_bits: step.shared_bits,
        }
    }
}

impl From<&qadom_node::LookupReport> for LookupEnd {
    fn from(report: &qadom_node::LookupReport) -> Self {
        let closest = report.closest.iter().map(|contact| Closest {
            node: NodeText(*contact.id()),
            addresses: addresses(contact),
        });
        Self {
            closest: closest.collect(),
            hops: report.hops,
            messages: report.messages,
            took_ms: milliseconds(report.took),
        }
    }
}

impl From<&qadom_node::StepEvent> for LookupEvent {
    fn from(event: &qadom_node::StepEvent) -> Self {
        match event {
            qadom_node::StepEvent::Asked => Self::Asked,
            qadom_node::StepEvent::Answered { contacts, nearer } => Self::Answered {
                contacts: *contacts as u64,
                nearer: *nearer as u64,
            },
            qadom_node::StepEvent::Slow => Self::Slow,
            qadom_node::StepEvent::Failed => Self::Failed,
        }
    }
}

impl From<&qadom_node::PingReport> for Pong {
    fn from(report: &qadom_node::PingReport) -> Self {
        Self {
            node: NodeText(*report.contact.id()),
            addresses: addresses(&report.contact),
            rtt_ms: milliseconds(report.rtt),
            observed: report.observed,
        }
    }
}

impl From<&qadom_node::Joined> for Joined {
    fn from(joined: &qadom_node::Joined) -> Self {
        let problems = joined
            .problems
            .iter()
            .map(|(address, problem)| JoinProblem {
                address: address.to_string(),
                reason: reason_of(problem).as_str().to_owned(),
                detail: qadom_node::join_problem_text(problem),
            });
        Self {
            peers: joined.peers,
            problems: problems.collect(),
        }
    }
}

fn reason_of(problem: &qadom_node::JoinProblem) -> Reason {
    match problem {
        qadom_node::JoinProblem::WrongNetwork(_) => Reason::WrongNetwork,
        qadom_node::JoinProblem::Own => Reason::Usage,
        _ => Reason::Unreachable,
    }
}

impl From<qadom_node::Verdict> for Verdict {
    fn from(verdict: qadom_node::Verdict) -> Self {
        match verdict {
            qadom_node::Verdict::Starting => Self::Starting,
            qadom_node::Verdict::Healthy => Self::Healthy,
            qadom_node::Verdict::Degraded => Self::Degraded,
            qadom_node::Verdict::Isolated => Self::Isolated,
        }
    }
}

impl From<qadom_node::Quarantined> for Quarantined {
    fn from(quarantined: qadom_node::Quarantined) -> Self {
        Self {
            folder: quarantined.path,
            bytes: quarantined.length,
            at: quarantined.at.map(Timestamp::from_seconds),
            reason: quarantined.reason,
        }
    }
}

impl From<qadom_node::Status> for Status {
    fn from(status: qadom_node::Status) -> Self {
        let limits = status.limits.iter().map(|limit| Limit {
            name: limit.name.to_owned(),
            used: limit.used,
            limit: limit.limit,
        });
        Self {
            node: NodeText(status.node),
            address: status.address.to_string(),
            network: status.network,
            mode: mode(status.mode),
            reachability: status.reachability.as_str().to_owned(),
            reachability_age_ms: status
                .reachability_age
                .map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            observed_addresses: status
                .observed_addresses
                .iter()
                .map(ToString::to_string)
                .collect(),
            clock_offset_ms: status.clock_offset_ms,
            local: status.local,
            verdict: status.verdict.into(),
            reasons: status.reasons,
            peers: status.peers as u64,
            network_size: status.network_size.map(|size| NetworkSize {
                estimate: size.nodes,
                error: size.error,
            }),
            density: (&status.density).into(),
            limits: limits.collect(),
            quarantined: status.quarantined.into_iter().map(Into::into).collect(),
            drops: status.drops,
            traffic: Traffic {
                bytes_in: status.traffic.bytes_in,
                bytes_out: status.traffic.bytes_out,
                datagrams_in: status.traffic.datagrams_in,
                datagrams_out: status.traffic.datagrams_out,
                causes: status.traffic.costs.iter().map(Into::into).collect(),
            },
        }
    }
}

impl From<&qadom_node::Density> for Density {
    fn from(density: &qadom_node::Density) -> Self {
        Self {
            latest: density.latest,
            highest: density.highest,
            lookups: density.lookups,
            alarms: density.alarms,
            suspicious: density.is_suspicious(),
            detail: density.text(),
        }
    }
}

impl From<&qadom_node::CauseCost> for CauseCost {
    fn from(line: &qadom_node::CauseCost) -> Self {
        Self {
            cause: line.cause.as_str().to_owned(),
            messages_out: line.cost.messages_out,
            bytes_out: line.cost.bytes_out,
            messages_in: line.cost.messages_in,
            bytes_in: line.cost.bytes_in,
            bytes_per_second: line.bytes_per_second,
        }
    }
}
