//! A namespace: its writer alone sets it, and changes only what it has seen.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use qadom_node::{Key, Node};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let builder = Node::builder().memory(true).listen("127.0.0.1:0".parse()?);
    let (first, second) = (builder.clone().start().await?, builder.start().await?);
    second.join(&[first.address().into()]).await?;
    let motd: Key = "name:motd".parse()?;
    let writer = first.create_identity("editor").await?;
    let namespace = first.namespace().signed_by("editor");
    namespace.set_if(motd, "hello", 0).await?;
    namespace.set_if(motd, "good morning", 1).await?;
    if let Err(error) = namespace.set_if(motd, "late", 1).await {
        println!("{}: {error}", error.reason());
    }
    let read = second.namespace().latest(writer, motd).await?;
    println!("{:?}, seq {}", read.record.payload(), read.record.seq());
    Ok(())
}
