//! `qadom mode`: lets the daemon store for others, or no longer.

use qadom_http::Client;

use crate::args::{Mode, ModeName};
use crate::error::Failure;
use crate::output::Output;

/// Returns when the daemon is in the mode.
pub(super) async fn run(mode: &Mode, client: &Client, output: Output) -> anyhow::Result<()> {
    let name = match mode.mode {
        ModeName::Storing => "storing",
        ModeName::Client => "client",
    };
    let mode = client.set_mode(name).await.map_err(Failure::from)?;
    output.result(&mode, || mode.mode.clone())
}
