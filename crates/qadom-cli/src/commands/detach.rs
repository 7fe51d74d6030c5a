//! `qadom node --detach`: the daemon in a process of its own, in the background.
//!
//! What must stay true: the command ends when the daemon is ready, or with what kept it from being so.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;

use qadom_node::Reason;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::error::Failure;
use crate::exit::{Exit, Told};
use crate::output::{self, Output};

/// What the daemon says goes here, in the data folder.
const LOG: &str = "daemon.log";

/// Starts the daemon with the same command line, waits for its ready line and prints it.
pub(super) async fn run(folder: &Path, line: Vec<OsString>, output: Output) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| unusable(folder, &error))?;
    let path = folder.join(LOG);
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path);
    let log = log.map_err(|error| unusable(&path, &error))?;
    let begin = log.metadata()?.len();
    let arguments = line
        .into_iter()
        .skip(1)
        .filter(|argument| argument != "--detach");
    let mut daemon = Command::new(std::env::current_exe()?)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        // What is typed at the terminal, such as Ctrl-C, is not meant for it.
        .process_group(0)
        .spawn()?;
    let mut ready = String::new();
    if let Some(stdout) = daemon.stdout.take() {
        BufReader::new(stdout).read_line(&mut ready).await?;
    }
    if ready.is_empty() {
        return failed(daemon.wait().await?.code(), &path, begin).await;
    }
    output::bytes(ready.as_bytes())?;
    let words = format!(
        "in the background; it tells what happens in {}",
        path.display()
    );
    output.note(&words);
    Ok(())
}

/// Tells what the daemon said of its failure, and fails as it did.
async fn failed(code: Option<i32>, log: &Path, begin: u64) -> anyhow::Result<()> {
    let said = tokio::fs::read(log).await?;
    let said = said.get(usize::try_from(begin)?..).unwrap_or_default();
    let mut stderr = tokio::io::stderr();
    stderr.write_all(said).await?;
    stderr.flush().await?;
    Err(Told(code.map_or(Exit::Failed, Exit::of_code)).into())
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    let message = format!("cannot use {}: {error}", path.display());
    Failure::new(Reason::FolderUnusable, message).with_advice("name another folder with --data-dir")
}
