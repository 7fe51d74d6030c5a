//! A point of the 256-bit key space, and its three text forms.
//!
//! What must stay true: a key that was printed reads back as the same key, and no two spellings
//! of one text form give different keys. What a key is *for* (a value, a name, a node) is decided
//! by whoever made it.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use crate::distance::Distance;

/// The length of a key in bytes.
pub const KEY_LENGTH: usize = 32;

/// The length limits of a name in bytes, both inclusive.
pub const NAME_LENGTH: core::ops::RangeInclusive<usize> = 1..=256;

/// A point in `0..2^256`, compared as unsigned big-endian bytes.
///
/// # Examples
///
/// ```
/// use qadom_routing::Key;
///
/// let key: Key = "int:255".parse()?;
/// assert!(key.to_string().ends_with("00ff"));
/// assert_eq!(key.to_string().parse::<Key>()?, key);
/// assert_eq!("name:greeting".parse::<Key>()?, Key::from_name(b"greeting")?);
/// # Ok::<(), qadom_routing::KeyTextError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; KEY_LENGTH]);

impl Key {
    /// The point 0, the lowest key.
    pub const ZERO: Self = Self([0; KEY_LENGTH]);
    /// The point 2^256 - 1, the highest key.
    pub const MAX: Self = Self([0xff; KEY_LENGTH]);

    /// Takes the 32 big-endian bytes of the point.
    pub const fn from_bytes(bytes: [u8; KEY_LENGTH]) -> Self {
        Self(bytes)
    }

    /// Hashes a name of 1 to 256 bytes, taken as given and never normalised.
    ///
    /// # Errors
    ///
    /// [`KeyTextError::NameLength`] when the name is empty or longer than 256 bytes.
    pub fn from_name(name: &[u8]) -> Result<Self, KeyTextError> {
        if NAME_LENGTH.contains(&name.len()) {
            Ok(Self(blake3::derive_key("qadom 1 name", name)))
        } else {
            Err(KeyTextError::NameLength { length: name.len() })
        }
    }

    /// The 32 big-endian bytes of the point.
    pub const fn as_bytes(&self) -> &[u8; KEY_LENGTH] {
        &self.0
    }

    /// The XOR metric of the Kademlia paper (section 2.1).
    pub fn distance(&self, other: &Self) -> Distance {
        Distance::between(&self.0, &other.0)
    }

    /// The decimal digits of the point, without the `int:` prefix.
    pub fn to_decimal(&self) -> String {
        let mut limbs = self.0;
        let mut digits = alloc::vec::Vec::new();
        while limbs.iter().any(|&byte| byte != 0) {
            let mut remainder = 0_u16;
            for byte in &mut limbs {
                let value = (remainder << 8) | u16::from(*byte);
                // Both fit: value < 10 * 256, so the quotient is below 256.
                *byte = u8::try_from(value / 10).unwrap_or(u8::MAX);
                remainder = value % 10;
            }
            digits.push(b'0' + u8::try_from(remainder).unwrap_or(0));
        }
        if digits.is_empty() {
            digits.push(b'0');
        }
        digits
            .iter()
            .rev()
            .map(|&digit| char::from(digit))
            .collect()
    }

    fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 2 * KEY_LENGTH {
            return None;
        }
        let mut bytes = [0; KEY_LENGTH];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            for &digit in pair {
                let value = char::from(digit).to_digit(16)?;
                *byte = (*byte << 4) | u8::try_from(value).ok()?;
            }
        }
        Some(Self(bytes))
    }

    fn from_decimal(text: &str) -> Result<Self, KeyTextError> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(KeyTextError::Decimal);
        }
        let mut bytes = [0; KEY_LENGTH];
        for digit in text.bytes() {
            let mut carry = u16::from(digit - b'0');
            for byte in bytes.iter_mut().rev() {
                let value = u16::from(*byte) * 10 + carry;
                *byte = (value & 0xff) as u8;
                carry = value >> 8;
            }
            if carry != 0 {
                return Err(KeyTextError::TooLarge);
            }
        }
        Ok(Self(bytes))
    }
}

/// Why a text is no key. The text is at fault; nothing was changed.
///
/// # Examples
///
/// ```
/// use qadom_routing::{Key, KeyTextError};
///
/// assert_eq!("hello".parse::<Key>(), Err(KeyTextError::Form));
/// assert_eq!("name:".parse::<Key>(), Err(KeyTextError::NameLength { length: 0 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyTextError {
    /// Neither 64 hexadecimal digits nor one of the prefixed forms.
    #[error("a key is 64 hexadecimal digits, int:<decimal> or name:<text>; use name: for a name")]
    Form,
    /// What follows `int:` is not a plain decimal number.
    #[error("what follows int: has to be a decimal number")]
    Decimal,
    /// What follows `int:` is 2^256 or more.
    #[error("the number that follows int: has to be below 2^256")]
    TooLarge,
    /// The name is empty or longer than 256 bytes.
    #[error("a name has 1 to 256 bytes, this one has {length}")]
    NameLength {
        /// The length of the refused name in bytes.
        length: usize,
    },
}

impl FromStr for Key {
    type Err = KeyTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(name) = text.strip_prefix("name:") {
            Self::from_name(name.as_bytes())
        } else if let Some(decimal) = text.strip_prefix("int:") {
            Self::from_decimal(decimal)
        } else {
            Self::from_hex(text).ok_or(KeyTextError::Form)
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 2 * KEY_LENGTH];
        let (pairs, _) = text.as_chunks_mut::<2>();
        for (pair, byte) in pairs.iter_mut().zip(self.0) {
            *pair = [digit(byte >> 4), digit(byte & 0x0f)];
        }
        formatter.write_str(core::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

const fn digit(nibble: u8) -> u8 {
    match nibble {
        0..10 => b'0' + nibble,
        _ => b'a' + nibble - 10,
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Key({self})")
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    const GOLDEN: &str =
        "44523492095186523269265158000087001266127815262863473237438729878159874507476";

    #[test]
    fn decimal_text_reads_back() {
        let key: Key = alloc::format!("int:{GOLDEN}").parse().unwrap();
        assert_eq!(key.to_decimal(), GOLDEN);
        assert_eq!(key.to_string().parse::<Key>(), Ok(key));
        assert_eq!(Key::ZERO.to_decimal(), "0");
    }

    #[test]
    fn the_highest_key_is_accepted_and_the_next_number_is_not() {
        let highest = alloc::format!("int:{}", Key::MAX.to_decimal());
        assert_eq!(highest.parse::<Key>(), Ok(Key::MAX));
        let next = highest.replace("639935", "639936");
        assert_eq!(next.parse::<Key>(), Err(KeyTextError::TooLarge));
    }

    #[test]
    fn every_other_text_is_refused_with_its_reason() {
        for text in [
            "",
            "abc",
            "0x00",
            &"g".repeat(64),
            &"0".repeat(63),
            &"0".repeat(65),
            "+1",
        ] {
            assert_eq!(text.parse::<Key>(), Err(KeyTextError::Form), "{text}");
        }
        for text in ["int:", "int:-1", "int:+1", "int:1e3", "int: 1"] {
            assert_eq!(text.parse::<Key>(), Err(KeyTextError::Decimal), "{text}");
        }
        let long = alloc::format!("name:{}", "n".repeat(257));
        assert_eq!(
            long.parse::<Key>(),
            Err(KeyTextError::NameLength { length: 257 })
        );
        assert_eq!(
            "name:".parse::<Key>(),
            Err(KeyTextError::NameLength { length: 0 })
        );
        assert!(
            alloc::format!("name:{}", "n".repeat(256))
                .parse::<Key>()
                .is_ok()
        );
    }
}
