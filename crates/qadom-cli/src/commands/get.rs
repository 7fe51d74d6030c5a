//! `qadom get`: finds a value and writes it byte for byte.

use qadom_node::Reason;

use super::client;
use crate::args::{Get, Global};
use crate::error::Failure;
use crate::output::{Output, bytes};
use crate::texts;

/// Checks the key before it asks for a daemon.
pub(super) async fn run(get: Get, global: &Global, output: Output) -> anyhow::Result<()> {
    let key = texts::key(&get.key)?;
    let fetched = client(global)?
        .get(&key, &get.read.source())
        .await
        .map_err(Failure::from)?;
    match &get.output {
        Some(file) => std::fs::write(file, &fetched.value).map_err(|error| {
            let message = format!("cannot write {}: {error}", file.display());
            Failure::new(Reason::Usage, message)
        })?,
        None if !output.is_json() => bytes(&fetched.value)?,
        None => {}
    }
    if global.verbose > 0 || get.output.is_some() {
        output.note(&texts::fetched(&fetched));
    }
    output.object(&fetched)
}
