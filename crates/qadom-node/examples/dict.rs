//! A dict that two nodes share: anybody may set a name, and the reader sees who did.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use qadom_node::Node;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let builder = Node::builder().memory(true).listen("127.0.0.1:0".parse()?);
    let (first, second) = (builder.clone().start().await?, builder.start().await?);
    second.join(&[first.address().into()]).await?;
    let written = first.dict().set("colour", "green").await?;
    println!(
        "{} of {} nodes keep it",
        written.receipt.stored, written.receipt.reachable
    );
    let read = second.dict().get("colour").await?;
    println!("{:?} by {}", read.record.payload(), read.record.writer());
    second.dict().delete("colour").await?;
    println!("now {:?}", first.dict().get_or("colour", "nothing").await?);
    Ok(())
}
