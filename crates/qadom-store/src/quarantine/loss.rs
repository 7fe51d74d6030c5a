//! The note that a store lost records which are not all back yet: the file `refill` in the
//! quarantine's folder.
//!
//! Two lines of text: `refill 1`, then `carry` or `fetch` with the numbers of quarantines, spaces
//! between. With `carry` what is whole in those, the oldest first, is still to be copied into the
//! store; with `fetch` only what others hold is still missing, and the number, if there is one, says
//! where the damaged store is.
//!
//! What must stay true: the note is on the disk before anything is lost or set aside, and it is
//! removed only when all is back, so that no crash in between makes the node forget that it lacks
//! something. How records come back is not known here.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use super::Quarantine;
use crate::folder::{replace, sync_folder};
use crate::{EngineFault, OpenError};

/// What a store still lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Loss {
    /// Whether what is whole in the quarantines is yet to be copied.
    pub(super) is_to_carry: bool,
    /// The numbers of the quarantines, the oldest first.
    pub(super) numbers: Vec<u32>,
}

impl Loss {
    pub(super) fn carry(numbers: Vec<u32>) -> Self {
        Self {
            is_to_carry: true,
            numbers,
        }
    }

    pub(super) fn fetch(number: Option<u32>) -> Self {
        Self {
            is_to_carry: false,
            numbers: number.into_iter().collect(),
        }
    }

    fn encode(&self) -> String {
        let verb = if self.is_to_carry { CARRY } else { FETCH };
        let numbers = self.numbers.iter().map(|number| format!(" {number}"));
        format!("{NAME} {VERSION}\n{verb}{}\n", numbers.collect::<String>())
    }

    /// A note that cannot be read still says that something is missing.
    fn decode(text: &[u8]) -> Result<Self, OpenError> {
        let mut lines = str::from_utf8(text).unwrap_or_default().lines();
        let version = lines
            .next()
            .and_then(|line| line.strip_prefix(NAME)?.strip_prefix(' '));
        let version = version.and_then(|version| version.parse::<u32>().ok());
        if let Some(found) = version.filter(|found| *found > VERSION) {
            return Err(OpenError::TooNew {
                found,
                known: VERSION,
            });
        }
        let mut words = lines.next().unwrap_or_default().split(' ');
        let is_to_carry = words.next() == Some(CARRY);
        let numbers = words.filter_map(|word| word.parse().ok()).collect();
        Ok(Self {
            is_to_carry,
            numbers,
        })
    }
}

impl Quarantine {
    /// Writes down that the store beside lost records, which others still hold: until
    /// [`on_refilled`](Self::on_refilled) every opening tells of it.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn on_loss(&self) -> io::Result<()> {
        match self.loss() {
            // It says at least as much already.
            Ok(Some(_)) => Ok(()),
            Ok(None) => self.note_loss(&Loss::fetch(None)),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// Writes down that everything that others held is back.
    ///
    /// # Errors
    ///
    /// The operating system's; the next opening tells of the loss again.
    pub fn on_refilled(&self) -> io::Result<()> {
        match fs::remove_file(self.note()) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| sync_folder(&self.folder)),
        }
    }

    pub(super) fn note_loss(&self, loss: &Loss) -> io::Result<()> {
        let fresh = self.folder.join(REFILL_NEW);
        replace(&self.note(), &fresh, loss.encode().as_bytes())
    }

    /// What the store still lacks; none when nothing was lost, or all is back.
    pub(super) fn loss(&self) -> Result<Option<Loss>, OpenError> {
        match fs::read(self.note()) {
            Ok(text) => Loss::decode(&text).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(OpenError::Failed {
                source: EngineFault::new(&error.to_string()),
            }),
        }
    }

    fn note(&self) -> PathBuf {
        self.folder.join(REFILL)
    }
}

const REFILL: &str = "refill";
const REFILL_NEW: &str = "refill.new";
const NAME: &str = "refill";
/// The newest version that can be read, and the one that is written.
const VERSION: u32 = 1;
const CARRY: &str = "carry";
const FETCH: &str = "fetch";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_and_nothing_is_forgotten_by_damage() {
        let folder = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::new(folder.path());
        assert_eq!(quarantine.loss().unwrap(), None);
        let losses = [
            Loss::carry(vec![3, 12]),
            Loss::fetch(Some(7)),
            Loss::fetch(None),
        ];
        for loss in losses {
            quarantine.note_loss(&loss).unwrap();
            assert_eq!(quarantine.loss().unwrap().as_ref(), Some(&loss));
            // What is known already is not made less by what is found on top.
            quarantine.on_loss().unwrap();
            assert_eq!(quarantine.loss().unwrap().as_ref(), Some(&loss));
            let whole = loss.encode();
            for length in 0..whole.len() {
                fs::write(folder.path().join(REFILL), &whole[..length]).unwrap();
                assert!(quarantine.loss().unwrap().is_some(), "{length}");
            }
            for place in 0..whole.len() {
                let mut torn = whole.clone().into_bytes();
                torn[place] ^= 0x80;
                fs::write(folder.path().join(REFILL), torn).unwrap();
                assert!(quarantine.loss().unwrap().is_some(), "{place}");
            }
        }
        quarantine.on_refilled().unwrap();
        quarantine.on_refilled().unwrap();
        assert_eq!(quarantine.loss().unwrap(), None);
        quarantine.on_loss().unwrap();
        assert_eq!(quarantine.loss().unwrap(), Some(Loss::fetch(None)));
    }

    #[test]
    fn a_newer_note_is_refused_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::new(folder.path());
        let text = "refill 2\nmore\n";
        fs::write(folder.path().join(REFILL), text).unwrap();
        let refused = quarantine.loss().unwrap_err();
        assert!(matches!(refused, OpenError::TooNew { found: 2, known: 1 }));
        assert!(quarantine.on_loss().is_err());
        let path = folder.path().join("store");
        let opened = crate::open_or_set_aside(&path, crate::Options::default(), &quarantine, 1);
        assert!(matches!(opened, Err(OpenError::TooNew { .. })));
        assert!(!path.exists());
        assert_eq!(
            fs::read_to_string(folder.path().join(REFILL)).unwrap(),
            text
        );
    }
}
