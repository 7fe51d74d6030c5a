//! `qadom publications`: what the node keeps alive.

use std::collections::BTreeMap;

use qadom_http::Client;

use crate::args::Publications;
use crate::error::Failure;
use crate::output::Output;
use crate::texts;

pub(super) async fn run(
    publications: &Publications,
    client: &Client,
    output: Output,
) -> anyhow::Result<()> {
    match publications {
        Publications::List => {
            let list = client.publications().await.map_err(Failure::from)?;
            let rows: Vec<_> = list
                .items
                .iter()
                .map(|item| {
                    [
                        item.key.to_string(),
                        item.kind.clone(),
                        item.identity.clone().unwrap_or_else(|| "-".to_owned()),
                        item.state.clone(),
                        item.stored.to_string(),
                        item.expires_at.to_string(),
                        refusals(&item.refusals),
                    ]
                })
                .collect();
            output.result(&list, || {
                texts::table_or(
                    "nothing is kept alive",
                    [
                        "key", "kind", "identity", "state", "copies", "expires", "refused",
                    ],
                    &rows,
                )
            })
        }
        Publications::Withdraw { key } => {
            let key = texts::key(key)?;
            let withdrawn = client.withdraw(&key).await.map_err(Failure::from)?;
            output.result(&withdrawn, || {
                texts::counted(withdrawn.withdrawn, "publication", "publications") + " ended"
            })
        }
    }
}

/// Why holders did not take the last renewal, in a few words.
fn refusals(refusals: &BTreeMap<String, u32>) -> String {
    if refusals.is_empty() {
        return "-".to_owned();
    }
    let parts = refusals
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"));
    parts.collect::<Vec<_>>().join(", ")
}
