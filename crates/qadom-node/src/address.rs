//! How users name nodes: `host:port`, the address text `qadom:<base32 node key>@host:port`, and
//! the node id in hexadecimal.
//!
//! What must stay true: a text that was printed reads back as the same address, and nothing here
//! asks a resolver. Turning host names into addresses is the business of `resolve`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, BASE32_NOPAD_NOCASE, HEXLOWER_PERMISSIVE};
use qadom_routing::{Key, NodeId, NodeKey};

/// The length of the longest host name in bytes, as the DNS has it.
const HOST_MAX: usize = 253;

/// What an address text begins with.
const SCHEME: &str = "qadom:";

/// A host name or IP address with a port from 1 to 65535, as a user types it.
///
/// # Examples
///
/// ```
/// use qadom_node::HostPort;
///
/// let loopback: HostPort = "[::1]:7236".parse()?;
/// assert_eq!((loopback.host(), loopback.port()), ("::1", 7236));
/// assert_eq!(loopback.to_string(), "[::1]:7236");
/// assert!("example.org".parse::<HostPort>().is_err());
/// # Ok::<(), qadom_node::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    host: String,
    port: u16,
}

impl HostPort {
    /// The host name or IP address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, 1 to 65535.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The socket address, when the host is an IP address and not a name.
    pub fn socket_address(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.host.parse().ok()?;
        Some(SocketAddr::new(ip, self.port))
    }
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: address.ip().to_string(),
            port: address.port(),
        }
    }
}

impl FromStr for HostPort {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || AddressError::Form {
            text: text.to_owned(),
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(form)?;
        let port = port
            .parse()
            .ok()
            .filter(|&number| number != 0 && !port.starts_with('+'))
            .ok_or_else(|| AddressError::Port {
                text: port.to_owned(),
            })?;
        let host = match host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            Some(inside) => inside.parse::<Ipv6Addr>().map_err(|_| form())?.to_string(),
            None if is_host(host) => host.to_owned(),
            None => return Err(form()),
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

fn is_host(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !text.is_empty() && text.len() <= HOST_MAX && text.bytes().all(is_allowed)
}

/// A node with its key and the place where it is reached: `qadom:<base32 node key>@host:port`.
///
/// Whoever joins by it in place of a bare `host:port` saves a round trip and cannot be led to
/// another node.
///
/// # Examples
///
/// ```
/// use qadom_node::NodeAddress;
///
/// let text = "qadom:ae4aydc4ay5jjqdoytmbfsd2bjk3zj7b6eb3ehfxaw7xhijeyjta@127.0.0.1:7236";
/// let address: NodeAddress = text.parse()?;
/// assert_eq!(address.to_string(), text);
/// # Ok::<(), qadom_node::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeAddress {
    key: NodeKey,
    at: HostPort,
}

impl NodeAddress {
    /// Joins a node key and the place where the node is reached.
    pub fn new(key: NodeKey, at: impl Into<HostPort>) -> Self {
        Self { key, at: at.into() }
    }

    /// The node's public key.
    pub const fn key(&self) -> &NodeKey {
        &self.key
    }

    /// The node's place in the key space.
    pub fn id(&self) -> NodeId {
        self.key.id()
    }

    /// Where the node is reached.
    pub const fn host_port(&self) -> &HostPort {
        &self.at
    }
}

impl FromStr for NodeAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (key, at) = text
            .strip_prefix(SCHEME)
            .and_then(|rest| rest.split_once('@'))
            .ok_or_else(|| AddressError::Form {
                text: text.to_owned(),
            })?;
        let key = BASE32_NOPAD_NOCASE
            .decode(key.as_bytes())
            .ok()
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
            .and_then(|bytes| NodeKey::new(bytes).ok())
            .ok_or_else(|| AddressError::Key {
                text: key.to_owned(),
            })?;
        Ok(Self {
            key,
            at: at.parse()?,
        })
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = BASE32_NOPAD.encode(self.key.as_bytes()).to_lowercase();
        write!(formatter, "{SCHEME}{key}@{}", self.at)
    }
}

/// Where a node is asked to join a network: `host:port`, or the address text of a node.
///
/// # Examples
///
/// ```
/// use qadom_node::JoinAddress;
///
/// // Anybody who answers there, or the node with this key alone.
/// let plain: JoinAddress = "example.org:7236".parse()?;
/// assert_eq!(plain.key(), None);
/// let text = "qadom:ae4aydc4ay5jjqdoytmbfsd2bjk3zj7b6eb3ehfxaw7xhijeyjta@127.0.0.1:7236";
/// let known: JoinAddress = text.parse()?;
/// assert!(known.key().is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum JoinAddress {
    /// A place whose node key is asked for first, which costs one round trip more.
    Plain(HostPort),
    /// A node whose key is known.
    Node(NodeAddress),
}

impl JoinAddress {
    /// Where the node is reached.
    pub const fn host_port(&self) -> &HostPort {
        match self {
            Self::Plain(at) => at,
            Self::Node(node) => node.host_port(),
        }
    }

    /// The node's key, when the address names it.
    pub const fn key(&self) -> Option<&NodeKey> {
        match self {
            Self::Plain(_) => None,
            Self::Node(node) => Some(node.key()),
        }
    }
}

impl From<SocketAddr> for JoinAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Plain(address.into())
    }
}

impl From<NodeAddress> for JoinAddress {
    fn from(address: NodeAddress) -> Self {
        Self::Node(address)
    }
}

impl FromStr for JoinAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with(SCHEME) {
            text.parse().map(Self::Node)
        } else {
            text.parse().map(Self::Plain)
        }
    }
}

impl fmt::Display for JoinAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(at) => at.fmt(formatter),
            Self::Node(node) => node.fmt(formatter),
        }
    }
}

/// How a user names one node: by its id, by its address text, or by a place where it answers.
///
/// # Examples
///
/// ```
/// use qadom_node::NodeName;
///
/// let plain: NodeName = "127.0.0.1:7236".parse()?;
/// assert!(matches!(plain, NodeName::Plain(_)));
/// let id: NodeName = "626f674b4ba4fed89391a3390a68e8fdc9ccfff9d77b16c25a62d4c550dac2d4".parse()?;
/// assert!(matches!(id, NodeName::Id(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NodeName {
    /// The node id, 64 hexadecimal digits. The node is looked up when it is no neighbour.
    Id(NodeId),
    /// The address text.
    Address(NodeAddress),
    /// Whoever answers at `host:port`.
    Plain(HostPort),
}

impl From<NodeId> for NodeName {
    fn from(id: NodeId) -> Self {
        Self::Id(id)
    }
}

impl From<NodeAddress> for NodeName {
    fn from(address: NodeAddress) -> Self {
        Self::Address(address)
    }
}

impl FromStr for NodeName {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with(SCHEME) {
            return text.parse().map(Self::Address);
        }
        let id = HEXLOWER_PERMISSIVE
            .decode(text.as_bytes())
            .ok()
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        match id {
            Some(bytes) => Ok(Self::Id(NodeId::from(Key::from_bytes(bytes)))),
            None => text.parse().map(Self::Plain),
        }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(formatter),
            Self::Address(address) => address.fmt(formatter),
            Self::Plain(at) => at.fmt(formatter),
        }
    }
}

/// Why a text is no address. The text is at fault; nothing was changed.
///
/// # Examples
///
/// ```
/// use qadom_node::{AddressError, HostPort};
///
/// let error = "example.org:0".parse::<HostPort>().unwrap_err();
/// assert_eq!(error, AddressError::Port { text: "0".to_owned() });
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Neither `host:port` nor an address text.
    #[error("`{text}` is no address: wanted host:port or qadom:<node key>@host:port")]
    Form {
        /// What was given.
        text: String,
    },
    /// What stands between `qadom:` and `@` is no node key.
    #[error("`{text}` is no node key: wanted 52 base32 digits as a node prints them")]
    Key {
        /// What was given.
        text: String,
    },
    /// The port is not a number from 1 to 65535.
    #[error("`{text}` is no port: wanted a number from 1 to 65535")]
    Port {
        /// What was given.
        text: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ae4aydc4ay5jjqdoytmbfsd2bjk3zj7b6eb3ehfxaw7xhijeyjta";

    #[test]
    fn every_form_reads_back_as_it_was_printed() {
        for text in [
            "localhost:1",
            "a-b.example_1.org:65535",
            "192.0.2.1:7236",
            "[2001:db8::1]:7236",
            &format!("qadom:{KEY}@[::1]:7236"),
        ] {
            assert_eq!(text.parse::<JoinAddress>().unwrap().to_string(), text);
            assert_eq!(text.parse::<NodeName>().unwrap().to_string(), text);
        }
        let id = "0f".repeat(32);
        assert!(matches!(id.parse(), Ok(NodeName::Id(_))));
        assert_eq!(id.parse::<NodeName>().unwrap().to_string(), id);
    }

    #[test]
    fn node_keys_are_read_in_either_case_and_printed_in_one() {
        let upper = format!("qadom:{}@h:1", KEY.to_uppercase());
        let address: NodeAddress = upper.parse().unwrap();
        assert_eq!(address.to_string(), format!("qadom:{KEY}@h:1"));
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_reason() {
        let parse = |text: &str| text.parse::<JoinAddress>();
        for text in [
            "",
            "host",
            ":1",
            "::1:80",
            "[::1:80",
            "[host]:80",
            "a b:1",
            "h@st:1",
        ] {
            assert!(
                matches!(parse(text), Err(AddressError::Form { .. })),
                "{text}"
            );
        }
        for text in ["h:", "h:0", "h:65536", "h:+1", "h:-1", "h:http"] {
            assert!(
                matches!(parse(text), Err(AddressError::Port { .. })),
                "{text}"
            );
        }
        // The last digit carries bits beyond the 256th; a key of zeros is of small order.
        let spare = format!("qadom:{}b@h:1", &KEY[..51]);
        let zeros = format!("qadom:{}@h:1", "a".repeat(52));
        for text in [
            "qadom:abc@h:1",
            "qadom:@h:1",
            spare.as_str(),
            zeros.as_str(),
        ] {
            assert!(
                matches!(parse(text), Err(AddressError::Key { .. })),
                "{text}"
            );
        }
        assert!(matches!(parse("qadom:h:1"), Err(AddressError::Form { .. })));
        assert!(parse(&format!("{}:1", "h".repeat(253))).is_ok());
        assert!(parse(&format!("{}:1", "h".repeat(254))).is_err());
    }
}
