//! The highest seqs and the latest expiries that this node signed, and the streams that its writers
//! opened.
//!
//! What must stay true: no seq is given out twice for an identity, no stream twice for a writer,
//! and no expiry lies below one that was signed before, also over restarts.

use std::collections::BTreeMap;

use qadom_routing::Key;
use qadom_wire::{Kind, Writer};

use crate::journal::JournalEntry;
use crate::publications::promise::PublicationId;
use crate::records::signed::CLOCK_TOLERANCE;
use crate::time::Time;

/// Topics that are open at once; the one that was opened first is closed for a further one, and
/// gets a new stream when it is written again.
const TOPICS_MAX: usize = 4096;
/// How long an identity is remembered beyond its last expiry, in seconds: holders keep nothing of
/// it for longer.
const REMEMBERED: u64 = 3600;

/// What was signed last for an identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Last {
    seq: u64,
    expiry: u64,
}

/// The place of an event in its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NextEvent {
    pub(crate) stream: u64,
    pub(crate) seq: u64,
}

/// What was signed.
#[derive(Debug, Default)]
pub(crate) struct Signatures {
    last: BTreeMap<PublicationId, Last>,
    streams: BTreeMap<Writer, u64>,
    topics: BTreeMap<(Writer, Key), NextEvent>,
}

impl Signatures {
    /// The next seq of an identity, of which `seen` is known from elsewhere. It is not given out
    /// again. Namespaces count, all others follow the clock: what was signed by a clock that was
    /// far ahead binds nobody.
    pub(crate) fn next_seq(&mut self, id: &PublicationId, seen: u64, now: Time) -> u64 {
        let last = self.last.entry(*id).or_default();
        let above = last.seq.max(seen).saturating_add(1);
        let latest = now.utc_micros.saturating_add(CLOCK_TOLERANCE * 1_000_000);
        last.seq = match id.kind {
            Kind::NamespaceEntry => above,
            // No holder took that one, and none would take what is above it.
            _ if above > latest => now.utc_micros,
            _ => above.max(now.utc_micros),
        };
        // Remembered until its expiry is noted.
        last.expiry = last.expiry.max(now.utc_seconds());
        last.seq
    }

    /// Notes what was signed, and gives the highest seq and the latest expiry that are known now.
    pub(crate) fn note(&mut self, id: &PublicationId, seq: u64, expiry: u64) -> (u64, u64) {
        let last = self.last.entry(*id).or_default();
        last.seq = last.seq.max(seq);
        last.expiry = last.expiry.max(expiry);
        (last.seq, last.expiry)
    }

    /// The highest seq signed for an identity, 0 for none that is remembered here.
    pub(crate) fn seq(&self, id: &PublicationId) -> u64 {
        self.last.get(id).map_or(0, |last| last.seq)
    }

    /// The latest expiry signed for an identity in seconds of UTC, 0 for none.
    pub(crate) fn expiry(&self, id: &PublicationId) -> u64 {
        self.last.get(id).map_or(0, |last| last.expiry)
    }

    /// The place of the next event of a writer in a topic, and whether it opens a stream, which
    /// the journal has to know.
    pub(crate) fn next_event(
        &mut self,
        writer: &Writer,
        topic: Key,
        now: Time,
    ) -> (NextEvent, bool) {
        if let Some(next) = self.topics.get_mut(&(*writer, topic)) {
            next.seq += 1;
            return (*next, false);
        }
        if self.topics.len() >= TOPICS_MAX {
            let opened_first = self.topics.iter().min_by_key(|(_, next)| next.stream);
            let opened_first = opened_first.map(|(topic, _)| *topic);
            opened_first.map(|topic| self.topics.remove(&topic));
        }
        let last = self.streams.entry(*writer).or_default();
        *last = last.saturating_add(1).max(now.utc_micros);
        let first = NextEvent {
            stream: *last,
            seq: 1,
        };
        self.topics.insert((*writer, topic), first);
        (first, true)
    }

    /// Closes a topic whose stream may not be durable: the next event opens another one.
    pub(crate) fn close(&mut self, writer: &Writer, topic: Key) {
        self.topics.remove(&(*writer, topic));
    }

    pub(crate) fn restore_stream(&mut self, writer: Writer, stream: u64) {
        let last = self.streams.entry(writer).or_default();
        *last = stream.max(*last);
    }

    /// Forgets an identity that is remembered elsewhere from now on.
    pub(crate) fn forget(&mut self, id: &PublicationId) {
        self.last.remove(id);
    }

    /// Forgets what no holder remembers either. Namespaces count, so that they are never forgotten.
    pub(crate) fn prune(&mut self, now: Time) {
        let now = now.utc_seconds();
        self.last.retain(|id, last| {
            id.kind == Kind::NamespaceEntry || last.expiry.saturating_add(REMEMBERED) > now
        });
    }

    /// Everything as journal entries.
    pub(crate) fn entries(&self) -> impl Iterator<Item = JournalEntry> {
        let signed = self.last.iter().map(|(id, last)| JournalEntry::Signed {
            id: *id,
            seq: last.seq,
            expiry: last.expiry,
        });
        let streams = self.streams.iter();
        let streams = streams.map(|(&writer, &stream)| JournalEntry::Stream { writer, stream });
        signed.chain(streams)
    }
}

#[cfg(test)]
mod tests;
