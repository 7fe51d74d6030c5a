//! `qadom lookup`: the nodes nearest to a key, and every step on the way to them as it happens.

use std::net::SocketAddr;

use qadom_http::Client;
use qadom_http::api::{LookupEnd, LookupEvent, LookupNews, LookupStep};
use qadom_node::Reason;

use crate::args::Lookup;
use crate::error::Failure;
use crate::output::Output;
use crate::texts::{self, counted};

/// The columns of the steps and how wide each is; the last one takes what it needs.
const COLUMNS: [(&str, usize); 6] = [
    ("after", 9),
    ("hop", 3),
    ("node", 12),
    ("shared bits", 11),
    ("what", 34),
    ("address", 0),
];

/// Prints each step when it happens and the end below; as JSON one object each.
pub(super) async fn run(lookup: &Lookup, client: &Client, output: Output) -> anyhow::Result<()> {
    let key = texts::key(&lookup.key)?;
    let mut news = client.lookup(&key).await.map_err(Failure::from)?;
    let titles = COLUMNS.map(|(title, _)| title.to_owned());
    output.words(&row(&titles))?;
    while let Some(event) = news.next().await.map_err(Failure::from)? {
        match event {
            LookupNews::Step(step) => output.result(&step, || row(&cells(&step)))?,
            LookupNews::End(end) => return output.result(&end, || words(&end)),
        }
    }
    let failure = Failure::new(
        Reason::ShuttingDown,
        "the daemon ended before the lookup did",
    );
    Err(failure.into())
}

/// Lines cells up under their titles before the next rows are known.
fn row(cells: &[String; 6]) -> String {
    let cells = cells.iter().zip(COLUMNS);
    let cells = cells.map(|(cell, (_, width))| format!("{cell:width$}"));
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

fn cells(step: &LookupStep) -> [String; 6] {
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

fn words(end: &LookupEnd) -> String {
    let closest = end.closest.iter();
    let closest = closest.map(|closest| [texts::node(closest.node), addresses(&closest.addresses)]);
    let closest = closest.collect::<Vec<_>>();
    format!(
        "\n{}\n\n{}, {}, {}",
        texts::table(["closest", "address"], &closest),
        counted(closest.len(), "node", "nodes"),
        texts::effort(end.hops, end.messages),
        texts::milliseconds(end.took_ms),
    )
}

fn addresses(addresses: &[SocketAddr]) -> String {
    let addresses = addresses.iter().map(ToString::to_string);
    addresses.collect::<Vec<_>>().join(" ")
}
