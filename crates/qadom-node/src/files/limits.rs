//! What the files of a node use of each limit.
//!
//! What must stay true: whatever a peer can make grow is listed here beside its limit.

use qadom_files::HELD_CHUNKS_MAX;

use super::download::PASSING_MAX;
use super::hold::OFFERS_MAX;
use super::service::{ASKED_MAX, Service, lock};
use crate::status::Limit;

impl Service {
    /// Every limit beside its use; none once the node ends.
    pub(crate) async fn limits(&self) -> Vec<Limit> {
        let usage = self.blocking(|folder| folder.held().usage()).await;
        let Ok(usage) = usage else {
            return Vec::new();
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
        let asked = ASKED_MAX.saturating_sub(self.questions.available_permits());
        let (wanted, noted) = lock(&self.offers).len();
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
            count("files-questions", asked, ASKED_MAX),
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
