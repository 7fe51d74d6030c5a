//! The JSON of the control API, defined once for server, client and command line.
//!
//! What must stay true: fields are only ever added, never renamed, because other programs read
//! them. How a node's own types become these is in `api/convert.rs`; texts inside the JSON (keys,
//! moments, bytes) are in `api/text.rs`.

mod bulk;
mod convert;
mod files;
mod records;
mod text;
mod timestamp;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use bytes::Bytes;
use qadom_node::Key;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use bulk::{BulkFetch, BulkFetched, BulkGet, BulkPut, BulkValue, BulkWrite, BulkWritten};
pub use files::{
    AddRequest, Choice, FetchRequest, FileAdded, FileEvent, FileFetched, FileItem, FileList,
    FileProgress, FileRemoved, FileStatus, NamedFile, NamedFiles,
};
pub use records::{
    BagItem, BagList, Block, BlockRequest, Blocks, DictUpdate, DictWritten, Entry, Event,
    EventRecord, Gap, Held, Identities, Identity, IdentityRequest, Publication, Publications,
    Withdrawn,
};
pub use text::{NodeText, NodeTextError, Source};
pub use timestamp::{Timestamp, TimestampTextError};

/// What a write answers: the key and what became of the copies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Written {
    /// The key that was written.
    #[serde(with = "text::key")]
    #[schemars(with = "text::KeyText")]
    pub key: Key,
    /// What became of the copies.
    pub receipt: Receipt,
    /// Who signed it: a public key as 64 hex digits; none for values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<String>,
    /// The public key under which a namespace is read, the writer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// The content signature of a namespace entry, 128 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// The version that was written; none for values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
}

/// What became of the copies of a write. For a value it is given as soon as `wanted` copies are durable,
/// while more may be under way to nodes that have neither stored nor refused it yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// Copies that the network would like to keep: k.
    pub wanted: u32,
    /// Storing nodes found, this one included when it is among the k closest.
    pub reachable: u32,
    /// Durable copies acknowledged, the own one counted likewise.
    pub stored: u32,
    /// Whether this node holds the only copy because it knows no other.
    pub alone: bool,
    /// Who did not take a copy, and why.
    pub refused: Vec<Refusal>,
    /// The depth of the lookup, 0 when nobody was asked.
    pub hops: u32,
    /// Requests sent.
    pub messages: u32,
    /// From the call to the last acknowledgement in milliseconds, exact to the microsecond.
    pub took_ms: f64,
    /// When the holders forget the copy.
    pub expires_at: Timestamp,
}

/// A node that did not take a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// The node.
    pub node: NodeText,
    /// One of the reasons; a text, since a newer daemon may know more of them.
    pub reason: String,
}

/// A value that was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fetched {
    /// The key of the value.
    #[serde(with = "text::key")]
    #[schemars(with = "text::KeyText")]
    pub key: Key,
    /// The value, in JSON as Base64 with padding.
    #[serde(rename = "value_base64", with = "text::base64")]
    #[schemars(with = "text::Base64Text")]
    pub value: Bytes,
    /// Who gave it.
    pub source: Source,
    /// How long ago the copy was stored here in milliseconds; 0 when another node just gave it.
    pub age_ms: u64,
    /// The depth at which the value was found, 0 for a local one.
    pub hops: u32,
    /// Requests sent.
    pub messages: u32,
    /// From the call to the verified value in milliseconds, exact to the microsecond.
    pub took_ms: f64,
}

/// The routing table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Peers {
    /// Every contact of it.
    pub items: Vec<Peer>,
    /// Where the next page begins; none on the last one.
    #[serde(default)]
    pub cursor: Option<String>,
}

/// A contact of the routing table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Peer {
    /// The node.
    pub node: NodeText,
    /// Its address text: its key and where it is reached.
    pub address: String,
    /// `storing` or `client`.
    pub mode: String,
    /// The last round trip measured in milliseconds, if there was one.
    pub rtt_ms: Option<f64>,
    /// When it was last heard from.
    pub last_seen: Timestamp,
    /// Leading bits that its id shares with the node's own.
    pub bucket: u32,
}

/// A lookup: every step, then what it came to. As a stream of events the steps come one by one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lookup {
    /// Every step in the order it happened.
    pub steps: Vec<LookupStep>,
    /// What the lookup came to.
    #[serde(flatten)]
    pub end: LookupEnd,
}

/// One step of a lookup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LookupStep {
    /// When it happened, in milliseconds after the lookup began, exact to the microsecond.
    pub at_ms: f64,
    /// What happened.
    #[serde(flatten)]
    pub event: LookupEvent,
    /// The node that was asked.
    pub node: NodeText,
    /// Where it is reached.
    pub addresses: Vec<SocketAddr>,
    /// The depth of this node: 1 for those the lookup began with.
    pub hop: u32,
    /// Leading bits that the node's id shares with the key.
    pub shared_bits: u32,
}

/// What a lookup tells while it runs: its steps, then its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum LookupNews {
    /// A step.
    Step(LookupStep),
    /// What it came to.
    End(LookupEnd),
}

/// What happens to a node in a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "lowercase")]
#[non_exhaustive]
pub enum LookupEvent {
    /// It was sent the request.
    Asked,
    /// Its answer came.
    Answered {
        /// Contacts in the answer.
        contacts: u64,
        /// Those of them that are nearer to the key than any known before.
        nearer: u64,
    },
    /// It takes longer than its round trips say; somebody else is asked meanwhile.
    Slow,
    /// It did not answer at all.
    Failed,
}

/// What a lookup came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LookupEnd {
    /// Up to k nodes that answered, nearest first.
    pub closest: Vec<Closest>,
    /// The depth of the lookup.
    pub hops: u32,
    /// Requests sent.
    pub messages: u32,
    /// From the call to the end in milliseconds, exact to the microsecond.
    pub took_ms: f64,
}

/// A node that a lookup found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Closest {
    /// The node.
    pub node: NodeText,
    /// Where it is reached.
    pub addresses: Vec<SocketAddr>,
}

/// Whom to ping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PingRequest {
    /// A node id in hex, an address text or `host:port`.
    pub node: String,
}

/// A ping that was answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pong {
    /// The node that answered.
    pub node: NodeText,
    /// Where it is reached.
    pub addresses: Vec<SocketAddr>,
    /// The round trip in milliseconds, exact to the microsecond.
    pub rtt_ms: f64,
    /// The address that the node sees this one at.
    pub observed: Option<SocketAddr>,
}

/// Through whom to join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// Each an address text or `host:port`; at least one.
    pub addresses: Vec<String>,
}

/// A join that reached the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Joined {
    /// Contacts in the routing table after the join.
    pub peers: u32,
    /// The addresses that did not help.
    pub problems: Vec<JoinProblem>,
}

/// An address that did not lead into the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JoinProblem {
    /// The address, as it was given.
    pub address: String,
    /// One of the reasons.
    pub reason: String,
    /// What is wrong with it, for people.
    pub detail: String,
}

/// What a node tells about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The node's id.
    pub node: NodeText,
    /// The address text by which others join.
    pub address: String,
    /// The name of the network.
    pub network: String,
    /// `storing` or `client`.
    pub mode: String,
    /// Whether others that the node has not called reach it: `reachable`, `unreachable` or
    /// `unknown`.
    pub reachability: String,
    /// How long ago that was found out, in milliseconds; none when no test has ended yet.
    pub reachability_age_ms: Option<u64>,
    /// The addresses at which peers see the node, at most one of each family.
    pub observed_addresses: Vec<String>,
    /// What the node adds to its wall clock because the clocks of its peers say so, in
    /// milliseconds.
    pub clock_offset_ms: i64,
    /// Whether the node runs in local mode, without limits by address group.
    pub local: bool,
    /// How the node is doing.
    pub verdict: Verdict,
    /// Why the verdict is not `healthy`, and what else people should know.
    pub reasons: Vec<String>,
    /// Contacts in the routing table.
    pub peers: u64,
    /// How many nodes the network seems to have; none while too little is known.
    pub network_size: Option<NetworkSize>,
    /// Whether nodes crowd round the keys that were looked up here.
    pub density: Density,
    /// Every limit beside its use.
    pub limits: Vec<Limit>,
    /// Damaged stores that were set aside, the oldest first.
    #[serde(default)]
    pub quarantined: Vec<Quarantined>,
    /// Messages and requests dropped or refused, by reason.
    pub drops: BTreeMap<String, u64>,
    /// What went over the network.
    pub traffic: Traffic,
}

/// A damaged store that was set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Quarantined {
    /// Where it is.
    pub folder: PathBuf,
    /// The length of its files together.
    pub bytes: u64,
    /// When it was set aside; none when its note is missing.
    pub at: Option<Timestamp>,
    /// Why; empty when its note is missing.
    pub reason: String,
}

/// How a node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It has not finished its first join.
    Starting,
    /// It works.
    Healthy,
    /// It works, with less than it should have; the reasons say what is missing.
    Degraded,
    /// It knows of a network and reaches nobody of it.
    Isolated,
}

impl Verdict {
    /// The word that users and scripts see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Isolated => "isolated",
        }
    }
}

/// An estimate of the number of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkSize {
    /// Storing nodes.
    pub estimate: f64,
    /// The relative standard error of the estimate: 0.1 stands for ten percent.
    pub error: f64,
}

/// How densely nodes stand round the keys that were looked up, as an alarm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Density {
    /// The figure of the last lookup, in nats; above 0.94 it counts as an alarm.
    pub latest: f64,
    /// The largest figure so far.
    pub highest: f64,
    /// Lookups that had a figure.
    pub lookups: u64,
    /// Those of them that were an alarm; about three in a thousand are without any attack.
    pub alarms: u64,
    /// Whether there are more alarms than chance explains.
    pub suspicious: bool,
    /// All that in words.
    pub detail: String,
}

/// A limit and its use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Limit {
    /// What is limited.
    pub name: String,
    /// How much of it is in use.
    pub used: u64,
    /// How much of it there may be.
    pub limit: u64,
}

/// What went over the network since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Traffic {
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Datagrams received.
    pub datagrams_in: u64,
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// What messages cost by what they were for, with the headers of UDP and IP; handshakes and
    /// repeats are left out.
    #[serde(default)]
    pub causes: Vec<CauseCost>,
}

/// What messages cost that were for one thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CauseCost {
    /// What they were for: `users`, `join`, `refresh`, `estimate`, `revalidation`, `replication`,
    /// `hand-over`, `renewal`, `watch`, `caching`, `hello`, `reachability` or `serving`.
    pub cause: String,
    /// Messages sent.
    pub messages_out: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Messages received.
    pub messages_in: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes per second both ways, over the last ten to twenty minutes.
    pub bytes_per_second: f64,
}

/// Whether the node is of use to its clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ready {
    /// Whether it is.
    pub ready: bool,
    /// How the node is doing.
    pub verdict: Verdict,
    /// Why the verdict is not `healthy`.
    pub reasons: Vec<String>,
}

/// The mode that a node is asked to take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModeRequest {
    /// `storing` or `client`.
    pub mode: String,
}

/// The mode that a node has taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TakenMode {
    /// `storing` or `client`.
    pub mode: String,
}

/// What an examination of the node found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    /// How the node is doing.
    pub verdict: Verdict,
    /// Each thing that was looked at, what is wrong first.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What, in kebab case.
    pub name: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What to do about it; null when it is as it should be.
    pub advice: Option<String>,
}

/// The daemon has stopped, and what it acknowledged is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stopped {
    /// Always true.
    pub stopped: bool,
}
