//! The XOR distance between two keys.
//!
//! What must stay true: distances order like the 256-bit numbers they are. They are kept as four
//! words of 64 bits, so that a comparison is one instruction in almost every case.

use core::fmt;

use crate::key::KEY_LENGTH;

/// The XOR of two keys, ordered as an unsigned 256-bit number.
///
/// # Examples
///
/// ```
/// use qadom_routing::{Distance, Key};
///
/// let (one, other) = (Key::from_name(b"one")?, Key::from_name(b"other")?);
/// assert_eq!(one.distance(&other), other.distance(&one));
/// assert_eq!(one.distance(&one), Distance::ZERO);
/// assert_eq!(Distance::from_fraction(0.25).shared_bits(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Distance([u64; 4]);

impl Distance {
    /// The distance of a key to itself.
    pub const ZERO: Self = Self([0; 4]);
    /// The largest distance, 2^256 - 1.
    pub const MAX: Self = Self([u64::MAX; 4]);

    pub(crate) fn between(left: &[u8; KEY_LENGTH], right: &[u8; KEY_LENGTH]) -> Self {
        Self::xor(words(left), words(right))
    }

    pub(crate) fn xor(mut left: [u64; 4], right: [u64; 4]) -> Self {
        for (word, other) in left.iter_mut().zip(right) {
            *word ^= other;
        }
        Self(left)
    }

    /// How many leading bits the two keys share: 0 to 256, 256 for a key and itself.
    pub fn shared_bits(&self) -> u32 {
        let mut bits = 0;
        for word in self.0 {
            bits += word.leading_zeros();
            if word != 0 {
                break;
            }
        }
        bits
    }

    /// Whether bit `index` is set, counted from the most significant one (0 to 255).
    pub fn is_bit_set(&self, index: u32) -> bool {
        let word = usize::try_from(index / 64)
            .ok()
            .and_then(|word| self.0.get(word));
        word.is_some_and(|word| word & (1 << (63 - index % 64)) != 0)
    }

    /// `count` bits from bit `first` on as a number, at most 8; those behind the last are zeros.
    pub(crate) fn bits(&self, first: u32, count: u32) -> usize {
        (first..first + count.min(8)).fold(0, |number, index| {
            (number << 1) | usize::from(index < 256 && self.is_bit_set(index))
        })
    }

    /// The distance that is this fraction of the key space: zero for what is not above 0, the
    /// largest for 1 and above.
    pub fn from_fraction(fraction: f64) -> Self {
        const WORD: f64 = 18_446_744_073_709_551_616.0;
        if fraction >= 1.0 {
            return Self::MAX;
        }
        let mut words = [0; 4];
        let mut left = fraction.max(0.0);
        for word in &mut words {
            left *= WORD;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the whole part of a number from 0 to 2^64 is what is wanted"
            )]
            let whole = left as u64;
            *word = whole;
            #[expect(
                clippy::cast_precision_loss,
                reason = "what was cut off of a float is one without loss"
            )]
            let taken = whole as f64;
            left -= taken;
        }
        Self(words)
    }

    /// The distance as a fraction of the key space, 0 to 1.
    pub fn to_fraction(&self) -> f64 {
        const WORD: f64 = 18_446_744_073_709_551_616.0;
        #[expect(
            clippy::cast_precision_loss,
            reason = "a fraction of the key space needs no more than 53 bits"
        )]
        self.0
            .iter()
            .rev()
            .fold(0.0, |below, &word| (below + word as f64) / WORD)
    }
}

impl fmt::Debug for Distance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Distance(")?;
        self.0
            .iter()
            .try_for_each(|word| write!(formatter, "{word:016x}"))?;
        formatter.write_str(")")
    }
}

/// The four big-endian words of a key.
pub(crate) fn words(bytes: &[u8; KEY_LENGTH]) -> [u64; 4] {
    let mut words = [0; 4];
    for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_be_bytes(*chunk);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::Distance;
    use crate::key::Key;

    #[test]
    fn shared_bits_and_single_bits_agree() {
        for index in 0..256_u32 {
            let mut bytes = [0; 32];
            bytes[index as usize / 8] = 0x80 >> (index % 8);
            let distance = Key::ZERO.distance(&Key::from_bytes(bytes));
            assert_eq!(distance.shared_bits(), index);
            assert!((0..256).all(|bit| distance.is_bit_set(bit) == (bit == index)));
        }
        assert_eq!(Key::ZERO.distance(&Key::ZERO).shared_bits(), 256);
    }

    #[test]
    fn a_fraction_and_its_distance_agree() {
        for fraction in [0.0, 1e-30, 0.001, 0.25, 0.5, 0.9999] {
            let back = Distance::from_fraction(fraction).to_fraction();
            assert!(
                (back - fraction).abs() <= fraction * 1e-15,
                "{fraction}: {back}"
            );
        }
        assert_eq!(Distance::from_fraction(-1.0), Distance::ZERO);
        assert_eq!(Distance::from_fraction(1.0), Distance::MAX);
        assert_eq!(Distance::from_fraction(0.5).shared_bits(), 0);
        assert_eq!(Distance::from_fraction(0.25).bits(0, 3), 0b010);
        assert_eq!(Distance::MAX.bits(254, 4), 0b1100);
    }

    #[test]
    fn fractions_follow_the_number() {
        let half = Key::from_bytes(core::array::from_fn(
            |index| if index == 0 { 0x80 } else { 0 },
        ));
        assert!((Key::ZERO.distance(&half).to_fraction() - 0.5).abs() < 1e-12);
        assert!(Key::ZERO.distance(&Key::MAX).to_fraction() <= 1.0);
    }
}
