//! A topic: a subscriber gets what was said before it came, then what is said next.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use qadom_node::{Cursor, Event, Key, Node, Since};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let builder = Node::builder().memory(true).listen("127.0.0.1:0".parse()?);
    let (first, second) = (builder.clone().start().await?, builder.start().await?);
    second.join(&[first.address().into()]).await?;
    let news: Key = "name:news".parse()?;
    first.topic(news).publish("it rains").await?;
    let since = Since::Cursor(Cursor::new());
    let mut subscription = second.topic(news).subscribe(since).await?;
    first.topic(news).publish("the sun shines").await?;
    for _ in 0..2 {
        if let Some(Event::Record { record, .. }) = subscription.next().await {
            println!("{:?} by {}", record.payload(), record.writer());
        }
    }
    Ok(())
}
