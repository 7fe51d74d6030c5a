//! A node without neighbours: it stores a value, reads it back, and says that it holds the only
//! copy.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use qadom_node::Node;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = Node::builder()
        .memory(true)
        .listen("127.0.0.1:0".parse()?)
        .start()
        .await?;
    let receipt = node.put("sudo python").await?;
    let fetched = node.get(receipt.key).await?;
    println!("key      {}", receipt.key);
    println!("value    {}", String::from_utf8_lossy(&fetched.value));
    println!(
        "receipt  {} of {} copies, alone: {}, in {:?}",
        receipt.stored, receipt.wanted, receipt.alone, receipt.took
    );
    node.shutdown().await;
    Ok(())
}
