//! Which record wins: the orders of the protocol (section 4), how an arriving record relates to the
//! held one, and the merging of sorted pages.
//!
//! What must stay true: the orders are total on what is signed, so that merging is commutative,
//! associative and idempotent, and all holders come to the same records whatever the sequence of
//! arrival.

use std::cmp::Ordering;
use std::iter::Peekable;

use crate::signed::{SignedRecord, Verified};

/// How an arriving record relates to the held one of the same identity.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Draft, Identity, Network, Relation, dict_slot, relation};
///
/// let network = Network::new(b"qadom", b"")?.id();
/// let (writer, name) = (Identity::from_seed([7; 32]), dict_slot(b"weather")?);
/// let cell = |text: &'static str, expiry| {
///     writer.sign(&network, Draft::dict_cell(name, text.into(), 1, expiry))
/// };
/// let held = cell("rain", 1_700_000_000)?;
/// let later = cell("rain", 1_700_129_600)?;
/// assert_eq!(relation(&held, &later), Relation::Renewal);
/// let other = cell("sun", 1_700_000_000)?;
/// assert!(matches!(relation(&held, &other), Relation::Conflict { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// It has a higher (stream, seq), and replaces the held one.
    Newer,
    /// It is the same version with the same payload and a later expiry (or, which only a writer that
    /// plays foul makes, with the same expiry and a larger signature), and replaces the held one.
    Renewal,
    /// It is the held one.
    Same,
    /// It is an earlier version, or the same one with an earlier expiry, and changes nothing.
    Stale,
    /// It is the same version with another payload, or a tombstone where the other is none.
    Conflict {
        /// Whether it is larger by [`SignedRecord::order`] and replaces the held one.
        wins: bool,
    },
}

impl SignedRecord {
    /// The order inside one identity: (stream, seq, tombstone, payload hash, expiry, signature). The
    /// larger record wins.
    pub fn order(&self, other: &Self) -> Ordering {
        self.version()
            .cmp(&other.version())
            .then_with(|| self.content().cmp(&other.content()))
            .then_with(|| self.expiry().cmp(&other.expiry()))
            .then_with(|| self.signature().cmp(other.signature()))
    }

    /// The order between the cells of a dict name: (seq, tombstone, payload hash, writer). The
    /// larger cell is the one that readers see.
    pub fn dict_order(&self, other: &Self) -> Ordering {
        self.seq()
            .cmp(&other.seq())
            .then_with(|| self.content().cmp(&other.content()))
            .then_with(|| self.writer().cmp(other.writer()))
    }

    fn version(&self) -> (u64, u64) {
        (self.stream(), self.seq())
    }

    fn content(&self) -> (bool, &[u8; 32]) {
        (self.is_tombstone(), self.payload_hash())
    }
}

/// How an arriving record relates to the held one of the same slot, kind and id.
pub fn relation(held: &SignedRecord, new: &SignedRecord) -> Relation {
    let order = new.order(held);
    match new.version().cmp(&held.version()) {
        Ordering::Greater => Relation::Newer,
        Ordering::Less => Relation::Stale,
        Ordering::Equal if new.content() != held.content() => Relation::Conflict {
            wins: order == Ordering::Greater,
        },
        Ordering::Equal => match order {
            Ordering::Greater => Relation::Renewal,
            Ordering::Equal => Relation::Same,
            Ordering::Less => Relation::Stale,
        },
    }
}

/// The fingerprint of a set of records: BLAKE3 of their sorted hashes, of nothing for no record. The
/// hash of a value is its key.
pub fn fingerprint(hashes: &mut [[u8; 32]]) -> [u8; 32] {
    hashes.sort_unstable();
    blake3::hash(hashes.as_flattened()).into()
}

/// Merges two lists of records of one slot and kind. Both are sorted by id and hold each id at most
/// once, and so is the result; of two records with one id the larger by [`SignedRecord::order`]
/// stays.
pub fn merge(a: Vec<Verified>, b: Vec<Verified>) -> Vec<Verified> {
    let mut merged = Vec::with_capacity(a.len().max(b.len()));
    let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
    while let Some(record) = next_of(&mut a, &mut b) {
        merged.push(record);
    }
    merged
}

fn next_of(
    a: &mut Peekable<impl Iterator<Item = Verified>>,
    b: &mut Peekable<impl Iterator<Item = Verified>>,
) -> Option<Verified> {
    let order = match (a.peek(), b.peek()) {
        (Some(left), Some(right)) => left.id().cmp(right.id()),
        (Some(_), None) => Ordering::Less,
        (None, _) => Ordering::Greater,
    };
    match order {
        Ordering::Less => a.next(),
        Ordering::Greater => b.next(),
        Ordering::Equal => {
            let (left, right) = (a.next()?, b.next()?);
            Some(match left.order(&right) {
                Ordering::Less => right,
                Ordering::Equal | Ordering::Greater => left,
            })
        }
    }
}
