//! The JSON of many values in one request.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text;
use super::{Fetched, Written};
use crate::Problem;

/// Values to be put.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkPut {
    /// The values, at most 1024.
    pub items: Vec<BulkValue>,
}

/// A value to be put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkValue {
    /// The value, in JSON as Base64 with padding.
    #[serde(rename = "value_base64", with = "text::base64")]
    #[schemars(with = "text::Base64Text")]
    pub value: Bytes,
}

/// What became of the values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BulkWritten {
    /// Each value, in the order of the request.
    pub items: Vec<BulkWrite>,
}

/// What became of one value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum BulkWrite {
    /// It was put.
    Written(Box<Written>),
    /// It was not.
    Failed {
        /// Why.
        error: Box<Problem>,
    },
}

/// Keys to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkGet {
    /// The keys in any of their forms, at most 1024.
    pub keys: Vec<String>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BulkFetched {
    /// Each key, in the order of the request.
    pub items: Vec<BulkFetch>,
}

/// What was found under one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum BulkFetch {
    /// The value.
    Found(Box<Fetched>),
    /// Nothing.
    Failed {
        /// The key, as it was asked for.
        key: String,
        /// Why.
        error: Box<Problem>,
    },
}
