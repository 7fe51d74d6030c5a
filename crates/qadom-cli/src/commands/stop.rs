//! `qadom stop`: stops the daemon.

use qadom_http::Client;

use crate::error::Failure;
use crate::output::Output;

/// Returns when the daemon has kept all that it acknowledged.
pub(super) async fn run(client: &Client, output: Output) -> anyhow::Result<()> {
    let stopped = client.stop().await.map_err(Failure::from)?;
    output.object(&stopped)?;
    output.note("the daemon has stopped");
    Ok(())
}
