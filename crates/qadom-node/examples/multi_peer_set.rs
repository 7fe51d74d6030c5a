//! Five nodes on loopback: one stores a value, the four others find it.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use qadom_node::Node;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let describe = || {
        Node::builder()
            .memory(true)
            .listen(([127, 0, 0, 1], 0).into())
    };
    let first = describe().start().await?;
    let mut others = Vec::new();
    for _ in 1..5 {
        let node = describe().start().await?;
        node.join(&[first.address().into()]).await?;
        others.push(node);
    }
    let receipt = first.put("one value, five nodes").await?;
    println!("{} of {} nodes keep it", receipt.stored, receipt.reachable);
    for node in &others {
        let fetched = node.get_from(receipt.key, first.address()).await?;
        assert_eq!(fetched.value, node.get(receipt.key).await?.value);
        println!("{} has it too, asked in {:?}", node.id(), fetched.took);
    }
    Ok(())
}
