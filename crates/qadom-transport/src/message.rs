//! Messages: the envelope around a request, an answer or a busy notice.
//!
//! What must stay true: bodies are opaque; a message is never longer than eight pieces. How a
//! message is cut into frames is `frame`'s business.

use bytes::{BufMut, Bytes, BytesMut};

use crate::reader::Reader;

/// Names a request between two nodes: random bytes, drawn by the asker.
pub(crate) type RequestId = [u8; 8];

/// Bytes of a request's envelope.
pub(crate) const REQUEST_HEAD: usize = 9;
/// Bytes of an answer's envelope.
pub(crate) const ANSWER_HEAD: usize = 17;

const REQUEST: u8 = 0;
const ANSWER: u8 = 1;
const BUSY: u8 = 2;

/// A message that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Request {
        id: RequestId,
        body: Bytes,
    },
    Answer {
        id: RequestId,
        utc_micros: u64,
        body: Bytes,
    },
    Busy {
        id: RequestId,
        retry_after_ms: u32,
    },
}

impl Message {
    /// Reads a message; its body shares the given bytes.
    pub(crate) fn parse(bytes: &Bytes) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u8()?;
        let id = reader.array()?;
        match kind {
            REQUEST => Some(Self::Request {
                id,
                body: bytes.slice(REQUEST_HEAD..),
            }),
            ANSWER => {
                let utc_micros = reader.u64()?;
                Some(Self::Answer {
                    id,
                    utc_micros,
                    body: bytes.slice(ANSWER_HEAD..),
                })
            }
            BUSY => {
                let retry_after_ms = reader.u32()?;
                reader
                    .rest()
                    .is_empty()
                    .then_some(Self::Busy { id, retry_after_ms })
            }
            _ => None,
        }
    }
}

/// A message to be sent: a short head and the caller's body, never copied together except into a
/// packet.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    head: [u8; ANSWER_HEAD],
    head_length: u8,
    body: Bytes,
}

impl Envelope {
    pub(crate) fn request(id: RequestId, body: Bytes) -> Self {
        Self::new(REQUEST, id, &[], body)
    }

    pub(crate) fn answer(id: RequestId, utc_micros: u64, body: Bytes) -> Self {
        Self::new(ANSWER, id, &utc_micros.to_le_bytes(), body)
    }

    pub(crate) fn busy(id: RequestId, retry_after_ms: u32) -> Self {
        Self::new(BUSY, id, &retry_after_ms.to_le_bytes(), Bytes::new())
    }

    fn new(kind: u8, id: RequestId, more: &[u8], body: Bytes) -> Self {
        let mut head = [0; ANSWER_HEAD];
        let fields = [kind].into_iter().chain(id).chain(more.iter().copied());
        head.iter_mut()
            .zip(fields)
            .for_each(|(to, from)| *to = from);
        let head_length = if more.len() == 8 {
            17
        } else if more.len() == 4 {
            13
        } else {
            9
        };
        Self {
            head,
            head_length,
            body,
        }
    }

    pub(crate) fn length(&self) -> usize {
        usize::from(self.head_length) + self.body.len()
    }

    /// Writes `length` bytes of the message from `start` on; both lie within it.
    pub(crate) fn write(&self, start: usize, length: usize, out: &mut BytesMut) {
        let head = self.head.get(..self.head_length.into()).unwrap_or_default();
        let from_head = head.get(start..).unwrap_or_default();
        let from_head = from_head.get(..length).unwrap_or(from_head);
        out.put_slice(from_head);
        let start = start.saturating_sub(head.len());
        let end = start + length - from_head.len();
        out.put_slice(self.body.get(start..end).unwrap_or_default());
    }
}
