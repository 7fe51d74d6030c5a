//! A seq never goes back: no write is acknowledged under one that was used, no reader is shown an
//! older version than before, and who asks for the latest gets no older one than was acknowledged
//! before it asked.

use std::collections::BTreeMap;

use qadom_routing::Key;
use qadom_wire::Writer;

use super::{Check, Checker, Seen, check};
use crate::network::Network;
use crate::node::NodeIndex;

/// Examples of what went wrong that are told.
const EXAMPLES: usize = 3;

/// The highest seq of each entry, and what each reader was shown.
#[derive(Debug, Default)]
pub(super) struct Order {
    signed: BTreeMap<(Writer, Key), u64>,
    shown: BTreeMap<(NodeIndex, Writer, Key), u64>,
    seen: usize,
    wrong: usize,
    examples: Vec<String>,
}

impl Order {
    fn blame(&mut self, what: String) {
        self.wrong += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(what);
        }
    }
}

impl Checker for Order {
    fn note(&mut self, seen: &Seen) {
        match *seen {
            Seen::Signed { entry, seq } => {
                self.seen += 1;
                let before = self.signed.insert(entry, seq).unwrap_or(0);
                if seq <= before {
                    self.blame(format!("seq {seq} was acknowledged after {before}"));
                }
            }
            Seen::Shown {
                reader,
                entry: (writer, key),
                seq,
                acknowledged,
            } => {
                self.seen += 1;
                let before = self.shown.insert((reader, writer, key), seq).unwrap_or(0);
                if seq < before {
                    self.blame(format!("node {reader} was shown seq {seq} after {before}"));
                } else if seq < acknowledged {
                    self.blame(format!(
                        "node {reader} was shown seq {seq} as the latest, {acknowledged} was acknowledged"
                    ));
                }
            }
            _ => {}
        }
    }

    fn verdict(&self, _network: &Network) -> Check {
        let detail = match self.wrong {
            0 => format!("{} versions were written and shown in order", self.seen),
            wrong => format!("{wrong} of {}: {}", self.seen, self.examples.join("; ")),
        };
        check("seq never goes back", self.wrong == 0, detail)
    }
}
