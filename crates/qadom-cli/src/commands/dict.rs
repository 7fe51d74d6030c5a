//! `qadom dict`: names that anybody may set.

use std::path::Path;

use bytes::Bytes;
use qadom_http::api::{DictUpdate, DictWritten, Written};
use qadom_http::{Client, parse_name};
use qadom_node::{Reason, VALUE_MAX};
use serde::Serialize;

use super::input;
use crate::args::Dict;
use crate::error::Failure;
use crate::output::{Output, bytes};
use crate::texts;

/// The longest object that is read, in bytes (64 MiB).
const OBJECT_MAX: usize = 64 << 20;

/// Names that are sent at once: each answer comes in time, and each request is within the daemon's
/// limit, however long the values.
const NAMES_AT_ONCE: usize = 256;

pub(super) async fn run(dict: Dict, client: &Client, output: Output) -> anyhow::Result<()> {
    match dict {
        Dict::Set { name, value, write } => {
            input::text(parse_name(&name))?;
            let value = input::value(&value, VALUE_MAX)?;
            let written = client.dict_set(&name, value, &write.query()).await;
            texts::written(output, &written.map_err(Failure::from)?)
        }
        Dict::Delete { name, write } => {
            input::text(parse_name(&name))?;
            let written = client.dict_delete(&name, &write.query()).await;
            texts::written(output, &written.map_err(Failure::from)?)
        }
        Dict::Update { file, write } => update(&file, &write.query(), client, output).await,
        Dict::Get {
            name,
            default,
            writer,
            read,
        } => {
            input::text(parse_name(&name))?;
            let default = default.map(|text| input::value(&text, VALUE_MAX));
            let default = default.transpose()?;
            let writer = writer.map(|writer| writer.to_string());
            let found = client
                .dict_get(&name, writer.as_deref(), &read.source())
                .await
                .map_err(Failure::from);
            match (found, default) {
                (Ok(entry), _) => texts::entry(output, &entry),
                (Err(failure), Some(default)) if failure.is(Reason::NotFound) => {
                    use_default(&name, &default, output)
                }
                (Err(failure), _) => Err(failure.into()),
            }
        }
    }
}

fn use_default(name: &str, default: &Bytes, output: Output) -> anyhow::Result<()> {
    output.note(&format!("nothing is set under {name:?}: the default"));
    if output.is_json() {
        output.object(&texts::DefaultValue::new(default))
    } else {
        bytes(default)
    }
}

/// What became of one name of an update, with the failure as every other one is told.
#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    written: Option<&'a Written>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Failure>,
}

async fn update(
    file: &Path,
    write: &qadom_http::WriteQuery,
    client: &Client,
    output: Output,
) -> anyhow::Result<()> {
    let object = input::file(file, OBJECT_MAX)?;
    let object: DictUpdate = serde_json::from_slice(&object).map_err(|error| {
        let message = format!("an update is one JSON object: {error}");
        Failure::new(Reason::Malformed, message).with_advice("nothing was stored")
    })?;
    let mut names = object.into_iter().peekable();
    let mut first_failure = None;
    while names.peek().is_some() {
        let part: DictUpdate = names.by_ref().take(NAMES_AT_ONCE).collect();
        let part = serde_json::to_vec(&part)?;
        let results = client.dict_update(part.into(), write).await;
        for result in results.map_err(Failure::from)? {
            if let Some(failure) = tell(result, output)? {
                first_failure.get_or_insert(failure);
            }
        }
    }
    first_failure.map_or(Ok(()), |failure| Err(failure.into()))
}

/// Tells what became of one name, and gives the failure if it was not set.
fn tell(result: DictWritten, output: Output) -> anyhow::Result<Option<Failure>> {
    let DictWritten {
        name,
        written,
        error,
    } = result;
    let failure = error.map(Failure::from);
    let line = Line {
        name: &name,
        written: written.as_ref(),
        error: failure.as_ref(),
    };
    output.result(&line, || match (&written, &failure) {
        (Some(written), _) => format!("{name}: {}", texts::receipt(&written.receipt)),
        (None, Some(failure)) => format!("{name}: {failure}"),
        (None, None) => name.clone(),
    })?;
    Ok(failure)
}
