//! The one list of reasons: why something was refused, dropped or failed.
//!
//! What must stay true: the texts and numbers are never changed, only added to. Messages, receipts,
//! HTTP problems and metrics all use this list.

use std::fmt;
use std::str::FromStr;

/// Defines the list once, so that names, texts and numbers cannot drift apart.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $text:literal;)+) => {
        /// Why something was refused, dropped or failed.
        ///
        /// # Examples
        ///
        /// ```
        /// use qadom_wire::Reason;
        ///
        /// assert_eq!(Reason::TooLarge.as_str(), "too-large");
        /// assert_eq!("too-large".parse(), Ok(Reason::TooLarge));
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name = $number,)+
        }

        impl Reason {
            /// Every reason, by rising number.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The text that users and scripts see.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

reasons! {
    /// Longer than its limit.
    TooLarge = 1, "too-large";
    /// The holder is not among the nodes that keep this slot.
    TooFar = 2, "too-far";
    /// The holder's space is used up, or the sender's share of it.
    Quota = 3, "quota";
    /// Too many requests from this sender.
    RateLimited = 4, "rate-limited";
    /// The holder's disk is full.
    DiskFull = 5, "disk-full";
    /// The node stores nothing for others.
    ClientMode = 6, "client-mode";
    /// The node belongs to another network.
    WrongNetwork = 7, "wrong-network";
    /// The node speaks other revisions of the protocol.
    WrongVersion = 8, "wrong-version";
    /// The bytes do not hash to what was asked for.
    BadHash = 9, "bad-hash";
    /// The signature does not verify.
    BadSignature = 10, "bad-signature";
    /// A public key of small order or not canonical.
    WeakKey = 11, "weak-key";
    /// The record's time is over.
    Expired = 12, "expired";
    /// The record would live longer than allowed.
    LifetimeTooLong = 13, "lifetime-too-long";
    /// A newer version is there.
    StaleSeq = 14, "stale-seq";
    /// The same version is there with another payload.
    Conflict = 15, "conflict";
    /// A request, an answer or a record of a kind that the reader does not know.
    UnknownKind = 16, "unknown-kind";
    /// The bytes are no message.
    Malformed = 17, "malformed";
    /// Nothing is there.
    NotFound = 18, "not-found";
    /// The sender, key or file is on the block list.
    Blocked = 19, "blocked";
    /// No answer came in time.
    Timeout = 20, "timeout";
    /// The address cannot be reached.
    Unreachable = 21, "unreachable";
    /// The node is about to end.
    ShuttingDown = 22, "shutting-down";
    /// The store failed.
    StorageFailed = 23, "storage-failed";
    /// The record belongs to another writer.
    NotYours = 24, "not-yours";
    /// The request needs a confirmed session.
    NotConfirmed = 25, "not-confirmed";
    /// The node has too much to do right now.
    Busy = 26, "busy";
    /// The version lies more than 1 h ahead of the holder's clock.
    SeqFromFuture = 27, "seq-from-future";
    /// A newer version ended the publication.
    Superseded = 28, "superseded";
    /// Several things carry this name.
    Ambiguous = 29, "ambiguous";
    /// Fewer holders than asked for took a copy.
    TooFewCopies = 30, "too-few-copies";
    /// The command or call was not well formed.
    Usage = 31, "usage";
    /// No daemon answers on the socket.
    NoDaemon = 32, "no-daemon";
    /// The port is taken by another program.
    PortInUse = 33, "port-in-use";
    /// The data folder is taken by another daemon.
    FolderInUse = 34, "folder-in-use";
    /// The data folder cannot be read or written.
    FolderUnusable = 35, "folder-unusable";
    /// The data was written by a newer version.
    VersionTooNew = 36, "version-too-new";
    /// A defect of the node that says so, or a reason of a later revision.
    Internal = 37, "internal";
}

impl Reason {
    /// The number in messages, 1 or more.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The reason with a number; [`Reason::Internal`] when this revision does not know it.
    pub fn from_number(number: i32) -> Self {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| i32::from(reason.number()) == number)
            .unwrap_or(Self::Internal)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// The text names no reason. The text is at fault.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Reason, UnknownReason};
///
/// assert_eq!("no-such-reason".parse::<Reason>(), Err(UnknownReason));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a reason of this version")]
pub struct UnknownReason;

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.as_str() == text)
            .ok_or(UnknownReason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto;

    #[test]
    fn the_list_is_the_one_of_the_schema() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            let number = i32::try_from(index + 1).unwrap();
            let schema = proto::Reason::try_from(number).unwrap();
            let text = schema.as_str_name().strip_prefix("REASON_").unwrap();
            assert_eq!(reason.as_str(), text.to_lowercase().replace('_', "-"));
            assert_eq!(i32::from(reason.number()), number);
            assert_eq!(Reason::from_number(number), *reason);
            assert_eq!(reason.as_str().parse(), Ok(*reason));
        }
        let next = i32::try_from(Reason::ALL.len() + 1).unwrap();
        assert!(proto::Reason::try_from(next).is_err());
    }

    #[test]
    fn a_reason_of_a_later_revision_counts_as_internal() {
        for number in [-1, 0, 38, 300, i32::MAX] {
            assert_eq!(Reason::from_number(number), Reason::Internal);
        }
        assert_eq!("too_large".parse::<Reason>(), Err(UnknownReason));
    }
}
