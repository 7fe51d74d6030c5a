//! How keys, nodes, sources and bytes are written inside the JSON.

use std::fmt;
use std::str::FromStr;

use qadom_node::{Key, KeyTextError, NodeId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A node id as 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeText(pub NodeId);

/// The text is no node id. Whoever wrote the text is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a node id is 64 hex digits: {0}")]
pub struct NodeTextError(#[from] KeyTextError);

impl fmt::Display for NodeText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for NodeText {
    type Err = NodeTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(NodeId::from(text.parse::<Key>()?)))
    }
}

/// Where a value came from: `local` or the id of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The asked node's own store.
    Local,
    /// Another node.
    Node(NodeText),
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => formatter.write_str("local"),
            Self::Node(node) => node.fmt(formatter),
        }
    }
}

impl FromStr for Source {
    type Err = NodeTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "local" => Ok(Self::Local),
            node => node.parse().map(Self::Node),
        }
    }
}

impl Serialize for NodeText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

/// Reads a JSON string by the type's own text form.
pub(super) fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    String::deserialize(deserializer)?
        .parse()
        .map_err(serde::de::Error::custom)
}

/// A key as 64 hex digits.
pub(super) mod key {
    use super::{Deserializer, Key, Serializer, parsed};

    pub(in crate::api) fn serialize<S: Serializer>(
        key: &Key,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(key)
    }

    pub(in crate::api) fn deserialize<'de, D>(deserializer: D) -> Result<Key, D::Error>
    where
        D: Deserializer<'de>,
    {
        parsed(deserializer)
    }
}

/// Bytes as Base64 with padding.
pub(super) mod base64 {
    use bytes::Bytes;
    use data_encoding::BASE64;

    use super::{Deserialize, Deserializer, Serializer};

    pub(in crate::api) fn serialize<S: Serializer>(
        bytes: &Bytes,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&BASE64.encode_display(bytes))
    }

    pub(in crate::api) fn deserialize<'de, D>(deserializer: D) -> Result<Bytes, D::Error>
    where
        D: Deserializer<'de>,
    {
        let text = String::deserialize(deserializer)?;
        BASE64
            .decode(text.as_bytes())
            .map(Bytes::from)
            .map_err(serde::de::Error::custom)
    }
}
