//! The JSON of dicts, bags, namespaces, topics, watching, publications, identities and blocks.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use qadom_node::Key;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text;
use super::{Source, Timestamp, Written};

/// What a writer signed, as a read found it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// The key that was asked for; of a dict name its slot.
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
    /// Who wrote it: a public key as 64 hex digits.
    pub writer: String,
    /// Its version: a count in namespaces, microseconds of UTC in dicts.
    pub seq: u64,
    /// The signature of the record, 128 hex digits.
    pub signature: String,
    /// When it expires unless its writer renews it.
    pub expires_at: Timestamp,
    /// Whether its writer signed other content under the same version, too.
    #[serde(default)]
    pub conflict: bool,
    /// The depth of the lookup, 0 when nobody was asked.
    pub hops: u32,
    /// Requests sent.
    pub messages: u32,
    /// From the call to the verified value in milliseconds, exact to the microsecond.
    pub took_ms: f64,
}

/// What is there instead of what a write or a read had to find.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Held {
    /// Who wrote it: a public key as 64 hex digits.
    pub writer: String,
    /// Its version.
    pub seq: u64,
    /// Whether it says that the entry is gone.
    pub deleted: bool,
    /// The value, in JSON as Base64 with padding.
    #[serde(rename = "value_base64", with = "text::base64")]
    #[schemars(with = "text::Base64Text")]
    pub value: Bytes,
    /// The signature of the record, 128 hex digits.
    pub signature: String,
    /// When it expires unless its writer renews it.
    pub expires_at: Timestamp,
}

/// The items of a bag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BagList {
    /// The key of the bag.
    #[serde(with = "text::key")]
    #[schemars(with = "text::KeyText")]
    pub key: Key,
    /// The items, each once.
    pub items: Vec<BagItem>,
    /// Whether enough holders agree that this is all; of a page, that it and the next ones are.
    pub complete: bool,
    /// Where the next page begins; none on the last one, and when no `limit` was given.
    pub cursor: Option<String>,
    /// The depth of the lookup, 0 when nobody was asked.
    pub hops: u32,
    /// Requests sent.
    pub messages: u32,
    /// From the call to the end in milliseconds, exact to the microsecond.
    pub took_ms: f64,
}

/// An item of a bag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BagItem {
    /// The item, in JSON as Base64 with padding.
    #[serde(rename = "value_base64", with = "text::base64")]
    #[schemars(with = "text::Base64Text")]
    pub value: Bytes,
    /// Who added it: public keys as 64 hex digits.
    pub writers: Vec<String>,
    /// When the last of its copies expires unless renewed.
    pub expires_at: Timestamp,
}

/// What a watched slot brings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Event {
    /// A record.
    Record(EventRecord),
    /// Records that will not come any more.
    Gap {
        /// Which ones.
        gap: Gap,
    },
}

/// A record that a watched slot brings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventRecord {
    /// The slot.
    #[serde(with = "text::key")]
    #[schemars(with = "text::KeyText")]
    pub slot: Key,
    /// Who wrote it: a public key as 64 hex digits.
    pub writer: String,
    /// Its version, or its number in the stream of an event's writer.
    pub seq: u64,
    /// Whether it says that the entry is gone.
    #[serde(default)]
    pub deleted: bool,
    /// The content, in JSON as Base64 with padding.
    #[serde(rename = "value_base64", with = "text::base64")]
    #[schemars(with = "text::Base64Text")]
    pub value: Bytes,
    /// From here one may go on after an interruption.
    pub cursor: String,
}

/// Records that will not come any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Gap {
    /// Whose, as far as it is known: a public key as 64 hex digits.
    pub writer: Option<String>,
    /// Of which of its streams.
    pub stream: u64,
    /// The first number that is missing.
    pub from_seq: u64,
    /// The last number that is missing.
    pub to_seq: u64,
}

/// What a node keeps alive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Publications {
    /// Each publication.
    pub items: Vec<Publication>,
    /// Where the next page begins; none on the last one.
    #[serde(default)]
    pub cursor: Option<String>,
}

/// A record that a node keeps alive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Publication {
    /// Its slot.
    #[serde(with = "text::key")]
    #[schemars(with = "text::KeyText")]
    pub key: Key,
    /// `value`, `bag`, `dict`, `namespace` or `topic`.
    pub kind: String,
    /// What tells it from others in the slot, as 64 hex digits; none when nothing does.
    pub label: Option<String>,
    /// What the node calls the identity that signs it; none for values, and when it has no longer
    /// the secret.
    pub identity: Option<String>,
    /// The public key that signs it, as 64 hex digits; none for values.
    #[serde(default)]
    pub writer: Option<String>,
    /// When it was last brought to its holders.
    pub renewed_at: Timestamp,
    /// When the holders forget it unless it is renewed.
    pub expires_at: Timestamp,
    /// Copies acknowledged then.
    pub stored: u32,
    /// How many holders did not take the last renewal, by reason.
    #[serde(default)]
    pub refusals: BTreeMap<String, u32>,
    /// `active`, `superseded`, `withdrawn` while holders are still sent its tombstone, or `expired`
    /// when it is over and the secret to sign it anew is not here.
    pub state: String,
}

/// What was withdrawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Withdrawn {
    /// The slot.
    #[serde(with = "text::key")]
    #[schemars(with = "text::KeyText")]
    pub key: Key,
    /// Publications that ended.
    pub withdrawn: u32,
    /// Those of them that were signed, for which holders were sent a tombstone.
    pub buried: u32,
    /// Copies of the tombstone that has the fewest; 0 when there is none.
    pub smallest_copies: u32,
    /// From the call to the end in milliseconds, exact to the microsecond.
    pub took_ms: f64,
}

/// The identities of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identities {
    /// Each identity.
    pub items: Vec<Identity>,
    /// Where the next page begins; none on the last one.
    #[serde(default)]
    pub cursor: Option<String>,
}

/// An identity that a node can sign as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// Its name on this node.
    pub name: String,
    /// Its public key as 64 hex digits.
    pub public_key: String,
}

/// An identity to be made or taken over.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityRequest {
    /// The name that it gets.
    pub name: String,
    /// The exported text of the identity; none to make a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// Without the secret, which has no place in a log.
impl fmt::Debug for IdentityRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("IdentityRequest")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What a node neither asks nor holds nor serves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Blocks {
    /// Each block.
    pub items: Vec<Block>,
    /// Where the next page begins; none on the last one.
    #[serde(default)]
    pub cursor: Option<String>,
}

/// Something that is blocked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Block {
    /// `node`, `key` or `group`.
    pub kind: String,
    /// The id of the node, the key, or the address group.
    pub what: String,
    /// Why: `lies` or `by-hand`.
    pub why: String,
    /// When it ends; none for one that was made by hand without an end.
    pub until: Option<Timestamp>,
}

/// The names of a dict to be set, each with its JSON.
pub type DictUpdate = BTreeMap<String, serde_json::Value>;

/// What became of one name of an update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DictWritten {
    /// The name.
    pub name: String,
    /// What was written.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub written: Option<Written>,
    /// Why it was not written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<crate::Problem>,
}

/// Where a node is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlockRequest {
    /// A node's id or address text, or a key in any of its forms.
    pub what: String,
    /// For how long, such as `36h`; none for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
}
