//! Somebody who reads a file from some byte on while it is still being fetched.

use std::ops::Range;

use crate::{CHUNK_SIZE, Layout};

/// Names a reader of a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReaderId(pub(super) u64);

#[derive(Clone, Debug)]
pub(super) struct Reader {
    /// All that it wants from here on.
    rest: Range<u64>,
    /// Chunks before the end of which it is not waited for.
    ahead: u64,
}

impl Reader {
    pub(super) fn new(layout: Layout, range: Range<u64>, ahead: u64) -> Self {
        Self {
            rest: layout.chunks_of(range),
            ahead: ahead.div_ceil(u64::from(CHUNK_SIZE)).max(1),
        }
    }

    /// Goes on at a byte; whether that is another chunk.
    pub(super) fn seek(&mut self, layout: Layout, offset: u64) -> bool {
        let start = layout.chunk_at(offset).min(self.rest.end);
        let is_new = start != self.rest.start;
        self.rest.start = start;
        is_new
    }

    /// The chunks that it wants now.
    pub(super) fn window(&self) -> Range<u64> {
        self.rest.start
            ..self
                .rest
                .end
                .min(self.rest.start.saturating_add(self.ahead))
    }
}
