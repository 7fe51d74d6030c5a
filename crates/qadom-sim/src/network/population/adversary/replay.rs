//! Nodes that bring back what was replaced long ago.

use std::collections::BTreeMap;

use qadom_routing::Key;
use qadom_wire::{Answer, Found, Kind, Record, Request};

use super::{Behaviour, Colluders, Reaction, pretend};

/// First versions that one adversary remembers.
const REMEMBERED: usize = 4096;

/// Remembers the first version of what it is given, and gives out nothing newer.
#[derive(Debug, Default)]
pub(super) struct Replay {
    first: BTreeMap<(Key, u8), Record>,
}

impl Behaviour for Replay {
    fn on_request(&mut self, request: &Request, _: &Colluders<'_>) -> Reaction {
        if let Request::Find(find) = request {
            let place = (find.slot, find.kind.number());
            return self.first.get(&place).map_or(Reaction::Honest, |record| {
                Reaction::Answer(Box::new(Answer::Found(Found {
                    records: vec![record.clone()],
                    ..Found::default()
                })))
            });
        }
        if let Request::Store(store) = request {
            for item in &store.items {
                let place = match &item.record {
                    Record::Signed(record) => (*record.slot(), record.kind().number()),
                    Record::Value(value) => (*value.key(), Kind::Value.number()),
                    _ => continue,
                };
                if self.first.len() < REMEMBERED {
                    self.first
                        .entry(place)
                        .or_insert_with(|| item.record.clone());
                }
            }
        }
        pretend(request).map_or(Reaction::Honest, |answer| {
            Reaction::Answer(Box::new(answer))
        })
    }
}
