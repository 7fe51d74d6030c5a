//! `qadom peers`: the daemon's routing table.

use qadom_http::Client;

use crate::error::Failure;
use crate::output::Output;
use crate::texts;

/// Prints a row for each contact.
pub(super) async fn run(client: &Client, output: Output) -> anyhow::Result<()> {
    let peers = client.peers().await.map_err(Failure::from)?;
    output.result(&peers, || {
        let rows = peers.items.iter().map(|peer| {
            [
                texts::node(peer.node),
                peer.bucket.to_string(),
                peer.rtt_ms
                    .map_or_else(|| "-".to_owned(), texts::milliseconds),
                peer.last_seen.to_string(),
                peer.address.clone(),
            ]
        });
        let rows = rows.collect::<Vec<_>>();
        texts::table_or(
            "no contact: this node knows no other one",
            ["node", "bucket", "round trip", "last seen", "address"],
            &rows,
        )
    })
}
