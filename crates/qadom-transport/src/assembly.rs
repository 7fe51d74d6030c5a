//! Messages that arrive in pieces.
//!
//! What must stay true: a message takes the memory of its own length, at most seven messages of
//! one session and a limited number of all are under way, and a message whose sender falls silent
//! is asked for three times and then forgotten.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};

use crate::frame::{BURST, Direction, PIECE, Piece};
use crate::message::RequestId;
use crate::slack::Slack;

/// Messages that one session may have under way; with the longest message about 64 KiB.
const PER_SESSION: usize = 7;

/// How often a silent sender is asked.
const ASKS: u8 = 3;

/// Names a message that arrives in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AssemblyId {
    pub(crate) session: u32,
    pub(crate) request: RequestId,
    pub(crate) direction: Direction,
}

/// One message of which some pieces have come.
#[derive(Debug)]
struct Assembly {
    message: BytesMut,
    missing: u8,
    count: u8,
    has_asked: bool,
    silences: u8,
    /// How often the message turned out to be another one.
    restarts: u8,
}

/// What a piece did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Noted {
    /// The message is whole.
    Complete(Bytes),
    /// The first burst is here: ask for the rest, which the bitmap names.
    Ask(u8),
    /// More is to come unasked.
    Waiting,
    /// The piece was there already.
    Copy,
    /// There is no room for another message.
    NoRoom,
}

/// All messages under way.
#[derive(Debug)]
pub(crate) struct Assemblies {
    all: HashMap<AssemblyId, Assembly>,
    per_session: HashMap<u32, usize>,
    limit: usize,
}

impl Assemblies {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            all: HashMap::new(),
            per_session: HashMap::new(),
            limit,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Takes a piece that parsed.
    pub(crate) fn on_piece(&mut self, session: u32, piece: &Piece<'_>) -> Noted {
        let id = AssemblyId {
            session,
            request: piece.id,
            direction: piece.direction,
        };
        // Another total means that the sender answered anew: the old pieces are worthless.
        let total = usize::from(piece.total);
        let former = self
            .all
            .get(&id)
            .map(|former| (former.message.len(), former.restarts));
        let restarts = match former {
            Some((length, _)) if length == total => None,
            Some((_, restarts)) => {
                self.remove(&id);
                Some(restarts + 1)
            }
            None => Some(0),
        };
        if let Some(restarts) = restarts
            && !self.admit(id, piece, restarts)
        {
            return Noted::NoRoom;
        }
        let Some(assembly) = self.all.get_mut(&id) else {
            return Noted::NoRoom;
        };
        if !assembly.take(piece) {
            return Noted::Copy;
        }
        if assembly.missing == 0 {
            let message = core::mem::take(&mut assembly.message).freeze();
            self.remove(&id);
            return Noted::Complete(message);
        }
        let burst = burst_bits(assembly.count);
        if !assembly.has_asked && assembly.missing & burst == 0 {
            assembly.has_asked = true;
            return Noted::Ask(assembly.missing);
        }
        Noted::Waiting
    }

    /// The sender fell silent: the pieces to ask for, or `None` when it was asked often enough
    /// and the message is forgotten.
    pub(crate) fn on_silence(&mut self, id: &AssemblyId) -> Option<u8> {
        let assembly = self.all.get_mut(id)?;
        if assembly.silences >= ASKS {
            self.remove(id);
            return None;
        }
        assembly.silences += 1;
        assembly.has_asked = true;
        Some(assembly.missing)
    }

    pub(crate) fn remove(&mut self, id: &AssemblyId) {
        if self.all.remove(id).is_some()
            && let Some(count) = self.per_session.get_mut(&id.session)
        {
            *count -= 1;
            if *count == 0 {
                self.per_session.remove(&id.session);
                self.per_session.release();
            }
            self.all.release();
        }
    }

    fn admit(&mut self, id: AssemblyId, piece: &Piece<'_>, restarts: u8) -> bool {
        let of_session = self
            .per_session
            .get(&id.session)
            .copied()
            .unwrap_or_default();
        if self.all.len() >= self.limit || of_session >= PER_SESSION || restarts > ASKS {
            return false;
        }
        self.per_session.insert(id.session, of_session + 1);
        let assembly = Assembly {
            message: BytesMut::zeroed(piece.total.into()),
            missing: u8::MAX >> (8 - piece.count),
            count: piece.count,
            has_asked: false,
            silences: 0,
            restarts,
        };
        self.all.insert(id, assembly);
        true
    }
}

impl Assembly {
    /// Puts a piece in its place; false when it was there already.
    fn take(&mut self, piece: &Piece<'_>) -> bool {
        let start = usize::from(piece.index) * PIECE;
        let bit = 1 << piece.index;
        if self.missing & bit == 0 {
            return false;
        }
        if let Some(place) = self.message.get_mut(start..start + piece.bytes.len()) {
            place.copy_from_slice(piece.bytes);
            self.missing &= !bit;
            self.silences = 0;
        }
        true
    }
}

fn burst_bits(count: u8) -> u8 {
    u8::MAX >> (8 - count.min(BURST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(id: u8, index: u8, total: u16, bytes: &[u8]) -> Piece<'_> {
        let count = crate::frame::pieces(total.into());
        let direction = Direction::Answer;
        Piece {
            id: [id; 8],
            direction,
            index,
            count,
            total,
            bytes,
        }
    }

    #[test]
    fn pieces_in_any_order_make_the_message_and_copies_do_nothing() {
        let mut assemblies = Assemblies::new(10);
        let message: Vec<u8> = (0..=255).cycle().take(8192).collect();
        let part = |index: u8| {
            let start = usize::from(index) * PIECE;
            &message[start..message.len().min(start + PIECE)]
        };
        for (index, expected) in [(7, Noted::Waiting), (2, Noted::Waiting), (2, Noted::Copy)] {
            assert_eq!(
                assemblies.on_piece(1, &piece(1, index, 8192, part(index))),
                expected
            );
        }
        for (index, expected) in [
            (0, Noted::Waiting),
            (1, Noted::Waiting),
            (3, Noted::Ask(0x70)),
        ] {
            assert_eq!(
                assemblies.on_piece(1, &piece(1, index, 8192, part(index))),
                expected
            );
        }
        assert_eq!(
            assemblies.on_piece(1, &piece(1, 5, 8192, part(5))),
            Noted::Waiting
        );
        assert_eq!(
            assemblies.on_piece(1, &piece(1, 6, 8192, part(6))),
            Noted::Waiting
        );
        let whole = assemblies.on_piece(1, &piece(1, 4, 8192, part(4)));
        assert_eq!(whole, Noted::Complete(Bytes::from(message.clone())));
        assert_eq!((assemblies.len(), assemblies.per_session.len()), (0, 0));
    }

    #[test]
    fn a_session_has_seven_messages_under_way_and_all_have_the_limit() {
        let mut assemblies = Assemblies::new(9);
        let noted: Vec<Noted> = (0..8)
            .map(|id| assemblies.on_piece(1, &piece(id, 0, 2000, &[0; PIECE])))
            .collect();
        assert!(noted[..7].iter().all(|noted| *noted == Noted::Waiting));
        assert_eq!(noted[7], Noted::NoRoom);
        let noted = [2, 2, 2].map(|session| {
            let id = u8::try_from(assemblies.len()).unwrap();
            assemblies.on_piece(session, &piece(id, 0, 2000, &[0; PIECE]))
        });
        assert_eq!(noted, [Noted::Waiting, Noted::Waiting, Noted::NoRoom]);
    }

    #[test]
    fn a_silent_sender_is_asked_three_times_and_may_begin_anew_three_times() {
        let mut assemblies = Assemblies::new(9);
        assemblies.on_piece(1, &piece(1, 0, 2000, &[0; PIECE]));
        let id = AssemblyId {
            session: 1,
            request: [1; 8],
            direction: Direction::Answer,
        };
        let asked = [0; 4].map(|_| assemblies.on_silence(&id));
        assert_eq!(asked, [Some(2), Some(2), Some(2), None]);
        assert_eq!(assemblies.len(), 0);
        let noted = [2000, 2001, 2002, 2003, 2004]
            .map(|total| assemblies.on_piece(1, &piece(1, 0, total, &[0; PIECE])));
        assert_eq!(noted[3], Noted::Waiting);
        assert_eq!(noted[4], Noted::NoRoom);
    }
}
