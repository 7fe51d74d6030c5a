//! `qadom put`: store values.

use std::collections::HashSet;
use std::path::Path;

use qadom_http::Client;
use qadom_http::api::{BulkWrite, Written};
use qadom_node::{Reason, VALUE_MAX};

use super::input;
use crate::args::Put;
use crate::error::Failure;
use crate::output::Output;
use crate::texts;

/// Values that are put by one request.
const AT_ONCE: usize = 256;

/// Reads all values before it sends the first: when one cannot be sent, none is. Of several the first
/// failure is told at the end, behind those that went well.
pub(super) async fn run(put: &Put, client: &Client, output: Output) -> anyhow::Result<()> {
    let standard_input = [Path::new("-").to_owned()];
    let files = if put.files.is_empty() {
        &standard_input[..]
    } else {
        &put.files
    };
    let mut seen = HashSet::new();
    if !files
        .iter()
        .filter(|file| file.as_os_str() == "-")
        .all(|file| seen.insert(file))
    {
        return Err(Failure::new(Reason::Usage, "the standard input can be read once only").into());
    }
    let values = files
        .iter()
        .map(|file| input::file(file, VALUE_MAX))
        .collect::<Result<Vec<_>, _>>()?;
    // One value is put by the plain route, whose problem tells most.
    if let [value] = values.as_slice() {
        let written = client.put(value.clone(), &put.write.query()).await;
        return told(&written.map_err(Failure::from)?, output);
    }
    let mut failure = None;
    for values in values.chunks(AT_ONCE) {
        let written = client.put_many(values.to_vec(), &put.write.query()).await;
        for written in written.map_err(Failure::from)? {
            match written {
                BulkWrite::Written(written) => told(&written, output)?,
                BulkWrite::Failed { error } => failure = failure.or(Some(Failure::from(*error))),
            }
        }
    }
    failure.map_or(Ok(()), |failure| Err(failure.into()))
}

fn told(written: &Written, output: Output) -> anyhow::Result<()> {
    output.result(written, || written.key.to_string())?;
    output.note(&texts::receipt(&written.receipt));
    Ok(())
}
