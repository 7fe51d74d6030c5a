//! `qadom store`: the records of a stopped node, out of its store and into another one.

use std::path::Path;

use qadom_node::Moved;
use serde::Serialize;

use super::data_dir;
use crate::args::{Global, Store};
use crate::error::Failure;
use crate::output::Output;
use crate::texts::counted;

/// What is told of an export and of an import.
#[derive(Debug, Serialize)]
struct Report<'a> {
    file: &'a Path,
    records: u64,
    bytes: u64,
    engine: &'static str,
    /// Where the store is now that was there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantine: Option<&'a Path>,
}

pub(super) async fn run(store: Store, global: &Global, output: Output) -> anyhow::Result<()> {
    let folder = data_dir(global)?;
    let (file, what) = match &store {
        Store::Export { file } => (file.clone(), "exported"),
        Store::Import { file, .. } => (file.clone(), "imported"),
    };
    let path = file.clone();
    let moved = tokio::task::spawn_blocking(move || match store {
        Store::Export { .. } => qadom_node::export_store(&folder, &path),
        Store::Import { engine, .. } => qadom_node::import_store(&folder, &path, engine),
    });
    let moved: Moved = moved.await?.map_err(Failure::from)?;
    let report = Report {
        file: &file,
        records: moved.records,
        bytes: moved.bytes,
        engine: moved.engine.name(),
        quarantine: moved.quarantine.as_deref(),
    };
    output.result(&report, || {
        let records = counted(report.records, "record", "records");
        format!("{what} {records}, store engine {}", report.engine)
    })?;
    if let Some(place) = &moved.quarantine {
        output.note(&format!("the store before is in {}", place.display()));
    }
    Ok(())
}
