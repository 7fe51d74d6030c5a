//! Which network a node belongs to: its name and secret, and what follows from them.
//!
//! What must stay true: the secret is not kept; only its hash leaves the constructor.

use std::fmt;

use crate::limits::{K, MAX_TTL, NAME_MAX, VALUE_MAX};

/// The version of the protocol, fixed for a network.
pub const PROTOCOL_MAJOR: u16 = 1;

/// The name of the network that nodes join by default.
pub const DEFAULT_NETWORK: &[u8] = b"qadom";

/// The shortest secret in bytes that is not empty.
const SECRET_MIN: usize = 32;

/// Says in every handshake and under every signature which network is meant.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Network, NetworkId};
///
/// let open: NetworkId = Network::new(b"qadom", b"")?.id();
/// assert_ne!(open, Network::new(b"other", b"")?.id());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkId([u8; 32]);

impl NetworkId {
    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for NetworkId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("NetworkId(")?;
        for byte in self.0 {
            write!(formatter, "{byte:02x}")?;
        }
        formatter.write_str(")")
    }
}

/// A network: a name, and for private networks a secret.
///
/// # Examples
///
/// ```
/// use qadom_wire::Network;
///
/// let network = Network::new(b"qadom", b"")?;
/// assert_eq!(network.default_id_bits(), 16);
/// let private = Network::new(b"qadom", &[7; 32])?;
/// assert_ne!(network.id(), private.id());
/// # Ok::<(), qadom_wire::NetworkError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    name: Vec<u8>,
    id: NetworkId,
}

/// A name or a secret that no network can have. The caller is at fault.
///
/// # Examples
///
/// ```
/// use qadom_wire::{Network, NetworkError};
///
/// assert_eq!(Network::new(b"", b""), Err(NetworkError::NameLength { length: 0 }));
/// assert_eq!(Network::new(b"mine", b"short"), Err(NetworkError::SecretLength { length: 5 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The name is empty or too long.
    #[error("a network name has 1 to {NAME_MAX} bytes, this one has {length}")]
    NameLength {
        /// The length of the refused name in bytes.
        length: usize,
    },
    /// The name contains a zero byte.
    #[error("a network name has no zero byte, this one has one at position {position}")]
    NameZero {
        /// Where the first zero byte stands, from 0.
        position: usize,
    },
    /// The secret is too short to be one.
    #[error("a network secret is empty or has at least {SECRET_MIN} bytes, this one has {length}")]
    SecretLength {
        /// The length of the refused secret in bytes.
        length: usize,
    },
}

impl Network {
    /// Names a network by 1 to 256 bytes without a zero byte. The secret is empty for an open
    /// network, else at least 32 bytes long.
    ///
    /// # Errors
    ///
    /// [`NetworkError`] when the name or the secret is none.
    pub fn new(name: &[u8], secret: &[u8]) -> Result<Self, NetworkError> {
        let length = name.len();
        if !(1..=NAME_MAX).contains(&length) {
            return Err(NetworkError::NameLength { length });
        }
        if let Some(position) = name.iter().position(|&byte| byte == 0) {
            return Err(NetworkError::NameZero { position });
        }
        if !secret.is_empty() && secret.len() < SECRET_MIN {
            return Err(NetworkError::SecretLength {
                length: secret.len(),
            });
        }
        let mut hasher = blake3::Hasher::new_derive_key("qadom 1 network");
        hasher.update(name).update(&[0]).update(secret);
        Ok(Self {
            name: name.to_vec(),
            id: NetworkId(hasher.finalize().into()),
        })
    }

    /// The name's bytes.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The identity of the network; it depends on the secret.
    pub const fn id(&self) -> NetworkId {
        self.id
    }

    /// The tag of the network together with the parameters that all its nodes share; nodes with
    /// different tags do not talk to each other.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "constants, far below the limits of their types"
    )]
    pub fn wire_tag(&self, id_bits: u8) -> [u8; 8] {
        const K_BYTE: u8 = K as u8;
        const VALUE_MAX_BYTES: [u8; 2] = (VALUE_MAX as u16).to_be_bytes();
        const MAX_TTL_BYTES: [u8; 4] = (MAX_TTL.as_secs() as u32).to_be_bytes();
        let mut tag = [0; 8];
        blake3::Hasher::new_derive_key("qadom 1 parameters")
            .update(&self.id.0)
            .update(&PROTOCOL_MAJOR.to_be_bytes())
            .update(&[K_BYTE, id_bits])
            .update(&VALUE_MAX_BYTES)
            .update(&MAX_TTL_BYTES)
            .finalize_xof()
            .fill(&mut tag);
        tag
    }

    /// Leading zero bits that the puzzle of a node key needs unless set otherwise: 16 in the
    /// network `qadom`, with or without a secret, 0 in all others.
    pub fn default_id_bits(&self) -> u8 {
        if self.name == DEFAULT_NETWORK { 16 } else { 0 }
    }
}
