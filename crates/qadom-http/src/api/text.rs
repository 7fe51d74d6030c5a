//! How keys, nodes, sources and bytes are written inside the JSON.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use qadom_node::{Key, KeyTextError, NodeId};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
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

/// Stands for a key in schemas: 64 hex digits.
#[derive(Debug)]
pub(super) struct KeyText;

/// Stands for bytes in schemas: Base64 with padding.
#[derive(Debug)]
pub(super) struct Base64Text;

/// Describes a type whose JSON is a text of its own form.
macro_rules! text_schema {
    ($type:ty, $name:literal, $($field:literal: $value:expr),+) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", $($field: $value),+ })
            }
        }
    };
}

text_schema!(NodeText, "NodeId", "pattern": "^[0-9a-f]{64}$");
text_schema!(KeyText, "Key", "pattern": "^[0-9a-f]{64}$");
text_schema!(Source, "Source", "pattern": "^(local|[0-9a-f]{64})$");
text_schema!(Base64Text, "Base64", "contentEncoding": "base64",
    "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$");

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
