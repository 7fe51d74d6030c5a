//! `qadom demo`: a real network on this machine, told step by step with its receipts.
//!
//! What must stay true: nothing here is staged: real UDP ports, real folders, the public `Node`
//! alone. What is printed is what the nodes said; what was not found makes the demo fail.

mod film;
mod network;
mod report;
mod views;

use anyhow::Context;
use bytes::Bytes;
use qadom_http::api::{Fetched, Written};
use qadom_node::{Key, Reason};

use self::film::Film;
use self::network::Network;
use self::report::Report;
use self::views::Views;
use super::CONTROL_SOCKET;
use super::daemon::Daemon;
use crate::args::Demo;
use crate::error::Failure;
use crate::output::Output;
use crate::signals::Signals;
use crate::texts::counted;

/// A value that the demo stores, and its name.
struct Sample {
    name: &'static str,
    value: Bytes,
}

/// A value that was stored.
struct Stored {
    name: &'static str,
    value: Bytes,
    key: Key,
}

/// Tells the story; whatever happens, all nodes end and the folders are removed.
pub(super) async fn run(demo: &Demo, output: Output) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let folder = tempfile::Builder::new().prefix("qadom-demo-").tempdir()?;
    let mut network = Network::new(folder.path());
    let report = Report::new(output);
    let result = tokio::select! {
        result = tell(demo, &mut network, report) => result,
        signal = signals.next() => {
            output.note(&format!("{signal}: stopping the nodes, removing their folders"));
            Ok(())
        }
    };
    network.end().await;
    folder
        .close()
        .context("cannot remove the folders of the demo")?;
    result
}

async fn tell(demo: &Demo, network: &mut Network, report: Report) -> anyhow::Result<()> {
    report.begin(demo.nodes, network.folder())?;
    network.start(demo.nodes).await?;
    report.started(network.first()?)?;
    let peers = network.join().await?;
    report.joined(&peers)?;

    report.chapter("3. Store: each value from another node, its key is its SHA-256")?;
    let mut stored = Vec::new();
    for (number, sample) in samples().into_iter().enumerate() {
        let writer = network.storing(number)?;
        let receipt = writer
            .node
            .put(sample.value.clone())
            .await
            .map_err(Failure::from)?;
        report.stored(writer.number, sample.name, &Written::from(&receipt))?;
        stored.push(Stored {
            name: sample.name,
            value: sample.value,
            key: receipt.key,
        });
    }
    report.golden(&stored)?;

    report.chapter("4. Sign: a dict, a bag, a namespace and a topic; push: a file, in chunks")?;
    let views = Views::write(network, report).await?;
    let film = Film::push(network, report).await?;

    report.chapter("5. Read: by the last node, a client that stores nothing for others")?;
    let mut missing = read_all(network, &stored, report).await?;
    missing += views.read(network, report).await?;

    let dropped = network.drop_a_third();
    report.dropped(&dropped)?;

    report.chapter("7. Read again: by the same client, then by every node that is left")?;
    missing += read_all(network, &stored, report).await?;
    missing += views.read(network, report).await?;
    missing += film.fetch(network, report).await?;
    let (found, reads) = count_found(network, &stored).await;
    missing += reads - found;
    report.counted(found, reads)?;

    report.end(missing)?;
    if missing > 0 {
        return Err(Failure::new(
            Reason::Internal,
            format!("{} found nothing", counted(missing, "read", "reads")),
        )
        .into());
    }
    if demo.stay {
        stay(network, report).await?;
    }
    Ok(())
}

/// Reads everything by the client; gives how many reads found nothing.
async fn read_all(network: &Network, stored: &[Stored], report: Report) -> anyhow::Result<usize> {
    let reader = network.client()?;
    let mut missing = 0;
    for stored in stored {
        match reader.node.get(stored.key).await {
            Ok(fetched) if fetched.value == stored.value => {
                report.read(reader.number, stored.name, &Fetched::from(fetched))?;
            }
            Ok(_) => {
                missing += 1;
                report.missing(reader.number, stored.name, "other bytes came back")?;
            }
            Err(error) => {
                missing += 1;
                report.missing(reader.number, stored.name, &error.to_string())?;
            }
        }
    }
    Ok(missing)
}

/// Reads everything by every storing node that is left; gives the reads that found it, and all.
async fn count_found(network: &Network, stored: &[Stored]) -> (usize, usize) {
    let (mut found, mut reads) = (0, 0);
    for member in network.all_storing() {
        for stored in stored {
            reads += 1;
            let fetched = member.node.get(stored.key).await;
            found += usize::from(fetched.is_ok_and(|fetched| fetched.value == stored.value));
        }
    }
    (found, reads)
}

/// Keeps the network up, with a control socket at its first node, until that one is stopped.
async fn stay(network: &Network, report: Report) -> anyhow::Result<()> {
    let node = network.first()?.clone();
    let socket = network.folder().join(CONTROL_SOCKET);
    let daemon = Daemon::serve(node, &socket).await?;
    report.stays(&socket, daemon.node())?;
    daemon.node().stopped().await;
    daemon.close().await;
    Ok(())
}

/// What the demo stores: the shortest, the longest, and what people know.
fn samples() -> Vec<Sample> {
    let sample = |name, value: &'static str| Sample {
        name,
        value: Bytes::from_static(value.as_bytes()),
    };
    let longest = (0..=u8::MAX).cycle().take(qadom_node::VALUE_MAX).collect();
    vec![
        sample(GOLDEN, "sudo python"),
        sample("nothing at all", ""),
        Sample {
            name: "the longest value",
            value: longest,
        },
        sample("a greeting", "hello, network"),
        sample("other letters", "grüße, 你好, привет"),
        sample("some JSON", r#"{"works": true}"#),
    ]
}

/// The value whose key every qadom knows.
const GOLDEN: &str = "sudo python";
