//! Who a node is and where it is reached: node keys, node ids, the puzzle, contacts.
//!
//! What must stay true: a [`NodeKey`] is canonical and not of small order, so that no curve
//! operation on it can go wrong, and a [`Contact`] has at least one address. How a contact is
//! packed into bytes is the wire crate's business.

use core::fmt;
use core::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::key::{KEY_LENGTH, Key};

/// An X25519 public key that may name a node: canonical and not of small order.
///
/// # Examples
///
/// ```
/// use qadom_routing::NodeKey;
///
/// let key = NodeKey::new([9; 32])?;
/// assert_eq!(key.as_bytes(), &[9; 32]);
/// assert_eq!(key.id().to_string().len(), 64);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeKey([u8; KEY_LENGTH]);

/// The bytes are no node key: not canonical, or of small order. Whoever sent them is at fault.
///
/// # Examples
///
/// ```
/// use qadom_routing::{NodeKey, NodeKeyError};
///
/// // A key of small order is nobody's.
/// assert_eq!(NodeKey::new([0; 32]), Err(NodeKeyError));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a node key: the 32 bytes are not canonical or of small order")]
pub struct NodeKeyError;

impl NodeKey {
    /// Checks 32 bytes as a node key.
    ///
    /// # Errors
    ///
    /// [`NodeKeyError`] when [`is_node_key`] says no.
    pub fn new(bytes: [u8; KEY_LENGTH]) -> Result<Self, NodeKeyError> {
        if is_node_key(&bytes) {
            Ok(Self(bytes))
        } else {
            Err(NodeKeyError)
        }
    }

    /// The key's 32 bytes, little-endian as X25519 has them.
    pub const fn as_bytes(&self) -> &[u8; KEY_LENGTH] {
        &self.0
    }

    /// The point of the key space where this node stands.
    pub fn id(&self) -> NodeId {
        NodeId(Key::from_bytes(blake3::derive_key(
            "qadom 1 node id",
            &self.0,
        )))
    }

    /// How many leading zero bits the static puzzle of this key has (S/Kademlia, section 4.1;
    /// iterated 256 times so that grinding keys stays dear). About 20 µs.
    pub fn puzzle_bits(&self) -> u32 {
        let mut hash = self.0;
        for _ in 0..256 {
            hash = blake3::derive_key("qadom 1 puzzle", &hash);
        }
        Key::from_bytes(hash).distance(&Key::ZERO).shared_bits()
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "NodeKey({})", Key::from_bytes(self.0))
    }
}

/// Whether 32 bytes are a canonical X25519 public key (top bit clear, below 2^255 - 19) that is
/// not of small order on the curve or its twist.
pub fn is_node_key(bytes: &[u8; KEY_LENGTH]) -> bool {
    /// The two small-order points besides 0, 1 and p - 1, little-endian.
    const SMALL_ORDER: [[u8; KEY_LENGTH]; 2] = [
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

/// The point of the key space where a node stands: `derive("qadom 1 node id", key)`.
///
/// # Examples
///
/// ```
/// use qadom_routing::{Key, NodeId, NodeKey};
///
/// let id: NodeId = NodeKey::new([9; 32])?.id();
/// assert_eq!(NodeId::from(*id.key()), id);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(Key);

impl NodeId {
    /// The id as a key, to measure distances with.
    pub const fn key(&self) -> &Key {
        &self.0
    }
}

impl From<Key> for NodeId {
    /// Names the node that stands at a point, as a user does who types its id.
    fn from(key: Key) -> Self {
        Self(key)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "NodeId({})", self.0)
    }
}

/// The address families that somebody can reach.
///
/// # Examples
///
/// ```
/// use qadom_routing::{Contact, Families, NodeKey};
///
/// let contact = Contact::at(NodeKey::new([9; 32])?, "192.0.2.1:7236".parse()?, true);
/// let v6_only = Families { v4: false, v6: true };
/// assert_eq!(contact.address(v6_only), None);
/// assert!(contact.address(Families::BOTH).is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families {
    /// Reaches IPv4 addresses.
    pub v4: bool,
    /// Reaches IPv6 addresses.
    pub v6: bool,
}

impl Families {
    /// Both families.
    pub const BOTH: Self = Self { v4: true, v6: true };
}

/// A node as others are told of it: its key, its id and at least one address.
///
/// # Examples
///
/// ```
/// use qadom_routing::{Contact, NodeKey};
///
/// let contact = Contact::at(NodeKey::new([9; 32])?, "[::ffff:192.0.2.1]:7236".parse()?, true);
/// // An IPv4-mapped IPv6 address is the IPv4 address.
/// assert_eq!(contact.v4(), Some("192.0.2.1:7236".parse()?));
/// assert!(contact.is_storing() && contact.v6().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    key: NodeKey,
    id: NodeId,
    v4: Option<SocketAddrV4>,
    v6: Option<SocketAddrV6>,
    storing: bool,
}

impl Contact {
    /// Describes a node by its key and its addresses; `None` when both addresses are missing.
    ///
    /// `storing` says whether the node keeps records for others.
    pub fn new(
        key: NodeKey,
        v4: Option<SocketAddrV4>,
        v6: Option<SocketAddrV6>,
        storing: bool,
    ) -> Option<Self> {
        (v4.is_some() || v6.is_some()).then(|| Self {
            key,
            id: key.id(),
            v4,
            v6,
            storing,
        })
    }

    /// Describes a node by its key and the one address its packets come from.
    ///
    /// An IPv4-mapped IPv6 address counts as the IPv4 address it stands for.
    pub fn at(key: NodeKey, address: SocketAddr, storing: bool) -> Self {
        let (v4, v6) = match canonical(address) {
            SocketAddr::V4(v4) => (Some(v4), None),
            SocketAddr::V6(v6) => (None, Some(v6)),
        };
        Self {
            key,
            id: key.id(),
            v4,
            v6,
            storing,
        }
    }

    /// The node's public key.
    pub const fn key(&self) -> &NodeKey {
        &self.key
    }

    /// The node's place in the key space.
    pub const fn id(&self) -> &NodeId {
        &self.id
    }

    /// The IPv4 address, if there is one.
    pub const fn v4(&self) -> Option<SocketAddrV4> {
        self.v4
    }

    /// The IPv6 address, if there is one.
    pub const fn v6(&self) -> Option<SocketAddrV6> {
        self.v6
    }

    /// Whether the node keeps records for others.
    pub const fn is_storing(&self) -> bool {
        self.storing
    }

    /// An address that somebody with these families reaches, IPv4 first.
    pub fn address(&self, families: Families) -> Option<SocketAddr> {
        let v4 = self.v4.filter(|_| families.v4).map(SocketAddr::V4);
        v4.or_else(|| self.v6.filter(|_| families.v6).map(SocketAddr::V6))
    }
}

/// Turns an IPv4-mapped IPv6 address into the IPv4 address it stands for.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
