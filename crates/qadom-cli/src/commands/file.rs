//! `qadom file`: files put into the network and got out of it.

mod progress;

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use qadom_http::api::{
    AddRequest, FetchRequest, FileAdded, FileEvent, FileFetched, FileItem, FileStatus,
};
use qadom_http::{Client, FileEvents, WriteQuery};
use qadom_node::{Files, Reason};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::signal::unix::{SignalKind, signal};

use self::progress::{Progress, bytes_text};
use crate::args::{File, FileGet, FileSource};
use crate::error::Failure;
use crate::exit::{Exit, Told};
use crate::output::{Output, bytes};
use crate::texts;

/// A manifest has at most this many bytes: that of a TiB.
const MANIFEST_MAX: u64 = 256 << 20;

pub(super) async fn run(file: File, client: &Client, output: Output) -> anyhow::Result<()> {
    match file {
        File::Add { source, write } => add(source, None, &write.query(), client, output).await,
        File::Push {
            source,
            copies,
            write,
        } => add(source, Some(copies), &write.query(), client, output).await,
        File::Get(get) => fetch(get, client, output).await,
        File::List => list(client, output).await,
        File::Status { id } => {
            let status = client.file_status(&id.to_string()).await;
            let status = status.map_err(Failure::from)?;
            output.result(&status, || status_words(&status))
        }
        File::Manifest { id } => {
            let manifest = client.file_manifest(&id.to_string()).await;
            bytes(&manifest.map_err(Failure::from)?)
        }
        File::Remove { id } => {
            let removed = client.file_remove(&id.to_string()).await;
            let removed = removed.map_err(Failure::from)?;
            output.object(&removed)?;
            output.note("no longer shared");
            Ok(())
        }
    }
}

async fn add(
    source: FileSource,
    copies: Option<u32>,
    write: &WriteQuery,
    client: &Client,
    output: Output,
) -> anyhow::Result<()> {
    let path = std::path::absolute(&source.path)?;
    let unreadable = |error: std::io::Error| {
        let message = format!("{}: {error}", source.path.display());
        Failure::new(Reason::Usage, message)
    };
    std::fs::metadata(&path).map_err(unreadable)?;
    let name = match source.name {
        None => None,
        Some(Some(name)) => Some(name),
        Some(None) => Some(base_name(&path)?),
    };
    let request = AddRequest {
        path,
        copy: source.copy,
        name,
        urls: source.url,
        copies,
    };
    let events = client.file_add(&request, write).await;
    let events = events.map_err(Failure::from)?;
    let Some(added) = follow::<FileAdded>(events, output).await? else {
        output.note("given up; what had been announced already is shown by `qadom file list`");
        return Err(Told(Exit::Failed).into());
    };
    output.result(&added, || added.id.clone())?;
    let chunks = texts::counted(added.chunks, "chunk", "chunks");
    output.note(&format!("{} in {chunks}", bytes_text(added.size)));
    if let (Some(copies), Some(smallest), Some(holders)) =
        (added.copies, added.smallest_copies, added.holders)
    {
        output.note(&format!(
            "every chunk has at least {smallest} of {copies} copies, at {}",
            texts::counted(holders, "node", "nodes")
        ));
    }
    output.note(&texts::receipt(&added.receipt));
    Ok(())
}

/// The last part of a path, as a name.
fn base_name(path: &Path) -> Result<String, Failure> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| {
        let message = format!("{} has no name that is a text", path.display());
        Failure::new(Reason::Usage, message).with_advice("give one: --name NAME")
    })
}

async fn fetch(get: FileGet, client: &Client, output: Output) -> anyhow::Result<()> {
    let place = get.output.clone().unwrap_or_else(|| PathBuf::from("."));
    let manifest = get.manifest.as_deref().map(manifest).transpose()?;
    let file = match (&get.file, &manifest) {
        (Some(file), _) => file.clone(),
        (None, Some((id, _))) => id.clone(),
        (None, None) => return Err(Failure::new(Reason::Usage, "no file is named").into()),
    };
    let mut request = FetchRequest {
        output: Some(std::path::absolute(place)?),
        writer: get.writer.map(|writer| writer.to_string()),
        first: get.first,
        manifest: manifest.map(|(_, text)| text),
        unverified: get.unverified,
        max_size: get.max_size,
    };
    let fetched = loop {
        let events = client.file_fetch(&file, &request).await;
        let events = events.map_err(Failure::from)?;
        match follow::<FileFetched>(events, output).await {
            Err(error) => match chosen(&error, output)? {
                Some(writer) => request.writer = Some(writer),
                None => return Err(error),
            },
            Ok(fetched) => break fetched,
        }
    };
    let Some(fetched) = fetched else {
        output.note("given up: what was verified is kept, the same command goes on from there");
        return Err(Told(Exit::Failed).into());
    };
    let path = fetched.path.as_deref().unwrap_or(Path::new("")).display();
    output.result(&fetched, || path.to_string())?;
    let verified = if fetched.verified {
        "verified as"
    } else {
        "NOT verified; it is"
    };
    output.note(&format!(
        "{}, {verified} {}",
        bytes_text(fetched.size),
        fetched.id
    ));
    Ok(())
}

/// Reads a list of chunks; gives the id of its file and its text.
fn manifest(path: &Path) -> Result<(String, String), Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(Reason::Usage, format!("{}: {error}", path.display()))
    };
    let size = std::fs::metadata(path)
        .map_err(|error| failed(&error))?
        .len();
    if size > MANIFEST_MAX {
        return Err(failed(&"a manifest has at most 256 MiB"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    let manifest = Files::read_manifest(text.as_bytes());
    let id = manifest.map_err(|error| failed(&error))?.id().to_string();
    Ok((id, text))
}

/// Where several files carry the name, lets the user choose one on a terminal: the writer to ask
/// for. Without a terminal there is nobody to ask.
fn chosen(error: &anyhow::Error, output: Output) -> anyhow::Result<Option<String>> {
    let files = error.downcast_ref::<Failure>().map(Failure::files);
    let files = files.unwrap_or_default();
    for (number, file) in (1..).zip(files) {
        let writers = texts::counted(file.writers.len(), "writer", "writers");
        output.note(&format!(
            "{number}: {} {} by {writers}, first {}",
            file.id,
            bytes_text(file.size),
            file.writers.first().map_or("", String::as_str)
        ));
    }
    if files.is_empty() || output.is_json() || !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    write!(std::io::stderr(), "which one? ")?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let number = line.trim().parse::<usize>().ok();
    let file = number.and_then(|number| files.get(number.checked_sub(1)?));
    Ok(file.and_then(|file| file.writers.first().cloned()))
}

async fn list(client: &Client, output: Output) -> anyhow::Result<()> {
    let list = client.files().await.map_err(Failure::from)?;
    if output.is_json() {
        return output.object(&list);
    }
    for FileItem {
        id,
        size,
        name,
        state,
        ..
    } in &list.items
    {
        output.words(&format!("{id} {state} {} {name}", bytes_text(*size)))?;
    }
    output.note(&texts::counted(list.items.len(), "file", "files"));
    Ok(())
}

fn status_words(status: &FileStatus) -> String {
    let here = if status.whole {
        "whole here".to_owned()
    } else {
        format!("{} of {} chunks here", status.here, status.chunks)
    };
    let elsewhere = if status.holders == 0 {
        "no other node has any of it".to_owned()
    } else {
        format!(
            "{} of it, at least {} of every chunk there",
            texts::counted(
                status.holders,
                "other node has some",
                "other nodes have some"
            ),
            texts::counted(status.smallest_copies, "live copy", "live copies"),
        )
    };
    let size = bytes_text(status.size);
    format!("{} {size}, {here}, {elsewhere}", status.id)
}

/// Shows how far the work is until it is done; nothing when Ctrl-C gave it up.
async fn follow<T: DeserializeOwned + Serialize>(
    mut events: FileEvents<T>,
    output: Output,
) -> anyhow::Result<Option<T>> {
    // Listened for all the time: one that comes between two events counts, too.
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut shown = Progress::new(output);
    loop {
        let event = tokio::select! {
            event = events.next() => event.map_err(Failure::from)?,
            _ = interrupts.recv() => return Ok(None),
        };
        match event {
            Some(FileEvent::Progress { progress }) => shown.show(&progress)?,
            Some(FileEvent::Done(done)) => return Ok(Some(done)),
            None => {
                let advice = "start it again: the same command goes on where this one ended";
                let stopped = Failure::new(Reason::ShuttingDown, "the daemon has stopped");
                return Err(stopped.with_advice(advice).into());
            }
        }
    }
}
