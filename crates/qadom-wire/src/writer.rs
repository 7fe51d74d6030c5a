//! Who signs: the public key of a writer, the secret behind it, and the signature over a content.
//!
//! What must stay true: a [`Writer`] is canonical and not of small order, so that no signature holds
//! for it without its secret; the secret is wiped from memory and never shown. Not here: what is
//! signed (`record::signed`).

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use qadom_routing::{Key, KeyTextError};

/// The prime of the field, 2^255 - 19, little-endian.
const PRIME: [u8; 32] = {
    let mut prime = [0xff; 32];
    prime[0] = 0xed;
    prime[31] = 0x7f;
    prime
};

/// The canonical y coordinates of the eight points of small order, little-endian: 0 and the two of
/// order 8 and 4, then 1 and p - 1.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    {
        let mut minus_one = PRIME;
        minus_one[0] -= 1;
        minus_one
    },
];

/// A writer's public key: an Ed25519 key, canonical and not of small order. Its text is 64
/// hexadecimal digits; `int:` and decimal digits are read too.
///
/// Whether it lies on the curve is seen when a signature is checked.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Identity, Writer};
///
/// let writer = Identity::from_seed([7; 32]).writer();
/// assert_eq!(writer.to_string().parse(), Ok(writer));
/// assert_eq!(Writer::new(*writer.as_bytes()), Ok(writer));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Writer([u8; 32]);

/// The bytes are no writer's key: not canonical, or of small order. Whoever gave them is at fault.
///
/// # Examples
///
/// ```
/// use qadom_wire::{WeakKey, Writer};
///
/// assert_eq!(Writer::new([0; 32]), Err(WeakKey));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a writer's key has to be canonical and not of small order")]
pub struct WeakKey;

/// The text names no writer. The text is at fault.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Writer, WriterTextError};
///
/// assert_eq!("someone".parse::<Writer>(), Err(WriterTextError::Form));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriterTextError {
    /// Neither 64 hexadecimal digits nor `int:` and a decimal number.
    #[error("a public key is 64 hexadecimal digits or int:<decimal>")]
    Form,
    /// The number that follows `int:` is none, or too large.
    #[error(transparent)]
    Number(#[from] KeyTextError),
    /// The bytes are no writer's key.
    #[error(transparent)]
    Weak(#[from] WeakKey),
}

impl Writer {
    /// Takes a public key of 32 bytes.
    ///
    /// # Errors
    ///
    /// [`WeakKey`] when the key is not canonical or of small order.
    pub fn new(key: [u8; 32]) -> Result<Self, WeakKey> {
        let [rest @ .., last] = key;
        let mut y = [0; 32];
        if let Some((top, low)) = y.split_last_mut() {
            low.copy_from_slice(&rest);
            *top = last & 0x7f;
        }
        let is_canonical = y.iter().rev().lt(PRIME.iter().rev());
        if is_canonical && !SMALL_ORDER.contains(&y) {
            Ok(Self(key))
        } else {
            Err(WeakKey)
        }
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 16 bytes of the BLAKE3 of the key: the writer's name in cursors and event ids.
    pub fn tag(&self) -> [u8; 16] {
        let mut tag = [0; 16];
        let mut hash = blake3::Hasher::new();
        hash.update(&self.0).finalize_xof().fill(&mut tag);
        tag
    }

    /// Whether a signature over a digest holds; R of small order or S not reduced never does.
    pub(crate) fn is_signature(&self, digest: &[u8; 32], signature: &[u8; 64]) -> bool {
        VerifyingKey::from_bytes(&self.0)
            .and_then(|key| key.verify_strict(digest, &Signature::from_bytes(signature)))
            .is_ok()
    }
}

impl FromStr for Writer {
    type Err = WriterTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("name:") {
            return Err(WriterTextError::Form);
        }
        let key: Key = text.parse().map_err(|error| match error {
            KeyTextError::Form => WriterTextError::Form,
            number => WriterTextError::Number(number),
        })?;
        Ok(Self::new(*key.as_bytes())?)
    }
}

impl fmt::Display for Writer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(formatter, &self.0)
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Writer({self})")
    }
}

/// A writer's secret. It is wiped from memory when dropped.
///
/// # Examples
///
/// ```
/// use qadom_routing::Key;
/// use qadom_wire::{Draft, Identity, Network};
///
/// let network = Network::new(b"qadom", b"")?.id();
/// let identity = Identity::from_seed([7; 32]);
/// let draft = Draft::bag_item(Key::ZERO, "hello".into(), 1_700_000_000_000_000, 1_700_129_600);
/// let record = identity.sign(&network, draft)?;
/// assert_eq!(record.writer(), &identity.writer());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Identity(SigningKey);

impl Identity {
    /// The identity that follows from a secret seed. The caller wipes its own copy of the seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&zeroize::Zeroizing::new(seed)))
    }

    /// The secret seed.
    pub fn seed(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The public key.
    pub fn writer(&self) -> Writer {
        Writer(self.0.verifying_key().to_bytes())
    }

    pub(crate) fn sign_digest(&self, digest: &[u8; 32]) -> [u8; 64] {
        self.0.sign(digest).to_bytes()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Identity({})", self.writer())
    }
}

/// A writer's signature over all of a record but its expiry, so that it outlives renewals. Its text
/// is 128 hexadecimal digits.
///
/// # Examples
///
/// ```
/// use qadom_wire::{ContentSignature, Draft, Identity, Network, dict_slot};
///
/// let network = Network::new(b"qadom", b"")?.id();
/// let (writer, name) = (Identity::from_seed([7; 32]), dict_slot(b"weather")?);
/// let cell = |expiry| writer.sign(&network, Draft::dict_cell(name, "rain".into(), 1, expiry));
/// let record = cell(1_700_000_000)?;
/// let signature: ContentSignature = writer.sign_content(&network, &record);
/// // It holds for the renewed record too.
/// assert!(cell(1_700_129_600)?.verify_content(&network, &signature));
/// assert_eq!(signature.to_string().parse(), Ok(signature));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentSignature([u8; 64]);

/// The text is not 128 hexadecimal digits. The text is at fault.
///
/// # Examples
///
/// ```
/// use qadom_wire::{ContentSignature, SignatureTextError};
///
/// assert_eq!("abc".parse::<ContentSignature>(), Err(SignatureTextError));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signature is 128 hexadecimal digits")]
pub struct SignatureTextError;

impl ContentSignature {
    /// Takes a signature of 64 bytes; whether it holds is seen by
    /// [`SignedRecord::verify_content`](crate::SignedRecord::verify_content).
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The 64 bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl FromStr for ContentSignature {
    type Err = SignatureTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (digits, rest) = text.as_bytes().as_chunks::<2>();
        if digits.len() != 64 || !rest.is_empty() {
            return Err(SignatureTextError);
        }
        let mut bytes = [0; 64];
        for (byte, pair) in bytes.iter_mut().zip(digits) {
            for &digit in pair {
                let value = char::from(digit).to_digit(16).ok_or(SignatureTextError)?;
                *byte = (*byte << 4) | u8::try_from(value).map_err(|_| SignatureTextError)?;
            }
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for ContentSignature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(formatter, &self.0)
    }
}

impl fmt::Debug for ContentSignature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ContentSignature({self})")
    }
}

fn write_hex(formatter: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes
        .iter()
        .try_for_each(|byte| write!(formatter, "{byte:02x}"))
}
