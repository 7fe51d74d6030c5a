//! What the query of a write or a read may say, and how it is read.

use std::num::NonZeroUsize;

use qadom_node::{BagCursor, BagCursorError, NodeName, ReadFrom, Reason, WriteOptions};
use serde::Deserialize;

use super::Answer;
use crate::duration::parse_lifetime;
use crate::problem::Problem;

/// What can be asked of a write.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteQuery {
    identity: Option<String>,
    ttl: Option<String>,
    min_copies: Option<u32>,
    once: Option<String>,
    if_seq: Option<u64>,
}

impl WriteQuery {
    /// Who signs.
    pub(super) fn identity(&self) -> &str {
        self.identity
            .as_deref()
            .unwrap_or(qadom_node::DEFAULT_IDENTITY)
    }

    /// How copies are kept.
    pub(super) fn options(&self) -> Answer<WriteOptions> {
        let ttl = self.ttl.as_deref().map(parse_lifetime).transpose();
        Ok(WriteOptions {
            ttl: ttl.map_err(|error| Problem::new(error.reason(), error.to_string()))?,
            min_copies: self.min_copies,
            once: is_set("once", self.once.as_deref())?,
        })
    }

    /// The version that has to be there, which namespaces alone have.
    pub(super) const fn if_seq(&self) -> Option<u64> {
        self.if_seq
    }

    /// Refuses a version where there is none.
    pub(super) fn without_seq(self) -> Answer<Self> {
        if self.if_seq.is_some() {
            return Err(Problem::new(
                Reason::Usage,
                "if_seq belongs to the entries of namespaces",
            ));
        }
        Ok(self)
    }
}

/// What can be asked of a read.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadQuery {
    from: Option<String>,
    local: Option<String>,
    latest: Option<String>,
    writer: Option<String>,
    signature: Option<String>,
    cursor: Option<String>,
    limit: Option<NonZeroUsize>,
}

impl ReadQuery {
    /// Refuses what narrows the reads of other things: nobody shall believe that it was heeded.
    pub(super) fn without(self, parameters: &[&str]) -> Answer<Self> {
        let given = [
            ("writer", self.writer.is_some()),
            ("signature", self.signature.is_some()),
            ("cursor", self.cursor.is_some()),
            ("limit", self.limit.is_some()),
        ];
        let stray = given
            .into_iter()
            .find(|(name, is_given)| *is_given && parameters.contains(name));
        match stray {
            Some((name, _)) => Err(Problem::new(
                Reason::Usage,
                format!("{name} has no meaning for this read"),
            )),
            None => Ok(self),
        }
    }

    /// Where to look.
    pub(super) fn source(&self) -> Answer<ReadFrom> {
        match (&self.from, is_set("local", self.local.as_deref())?) {
            (None, false) => Ok(ReadFrom::Network),
            (None, true) => Ok(ReadFrom::Local),
            (Some(node), false) => node
                .parse::<NodeName>()
                .map(ReadFrom::Node)
                .map_err(|error| {
                    let detail = format!("{node:?} names no node: {error}");
                    Problem::new(Reason::Malformed, detail)
                }),
            (Some(_), true) => Err(Problem::new(
                Reason::Usage,
                "from and local exclude each other",
            )),
        }
    }

    /// Whether the newest version is wanted.
    pub(super) fn latest(&self) -> Answer<bool> {
        is_set("latest", self.latest.as_deref())
    }

    /// The part of a bag that is wanted: what its items lie behind, and how many at most. None when
    /// all of it is.
    pub(super) fn page(&self) -> Answer<Option<(Option<BagCursor>, NonZeroUsize)>> {
        let behind = match self.cursor.as_deref() {
            None | Some("0") => None,
            Some(text) => Some(text.parse().map_err(|error: BagCursorError| {
                Problem::new(Reason::Malformed, error.to_string())
            })?),
        };
        let limit = self.limit.or(behind.and(Some(NonZeroUsize::MAX)));
        Ok(limit.map(|limit| (behind, limit)))
    }

    /// The writer that is pinned.
    pub(super) fn writer(&self) -> Option<&str> {
        self.writer.as_deref()
    }

    /// The signature of the content that is wanted.
    pub(super) fn signature(&self) -> Option<&str> {
        self.signature.as_deref()
    }
}

/// Whether a yes-or-no parameter says yes.
fn is_set(name: &str, parameter: Option<&str>) -> Answer<bool> {
    match parameter {
        None | Some("0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        Some(other) => Err(Problem::new(
            Reason::Usage,
            format!("{name} is 1 or 0, not {other:?}"),
        )),
    }
}
