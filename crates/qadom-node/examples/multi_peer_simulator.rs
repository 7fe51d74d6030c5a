//! Many nodes in one process: each stores a value, then each reads the values of all.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use qadom_node::Node;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let builder = Node::builder().memory(true).listen("127.0.0.1:0".parse()?);
    let first = builder.clone().start().await?;
    let mut nodes = vec![first.clone()];
    for _ in 1..25 {
        let node = builder.clone().start().await?;
        node.join(&[first.address().into()]).await?;
        nodes.push(node);
    }
    let (mut receipts, mut messages) = (Vec::new(), 0);
    for node in &nodes {
        receipts.push(node.put(node.address().to_string()).await?);
    }
    for node in &nodes {
        for receipt in &receipts {
            messages += node.get(receipt.key).await?.messages;
        }
    }
    let copies: u32 = receipts.iter().map(|receipt| receipt.stored).sum();
    println!("25 values have {copies} copies, 625 gets took {messages} messages");
    Ok(())
}
