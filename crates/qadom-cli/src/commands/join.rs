//! `qadom join`: joins a network through nodes that are known to belong to it.

use qadom_http::Client;

use crate::args::Join;
use crate::error::Failure;
use crate::output::Output;
use crate::texts::counted;

/// Succeeds when one of the addresses led into the network; the others are named.
pub(super) async fn run(join: &Join, client: &Client, output: Output) -> anyhow::Result<()> {
    let addresses = join
        .addresses
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>();
    let joined = client.join(&addresses).await.map_err(Failure::from)?;
    for problem in &joined.problems {
        output.note(&format!("{}: {}", problem.address, problem.detail));
    }
    output.result(&joined, || {
        format!("joined, {}", counted(joined.peers, "peer", "peers"))
    })
}
