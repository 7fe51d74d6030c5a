//! Frames: what one DATA packet holds.
//!
//! What must stay true: every piece but a message's last holds exactly 1120 bytes, and the counts
//! agree with the total; anything else does not parse.

use bytes::{BufMut, BytesMut};

use crate::config::MESSAGE_MAX;
use crate::message::{Envelope, RequestId};
use crate::reader::Reader;

/// Bytes of every piece but the last.
pub(crate) const PIECE: usize = 1120;
/// The longest message that fits one frame.
pub(crate) const WHOLE_MAX: usize = 1165;
/// How many pieces are sent unasked.
pub(crate) const BURST: u8 = 4;

const EMPTY: u8 = 0;
const WHOLE: u8 = 1;
const PIECE_OF: u8 = 2;
const NEED: u8 = 3;
const PIECE_HEAD: usize = 14;

/// Which way a message in pieces travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Direction {
    /// A request.
    Request,
    /// An answer or a busy notice.
    Answer,
}

impl Direction {
    const fn byte(self) -> u8 {
        match self {
            Self::Request => 0,
            Self::Answer => 1,
        }
    }

    const fn parse(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Request),
            1 => Some(Self::Answer),
            _ => None,
        }
    }
}

/// One piece of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    pub(crate) id: RequestId,
    pub(crate) direction: Direction,
    pub(crate) index: u8,
    pub(crate) count: u8,
    pub(crate) total: u16,
    pub(crate) bytes: &'a [u8],
}

/// What arrived in a DATA packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// Only confirms the session or keeps an address translation open.
    Empty,
    /// A whole message.
    Whole(&'a [u8]),
    /// A piece of a message.
    Piece(Piece<'a>),
    /// The other side asks for pieces: bit i for piece i.
    Need {
        id: RequestId,
        direction: Direction,
        bitmap: u8,
    },
}

impl<'a> Frame<'a> {
    /// Reads the frame out of an opened packet; what follows it is padding and not checked.
    pub(crate) fn parse(plaintext: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(plaintext);
        let length = reader.u16()?.into();
        let mut reader = Reader::new(reader.take(length)?);
        match reader.u8()? {
            EMPTY => reader.rest().is_empty().then_some(Self::Empty),
            WHOLE => Some(Self::Whole(reader.rest())),
            PIECE_OF => Piece::parse(reader).map(Self::Piece),
            NEED => {
                let id = reader.array()?;
                let direction = Direction::parse(reader.u8()?)?;
                let bitmap = reader.u8()?;
                reader.rest().is_empty().then_some(Self::Need {
                    id,
                    direction,
                    bitmap,
                })
            }
            _ => None,
        }
    }
}

impl<'a> Piece<'a> {
    fn parse(mut reader: Reader<'a>) -> Option<Self> {
        let piece = Self {
            id: reader.array()?,
            direction: Direction::parse(reader.u8()?)?,
            index: reader.u8()?,
            count: reader.u8()?,
            total: reader.u16()?,
            bytes: reader.rest(),
        };
        let total = usize::from(piece.total);
        let is_counted = total <= MESSAGE_MAX
            && (2..=8).contains(&piece.count)
            && pieces(total) == piece.count
            && piece.index < piece.count;
        (is_counted && piece.bytes.len() == piece_length(total, piece.index)).then_some(piece)
    }
}

/// A frame to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outgoing<'a> {
    Empty,
    Whole(&'a Envelope),
    Piece {
        id: RequestId,
        direction: Direction,
        index: u8,
        of: &'a Envelope,
    },
    Need {
        id: RequestId,
        direction: Direction,
        bitmap: u8,
    },
}

impl Outgoing<'_> {
    pub(crate) fn length(&self) -> usize {
        match self {
            Self::Empty => 1,
            Self::Whole(message) => 1 + message.length(),
            Self::Piece { index, of, .. } => PIECE_HEAD + piece_length(of.length(), *index),
            Self::Need { .. } => 11,
        }
    }

    pub(crate) fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Empty => out.put_u8(EMPTY),
            Self::Whole(message) => {
                out.put_u8(WHOLE);
                message.write(0, message.length(), out);
            }
            Self::Piece {
                id,
                direction,
                index,
                of,
            } => {
                let total = of.length();
                out.put_u8(PIECE_OF);
                out.put_slice(id);
                out.put_slice(&[direction.byte(), *index, pieces(total)]);
                out.put_u16_le(u16::try_from(total).unwrap_or(u16::MAX));
                of.write(
                    usize::from(*index) * PIECE,
                    piece_length(total, *index),
                    out,
                );
            }
            Self::Need {
                id,
                direction,
                bitmap,
            } => {
                out.put_u8(NEED);
                out.put_slice(id);
                out.put_slice(&[direction.byte(), *bitmap]);
            }
        }
    }
}

/// How many pieces a message of this length has.
pub(crate) fn pieces(total: usize) -> u8 {
    u8::try_from(total.div_ceil(PIECE)).unwrap_or(u8::MAX)
}

fn piece_length(total: usize, index: u8) -> usize {
    total.saturating_sub(usize::from(index) * PIECE).min(PIECE)
}
