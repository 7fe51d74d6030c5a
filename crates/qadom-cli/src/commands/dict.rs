//! `qadom dict`: names that anybody may set.

use std::path::Path;

use bytes::Bytes;
use qadom_http::Client;
use qadom_node::{Reason, VALUE_MAX};

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
            let value = input::value(&value, VALUE_MAX)?;
            let written = client.dict_set(&name, value, &write.query()).await;
            texts::written(output, &written.map_err(Failure::from)?)
        }
        Dict::Delete { name, write } => {
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
        output.result(&result, || match (&result.written, &result.error) {
            (Some(written), _) => {
                format!("{}: {}", result.name, texts::receipt(&written.receipt))
            }
            (None, Some(problem)) => format!("{}: {}", result.name, problem.detail),
            (None, None) => result.name.clone(),
        })?;
        if let Some(problem) = result.error {
            first_failure.get_or_insert(problem);
        }
    }
    first_failure.map_or(Ok(()), |problem| Err(Failure::from(problem).into()))
}
