//! A bag that two nodes fill: the same item twice is one item with two writers.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use qadom_node::{Key, Node};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let builder = Node::builder().memory(true).listen("127.0.0.1:0".parse()?);
    let (first, second) = (builder.clone().start().await?, builder.start().await?);
    second.join(&[first.address().into()]).await?;
    let fruit: Key = "name:fruit".parse()?;
    first.bag(fruit).add("apple").await?;
    second.bag(fruit).add("apple").await?;
    second.bag(fruit).add("pear").await?;
    let list = first.bag(fruit).list().await?;
    println!("complete: {}", list.complete);
    for item in list.items {
        println!("{:?} of {} writers", item.value, item.writers.len());
    }
    Ok(())
}
