//! `qadom bag`: many items under one key.

use qadom_http::{Client, Page, parse_item};
use qadom_node::BAG_ITEM_MAX;

use super::input;
use crate::args::Bag;
use crate::error::Failure;
use crate::output::{Output, bytes};
use crate::texts;

pub(super) async fn run(bag: Bag, client: &Client, output: Output) -> anyhow::Result<()> {
    match bag {
        Bag::Add { key, item, write } => {
            let key = texts::key(&key)?;
            let item = input::argument(&item, BAG_ITEM_MAX, parse_item)?;
            let written = client.bag_add(&key, item, &write.query()).await;
            texts::written(output, &written.map_err(Failure::from)?)
        }
        Bag::Remove { key, item, write } => {
            let key = texts::key(&key)?;
            let item = input::argument(&item, BAG_ITEM_MAX, parse_item)?;
            let written = client.bag_remove(&key, item, &write.query()).await;
            texts::written(output, &written.map_err(Failure::from)?)
        }
        Bag::List {
            key,
            limit,
            cursor,
            read,
        } => {
            let key = texts::key(&key)?;
            let page = Page { cursor, limit };
            let list = client.bag_list(&key, &page, &read.source()).await;
            let list = list.map_err(Failure::from)?;
            if output.is_json() {
                return output.object(&list);
            }
            for item in &list.items {
                bytes(&item.value)?;
                bytes(b"\n")?;
            }
            let items = texts::counted(list.items.len(), "item", "items");
            let whole = if list.complete {
                "complete"
            } else {
                "perhaps not all: too few holders agree"
            };
            output.note(&format!(
                "{items}, {whole}, {}, {}",
                texts::effort(list.hops, list.messages),
                texts::milliseconds(list.took_ms),
            ));
            if let Some(cursor) = &list.cursor {
                output.note(&format!("more with --cursor {cursor}"));
            }
            Ok(())
        }
    }
}
