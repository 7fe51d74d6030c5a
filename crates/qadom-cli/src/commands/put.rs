//! `qadom put`: stores values and prints their keys.

use std::collections::HashSet;
use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use qadom_http::Client;
use qadom_node::{Reason, VALUE_MAX};

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
        .map(|file| value(file))
        .collect::<Result<Vec<_>, _>>()?;
    for value in values {
        let written = client
            .put(value, put.ttl, put.min_copies)
            .await
            .map_err(Failure::from)?;
        output.result(&written, || written.key.to_string())?;
        output.note(&texts::receipt(&written.receipt));
    }
    Ok(())
}

/// Reads a value, and no more of the file than shows that it is too long.
fn value(file: &Path) -> Result<Bytes, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::new(
            Reason::Usage,
            format!("cannot read {}: {error}", file.display()),
        )
        .with_advice("nothing was stored; - stands for the standard input")
    };
    let limit = VALUE_MAX as u64 + 1;
    let mut value = Vec::new();
    if file.as_os_str() == "-" {
        std::io::stdin()
            .lock()
            .take(limit)
            .read_to_end(&mut value)
            .map_err(unreadable)?;
    } else {
        let file = std::fs::File::open(file).map_err(unreadable)?;
        file.take(limit)
            .read_to_end(&mut value)
            .map_err(unreadable)?;
    }
    if value.len() > VALUE_MAX {
        let message = format!("{} has more than {VALUE_MAX} bytes", file.display());
        return Err(Failure::new(Reason::TooLarge, message).with_advice(format!(
            "a value has at most {VALUE_MAX} bytes; nothing was stored"
        )));
    }
    Ok(value.into())
}
