//! `qadom topic` and `qadom watch`: what is written, as it is written.

use qadom_http::api::Event;
use qadom_http::{Client, Events, parse_topic};
use qadom_node::{Reason, VALUE_MAX};

use super::input;
use crate::args::{Follow, Topic, Watch};
use crate::error::Failure;
use crate::output::{Output, bytes};
use crate::texts;

pub(super) async fn run(topic: Topic, client: &Client, output: Output) -> anyhow::Result<()> {
    match topic {
        Topic::Publish {
            topic,
            message,
            write,
        } => {
            input::text(parse_topic(&topic))?;
            let message = input::value(&message, VALUE_MAX)?;
            let written = client.publish(&topic, message, &write.query()).await;
            texts::written(output, &written.map_err(Failure::from)?)
        }
        Topic::Subscribe { topic, follow } => {
            input::text(parse_topic(&topic))?;
            let events = client.subscribe(&topic, &follow.since).await;
            print(events.map_err(Failure::from)?, &follow, output).await
        }
    }
}

pub(super) async fn watch(watch: &Watch, client: &Client, output: Output) -> anyhow::Result<()> {
    let slot = watch.slot.to_string();
    let events = client.watch(&slot, &watch.follow.since).await;
    print(events.map_err(Failure::from)?, &watch.follow, output).await
}

/// Prints events until there were enough of them, or Ctrl-C; fails when the daemon ends before.
async fn print(mut events: Events, follow: &Follow, output: Output) -> anyhow::Result<()> {
    let mut left = follow.count.unwrap_or(u64::MAX);
    while left > 0 {
        let event = tokio::select! {
            event = events.next() => event.map_err(Failure::from)?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        let Some(event) = event else {
            let advice = "start it again, and go on with --since and the cursor of the last event, \
                          which --json shows";
            let stopped = Failure::new(Reason::ShuttingDown, "the daemon has stopped");
            return Err(stopped.with_advice(advice).into());
        };
        if output.is_json() {
            output.object(&event)?;
        }
        match event {
            Event::Record(record) => {
                left -= 1;
                if !output.is_json() && record.deleted {
                    output.note("deleted");
                } else if !output.is_json() {
                    bytes(&record.value)?;
                    bytes(b"\n")?;
                }
            }
            Event::Gap { gap } => output.note(&texts::gap(&gap)),
        }
    }
    Ok(())
}
