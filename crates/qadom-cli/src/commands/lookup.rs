//! `qadom lookup`: the nodes nearest to a key, and every step on the way to them.

use std::net::SocketAddr;

use qadom_http::Client;
use qadom_http::api::{LookupEvent, LookupStep};

use crate::args::Lookup;
use crate::error::Failure;
use crate::output::Output;
use crate::texts::{self, counted};

/// Prints the steps as a table and the end below it; as JSON one object each.
pub(super) async fn run(lookup: &Lookup, client: &Client, output: Output) -> anyhow::Result<()> {
    let key = texts::key(&lookup.key)?;
    let lookup = client.lookup(&key).await.map_err(Failure::from)?;
    for step in &lookup.steps {
        output.object(step)?;
    }
    output.object(&lookup.end)?;

    let steps = lookup.steps.iter().map(step).collect::<Vec<_>>();
    let titles = ["after", "hop", "node", "shared bits", "what", "address"];
    output.words(&texts::table(titles, &steps))?;
    let closest = lookup
        .end
        .closest
        .iter()
        .map(|closest| [texts::node(closest.node), addresses(&closest.addresses)]);
    let closest = closest.collect::<Vec<_>>();
    output.words("")?;
    output.words(&texts::table(["closest", "address"], &closest))?;
    output.words(&format!(
        "\n{}, {}, {}",
        counted(closest.len(), "node", "nodes"),
        texts::effort(lookup.end.hops, lookup.end.messages),
        texts::milliseconds(lookup.end.took_ms),
    ))
}

fn step(step: &LookupStep) -> [String; 6] {
    let what = match step.event {
        LookupEvent::Asked => "asked".to_owned(),
        LookupEvent::Answered { contacts, nearer } => {
            let contacts = counted(contacts, "contact", "contacts");
            format!("answered: {contacts}, {nearer} nearer")
        }
        LookupEvent::Slow => "slow, goes on meanwhile".to_owned(),
        LookupEvent::Failed => "no answer".to_owned(),
        _ => "?".to_owned(),
    };
    [
        texts::milliseconds(step.at_ms),
        step.hop.to_string(),
        texts::node(step.node),
        step.shared_bits.to_string(),
        what,
        addresses(&step.addresses),
    ]
}

fn addresses(addresses: &[SocketAddr]) -> String {
    addresses
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}
