//! What people write for topics, items, writers, slots and cursors, read in one way by the server
//! and by the command line.
//!
//! What must stay true: a text that is read has one meaning, and one that has none is refused with
//! what it should look like. Keys are read by [`Key`] itself, durations in `duration.rs`.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use data_encoding::HEXLOWER_PERMISSIVE;
use qadom_node::{
    ContentSignature, Cursor, Key, Kind, NAME_MAX, Since, WatchSlot, Writer, dict_slot,
    namespace_slot,
};

/// A text is not what it stands for. Whoever wrote it is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}: {form}")]
pub struct TextError {
    text: String,
    what: &'static str,
    form: &'static str,
}

impl TextError {
    fn new(text: &str, what: &'static str, form: &'static str) -> Self {
        // A page of text would bury what is wrong with it.
        let text = text.chars().take(80).collect();
        Self { text, what, form }
    }
}

/// Reads a topic: a key in one of its text forms, else a name that is hashed.
///
/// # Errors
///
/// [`TextError`] for the empty text, one of more than 256 bytes, and one that begins like a key and
/// is none.
pub fn parse_topic(text: &str) -> Result<Key, TextError> {
    if let Ok(key) = text.parse() {
        return Ok(key);
    }
    let form = "1 to 256 bytes of text, 64 hex digits, int:DECIMAL or name:TEXT";
    if text.starts_with("int:") || text.starts_with("name:") {
        return Err(TextError::new(text, "topic", form));
    }
    Key::from_name(text.as_bytes()).map_err(|_| TextError::new(text, "topic", form))
}

/// Reads a name of the dict: any text of 1 to 256 bytes.
///
/// # Errors
///
/// [`TextError`] for the empty text and for one of more than 256 bytes.
pub fn parse_name(text: &str) -> Result<&str, TextError> {
    if (1..=NAME_MAX).contains(&text.len()) {
        Ok(text)
    } else {
        Err(TextError::new(text, "name", "1 to 256 bytes of text"))
    }
}

/// Reads a value or a message: `hex:` and digits, else the text itself.
///
/// # Errors
///
/// [`TextError`] when what follows `hex:` is not pairs of hex digits.
pub fn parse_value(text: &str) -> Result<Bytes, TextError> {
    match text.strip_prefix("hex:") {
        Some(digits) => hex(digits).ok_or_else(|| {
            TextError::new(text, "value", "pairs of hex digits have to follow hex:")
        }),
        None => Ok(Bytes::copy_from_slice(text.as_bytes())),
    }
}

/// Reads an item of a bag: as a value, or `int:` and a decimal number below 2^256 (32 bytes,
/// big-endian), or `text:` and a text that would else be read as one of these.
///
/// # Errors
///
/// [`TextError`] when what follows the prefix is not of its form.
pub fn parse_item(text: &str) -> Result<Bytes, TextError> {
    if let Some(text) = text.strip_prefix("text:") {
        return Ok(Bytes::copy_from_slice(text.as_bytes()));
    }
    if text.starts_with("int:") {
        let key: Key = text.parse().map_err(|_| {
            TextError::new(
                text,
                "item",
                "a decimal number below 2^256 has to follow int:",
            )
        })?;
        return Ok(Bytes::copy_from_slice(key.as_bytes()));
    }
    parse_value(text)
}

fn hex(digits: &str) -> Option<Bytes> {
    HEXLOWER_PERMISSIVE
        .decode(digits.as_bytes())
        .ok()
        .map(Bytes::from)
}

/// Reads the public key of a writer: 64 hex digits, or `int:` and the decimal number that the
/// Python qadom printed (the 32 bytes, big-endian).
///
/// # Errors
///
/// [`TextError`], also when the bytes are no key that a signature could be checked with.
pub fn parse_writer(text: &str) -> Result<Writer, TextError> {
    let form = "64 hex digits or int:DECIMAL of an Ed25519 public key";
    let refused = || TextError::new(text, "public key", form);
    if text.starts_with("name:") {
        return Err(refused());
    }
    let bytes: Key = text.parse().map_err(|_| refused())?;
    Writer::new(*bytes.as_bytes()).map_err(|_| refused())
}

/// Reads a content signature: 128 hex digits, or `int:` and the decimal number that stands for the
/// 64 bytes, big-endian.
///
/// # Errors
///
/// [`TextError`], also for a number of 2^512 or more.
pub fn parse_signature(text: &str) -> Result<ContentSignature, TextError> {
    let form = "128 hex digits or int:DECIMAL, as it was printed when the entry was set";
    let refused = || TextError::new(text, "signature", form);
    match text.strip_prefix("int:") {
        Some(digits) => decimal(digits)
            .map(ContentSignature::from_bytes)
            .ok_or_else(refused),
        None => text.parse().map_err(|_| refused()),
    }
}

/// The bytes, big-endian, of a decimal number below 2^512.
fn decimal(digits: &str) -> Option<[u8; 64]> {
    let mut bytes = [0; 64];
    if digits.is_empty() {
        return None;
    }
    for digit in digits.chars() {
        let mut carry = digit.to_digit(10)?;
        for byte in bytes.iter_mut().rev() {
            carry += u32::from(*byte) * 10;
            *byte = carry.to_le_bytes()[0];
            carry >>= 8;
        }
        if carry > 0 {
            return None;
        }
    }
    Some(bytes)
}

/// Something that can be watched, as people write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotText {
    text: String,
    slot: WatchSlot,
}

impl SlotText {
    /// The slot that the text names.
    pub const fn slot(&self) -> &WatchSlot {
        &self.slot
    }
}

impl fmt::Display for SlotText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl FromStr for SlotText {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || {
            let form = "bag:KEY, dict:NAME, namespace:PUBLIC_KEY/KEY or topic:TOPIC";
            TextError::new(text, "slot", form)
        };
        let (view, name) = text.split_once(':').ok_or_else(refused)?;
        let (slot, kind) = match view {
            "bag" => (name.parse().map_err(|_| refused())?, Kind::BagItem),
            "dict" => {
                let slot = dict_slot(name.as_bytes()).map_err(|_| refused())?;
                (slot, Kind::DictCell)
            }
            "namespace" => {
                let (writer, key) = name.split_once('/').ok_or_else(refused)?;
                let key: Key = key.parse().map_err(|_| refused())?;
                let slot = namespace_slot(parse_writer(writer)?.as_bytes(), &key);
                (slot, Kind::NamespaceEntry)
            }
            "topic" => (parse_topic(name)?, Kind::Event),
            _ => return Err(refused()),
        };
        let slot = WatchSlot { slot, kind };
        let text = text.to_owned();
        Ok(Self { text, slot })
    }
}

/// Reads from where on a slot is watched: `now`, `0` for the oldest that is held, or the cursor that
/// came with an event.
///
/// # Errors
///
/// [`TextError`] for every other text.
pub fn parse_since(text: &str) -> Result<Since, TextError> {
    if text == "now" {
        return Ok(Since::Now);
    }
    let cursor: Cursor = text.parse().map_err(|_| {
        let form = "now, 0 for the oldest held, or the text that came with an event";
        TextError::new(text, "cursor", form)
    })?;
    Ok(Since::Cursor(cursor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_to_256_bytes() {
        for (length, is_name) in [
            (0, false),
            (1, true),
            (255, true),
            (256, true),
            (257, false),
        ] {
            assert_eq!(parse_name(&"n".repeat(length)).is_ok(), is_name, "{length}");
        }
        assert!(parse_name(&"é".repeat(129)).is_err());
    }

    #[test]
    fn a_signature_is_read_from_hex_digits_and_from_a_decimal_number() {
        let hex = format!("{}01ff", "00".repeat(62));
        assert_eq!(parse_signature("int:511"), parse_signature(&hex));
        assert!(parse_signature(&hex).is_ok());
        // 2^512 - 1, and one more.
        let most = "int:13407807929942597099574024998205846127479365820592393377723561443721764030\
                    07354697680187429816690342769003185818648605085375388281194656994643364900608\
                    4095";
        assert_eq!(parse_signature(most), parse_signature(&"ff".repeat(64)));
        let more = most.replace("4095", "4096");
        for text in ["", "00", "int:", "int:-1", "int:1e3", &more] {
            assert!(parse_signature(text).is_err(), "{text}");
        }
    }
}
