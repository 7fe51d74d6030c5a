//! Nodes that give out what is not true.

use bytes::Bytes;
use qadom_wire::{Answer, Found, Kind, Record, Request, Value};

use super::{Behaviour, Colluders, Reaction, pretend};

/// What every liar has for every key.
const LIE: &[u8] = b"this is what you were looking for";

/// Answers with a value that is none of the key's, with bytes that are no answer for signed records,
/// and pretends to store.
#[derive(Debug)]
pub(super) struct Lie;

impl Behaviour for Lie {
    fn on_request(&mut self, request: &Request, _: &Colluders<'_>) -> Reaction {
        match request {
            Request::Find(find) if find.kind == Kind::Value => {
                let lie = Value::new(Bytes::from_static(LIE));
                let records = lie.into_iter().map(Record::Value).collect();
                Reaction::Answer(Box::new(Answer::Found(Found {
                    records,
                    ..Found::default()
                })))
            }
            Request::Find(_) => Reaction::Bytes(Bytes::from_static(&[0xff; 40])),
            _ => pretend(request).map_or(Reaction::Honest, |answer| {
                Reaction::Answer(Box::new(answer))
            }),
        }
    }
}
