//! The fingerprint of a run.
//!
//! What must stay true: two runs have the same fingerprint only when the same messages reached
//! the same nodes at the same moments in the same order.

use std::fmt;

use qadom_routing::Moment;

use crate::node::NodeIndex;

/// BLAKE3 over every message that was delivered: moment, sender, receiver, kind, body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceHash([u8; 32]);

impl fmt::Display for TraceHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for TraceHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TraceHash({self})")
    }
}

/// Takes up messages as they are delivered.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hasher: blake3::Hasher,
    /// What was not hashed yet: many messages at once are hashed in parallel.
    recorded: Vec<u8>,
}

/// How many bytes are hashed at once.
const HASHED_AT_ONCE: usize = 64 * 1024;

impl Trace {
    pub(crate) fn record(
        &mut self,
        at: Moment,
        from: NodeIndex,
        to: NodeIndex,
        kind: u8,
        body: &[u8],
    ) {
        // Fixed widths and the length keep messages from running into each other.
        let length = body.len() as u64;
        let numbers = [
            at.as_micros(),
            from.as_usize() as u64,
            to.as_usize() as u64,
            length,
        ];
        let mut head = [kind; 33];
        for (place, number) in head.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        self.recorded.extend_from_slice(&head);
        self.recorded.extend_from_slice(body);
        if self.recorded.len() >= HASHED_AT_ONCE {
            self.hasher.update(&self.recorded);
            self.recorded.clear();
        }
    }

    pub(crate) fn hash(&self) -> TraceHash {
        let mut hasher = self.hasher.clone();
        TraceHash(hasher.update(&self.recorded).finalize().into())
    }
}
