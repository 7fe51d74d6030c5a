//! Why datagrams and messages were dropped, counted.
//!
//! What must stay true: nothing is dropped without being counted here.

use core::fmt;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// Why something was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum DropReason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl DropReason {
            /// All reasons.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The reason in kebab case, as `status` and metrics show it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

reasons! {
    /// The first byte names no packet of this protocol.
    UnknownKind = "unknown-kind",
    /// A size, class or reserved byte that the protocol does not have.
    Malformed = "malformed",
    /// The first mac is wrong: sent without knowing our key, or damaged.
    BadMac = "bad-mac",
    /// The wire tag is foreign: another network or other parameters.
    ForeignNetwork = "foreign-network",
    /// A revision that we do not speak.
    ForeignVersion = "foreign-version",
    /// An INIT that, under load, did not prove its address; it was answered with a cookie.
    UnprovenAddress = "unproven-address",
    /// A cookie that does not open, or the fourth for one handshake.
    BadCookie = "bad-cookie",
    /// The same INIT again, from elsewhere or after its handshake ended.
    Repeated = "repeated",
    /// Too many unproven handshakes, here or from one group of addresses.
    PendingFull = "pending-full",
    /// Too many handshakes a second from one address.
    HandshakeRate = "handshake-rate",
    /// Thirty-two bytes that are no node key.
    BadKey = "bad-key",
    /// A handshake message that did not open.
    BadHandshake = "bad-handshake",
    /// A RESP, MISMATCH or IAM that nothing waits for.
    Unasked = "unasked",
    /// DATA for a session that does not exist.
    NoSession = "no-session",
    /// A packet for a session or handshake from an address that is not its own.
    WrongAddress = "wrong-address",
    /// A counter that was accepted before or is too old.
    Replayed = "replayed",
    /// DATA that did not open.
    BadSeal = "bad-seal",
    /// A packet opened but what it holds breaks the protocol.
    BadFrame = "bad-frame",
    /// An answer to a request that has ended, or that was asked elsewhere.
    LateAnswer = "late-answer",
    /// A request that is being served already.
    DuplicateRequest = "duplicate-request",
    /// A piece that fits no message, or for which there is no room.
    StrayPiece = "stray-piece",
    /// A RESET that matches no session, or more of them than are sent in a second.
    StrayReset = "stray-reset",
    /// A MISMATCH that was not sent, because twenty were in this second.
    MismatchRate = "mismatch-rate",
    /// All confirmed sessions are in use and pinned.
    SessionsFull = "sessions-full",
    /// Our own answer found its session gone, was given twice, or is too long.
    StaleAnswer = "stale-answer",
}

/// How often each reason applied.
#[derive(Clone, Debug)]
pub struct Drops([u64; DropReason::ALL.len()]);

impl Default for Drops {
    fn default() -> Self {
        Self([0; DropReason::ALL.len()])
    }
}

impl Drops {
    /// How often this reason applied.
    pub fn count(&self, reason: DropReason) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or_default()
    }

    /// All reasons with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> {
        DropReason::ALL
            .iter()
            .map(|&reason| (reason, self.count(reason)))
    }

    /// The sum of all counts.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn note(&mut self, reason: DropReason) {
        if let Some(count) = self.0.get_mut(reason as usize) {
            *count += 1;
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
