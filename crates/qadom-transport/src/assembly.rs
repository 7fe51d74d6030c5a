//! Messages that arrive in pieces.
//!
//! What must stay true: a message takes the memory of its own length, at most seven messages of
//! one session and a limited number of all are under way, and a message whose sender falls silent
//! is asked for three times and then forgotten.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};

use crate::frame::{BURST, Direction, PIECE, Piece};
use crate::message::RequestId;

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
        if self
            .all
            .get(&id)
            .is_some_and(|assembly| assembly.message.len() != total)
        {
            self.remove(&id);
        }
        if !self.all.contains_key(&id) && !self.admit(id, piece) {
            return Noted::NoRoom;
        }
        let Some(assembly) = self.all.get_mut(&id) else {
            return Noted::NoRoom;
        };
        assembly.take(piece);
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
            }
        }
    }

    fn admit(&mut self, id: AssemblyId, piece: &Piece<'_>) -> bool {
        let of_session = self
            .per_session
            .get(&id.session)
            .copied()
            .unwrap_or_default();
        if self.all.len() >= self.limit || of_session >= PER_SESSION {
            return false;
        }
        self.per_session.insert(id.session, of_session + 1);
        let assembly = Assembly {
            message: BytesMut::zeroed(piece.total.into()),
            missing: u8::MAX >> (8 - piece.count),
            count: piece.count,
            has_asked: false,
            silences: 0,
        };
        self.all.insert(id, assembly);
        true
    }
}

impl Assembly {
    fn take(&mut self, piece: &Piece<'_>) {
        let start = usize::from(piece.index) * PIECE;
        let bit = 1 << piece.index;
        if self.missing & bit == 0 {
            return;
        }
        if let Some(place) = self.message.get_mut(start..start + piece.bytes.len()) {
            place.copy_from_slice(piece.bytes);
            self.missing &= !bit;
            self.silences = 0;
        }
    }
}

fn burst_bits(count: u8) -> u8 {
    u8::MAX >> (8 - count.min(BURST))
}
