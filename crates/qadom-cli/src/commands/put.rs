//! `qadom put`: store values.

use std::collections::HashSet;
use std::path::Path;

use qadom_http::Client;
use qadom_node::{Reason, VALUE_MAX};

use super::input;
use crate::args::Put;
use crate::error::Failure;
use crate::output::Output;
use crate::texts;

/// Reads all values before it sends the first: when one cannot be sent, none is.
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
    for value in values {
        let written = client
            .put(value, &put.write.query())
            .await
            .map_err(Failure::from)?;
        output.result(&written, || written.key.to_string())?;
        output.note(&texts::receipt(&written.receipt));
    }
    Ok(())
}
