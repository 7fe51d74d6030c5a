//! Who and what this node has nothing to do with: blocked by its user, or for lies.
//!
//! What must stay true: there are never more blocks than the limit, each ends when it said it
//! would, and no block that a user made gives way to one that was made for a lie. A lie is bytes
//! that fail their hash or signature; what a clock, a version or a limit refuses is none.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use qadom_routing::{Contact, Key, Moment, NodeId, NodeKey, is_exempt};
use qadom_wire::{Reason, SignedRecord, SourceGroup};

use crate::core::Core;
use crate::engine::Engine;
use crate::journal::JournalEntry;
use crate::publications::journalling::Waiter;
use crate::time::Time;

/// For how long the first lie costs a node its voice.
const FIRST: Duration = Duration::from_hours(1);
/// The longest block for a lie. For as long after a block its cause is remembered.
const LONGEST: Duration = Duration::from_hours(24);
/// Keys of one address group that have to lie before the group is blocked.
const LIARS: usize = 3;

/// What can be blocked.
///
/// # Examples
///
/// ```
/// use qadom_engine::Blocked;
///
#[doc = include_str!("examples/alone.txt")]
/// let key = Blocked::Key("name:x".parse()?);
/// engine.block(now, key, None)?;
/// assert!(engine.is_blocked(now, &key));
/// assert!(engine.unblock(now, &key).is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Blocked {
    /// A node: it is not asked, not answered and not in the table.
    Node(NodeId),
    /// All nodes of an address group. Only lies block one.
    Group(SourceGroup),
    /// A key, slot or file id: nothing under it is taken or served.
    Key(Key),
}

/// Why something is blocked.
///
/// # Examples
///
/// ```
/// use qadom_engine::{BlockCause, Blocked};
///
#[doc = include_str!("examples/alone.txt")]
/// engine.block(now, Blocked::Key("name:x".parse()?), None)?;
/// assert_eq!(engine.blocks(now)[0].cause, BlockCause::ByHand);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockCause {
    /// The user wanted it.
    ByHand,
    /// It lied: the number of blocks that followed each other within a day, this one counted.
    Lies(u32),
}

/// A block, as it stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// What is blocked.
    pub what: Blocked,
    /// Why.
    pub cause: BlockCause,
    /// When it ends; none when it does not end by itself.
    pub until: Option<Moment>,
}

/// The list is full of blocks that the user made. Nothing was changed.
///
/// # Examples
///
/// ```
/// use qadom_engine::{Blocked, TooManyBlocks};
///
#[doc = include_str!("examples/alone.txt")]
/// for number in 0..1024_u32 {
///     engine.block(now, Blocked::Key(format!("int:{number}").parse()?), None)?;
/// }
/// let error = engine.block(now, Blocked::Key("name:x".parse()?), None).unwrap_err();
/// assert_eq!(error, TooManyBlocks { limit: 1024 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no more than {limit} things can be blocked")]
pub struct TooManyBlocks {
    /// Blocks that the list holds at most.
    pub limit: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    cause: BlockCause,
    until: Option<Moment>,
    /// The same in seconds of UTC, as the journal has it.
    until_utc: Option<u64>,
}

/// How often something was blocked for lies, and when that last ended.
#[derive(Clone, Copy, Debug)]
struct Past {
    times: u32,
    ended: Moment,
}

/// The blocks of a node.
#[derive(Debug)]
pub(crate) struct Blocks {
    limit: usize,
    entries: BTreeMap<Blocked, Entry>,
    past: BTreeMap<Blocked, Past>,
    /// The last lie of each key, for groups of which fewer than three keys have lied.
    liars: BTreeMap<(SourceGroup, NodeId), Moment>,
}

impl Blocks {
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            limit,
            entries: BTreeMap::new(),
            past: BTreeMap::new(),
            liars: BTreeMap::new(),
        }
    }

    /// Whether something is blocked now.
    pub(crate) fn is_blocked(&self, what: &Blocked, now: Moment) -> bool {
        let entry = self.entries.get(what);
        entry.is_some_and(|entry| entry.until.is_none_or(|until| now < until))
    }

    /// What is blocked now.
    pub(crate) fn iter(&self, now: Moment) -> impl Iterator<Item = Block> {
        let entries = self.entries.iter();
        entries
            .filter(move |(_, entry)| entry.until.is_none_or(|until| now < until))
            .map(|(what, entry)| Block {
                what: *what,
                cause: entry.cause,
                until: entry.until,
            })
    }

    /// What the user has blocked, with the end of each block in seconds of UTC.
    pub(crate) fn by_hand(&self) -> impl Iterator<Item = (Blocked, Option<u64>)> {
        let entries = self.entries.iter();
        let by_hand = entries.filter(|(_, entry)| entry.cause == BlockCause::ByHand);
        by_hand.map(|(what, entry)| (*what, entry.until_utc))
    }

    /// Blocks something because the user wants it, in place of what blocks it already. Its end is
    /// given as a moment and in seconds of UTC.
    pub(crate) fn block(
        &mut self,
        what: Blocked,
        (until, until_utc): (Option<Moment>, Option<u64>),
        now: Moment,
    ) -> Result<(), TooManyBlocks> {
        self.forget(now);
        if !self.entries.contains_key(&what) && !self.make_room() {
            return Err(TooManyBlocks { limit: self.limit });
        }
        let cause = BlockCause::ByHand;
        let entry = Entry {
            cause,
            until,
            until_utc,
        };
        self.entries.insert(what, entry);
        Ok(())
    }

    /// Ends a block and forgets its cause; tells whether there was one.
    pub(crate) fn unblock(&mut self, what: &Blocked, now: Moment) -> bool {
        let was_blocked = self.is_blocked(what, now);
        self.entries.remove(what);
        self.past.remove(what);
        was_blocked
    }

    /// Blocks a node for a lie, and its address group when it is the third of its keys that lied.
    /// False when the list has no room for it.
    pub(crate) fn on_lie(&mut self, node: NodeId, group: Option<SourceGroup>, now: Moment) -> bool {
        self.forget(now);
        let is_blocked = self.escalate(Blocked::Node(node), now);
        let Some(group) = group else {
            return is_blocked;
        };
        if self.liars.len() >= self.limit && !self.liars.contains_key(&(group, node)) {
            let oldest = self.liars.iter().min_by_key(|(_, at)| **at);
            if let Some(oldest) = oldest.map(|(liar, _)| *liar) {
                self.liars.remove(&oldest);
            }
        }
        self.liars.insert((group, node), now);
        let of_group = |liar: &(SourceGroup, NodeId)| liar.0 == group;
        if self.liars.keys().filter(|liar| of_group(liar)).count() < LIARS {
            return is_blocked;
        }
        self.liars.retain(|liar, _| !of_group(liar));
        self.escalate(Blocked::Group(group), now) && is_blocked
    }

    /// Blocks for an hour, twice as long each time it happens again within a day.
    fn escalate(&mut self, what: Blocked, now: Moment) -> bool {
        if self.is_blocked(&what, now) {
            return true;
        }
        if !self.make_room() {
            return false;
        }
        let times = self.past.remove(&what).map_or(1, |past| past.times + 1);
        let doubled = FIRST.saturating_mul(1 << (times - 1).min(16));
        let until = Some(now + doubled.min(LONGEST));
        let entry = Entry {
            cause: BlockCause::Lies(times),
            until,
            until_utc: None,
        };
        self.entries.insert(what, entry);
        true
    }

    /// Makes room for one more block; the one for a lie that ends first gives way.
    fn make_room(&mut self) -> bool {
        if self.entries.len() < self.limit {
            return true;
        }
        let lies = self.entries.iter();
        let first = lies
            .filter(|(_, entry)| entry.cause != BlockCause::ByHand)
            .min_by_key(|(_, entry)| entry.until);
        let Some(first) = first.map(|(what, _)| *what) else {
            return false;
        };
        self.entries.remove(&first);
        true
    }

    /// Ends what is over, and forgets what ended a day ago.
    fn forget(&mut self, now: Moment) {
        let past = &mut self.past;
        self.entries.retain(|what, entry| {
            let ended = entry.until.filter(|until| *until <= now);
            if let (Some(ended), BlockCause::Lies(times)) = (ended, entry.cause) {
                past.insert(*what, Past { times, ended });
            }
            ended.is_none()
        });
        past.retain(|_, past| now.since(past.ended) < LONGEST);
        while past.len() > self.limit
            && let Some(oldest) = past.iter().min_by_key(|(_, past)| past.ended)
        {
            let oldest = *oldest.0;
            past.remove(&oldest);
        }
        self.liars.retain(|_, at| now.since(*at) < LONGEST);
    }
}

/// Whether a reason stands for a lie of whoever sent the bytes.
pub(crate) const fn is_lie(reason: Reason) -> bool {
    matches!(reason, Reason::BadHash | Reason::BadSignature)
}

impl Core {
    /// Whether nothing is to be heard from or said to a node at an address.
    pub(crate) fn is_blocked(&self, node: &NodeId, address: IpAddr) -> bool {
        let group = SourceGroup::of(address);
        [Blocked::Node(*node), Blocked::Group(group)]
            .iter()
            .any(|what| self.blocks.is_blocked(what, self.moment))
    }

    /// As [`is_blocked`](Self::is_blocked), where a contact is reached from here.
    pub(crate) fn is_contact_blocked(&self, contact: &Contact) -> bool {
        let address = contact.address(self.config.families);
        address.is_some_and(|address| self.is_blocked(contact.id(), address.ip()))
    }

    /// Whether nothing under a key or slot is to be taken or served.
    pub(crate) fn is_key_blocked(&self, key: &Key) -> bool {
        self.blocks.is_blocked(&Blocked::Key(*key), self.moment)
    }

    /// Whether a record lies under a key that is blocked: its slot, or what it is labelled with.
    pub(crate) fn is_record_blocked(&self, record: &SignedRecord) -> bool {
        let label = Key::from_bytes(*record.label());
        self.is_key_blocked(record.slot()) || self.is_key_blocked(&label)
    }

    /// Counts what a peer sent in vain; for a lie the peer is blocked.
    pub(crate) fn refuse(&mut self, key: &NodeKey, address: IpAddr, reason: Reason) {
        self.drops.count(reason);
        if !is_lie(reason) {
            return;
        }
        let group = (!is_exempt(address, self.config.local)).then(|| SourceGroup::of(address));
        if !self.blocks.on_lie(key.id(), group, self.moment) {
            self.drops.count(Reason::Quota);
        }
        self.drop_blocked();
    }

    /// As [`refuse`](Self::refuse), for what came in an answer.
    pub(crate) fn refuse_answer(&mut self, from: &Contact, reason: Reason) {
        match from.address(self.config.families) {
            Some(address) => self.refuse(from.key(), address.ip(), reason),
            None => self.drops.count(reason),
        }
    }

    /// Takes blocked nodes out of the table.
    fn drop_blocked(&mut self) {
        let contacts = self.table.entries().map(|entry| entry.contact);
        let blocked = contacts.filter(|contact| self.is_contact_blocked(contact));
        let blocked: Vec<NodeId> = blocked.map(|contact| *contact.id()).collect();
        for node in &blocked {
            self.forget(node);
        }
    }
}

impl Engine {
    /// Has nothing to do with a node, or neither holds nor serves what is under a key, for this
    /// long or until [`unblock`](Self::unblock). What is held under the key stays on the disk until
    /// it expires, unseen.
    ///
    /// It works at once. Gives the ticket of the journal with which it outlives a restart.
    ///
    /// # Errors
    ///
    /// [`TooManyBlocks`] when as many things as the limit allows are blocked by hand.
    pub fn block(
        &mut self,
        now: Time,
        what: Blocked,
        lasts: Option<Duration>,
    ) -> Result<u64, TooManyBlocks> {
        let now = self.core.corrected(now);
        let until = lasts.map(|lasts| now.moment + lasts);
        let until_utc = lasts.map(|lasts| now.utc_seconds().saturating_add(lasts.as_secs()));
        self.core
            .blocks
            .block(what, (until, until_utc), now.moment)?;
        self.core.drop_blocked();
        let until = until_utc;
        let entry = JournalEntry::Blocked { what, until };
        Ok(self.core.journal(entry, Waiter::default()))
    }

    /// Ends a block, whatever it was made for. Gives the ticket of the journal with which that
    /// outlives a restart; none when there was no block.
    pub fn unblock(&mut self, now: Time, what: &Blocked) -> Option<u64> {
        let was_blocked = self.core.blocks.unblock(what, now.moment);
        was_blocked.then(|| {
            let entry = JournalEntry::Unblocked(*what);
            self.core.journal(entry, Waiter::default())
        })
    }

    /// Whether something is blocked now.
    pub fn is_blocked(&self, now: Time, what: &Blocked) -> bool {
        self.core.blocks.is_blocked(what, now.moment)
    }

    /// Everything that is blocked now.
    pub fn blocks(&self, now: Time) -> Vec<Block> {
        self.core.blocks.iter(now.moment).collect()
    }
}

#[cfg(test)]
mod tests;
