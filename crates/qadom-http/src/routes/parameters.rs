//! What the query of a write or a read may say, and how it is read.

use std::num::NonZeroUsize;

use qadom_node::{BagCursor, BagCursorError, NodeName, ReadFrom, Reason, WriteOptions};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Answer;
use crate::duration::parse_lifetime;
use crate::problem::Problem;

/// What can be asked of a write.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteQuery {
    /// Who signs; `default` is made on its first use.
    identity: Option<String>,
    /// How long a copy lives without renewal, 60 s to 7 d, such as `36h`.
    #[schemars(extend("pattern" = "^[1-9][0-9]{0,5}[smhd]$"))]
    ttl: Option<String>,
    /// Copies below which the write counts as failed.
    min_copies: Option<u32>,
    /// Whether it is not renewed.
    #[schemars(extend("enum" = ["0", "1", "true", "false"]))]
    once: Option<String>,
    /// The version that has to be there, 0 for nothing.
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
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadQuery {
    /// The one node that is asked: its id, its address text or `host:port`.
    from: Option<String>,
    /// Whether only the node's own store is looked at.
    #[schemars(extend("enum" = ["0", "1", "true", "false"]))]
    local: Option<String>,
    /// Whether the newest version is wanted instead of the first one found.
    #[schemars(extend("enum" = ["0", "1", "true", "false"]))]
    latest: Option<String>,
    /// The writer whose version is wanted: a public key, 64 hex digits.
    #[schemars(extend("pattern" = "^[0-9a-f]{64}$"))]
    writer: Option<String>,
    /// The signature of the content that is wanted, 128 hex digits.
    #[schemars(extend("pattern" = "^[0-9a-f]{128}$"))]
    signature: Option<String>,
    /// Where the page begins: `0`, or the cursor that came with the page before.
    cursor: Option<String>,
    /// Items at most; all of them without it.
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
