//! `qadom testnet`: several daemons in one process, for trying things out and for tests.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Context;
use qadom_node::{JoinAddress, Node};

use super::CONTROL_SOCKET;
use super::daemon::Daemon;
use crate::args::Testnet;
use crate::output::Output;
use crate::signals::Signals;
use crate::texts::counted;

/// Runs the daemons until Ctrl-C or SIGTERM.
pub(super) async fn run(testnet: &Testnet, output: Output) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    // Kept until the end: a temporary folder is removed when it is dropped.
    let temporary;
    let folder = if let Some(folder) = &testnet.base_dir {
        folder
    } else {
        temporary = tempfile::Builder::new().prefix("qadom-").tempdir()?;
        temporary.path()
    };
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut daemons = Vec::new();
    let result = tokio::select! {
        result = start(testnet.nodes, folder, output, &mut daemons) => result,
        signal = signals.next() => {
            output.note(&format!("{signal}: not all daemons were started"));
            return end(daemons, output).await;
        }
    };
    if result.is_ok() {
        let run = counted(daemons.len(), "daemon runs", "daemons run");
        output.note(&format!("{run} in {}", folder.display()));
        let signal = signals.next().await;
        let stopped = counted(daemons.len(), "daemon", "daemons");
        output.note(&format!("{signal}: stopping {stopped}"));
    }
    end(daemons, output).await?;
    result
}

/// Starts one daemon after the other; each joins by the first.
async fn start(
    count: u16,
    folder: &Path,
    output: Output,
    daemons: &mut Vec<Daemon>,
) -> anyhow::Result<()> {
    for number in 0..count {
        let folder = folder.join(number.to_string());
        let socket = folder.join(CONTROL_SOCKET);
        let mut builder = Node::builder()
            .data_dir(&folder)
            .listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        if let Some(first) = daemons.first() {
            builder = builder.join(JoinAddress::from(first.node().address()));
        }
        let daemon = Daemon::start(builder, &socket).await?;
        daemon.announce(output)?;
        daemons.push(daemon);
    }
    Ok(())
}

/// Ends all daemons side by side.
async fn end(daemons: Vec<Daemon>, output: Output) -> anyhow::Result<()> {
    let closing = daemons
        .into_iter()
        .map(|daemon| tokio::spawn(daemon.close()));
    for closing in closing.collect::<Vec<_>>() {
        closing.await?;
    }
    output.note("stopped: what was acknowledged is kept");
    Ok(())
}
