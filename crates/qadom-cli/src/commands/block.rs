//! `qadom block` and `qadom unblock`: nodes and keys that the node has nothing to do with.

use qadom_http::Client;
use qadom_http::api::{BlockRequest, Blocks};

use crate::args::{Block, Unblock};
use crate::error::Failure;
use crate::output::Output;
use crate::texts;

pub(super) async fn block(block: Block, client: &Client, output: Output) -> anyhow::Result<()> {
    let blocks = match block.what {
        Some(what) => {
            let duration = None;
            client.block(&BlockRequest { what, duration }).await
        }
        None => client.blocks().await,
    };
    tell(&blocks.map_err(Failure::from)?, output)
}

pub(super) async fn unblock(block: Unblock, client: &Client, output: Output) -> anyhow::Result<()> {
    tell(
        &client.unblock(&block.what).await.map_err(Failure::from)?,
        output,
    )
}

fn tell(blocks: &Blocks, output: Output) -> anyhow::Result<()> {
    let rows: Vec<_> = blocks
        .items
        .iter()
        .map(|block| {
            let until = block
                .until
                .map_or("it is unblocked".to_owned(), |end| end.to_string());
            [
                block.kind.clone(),
                block.what.clone(),
                block.why.clone(),
                until,
            ]
        })
        .collect();
    output.result(blocks, || {
        texts::table_or(
            "nothing is blocked",
            ["kind", "what", "why", "until"],
            &rows,
        )
    })
}
