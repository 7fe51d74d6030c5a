//! The highest that a node has of each writer in a slot.
//!
//! What must stay true: it is read from the names and columns of entries, so that a large slot costs
//! no decoding of its records. What a cursor cannot hold any more is left out.

use std::collections::BTreeMap;

use qadom_store::Entry;
use qadom_wire::{Cursor, CursorEntry, Kind, Writer};

use crate::records::item_of;
use crate::records::signed::{Summary, is_alive, is_present, seq_of_rank};
use crate::time::Time;

/// The highest of each writer so far, of the kinds of which a slot may have many records.
#[derive(Debug, Default)]
pub(super) struct Heads {
    /// Stream and seq in one number, by the tag of the writer.
    of_events: BTreeMap<[u8; 16], u128>,
    /// By its public key.
    of_others: BTreeMap<[u8; 32], u64>,
}

impl Heads {
    /// Takes an entry in, unless it may not be given out.
    pub(super) fn note(&mut self, kind: Kind, entry: &Entry, clock: Option<Time>) {
        let columns = &entry.columns;
        let Some(summary) = Summary::of(&entry.bytes) else {
            return;
        };
        let may_be_given =
            |now| is_alive(summary.expiry, now) && is_present(kind, seq_of_rank(columns.rank), now);
        if clock.is_some_and(|now| !may_be_given(now)) {
            return;
        }
        match kind {
            Kind::Event => {
                let Some((_, id)) = item_of(&entry.id) else {
                    return;
                };
                if let ([tag, numbers], _) = id.as_bytes().as_chunks::<16>() {
                    let head = self.of_events.entry(*tag).or_default();
                    *head = (*head).max(u128::from_be_bytes(*numbers));
                }
            }
            // The rank of these says their seq.
            Kind::BagItem | Kind::DictCell => {
                let head = self.of_others.entry(columns.owner).or_default();
                *head = (*head).max(seq_of_rank(columns.rank));
            }
            Kind::Value | Kind::NamespaceEntry => {}
        }
    }

    pub(super) fn into_cursor(self) -> Cursor {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "stream and seq are the halves of the number"
        )]
        let of_events = self
            .of_events
            .into_iter()
            .map(|(tag, numbers)| CursorEntry {
                tag,
                stream: (numbers >> 64) as u64,
                seq: numbers as u64,
            });
        let mut cursor: Cursor = of_events.collect();
        for (owner, seq) in self.of_others {
            if let Ok(writer) = Writer::new(owner) {
                cursor.note(&writer, 0, seq);
            }
        }
        cursor
    }
}
