//! Node keys: the secret one, and the check that 32 bytes may name a node.
//!
//! What must stay true: a secret leaves this crate only into the curve work of a suite, and is
//! wiped when dropped. Files and permissions of secrets are the driver's.

use core::fmt;

use zeroize::Zeroize;

use crate::suite::x25519::KeyPair;

/// A node's X25519 secret, wiped from memory when dropped, with its public key beside it.
#[derive(Clone)]
pub struct SecretKey {
    secret: [u8; 32],
    public: [u8; 32],
}

impl SecretKey {
    /// Takes 32 random bytes as a secret; clamping is the curve's business. About 15 µs.
    ///
    /// # Examples
    ///
    /// ```
    /// use qadom_transport::{SecretKey, is_node_key};
    ///
    /// assert!(is_node_key(&SecretKey::from_bytes([7; 32]).public()));
    /// ```
    #[expect(
        clippy::expect_used,
        clippy::missing_panics_doc,
        reason = "any 32 bytes are a secret, and a key pair needs no more than a little memory"
    )]
    pub fn from_bytes(secret: [u8; 32]) -> Self {
        let public = *KeyPair::new(&secret).expect("a key pair").public();
        Self { secret, public }
    }

    /// The public key that names the node.
    pub const fn public(&self) -> [u8; 32] {
        self.public
    }

    /// The secret itself, for a suite's curve work.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.secret
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretKey(..)")
    }
}

/// Whether 32 bytes are a canonical X25519 public key (top bit clear, below 2^255 - 19) that is
/// not of small order on the curve or its twist. Everything that arrives as a node key or as an
/// ephemeral key must pass before any curve work.
pub fn is_node_key(bytes: &[u8; 32]) -> bool {
    /// The two small-order points besides 0, 1 and p - 1, little-endian.
    const SMALL_ORDER: [[u8; 32]; 2] = [
        [
            0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f,
            0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16,
            0x5f, 0x49, 0xb8, 0x00,
        ],
        [
            0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83,
            0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd,
            0xd0, 0x9f, 0x11, 0x57,
        ],
    ];
    let [low, middle @ .., high] = bytes;
    let is_zero_or_one = *low <= 1 && *high == 0 && middle.iter().all(|&byte| byte == 0);
    // p - 1 = 2^255 - 20 ends the canonical range and is of small order itself.
    let is_below_last = *high < 0x7f || middle.iter().any(|&byte| byte != 0xff) || *low < 0xec;
    *high <= 0x7f && is_below_last && !is_zero_or_one && !SMALL_ORDER.contains(bytes)
}
