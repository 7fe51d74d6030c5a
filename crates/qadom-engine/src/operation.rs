//! What users ask an engine to do, and how it ends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use qadom_routing::{Contact, Key, NodeId, NodeKey, Step};
use qadom_wire::{ContentSignature, Held, OfferResult, Reason, Verified, Writer};

/// Names an operation from the call that began it to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub(crate) u64);

/// How something is written.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use qadom_engine::WriteOptions;
///
#[doc = include_str!("examples/alone.txt")]
/// // A copy for an hour, which nobody renews.
/// let ttl = Some(Duration::from_hours(1));
/// let options = WriteOptions { ttl, once: true, ..WriteOptions::default() };
/// engine.put(now, "hello".into(), options);
/// # finish(&mut engine)?;
/// assert_eq!(engine.publications().count(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// The life of a copy without renewal; none stands for 36 h. Values live 36 h at the most,
    /// signed records 7 d.
    pub ttl: Option<Duration>,
    /// Copies below which the write counts as failed; none stands for half of what could be
    /// reached, rounded up, and at least 1.
    pub min_copies: Option<u32>,
    /// Whether nobody renews it, so that it ends with its copies. Events are always written so.
    pub once: bool,
}

/// Where a read looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ReadFrom {
    /// In the own store and in the network.
    #[default]
    Network,
    /// In the own store alone.
    Local,
    /// At one node alone.
    Node(Box<Contact>),
}

/// What an operation brought.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// A put reached enough nodes.
    Stored(Receipt),
    /// A get found its value.
    Fetched(Fetched),
    /// A lookup ended.
    Looked(LookupReport),
    /// At least one of the addresses led into the network.
    Joined(Joined),
    /// A node answered a ping.
    Pong(PingReport),
    /// A node is ready to speak QUIC.
    Stream(StreamKey),
    /// A node says which chunks of a file it will keep: one result for each that it was offered.
    Offered(Vec<OfferResult>),
    /// A node says which chunks of a file it has.
    Held(Held),
    /// What was published in a slot is no longer kept alive.
    Withdrawn(Withdrawn),
    /// A signed record reached enough nodes.
    Written(Written),
    /// A dict name or an entry of a namespace was found.
    Entry(SignedRead),
    /// A bag was listed.
    Listed(Listed),
    /// What this node held for others was brought to other nodes.
    HandedOver(HandedOver),
}

/// What became of everything that a node held, as it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandedOver {
    /// Slots of which at least one other node has everything now.
    pub slots: u64,
    /// Whether these are all that were to be handed over.
    pub is_whole: bool,
}

/// A signed record that was written.
///
/// # Examples
///
/// ```
/// use qadom_engine::{Outcome, WriteOptions, Written};
///
#[doc = include_str!("examples/alone.txt")]
/// engine.dict_set(now, writer, b"colour", "green".into(), WriteOptions::default());
/// let Outcome::Written(Written { receipt, record, .. }) = finish(&mut engine)? else {
///     unreachable!("a dict is written");
/// };
/// assert_eq!((receipt.key, *record.writer()), (*record.slot(), writer));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Written {
    /// What became of the write.
    pub receipt: Receipt,
    /// The record as its holders have it.
    pub record: Verified,
    /// For entries of namespaces, the writer's signature of all but the expiry.
    pub content_signature: Option<ContentSignature>,
}

/// A signed record that was found and verified.
///
/// # Examples
///
/// ```
/// use qadom_engine::{Outcome, ReadFrom, SignedRead, WriteOptions};
///
#[doc = include_str!("examples/alone.txt")]
/// engine.dict_set(now, writer, b"colour", "green".into(), WriteOptions::default());
/// finish(&mut engine)?;
/// engine.dict_get(now, b"colour", None, ReadFrom::Network);
/// let Outcome::Entry(SignedRead { record, conflict, .. }) = finish(&mut engine)? else {
///     unreachable!("a dict is read");
/// };
/// assert!(record.payload() == "green" && !conflict);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SignedRead {
    /// The record.
    pub record: Verified,
    /// Who showed it first.
    pub source: Source,
    /// How long ago the copy was stored or renewed here; zero when another node just gave it.
    pub age: Duration,
    /// The depth of the lookup, 0 when nobody was asked.
    pub hops: u32,
    /// Requests sent.
    pub messages: u32,
    /// From the call to the end.
    pub took: Duration,
    /// Whether another payload was found under the same seq; the order of the protocol decided.
    pub conflict: bool,
}

/// What is in a bag.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The items of all writers, ascending by id; none when they were handed out before the end.
    pub items: Vec<Verified>,
    /// Whether this is everything: three holders, or all when there are fewer, have exactly this.
    /// Never for one node or the own store, since nobody else was asked.
    pub complete: bool,
    /// The depth of the lookup, 0 when nobody was asked.
    pub hops: u32,
    /// Requests sent.
    pub messages: u32,
    /// From the call to the end.
    pub took: Duration,
}

impl Listed {
    /// The items as users see them: each payload once, with the records of those who wrote it.
    ///
    /// The payloads come in the order of the lowest ids of their records.
    pub fn by_payload(&self) -> Vec<(&Bytes, Vec<&Verified>)> {
        let mut places: BTreeMap<&[u8; 32], usize> = BTreeMap::new();
        let mut grouped: Vec<(&Bytes, Vec<&Verified>)> = Vec::new();
        for record in &self.items {
            let next = grouped.len();
            let place = *places.entry(record.payload_hash()).or_insert(next);
            match grouped.get_mut(place) {
                Some((_, writers)) => writers.push(record),
                None => grouped.push((record.payload(), vec![record])),
            }
        }
        grouped
    }
}

/// What became of a write.
///
/// That of a value is given as soon as `wanted` copies are durable: more of them may be under way to the
/// nodes that are reachable and neither stored nor refused yet. Any other write has heard of all.
///
/// # Examples
///
/// ```
/// use qadom_engine::{Outcome, Receipt, WriteOptions};
///
#[doc = include_str!("examples/alone.txt")]
/// engine.put(now, "hello".into(), WriteOptions::default());
/// let Outcome::Stored(Receipt { stored, alone, refused, .. }) = finish(&mut engine)?
/// else {
///     unreachable!("a value is stored");
/// };
/// // No other node is known, so this is the only copy.
/// assert_eq!((stored, alone, refused), (1, true, Vec::new()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The key that was written.
    pub key: Key,
    /// Copies that the network would like to keep: k.
    pub wanted: u32,
    /// Storing nodes found, this one included when it is among the k closest.
    pub reachable: u32,
    /// Durable copies acknowledged, the own one counted likewise.
    pub stored: u32,
    /// Whether this node holds the only copy because it knows no other.
    pub alone: bool,
    /// Who refused, and why.
    pub refused: Vec<Refusal>,
    /// The depth of the lookup, 0 when nobody was asked.
    pub hops: u32,
    /// Requests sent.
    pub messages: u32,
    /// From the call to the last acknowledgement.
    pub took: Duration,
    /// When the holders forget the copy, in seconds of UTC.
    pub expires_at: u64,
}

/// The end of everything that was published in a slot.
///
/// # Examples
///
/// ```
/// use qadom_engine::{Outcome, Withdrawn, WriteOptions};
///
#[doc = include_str!("examples/alone.txt")]
/// let slot = qadom_wire::dict_slot(b"colour")?;
/// engine.dict_set(now, writer, b"colour", "green".into(), WriteOptions::default());
/// finish(&mut engine)?;
/// engine.withdraw(now, slot);
/// let Outcome::Withdrawn(Withdrawn { withdrawn, .. }) = finish(&mut engine)? else {
///     unreachable!("a slot is withdrawn");
/// };
/// assert_eq!(withdrawn, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    /// The slot.
    pub key: Key,
    /// Publications that ended.
    pub withdrawn: u32,
    /// Signed records among them, for which holders were sent a tombstone.
    pub buried: u32,
    /// Durable copies of the tombstone that has the fewest; 0 when there is none.
    pub smallest_copies: u32,
    /// From the call to the last acknowledgement.
    pub took: Duration,
}

/// A node that did not take a copy.
///
/// # Examples
///
/// ```
/// use qadom_engine::Refusal;
/// use qadom_routing::Key;
/// use qadom_wire::Reason;
///
/// let refused = [Refusal { node: Key::ZERO.into(), reason: Reason::Quota }];
/// for Refusal { node, reason } in refused {
///     println!("{node} did not take it: {reason}");
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The node.
    pub node: NodeId,
    /// Its reason, or what went wrong on the way.
    pub reason: Reason,
}

/// Where a value came from.
///
/// # Examples
///
/// ```
/// use qadom_engine::{Outcome, ReadFrom, Source, WriteOptions};
///
#[doc = include_str!("examples/alone.txt")]
/// let key = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824".parse()?;
/// engine.put(now, "hello".into(), WriteOptions::default());
/// finish(&mut engine)?;
/// engine.get(now, key, ReadFrom::Local);
/// let Outcome::Fetched(fetched) = finish(&mut engine)? else {
///     unreachable!("a value is fetched");
/// };
/// assert_eq!(fetched.source, Source::Local);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// This node's own store.
    Local,
    /// Another node.
    Node(NodeId),
}

/// A value that was found and verified.
///
/// # Examples
///
/// ```
/// use qadom_engine::{Fetched, Outcome, ReadFrom, WriteOptions};
///
#[doc = include_str!("examples/alone.txt")]
/// let key = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824".parse()?;
/// engine.put(now, "hello".into(), WriteOptions::default());
/// finish(&mut engine)?;
/// engine.get(now, key, ReadFrom::Network);
/// let Outcome::Fetched(Fetched { value, hops, .. }) = finish(&mut engine)? else {
///     unreachable!("a value is fetched");
/// };
/// assert_eq!((&value[..], hops), (&b"hello"[..], 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The key of the value.
    pub key: Key,
    /// The value.
    pub value: Bytes,
    /// Who gave it.
    pub source: Source,
    /// How long ago the copy was stored here; zero when another node just gave it.
    pub age: Duration,
    /// The depth at which the value was found, 0 for a local one.
    pub hops: u32,
    /// Requests sent.
    pub messages: u32,
    /// From the call to the verified value.
    pub took: Duration,
}

/// A lookup from beginning to end.
///
/// # Examples
///
/// ```
/// use qadom_engine::{LookupReport, Outcome};
///
#[doc = include_str!("examples/alone.txt")]
/// engine.lookup(now, "name:x".parse()?);
/// let Outcome::Looked(LookupReport { closest, steps, .. }) = finish(&mut engine)? else {
///     unreachable!("a key is looked up");
/// };
/// // No other node is known.
/// assert!(closest.is_empty() && steps.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct LookupReport {
    /// What was looked up.
    pub target: Key,
    /// Every step in the order it happened.
    pub steps: Vec<Step>,
    /// When the lookup began, as the steps count time.
    pub began: qadom_routing::Moment,
    /// Up to k nodes that answered, nearest first.
    pub closest: Vec<Contact>,
    /// The depth of the lookup.
    pub hops: u32,
    /// Requests sent.
    pub messages: u32,
    /// From the call to the end.
    pub took: Duration,
}

/// A join that reached the network.
#[derive(Clone, Debug)]
pub struct Joined {
    /// Contacts in the routing table after the join.
    pub peers: u32,
    /// The addresses that did not help, and why.
    pub problems: Vec<(SocketAddr, JoinProblem)>,
}

/// A ping that was answered.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use qadom_engine::PingReport;
/// use qadom_routing::{Contact, NodeKey};
///
/// let contact = Contact::at(NodeKey::new([9; 32])?, "192.0.2.1:7236".parse()?, true);
/// let report = PingReport { contact, rtt: Duration::from_millis(20), observed: None };
/// println!("{} answered within {:?}", report.contact.id(), report.rtt);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct PingReport {
    /// The node that answered.
    pub contact: Contact,
    /// The round trip.
    pub rtt: Duration,
    /// The address that the node sees this one at.
    pub observed: Option<SocketAddr>,
}

/// How a node is known in QUIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamKey {
    /// The node.
    pub key: NodeKey,
    /// Where it is reached.
    pub address: SocketAddr,
    /// The SHA-256 of the Ed25519 public key that it drew at its start.
    pub fingerprint: [u8; 32],
}

/// Why an address did not lead into the network.
///
/// # Examples
///
/// ```
/// use qadom_engine::{Difference, JoinProblem};
///
/// let problem = JoinProblem::WrongNetwork(vec![Difference {
///     what: "id_bits",
///     ours: "16".to_owned(),
///     theirs: "0".to_owned(),
/// }]);
/// if let JoinProblem::WrongNetwork(differences) = problem {
///     println!("another network: {}", differences[0].what);
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinProblem {
    /// Nothing answers there.
    Unreachable,
    /// The node there belongs to another network or has other parameters.
    WrongNetwork(Vec<Difference>),
    /// The address is this node's own.
    Own,
}

/// One parameter in which two nodes differ, as texts for people.
///
/// # Examples
///
/// ```
/// use qadom_engine::Difference;
///
/// let difference = Difference { what: "k", ours: "20".to_owned(), theirs: "8".to_owned() };
/// println!("{}: {} here, {} there", difference.what, difference.ours, difference.theirs);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What differs, such as `network` or `k`.
    pub what: &'static str,
    /// The value here.
    pub ours: String,
    /// The value there.
    pub theirs: String,
}

fn not_found_text(key: &Key, answered: u32, unanswered: u32) -> String {
    if answered == 0 && unanswered == 0 {
        format!("{key} is not here, and no other node was asked")
    } else {
        format!("no node holds {key}: {answered} answered and {unanswered} did not")
    }
}

/// Why an operation did not bring what was asked for.
///
/// # Examples
///
/// ```
/// use qadom_engine::{Failure, ReadFrom};
///
#[doc = include_str!("examples/alone.txt")]
/// engine.get(now, "name:nothing".parse()?, ReadFrom::Network);
/// let failure = finish(&mut engine).unwrap_err();
/// assert!(matches!(failure, Failure::NotFound { answered: 0, unanswered: 0, .. }));
/// println!("{}: {failure}", failure.reason());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// No node that answered holds the key. The network may hold it all the same, when
    /// `unanswered` is not zero.
    #[error("{}", not_found_text(key, *answered, *unanswered))]
    NotFound {
        /// The key that was asked for.
        key: Key,
        /// Nodes that answered.
        answered: u32,
        /// Nodes that did not answer.
        unanswered: u32,
    },
    /// Fewer nodes took a copy than was asked for. The copies that were taken remain.
    #[error("stored {} of {needed} copies", receipt.stored)]
    TooFewCopies {
        /// What became of the write.
        receipt: Receipt,
        /// Copies that would have been enough.
        needed: u32,
    },
    /// None of the addresses led into the network. The node stays as it was.
    #[error("none of {} addresses led into the network", problems.len())]
    NotJoined {
        /// Each address with its problem.
        problems: Vec<(SocketAddr, JoinProblem)>,
    },
    /// The node did not answer, or refused.
    #[error("{node} did not answer: {}", reason.as_str())]
    Peer {
        /// The node.
        node: NodeId,
        /// What it said or what went wrong.
        reason: Reason,
    },
    /// The own store refused or failed; nothing was promised to anybody.
    #[error("the store of this node failed: {}", reason.as_str())]
    Store {
        /// `storage-failed`, `disk-full` or `quota`.
        reason: Reason,
    },
    /// The journal refused or failed: nothing is promised, and what was promised before stays so.
    /// Copies that holders took remain with them until they expire.
    #[error("the journal of this node failed, and nothing is promised: {}", reason.as_str())]
    Journal {
        /// `storage-failed`, `disk-full` or `quota`.
        reason: Reason,
        /// What holders took all the same, if anything was sent.
        receipt: Option<Receipt>,
    },
    /// The write was made for an older state than the one that is there, or the reader has seen a
    /// newer one than what is there.
    #[error("seq {seq} is not the latest here")]
    StaleSeq {
        /// The seq that was written or expected.
        seq: u64,
        /// What is there now, if anything is.
        held: Option<Box<Verified>>,
    },
    /// The bag has the item, but from other writers alone.
    #[error("{key} has the item from other writers alone")]
    NotYours {
        /// The bag.
        key: Key,
    },
    /// Too few of the nodes that should know gave an answer that holds together.
    #[error("{valid} of {needed} valid answers came")]
    TooFewAnswers {
        /// Nodes whose answers hold together.
        valid: u32,
        /// Answers that would have been enough.
        needed: u32,
    },
    /// This node does not have the secret of the writer.
    #[error("no identity of this node is {writer}")]
    UnknownWriter {
        /// The public key of the writer.
        writer: Writer,
    },
    /// The request itself cannot be carried out.
    #[error("refused: {}", reason.as_str())]
    Refused {
        /// Why.
        reason: Reason,
    },
}

impl Failure {
    /// The reason that stands for the failure in receipts, problems and counts.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::NotFound { .. } | Self::UnknownWriter { .. } => Reason::NotFound,
            Self::TooFewCopies { .. } => Reason::TooFewCopies,
            Self::NotJoined { .. } => Reason::Unreachable,
            Self::StaleSeq { .. } => Reason::StaleSeq,
            Self::NotYours { .. } => Reason::NotYours,
            Self::TooFewAnswers { .. } => Reason::Timeout,
            Self::Peer { reason, .. }
            | Self::Store { reason }
            | Self::Journal { reason, .. }
            | Self::Refused { reason } => *reason,
        }
    }
}
