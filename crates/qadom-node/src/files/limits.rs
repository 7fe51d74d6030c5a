//! What the files of a node use of each limit.
//!
//! What must stay true: whatever a peer can make grow is listed here beside its limit.

use std::collections::BTreeMap;

use qadom_files::HELD_CHUNKS_MAX;

use super::download::PASSING_MAX;
use super::hold::OFFERS_MAX;
use super::service::{ASKED_MAX, Service, lock};
use crate::status::Limit;

impl Service {
    /// Chunks that were offered or brought and are not kept, by why.
    pub(crate) fn drops(&self) -> BTreeMap<&'static str, u64> {
        let mut drops = lock(&self.offers).drops().clone();
        drops.insert("chunks-evicted", lock(&self.usage).evicted);
        drops
    }

    /// Every limit beside its use. Waits for no disk: while a chunk is being written, what is held is
    /// what it was before.
    pub(crate) fn limits(&self) -> Vec<Limit> {
        let usage = {
            let mut known = lock(&self.usage);
            *known = self.folder.held().usage_at_once().unwrap_or(*known);
            *known
        };
        let uploads = self.settings.uploads;
        let serving = uploads.saturating_sub(self.uploads.available_permits());
        let passing = {
            let downloads = lock(&self.downloads);
            let going = downloads.iter();
            going
                .filter(|((_, passing), active)| *passing && active.strong_count() > 0)
                .count()
        };
        let (wanted, noted) = lock(&self.offers).len();
        let questions = ASKED_MAX.saturating_sub(self.questions.available_permits());
        vec![
            Limit {
                name: "files-held-bytes",
                used: usage.bytes,
                limit: usage.quota,
            },
            count("files-held-chunks", usage.chunks, HELD_CHUNKS_MAX),
            count("files-uploads", serving, uploads),
            count("files-passing", passing, PASSING_MAX),
            count("files-offers", wanted, OFFERS_MAX),
            count("files-copies-noted", noted, OFFERS_MAX),
            count("files-questions", questions, ASKED_MAX),
        ]
    }
}

const fn count(name: &'static str, used: usize, limit: usize) -> Limit {
    Limit {
        name,
        used: used as u64,
        limit: limit as u64,
    }
}
