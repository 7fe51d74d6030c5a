//! Two nodes: one shares the file from where it lies, the other one fetches it to a place.

use std::path::PathBuf;
use std::time::Instant;

use qadom_node::{AddOptions, Durability, FileName, GetOptions, JoinAddress, Node};

use crate::process::{await_end, await_go, say};

async fn start(folder: &str) -> Node {
    let builder = Node::builder()
        .data_dir(folder)
        .durability(Durability::Kill)
        .listen(([127, 0, 0, 1], 0).into());
    builder.start().await.unwrap()
}

pub(crate) async fn give(source: &str, folder: &str) {
    let node = start(folder).await;
    let added = node.files().add(source, AddOptions::default());
    let id = added.finish().await.unwrap().id;
    say(&format!("{id}@{}", node.address()));
    await_end(await_go());
    node.shutdown().await;
}

pub(crate) async fn take(offer: &str, target: &str, folder: &str) {
    let (id, address) = offer.split_once('@').unwrap();
    let node = start(folder).await;
    let address: JoinAddress = address.parse().unwrap();
    node.join(&[address]).await.unwrap();
    say("ready");
    let before = await_go();
    let options = GetOptions {
        output: Some(PathBuf::from(target)),
        ..GetOptions::default()
    };
    let name = FileName::Id(id.parse().unwrap());
    let began = Instant::now();
    node.files().get(name, options).finish().await.unwrap();
    say(&began.elapsed().as_secs_f64().to_string());
    await_end(before);
    node.shutdown().await;
}
