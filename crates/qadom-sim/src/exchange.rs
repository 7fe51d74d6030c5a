//! Requests on their way, and the messages that carry them.
//!
//! What must stay true: a request reaches its node's engine at most once, however often it is
//! sent, and its answer is kept until the asker has it or gave up.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use qadom_engine::{RequestId, Size};
use qadom_routing::{Moment, NodeKey};
use qadom_wire::{BODY_MAX, ENVELOPE_LENGTH};

use crate::node::NodeIndex;

/// Numbers the requests of the whole network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ExchangeId(pub(crate) u64);

/// How often a message is sent before its request has failed.
pub(crate) const TRIES: u32 = 3;

/// What somebody wants to know.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    /// Who answers at the address.
    Who,
    /// What the body asks.
    Body {
        key: NodeKey,
        body: Bytes,
        size: Size,
    },
}

/// What a question does beside asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opens {
    /// It travels inside a session, or needs none.
    Nothing,
    /// It opens the session that others wait for.
    Session,
    /// It opens a session beside the one that there may be.
    Another,
}

/// A question between two nodes, until it is answered or has failed.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that do not depend on each other"
)]
pub(crate) struct Exchange {
    pub(crate) asker: NodeIndex,
    pub(crate) address: SocketAddr,
    pub(crate) question: Question,
    /// Under what number the asker's engine waits; none for the transport's own ping.
    pub(crate) request: Option<RequestId>,
    /// What the question does beside asking.
    pub(crate) opens: Opens,
    /// How long the peer may take to do what is asked.
    pub(crate) patience: Duration,
    pub(crate) tries: u32,
    /// Numbers the waits for an answer, so that only the end of the last one counts.
    pub(crate) wait: u32,
    /// Whether the question may travel in the first datagram of a session.
    pub(crate) may_open: bool,
    /// Whether no user waits for it.
    pub(crate) is_background: bool,
    pub(crate) first_sent_at: Moment,
    pub(crate) sent_at: Moment,
    /// Whether the engine that is asked has seen the question.
    pub(crate) is_delivered: bool,
    pub(crate) answer: Option<Bytes>,
    /// Whether a mismatch came back, which ends the tries.
    pub(crate) is_mismatched: bool,
}

impl Exchange {
    pub(crate) fn new(
        asker: NodeIndex,
        address: SocketAddr,
        question: Question,
        request: Option<RequestId>,
    ) -> Self {
        Self {
            asker,
            address,
            question,
            request,
            opens: Opens::Nothing,
            patience: Duration::ZERO,
            tries: 0,
            wait: 0,
            may_open: false,
            is_background: false,
            first_sent_at: Moment::ORIGIN,
            sent_at: Moment::ORIGIN,
            is_delivered: false,
            answer: None,
            is_mismatched: false,
        }
    }

    /// The node that is asked; none when that is the question.
    pub(crate) const fn key(&self) -> Option<NodeKey> {
        match &self.question {
            Question::Who => None,
            Question::Body { key, .. } => Some(*key),
        }
    }

    /// Whether it travels in the first datagram of a session.
    pub(crate) const fn is_first(&self) -> bool {
        !matches!(self.opens, Opens::Nothing)
    }

    /// The longest body in bytes that may answer this question now.
    pub(crate) const fn answer_max(&self) -> usize {
        match self.question {
            Question::Body {
                size: Size::Small, ..
            } if self.is_first() => FIRST_SMALL - FIRST_OVERHEAD,
            Question::Body {
                size: Size::Full, ..
            } if self.is_first() => FIRST_FULL - FIRST_OVERHEAD,
            _ => BODY_MAX,
        }
    }

    /// The length of the first datagram, to which its answer is padded too.
    const fn first_length(&self) -> usize {
        match self.question {
            Question::Body {
                size: Size::Full, ..
            } => FIRST_FULL,
            _ => FIRST_SMALL,
        }
    }
}

/// A message between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    /// Who are you?
    Who(ExchangeId),
    /// The key of whoever answers.
    Iam(ExchangeId),
    /// Opens a session and carries the question.
    Init(ExchangeId),
    /// Answers a session's opening and its question.
    Resp(ExchangeId),
    /// A question inside a session.
    Request(ExchangeId),
    /// An answer inside a session.
    Answer(ExchangeId),
    /// Confirms a session and says nothing else.
    Empty,
    /// The node speaks for another network.
    Mismatch(ExchangeId),
    /// The node knows nothing of the session that the question came in.
    Reset(ExchangeId),
}

impl Packet {
    /// Names the kind in the trace.
    pub(crate) const fn kind(self) -> u8 {
        match self {
            Self::Who(_) => 0,
            Self::Iam(_) => 1,
            Self::Init(_) => 2,
            Self::Resp(_) => 3,
            Self::Request(_) => 4,
            Self::Answer(_) => 5,
            Self::Empty => 6,
            Self::Mismatch(_) => 7,
            Self::Reset(_) => 8,
        }
    }

    pub(crate) const fn exchange(self) -> Option<ExchangeId> {
        match self {
            Self::Who(id)
            | Self::Iam(id)
            | Self::Init(id)
            | Self::Resp(id)
            | Self::Request(id)
            | Self::Answer(id)
            | Self::Mismatch(id)
            | Self::Reset(id) => Some(id),
            Self::Empty => None,
        }
    }

    /// The bytes that this message of the exchange carries for an engine.
    pub(crate) fn body(self, exchange: &Exchange) -> &[u8] {
        match (self, &exchange.question) {
            (Self::Init(_) | Self::Request(_), Question::Body { body, .. }) => body,
            (Self::Resp(_) | Self::Answer(_), _) => exchange.answer.as_deref().unwrap_or_default(),
            _ => &[],
        }
    }

    /// What this message would take up in UDP payloads, in bytes.
    pub(crate) fn length(self, exchange: Option<&Exchange>) -> usize {
        let body = exchange.map_or(0, |exchange| self.body(exchange).len());
        match self {
            Self::Who(_) => 200,
            Self::Iam(_) => 79,
            Self::Init(_) | Self::Resp(_) => exchange.map_or(FIRST_SMALL, Exchange::first_length),
            Self::Request(_) => data_length(body + REQUEST_ENVELOPE_LENGTH),
            Self::Answer(_) => data_length(body + ENVELOPE_LENGTH),
            Self::Empty => data_length(0),
            Self::Mismatch(_) => 32,
            Self::Reset(_) => 24,
        }
    }
}

/// The two lengths of a first datagram in bytes.
const FIRST_SMALL: usize = 512;
const FIRST_FULL: usize = 1200;
/// What the answer to a first datagram needs beside its body, in bytes: headers and macs 76,
/// reset token 16, observed address 19, length 2, hello 26, envelope 17, tag 16.
const FIRST_OVERHEAD: usize = 172;
/// Kind and request id.
const REQUEST_ENVELOPE_LENGTH: usize = 9;
/// Header 16, tag 16, length 2, type of the frame 1.
const DATA_OVERHEAD: usize = 35;
/// The lengths to which datagrams inside a session are padded.
const DATA_LENGTHS: [usize; 5] = [64, 128, 256, 512, 1200];
/// What a piece of a longer message carries of it.
const PIECE_LENGTH: usize = 1120;

/// The datagrams of a message inside a session, in bytes.
fn data_length(message: usize) -> usize {
    let padded = DATA_LENGTHS
        .iter()
        .copied()
        .find(|&length| message + DATA_OVERHEAD <= length);
    padded.unwrap_or_else(|| message.div_ceil(PIECE_LENGTH) * FIRST_FULL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_take_up_padded_datagrams() {
        let lengths = [0, 29, 30, 93, 1165, 1166, 2240, 2241].map(data_length);
        assert_eq!(lengths, [64, 64, 128, 128, 1200, 2400, 2400, 3600]);
    }

    #[test]
    fn a_cold_answer_has_the_room_that_the_first_datagram_leaves() {
        let address = SocketAddr::from(([192, 0, 2, 1], 1));
        let key = NodeKey::new([9; 32]).unwrap();
        let room = |size, is_first| {
            let question = Question::Body {
                key,
                body: Bytes::new(),
                size,
            };
            let exchange = Exchange::new(NodeIndex::from(0), address, question, None);
            Exchange {
                opens: if is_first {
                    Opens::Session
                } else {
                    Opens::Nothing
                },
                ..exchange
            }
            .answer_max()
        };
        assert_eq!(room(Size::Full, true), 1028);
        assert_eq!(room(Size::Small, true), 340);
        assert_eq!(room(Size::Small, false), BODY_MAX);
    }
}
