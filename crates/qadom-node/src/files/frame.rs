//! The bytes of a data stream that moves chunks: frames, to bytes and back.
//!
//! A frame is kind u8, length u32 of what follows, then that many bytes; numbers are little-endian.
//! `docs/data-streams.md` has the page for those who write another implementation.
//!
//! What must stay true: a head is checked against the longest body of its kind before memory is
//! given to the body, and what does not parse ends the stream. Nothing is verified here.

use bytes::{BufMut, Bytes, BytesMut};
use qadom_wire::Reason;

/// The length of a frame's head in bytes.
pub(crate) const HEAD_LENGTH: usize = 5;
/// The most bytes of a bitfield in one frame: 128 GiB of a file.
pub(crate) const BITS_MAX: usize = 65_536;

const FILE_LENGTH: usize = 32;
const HASH_LENGTH: usize = 32;
const PROOF_HASHES_MAX: usize = qadom_files::PROOF_HASHES_MAX as usize;
const CHUNK_MAX: usize = qadom_files::CHUNK_SIZE as usize;
/// Index and number of hashes in front of a chunk's proof.
const CHUNK_HEAD: usize = 9;

/// What one side says to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Opens: the sender will ask for chunks of this file.
    Want {
        /// The file's id.
        file: [u8; 32],
    },
    /// Opens: the sender has chunks of this file, which the receiver may ask for.
    Give {
        /// The file's id.
        file: [u8; 32],
        /// The length of the file in bytes.
        size: u64,
    },
    /// The sender has the whole file.
    All {
        /// The length of the file in bytes.
        size: u64,
    },
    /// The sender has these chunks.
    Has {
        /// The length of the file in bytes.
        size: u64,
        /// The chunk of the first bit, a multiple of 8.
        first: u64,
        /// Whether more frames about the chunks behind follow.
        more: bool,
        /// One bit for each chunk, the lowest bit of a byte first.
        bits: Bytes,
    },
    /// What do you have by now?
    Look,
    /// Send me this chunk.
    Ask {
        /// Its index; pieces of the list of hashes count down from the highest one.
        index: u64,
    },
    /// I need this chunk no more.
    Cancel {
        /// Its index.
        index: u64,
    },
    /// A chunk.
    Chunk {
        /// Its index.
        index: u64,
        /// The hashes of its siblings, leaf to root.
        proof: Bytes,
        /// Its bytes.
        bytes: Bytes,
    },
    /// The chunk does not come.
    Refuse {
        /// Its index.
        index: u64,
        /// Why.
        reason: Reason,
        /// When it may be asked for again, in milliseconds; 0 for never.
        retry_after_ms: u32,
    },
    /// The chunk was verified and is kept.
    Kept {
        /// Its index.
        index: u64,
    },
    /// The sender ends the stream.
    End {
        /// Why.
        reason: Reason,
    },
}

/// The other side says what no frame says. It is at fault; the stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer sent no frame")]
pub(crate) struct BadFrame;

/// The kind and the length of a frame that is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    kind: u8,
    /// The length of the body in bytes.
    pub(crate) length: usize,
}

const WANT: u8 = 1;
const GIVE: u8 = 2;
const ALL: u8 = 3;
const HAS: u8 = 4;
const LOOK: u8 = 5;
const ASK: u8 = 6;
const CANCEL: u8 = 7;
const CHUNK: u8 = 8;
const REFUSE: u8 = 9;
const KEPT: u8 = 10;
const END: u8 = 11;

impl Head {
    /// Reads a head, and refuses lengths that its kind never has.
    pub(crate) fn parse(bytes: [u8; HEAD_LENGTH]) -> Result<Self, BadFrame> {
        let [kind, a, b, c, d] = bytes;
        let length = u32::from_le_bytes([a, b, c, d]);
        let length = usize::try_from(length).map_err(|_| BadFrame)?;
        let allowed = match kind {
            WANT => FILE_LENGTH..=FILE_LENGTH,
            GIVE => FILE_LENGTH + 8..=FILE_LENGTH + 8,
            ALL | ASK | CANCEL | KEPT => 8..=8,
            HAS => 17..=17 + BITS_MAX,
            LOOK => 0..=0,
            CHUNK => CHUNK_HEAD..=CHUNK_HEAD + PROOF_HASHES_MAX * HASH_LENGTH + CHUNK_MAX,
            REFUSE => 13..=13,
            END => 1..=1,
            _ => return Err(BadFrame),
        };
        allowed
            .contains(&length)
            .then_some(Self { kind, length })
            .ok_or(BadFrame)
    }

    /// Whether a chunk follows, which is told piece by piece as it comes.
    pub(crate) const fn is_chunk(self) -> bool {
        self.kind == CHUNK
    }
}

/// Takes fixed fields from the front of a body.
struct Fields(Bytes);

impl Fields {
    fn take<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], BadFrame> {
        if self.0.len() < LENGTH {
            return Err(BadFrame);
        }
        let front = self.0.split_to(LENGTH);
        front[..].try_into().map_err(|_| BadFrame)
    }

    fn number(&mut self) -> Result<u64, BadFrame> {
        self.take().map(u64::from_le_bytes)
    }

    fn reason(&mut self) -> Result<Reason, BadFrame> {
        let [number] = self.take()?;
        Ok(Reason::from_number(i32::from(number)))
    }
}

impl Frame {
    /// Reads the body that belongs to a head.
    pub(crate) fn parse(head: Head, body: Bytes) -> Result<Self, BadFrame> {
        if body.len() != head.length {
            return Err(BadFrame);
        }
        let mut fields = Fields(body);
        Ok(match head.kind {
            WANT => Self::Want {
                file: fields.take()?,
            },
            GIVE => Self::Give {
                file: fields.take()?,
                size: fields.number()?,
            },
            ALL => Self::All {
                size: fields.number()?,
            },
            HAS => {
                let (size, first, [more]) = (fields.number()?, fields.number()?, fields.take()?);
                if !first.is_multiple_of(8) || more > 1 {
                    return Err(BadFrame);
                }
                Self::Has {
                    size,
                    first,
                    more: more == 1,
                    bits: fields.0,
                }
            }
            LOOK => Self::Look,
            ASK => Self::Ask {
                index: fields.number()?,
            },
            CANCEL => Self::Cancel {
                index: fields.number()?,
            },
            CHUNK => {
                let (index, [hashes]) = (fields.number()?, fields.take()?);
                let hashes = usize::from(hashes);
                if hashes > PROOF_HASHES_MAX || fields.0.len() < hashes * HASH_LENGTH {
                    return Err(BadFrame);
                }
                let proof = fields.0.split_to(hashes * HASH_LENGTH);
                if fields.0.len() > CHUNK_MAX {
                    return Err(BadFrame);
                }
                Self::Chunk {
                    index,
                    proof,
                    bytes: fields.0,
                }
            }
            REFUSE => Self::Refuse {
                index: fields.number()?,
                reason: fields.reason()?,
                retry_after_ms: fields.take().map(u32::from_le_bytes)?,
            },
            KEPT => Self::Kept {
                index: fields.number()?,
            },
            END => Self::End {
                reason: fields.reason()?,
            },
            _ => return Err(BadFrame),
        })
    }

    /// The bytes of the frame; of a chunk those in front of its own bytes, which follow uncopied.
    pub(crate) fn encode(&self) -> Bytes {
        let mut body = BytesMut::with_capacity(64);
        let (kind, behind) = self.write(&mut body);
        let mut frame = BytesMut::with_capacity(HEAD_LENGTH + body.len());
        frame.put_u8(kind);
        frame.put_u32_le(u32::try_from(body.len() + behind).unwrap_or(u32::MAX));
        frame.put(body);
        frame.freeze()
    }

    /// Writes the body without the bytes of a chunk; gives the kind and the length of these.
    fn write(&self, body: &mut BytesMut) -> (u8, usize) {
        match self {
            Self::Want { file } => {
                body.put_slice(file);
                (WANT, 0)
            }
            Self::Give { file, size } => {
                body.put_slice(file);
                body.put_u64_le(*size);
                (GIVE, 0)
            }
            Self::All { size } => {
                body.put_u64_le(*size);
                (ALL, 0)
            }
            Self::Has {
                size,
                first,
                more,
                bits,
            } => {
                body.put_u64_le(*size);
                body.put_u64_le(*first);
                body.put_u8((*more).into());
                body.put_slice(bits);
                (HAS, 0)
            }
            Self::Look => (LOOK, 0),
            Self::Ask { index } => {
                body.put_u64_le(*index);
                (ASK, 0)
            }
            Self::Cancel { index } => {
                body.put_u64_le(*index);
                (CANCEL, 0)
            }
            Self::Chunk {
                index,
                proof,
                bytes,
            } => {
                body.put_u64_le(*index);
                body.put_u8(u8::try_from(proof.len() / HASH_LENGTH).unwrap_or(u8::MAX));
                body.put_slice(proof);
                (CHUNK, bytes.len())
            }
            Self::Refuse {
                index,
                reason,
                retry_after_ms,
            } => {
                body.put_u64_le(*index);
                body.put_u8(reason.number());
                body.put_u32_le(*retry_after_ms);
                (REFUSE, 0)
            }
            Self::Kept { index } => {
                body.put_u64_le(*index);
                (KEPT, 0)
            }
            Self::End { reason } => {
                body.put_u8(reason.number());
                (END, 0)
            }
        }
    }
}

#[cfg(test)]
mod tests;
