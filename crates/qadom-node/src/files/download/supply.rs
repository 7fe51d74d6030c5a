//! Looking for more holders of what is missing, and giving up when there are none.
//!
//! What must stay true: a download gives up only when something is wanted that nobody brings: a reader
//! who pauses wants nothing; holders who are busy are asked again for a while, with growing pauses.

use std::time::Duration;

use super::super::error::FileError;
use super::super::frame::Frame;
use super::super::search::{CHUNKS_MAX, Search, Searched};
use super::super::service::lock;
use super::{Attempt, Ended, Known, Standing};

/// Searches in a row that bring nobody before the rest counts as missing.
const SEARCHES: u32 = 3;
/// The same while some holder is only busy: about three quarters of a minute.
const SEARCHES_OF_BUSY: u32 = 10;
/// How long a search waits that follows another one; while holders are busy it grows by as much each
/// time.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(8);

impl Attempt<'_> {
    /// Where nobody is left to wait for: looks for others, and in the end gives up.
    pub(super) async fn stuck(&mut self) -> Result<Option<Ended>, FileError> {
        let now = self.service.now();
        let is_called = |known: &Known| matches!(known.state, Standing::Called);
        if !self.search.is_over()
            || self.known.values().any(is_called)
            || self.sizing.is_waiting(now)
        {
            return Ok(None);
        }
        let mut missing = 0;
        if let Some(download) = &self.download {
            let progress = download.progress();
            missing = progress.missing;
            if progress.requests > 0 || missing == 0 || !download.is_starved() {
                return Ok(None);
            }
        }
        if self.vain < self.patience() {
            self.search_again().await?;
            return Ok(None);
        }
        let id = self.order.file;
        Ok(Some(Ended::Failed(match self.layout {
            Some(layout) => FileError::Incomplete {
                id,
                missing,
                chunks: layout.chunks(),
            },
            None if !self.sizing.is_empty() => FileError::Unproven { id },
            None if self.is_any_busy() => FileError::Busy {
                what: "downloads from those who have the file",
            },
            None => FileError::NotFound {
                what: id.to_string(),
            },
        })))
    }

    /// Looks for holders again, and asks those who have a part whether they have more by now.
    pub(super) async fn search_again(&mut self) -> Result<(), FileError> {
        if self.vain >= self.patience() {
            return Ok(());
        }
        let missing = self.missing().await?;
        let pause = if self.is_any_busy() {
            PAUSE.saturating_mul(self.vain).min(PAUSE_MAX)
        } else {
            PAUSE
        };
        self.search = Search::after(pause, self.service, self.node, (self.order.file, missing));
        for known in self.known.values() {
            if let Standing::Here(say) = &known.state {
                // One that takes no questions is found out when it is asked for a chunk.
                let _ = say.try_send(Frame::Look);
            }
        }
        Ok(())
    }

    pub(super) fn on_searched(&mut self, searched: Searched) {
        match searched {
            Searched::Found(contact) => self.call(contact),
            Searched::Over => self.vain += 1,
        }
    }

    fn patience(&self) -> u32 {
        if self.is_any_busy() {
            SEARCHES_OF_BUSY
        } else {
            SEARCHES
        }
    }

    fn is_any_busy(&self) -> bool {
        let mut known = self.known.values();
        known.any(|known| matches!(known.state, Standing::Busy))
    }

    /// Some of the chunks that are missing; before the size is known those that would prove it.
    async fn missing(&self) -> Result<Vec<u64>, FileError> {
        let place = lock(self.place).clone();
        let (Some(layout), Some(place)) = (self.layout, place) else {
            let mut chunks = self.sizing.last_chunks();
            chunks.insert(0);
            return Ok(chunks.into_iter().take(CHUNKS_MAX).collect());
        };
        let have = self.service.blocking(move |folder| place.have(folder));
        let have = have.await?;
        let missing = (0..layout.chunks()).filter(|chunk| !have.contains(*chunk));
        Ok(missing.take(CHUNKS_MAX).collect())
    }
}
