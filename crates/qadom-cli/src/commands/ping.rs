//! `qadom ping`: the round trip to a node.

use qadom_http::Client;

use crate::args::Ping;
use crate::error::Failure;
use crate::output::Output;
use crate::texts;

/// Pings once.
pub(super) async fn run(arguments: &Ping, client: &Client, output: Output) -> anyhow::Result<()> {
    let pong = client
        .ping(&arguments.node.to_string())
        .await
        .map_err(Failure::from)?;
    output.result(&pong, || {
        let addresses = pong
            .addresses
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>();
        let observed = match pong.observed {
            Some(observed) => format!(", sees this node at {observed}"),
            None => String::new(),
        };
        let rtt = texts::milliseconds(pong.rtt_ms);
        format!(
            "{} at {} answered in {rtt}{observed}",
            texts::node(pong.node),
            addresses.join(" ")
        )
    })
}
