//! Many nodes in one process: each stores a value, then each reads the values of all.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use qadom_node::Node;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let describe = || {
        Node::builder()
            .memory(true)
            .listen(([127, 0, 0, 1], 0).into())
    };
    let mut nodes = vec![describe().start().await?];
    let first = nodes
        .iter()
        .map(|node| node.address().into())
        .collect::<Vec<_>>();
    for _ in 1..25 {
        let node = describe().start().await?;
        node.join(&first).await?;
        nodes.push(node);
    }
    let mut receipts = Vec::new();
    for node in &nodes {
        receipts.push(node.put(format!("a value of {}", node.id())).await?);
    }
    let copies: u32 = receipts.iter().map(|receipt| receipt.stored).sum();
    println!("{} puts: {copies} copies", receipts.len());
    let mut messages = 0;
    for node in &nodes {
        for receipt in &receipts {
            messages += node.get(receipt.key).await?.messages;
        }
    }
    println!("{} gets: {messages} messages", nodes.len() * receipts.len());
    Ok(())
}
