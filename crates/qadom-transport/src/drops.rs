//! Why datagrams and messages were dropped, counted.
//!
//! What must stay true: nothing is dropped without being counted here.

use core::fmt;

use crate::address::AddressGroup;

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
    /// A request for which too many wait already; a stranger's is met with silence, a peer's with
    /// `busy`.
    Overloaded = "overloaded",
    /// Our own answer found its session gone, was given twice, or is too long.
    StaleAnswer = "stale-answer",
}

/// How many groups of addresses are followed.
const GROUPS: usize = 32;

/// How often each reason applied, and which groups of addresses were most often the cause.
#[derive(Clone, Debug)]
pub struct Drops {
    counts: [u64; DropReason::ALL.len()],
    total: u64,
    groups: Vec<GroupDrops>,
}

/// A group of addresses that datagrams were dropped from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupDrops {
    /// The group.
    pub group: AddressGroup,
    /// How many of its datagrams were dropped, at most.
    pub count: u64,
    /// By how much that may be too high, because the group was not followed from the start.
    pub error: u64,
}

impl Default for Drops {
    fn default() -> Self {
        Self {
            counts: [0; DropReason::ALL.len()],
            total: 0,
            groups: Vec::new(),
        }
    }
}

impl Drops {
    /// How often this reason applied.
    pub fn count(&self, reason: DropReason) -> u64 {
        self.counts
            .get(reason as usize)
            .copied()
            .unwrap_or_default()
    }

    /// All reasons with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> {
        DropReason::ALL
            .iter()
            .map(|&reason| (reason, self.count(reason)))
    }

    /// The sum of all counts.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The groups of addresses with most drops, the worst first, at most 32. A group that caused
    /// more than one in 32 of all drops is among them. Source addresses of handshakes are not
    /// proven, so a group may be innocent.
    pub fn by_group(&self) -> Vec<GroupDrops> {
        let mut groups = self.groups.clone();
        groups.sort_unstable_by_key(|entry| (core::cmp::Reverse(entry.count), entry.group));
        groups
    }

    pub(crate) fn note(&mut self, reason: DropReason) {
        if let Some(count) = self.counts.get_mut(reason as usize) {
            *count += 1;
            self.total += 1;
        }
    }

    /// Notes where a dropped datagram came from. Among too many groups the least guilty is
    /// forgotten, and its count becomes the newcomer's error (Metwally, Agrawal and El Abbadi:
    /// Efficient computation of frequent and top-k elements in data streams, 2005).
    pub(crate) fn note_group(&mut self, group: AddressGroup) {
        if let Some(entry) = self.groups.iter_mut().find(|entry| entry.group == group) {
            entry.count += 1;
            return;
        }
        let mut entry = GroupDrops {
            group,
            count: 1,
            error: 0,
        };
        if self.groups.len() < GROUPS {
            self.groups.push(entry);
        } else if let Some(least) = self.groups.iter_mut().min_by_key(|entry| entry.count) {
            entry.count += least.count;
            entry.error = least.count;
            *least = entry;
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guilty_group_is_found_among_thousands() {
        let group = |octets: [u8; 4]| AddressGroup::of((octets, 1).into());
        let mut drops = Drops::default();
        for number in 0..10_000u16 {
            let [high, low] = number.to_be_bytes();
            drops.note_group(group([9, high, low, 1]));
            if number.is_multiple_of(16) {
                drops.note_group(group([203, 0, 113, 1]));
            }
        }
        let worst = drops.by_group();
        assert_eq!(worst.len(), GROUPS);
        let guilty = worst
            .iter()
            .find(|entry| entry.group == group([203, 0, 113, 9]))
            .unwrap();
        assert!(guilty.count >= 625);
        assert!(guilty.count - guilty.error <= 625);
    }
}
