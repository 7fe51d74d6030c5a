//! `qadom backup` and `qadom restore`: what a node cannot get back from the network, in a sealed
//! file.

use std::path::Path;

use qadom_node::{BackedUp, BackupError};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{data_dir, passphrase};
use crate::args::{Backup, Global};
use crate::error::Failure;
use crate::output::Output;
use crate::texts::counted;

/// What is told of a backup.
#[derive(Debug, Serialize)]
struct Report<'a> {
    file: &'a Path,
    folder: &'a Path,
    node: String,
    identities: usize,
    journal: bool,
    settings: bool,
}

pub(super) async fn backup(
    arguments: Backup,
    global: &Global,
    output: Output,
) -> anyhow::Result<()> {
    let folder = data_dir(global)?;
    let passphrase = passphrase::fresh(arguments.passphrase_file.as_deref())?;
    let done = run(&arguments, &folder, passphrase, qadom_node::backup).await?;
    report(&done, "backed up", &arguments, &folder, output)?;
    output.note("keep the passphrase: without it nobody opens this file, not even you");
    Ok(())
}

pub(super) async fn restore(
    arguments: Backup,
    global: &Global,
    output: Output,
) -> anyhow::Result<()> {
    let folder = data_dir(global)?;
    let passphrase = passphrase::existing(arguments.passphrase_file.as_deref())?;
    let done = run(&arguments, &folder, passphrase, qadom_node::restore).await?;
    report(&done, "restored", &arguments, &folder, output)?;
    output.note("the node that was backed up must not run any more beside this one");
    Ok(())
}

/// Works on a thread that may take a second and wait for the disk.
async fn run(
    arguments: &Backup,
    folder: &Path,
    passphrase: Zeroizing<String>,
    work: fn(&Path, &Path, &str) -> Result<BackedUp, BackupError>,
) -> anyhow::Result<BackedUp> {
    let (folder, file) = (folder.to_owned(), arguments.file.clone());
    let done = tokio::task::spawn_blocking(move || work(&folder, &file, &passphrase));
    Ok(done.await?.map_err(Failure::from)?)
}

fn report(
    done: &BackedUp,
    what: &str,
    arguments: &Backup,
    folder: &Path,
    output: Output,
) -> anyhow::Result<()> {
    let report = Report {
        file: &arguments.file,
        folder,
        node: done.node.to_string(),
        identities: done.identities,
        journal: done.has_journal,
        settings: done.has_settings,
    };
    output.result(&report, || {
        let mut parts = vec![
            format!("node {}", report.node),
            counted(report.identities, "identity", "identities"),
        ];
        parts.extend(report.journal.then(|| "the journal".to_owned()));
        parts.extend(report.settings.then(|| "the settings".to_owned()));
        format!("{what}: {}", parts.join(", "))
    })
}
