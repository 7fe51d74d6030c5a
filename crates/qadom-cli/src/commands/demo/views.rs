//! What writers sign, each view once: a name of the dict, a bag, an entry of a namespace, a topic.
//!
//! What must stay true: what is written once is read twice in the same way, before and after nodes
//! vanish, by the client.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use qadom_http::api::Written;
use qadom_node::{Cursor, Event, Key, Node, Since, Writer};

use super::network::Network;
use super::report::Report;
use crate::error::Failure;

/// The name in the dict.
const NAME: &str = "colour";
/// What it is set to, one after the other by different nodes: the last one wins.
const COLOURS: [&str; 2] = ["green", LAST_COLOUR];
const LAST_COLOUR: &str = "blue";
/// What different nodes add to the bag.
const FRUIT: [&str; 4] = ["apple", "pear", "apple", "fig"];
/// The one that is removed from it again.
const REMOVED: &str = "fig";
/// What the entry of the namespace is set to, one after the other by its writer.
const VERSIONS: [&str; 2] = ["version one", LAST_VERSION];
const LAST_VERSION: &str = "version two";
/// What is published, in this order.
const MESSAGES: [&str; 3] = ["first", "second", "third"];
/// How long a message may take that nobody loses.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was written, and how it is found.
pub(super) struct Views {
    bag: Key,
    entry: Key,
    topic: Key,
    writer: Writer,
}

impl Views {
    /// Writes to each view, each time from another node.
    pub(super) async fn write(network: &Network, report: Report) -> anyhow::Result<Self> {
        let key = |name: &str| Key::from_name(name.as_bytes()).context("a name has 256 bytes");
        let (bag, entry, topic) = (key("fruit")?, key("motd")?, key("news")?);
        for (number, colour) in COLOURS.into_iter().enumerate() {
            let member = network.storing(number)?;
            let written = member.node.dict().set(NAME, colour).await;
            let written = Written::from(&written.map_err(Failure::from)?);
            report.stored(member.number, &format!("dict {NAME}: {colour}"), &written)?;
        }
        for (number, item) in FRUIT.into_iter().enumerate() {
            let member = network.storing(number + 2)?;
            let written = member.node.bag(bag).add(item).await;
            let written = Written::from(&written.map_err(Failure::from)?);
            report.stored(member.number, &format!("bag: {item}"), &written)?;
            if item == REMOVED {
                let removed = member.node.bag(bag).remove(item).await;
                let removed = Written::from(&removed.map_err(Failure::from)?);
                report.stored(member.number, &format!("bag without {item}"), &removed)?;
            }
        }
        let owner = network.storing(3)?;
        let namespace = owner.node.namespace();
        for (seq, version) in (0..).zip(VERSIONS) {
            let written = namespace.set_if(entry, version, seq).await;
            let written = Written::from(&written.map_err(Failure::from)?);
            report.stored(owner.number, &format!("namespace: {version}"), &written)?;
        }
        let publisher = network.storing(5)?;
        for message in MESSAGES {
            let written = publisher.node.topic(topic).publish(message).await;
            let written = Written::from(&written.map_err(Failure::from)?);
            report.stored(publisher.number, &format!("topic: {message}"), &written)?;
        }
        let writer = namespace.writer().await.map_err(Failure::from)?;
        Ok(Self {
            bag,
            entry,
            topic,
            writer,
        })
    }

    /// Reads each view by the client; gives how many did not bring what they should.
    pub(super) async fn read(&self, network: &Network, report: Report) -> anyhow::Result<usize> {
        let reader = network.client()?;
        let (node, number) = (&reader.node, reader.number);
        let mut missing = 0;
        let dict = node.dict().get(NAME).await;
        let dict = dict.map(|read| read.record.payload().clone());
        missing += report.view(number, "dict colour", &dict, |value| value == LAST_COLOUR)?;
        let list = node.bag(self.bag).list().await;
        let list = list.map(|list| text(list.items.into_iter().map(|item| item.value)));
        missing += report.view(number, "bag", &list, |items| items == "apple, pear")?;
        let latest = node.namespace().latest(self.writer, self.entry).await;
        let latest = latest.map(|read| read.record.payload().clone());
        missing += report.view(number, "namespace", &latest, |value| value == LAST_VERSION)?;
        let messages = self.follow(node).await;
        missing += report.view(number, "topic", &messages, |text| {
            text == MESSAGES.join(", ").as_bytes()
        })?;
        Ok(missing)
    }

    /// Subscribes from the beginning and takes as many messages as were published.
    async fn follow(&self, node: &Node) -> Result<Bytes, qadom_node::Error> {
        let since = Since::Cursor(Cursor::new());
        let mut subscription = node.topic(self.topic).subscribe(since).await?;
        let mut messages = Vec::new();
        while messages.len() < MESSAGES.len() {
            let event = tokio::time::timeout(PATIENCE, subscription.next()).await;
            let Ok(Some(Event::Record { record, .. })) = event else {
                break;
            };
            messages.push(String::from_utf8_lossy(record.payload()).into_owned());
        }
        Ok(Bytes::from(messages.join(", ")))
    }
}

/// Items as one text, in the order of their bytes.
fn text(items: impl Iterator<Item = Bytes>) -> Bytes {
    let items: BTreeSet<_> = items.collect();
    let items: Vec<_> = items
        .iter()
        .map(|item| String::from_utf8_lossy(item))
        .collect();
    Bytes::from(items.join(", "))
}
