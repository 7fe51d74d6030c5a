//! `qadom status`: how the daemon is doing.

use std::fmt::Write;

use indicatif::HumanBytes;
use qadom_http::Client;
use qadom_http::api::{Status, Verdict};

use crate::error::Failure;
use crate::output::{Colour, Output, painted};
use crate::texts::{self, counted};

/// Exits 0 whenever the daemon answers, also with bad news.
pub(super) async fn run(client: &Client, output: Output) -> anyhow::Result<()> {
    let status = client.status().await.map_err(Failure::from)?;
    output.result(&status, || words(&status))
}

fn words(status: &Status) -> String {
    let verdict = painted(status.verdict.as_str(), colour(status.verdict));
    let size = match status.network_size {
        Some(size) => {
            let nodes = counted(size.estimate.round(), "node", "nodes");
            format!("about {nodes}, ± {:.0} %", size.error * 100.0)
        }
        None => "not known yet".to_owned(),
    };
    let local = if status.local {
        ", local mode: no limits by address group"
    } else {
        ""
    };
    let traffic = &status.traffic;
    let bytes = |count| counted(count, "byte", "bytes");
    let datagrams = |count| counted(count, "datagram", "datagrams");
    let mut text = format!(
        "verdict   {verdict}\nnode      {}\naddress   {}\nnetwork   {} ({size})\n\
         mode      {}{local}\npeers     {}\n\
         traffic   {} in, {} out, {} in, {} out",
        status.node,
        status.address,
        status.network,
        status.mode,
        status.peers,
        bytes(traffic.bytes_in),
        bytes(traffic.bytes_out),
        datagrams(traffic.datagrams_in),
        datagrams(traffic.datagrams_out),
    );
    for reason in &status.reasons {
        push(&mut text, "reason", reason);
    }
    for store in &status.quarantined {
        let (folder, size) = (store.folder.display(), bytes(store.bytes));
        let fact = format!("{folder}, {size}: {}", store.reason);
        push(&mut text, "set aside", &fact);
    }
    for (reason, count) in &status.drops {
        push(&mut text, "dropped", &format!("{count} {reason}"));
    }
    let limits = status.limits.iter().map(|limit| {
        let amount = |number| amount(&limit.name, number);
        [limit.name.clone(), amount(limit.used), amount(limit.limit)]
    });
    let limits = texts::table(["limit", "used", "of"], &limits.collect::<Vec<_>>());
    format!("{text}\n\n{limits}")
}

/// How much of a limit, in the unit of its name.
fn amount(name: &str, number: u64) -> String {
    if name.ends_with("-bytes-per-second") {
        format!("{}/s", HumanBytes(number))
    } else if name.ends_with("-bytes") {
        HumanBytes(number).to_string()
    } else {
        number.to_string()
    }
}

/// The colour of a verdict.
pub(super) const fn colour(verdict: Verdict) -> Colour {
    match verdict {
        Verdict::Healthy => Colour::Green,
        Verdict::Starting | Verdict::Degraded => Colour::Yellow,
        Verdict::Isolated => Colour::Red,
    }
}

fn push(text: &mut String, name: &str, fact: &str) {
    // Writing into a string cannot fail.
    let _ = write!(text, "\n{name:<9} {fact}");
}
