//! Which bucket an id belongs to, and in which order buckets lie from a target.
//!
//! A level resolves b bits. Ids that share all bits with the own id before a level and differ in it
//! lie in one of its 2^b - 1 buckets, by how the bits of the level differ: read as a number, 1 to
//! 2^b - 1, the larger the farther. So buckets by falling distance are those of level 0 by falling
//! number, then those of level 1 and so on.

use rand_core::Rng;

use super::RoutingTable;
use crate::bucket::Bucket;
use crate::contact::NodeId;
use crate::key::{KEY_LENGTH, Key};
use crate::moment::Moment;

/// Bits of the key space.
const ID_BITS: u32 = 256;

impl RoutingTable {
    /// The bucket of an id; none for the own one.
    pub(super) fn index(&self, id: &NodeId) -> Option<usize> {
        self.index_of(id.key())
    }

    /// The bucket of a key; none for the own one.
    pub(super) fn index_of(&self, key: &Key) -> Option<usize> {
        let distance = self.own.key().distance(key);
        let shared = distance.shared_bits();
        if shared >= ID_BITS {
            return None;
        }
        let bits = self.config.bits_per_level;
        let level = shared / bits;
        let number = distance.bits(level * bits, bits);
        Some(self.at(usize::try_from(level).ok()?, number))
    }

    /// Buckets of one level.
    pub(super) const fn per_level(&self) -> usize {
        (1 << self.config.bits_per_level) - 1
    }

    const fn at(&self, level: usize, number: usize) -> usize {
        let width = self.per_level();
        level * width + (width - number)
    }

    /// Makes the bucket exist, and all up to the end of the level beyond, so that their refresh can
    /// be noted.
    pub(super) fn grow(&mut self, index: usize, now: Moment) {
        let width = self.per_level();
        let wanted = (index / width + 2) * width;
        if self.buckets.len() < wanted {
            self.buckets.reserve_exact(wanted - self.buckets.len());
            self.buckets.resize_with(wanted, || Bucket::new(now));
        }
    }

    /// The buckets in the order of their distance to a target.
    ///
    /// The ids of a level are as far from the target as the numbers of their buckets are from the
    /// target's own bits there; those of all deeper levels share the own bits there. So no contact
    /// of one bucket stands between two of another, and only the contacts of one bucket have to be
    /// sorted.
    pub(super) fn by_distance(&self, target: &Key) -> impl Iterator<Item = &Bucket> {
        let own = self.own.key().distance(target);
        let bits = self.config.bits_per_level;
        let levels = self.buckets.len() / self.per_level();
        let in_level = move |level: usize| {
            let first = u32::try_from(level)
                .unwrap_or(u32::MAX)
                .saturating_mul(bits);
            own.bits(first, bits)
        };
        let nearer = (0..levels).flat_map(move |level| {
            let own = in_level(level);
            (0..own).map(move |number| (level, number ^ own))
        });
        let last = self.per_level();
        let farther = (0..levels).rev().flat_map(move |level| {
            let own = in_level(level);
            (own + 1..=last).map(move |number| (level, number ^ own))
        });
        let both = nearer.chain(farther);
        both.filter_map(|(level, number)| self.buckets.get(self.at(level, number)))
    }

    /// A random key of a bucket, to refresh it with a lookup. What lies beyond the last bucket
    /// stands for the last one.
    pub fn random_target(&self, bucket: u32, rng: &mut impl Rng) -> Key {
        let mut bytes = [0; KEY_LENGTH];
        rng.fill_bytes(&mut bytes);
        let bits = self.config.bits_per_level;
        let width = u32::try_from(self.per_level()).unwrap_or(1);
        let last = ID_BITS.div_ceil(bits) - 1;
        let level = (bucket / width).min(last);
        let number = if bucket / width > last {
            1
        } else {
            width - bucket % width
        };
        // Bits before the level are the own ones, those of the level differ by the number.
        let own = self.own.key().as_bytes();
        for position in 0..level.saturating_add(1).saturating_mul(bits).min(ID_BITS) {
            let in_level = position.checked_sub(level * bits);
            let is_opposite = in_level.is_some_and(|bit| (number >> (bits - 1 - bit)) & 1 == 1);
            let mask = 0x80_u8 >> (position % 8);
            let byte = usize::try_from(position / 8).unwrap_or(0);
            if let (Some(place), Some(own)) = (bytes.get_mut(byte), own.get(byte)) {
                let bit = (own & mask) ^ if is_opposite { mask } else { 0 };
                *place = (*place & !mask) | bit;
            }
        }
        Key::from_bytes(bytes)
    }
}
