//! `qadom dict`: names that anybody may set.

use std::path::Path;

use bytes::Bytes;
use qadom_http::api::{DictWritten, Written};
use qadom_http::{Client, parse_name};
use qadom_node::{Reason, VALUE_MAX};
use serde::Serialize;

use super::input;
use crate::args::Dict;
use crate::error::Failure;
use crate::output::{Output, bytes};
use crate::texts;

/// The longest object that is read, in bytes (64 MiB); the daemon has its own limit.
const OBJECT_MAX: usize = 64 << 20;

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
    let results = client.dict_update(object, write).await;
    let mut first_failure = None;
    for result in results.map_err(Failure::from)? {
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
        if let Some(failure) = failure {
            first_failure.get_or_insert(failure);
        }
    }
    first_failure.map_or(Ok(()), |failure| Err(failure.into()))
}
