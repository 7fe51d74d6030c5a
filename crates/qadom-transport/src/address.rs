//! Addresses as packets carry them: the observed address of 19 bytes, and the groups that caps
//! count by.
//!
//! What must stay true: an IPv4-mapped IPv6 address is the IPv4 address it stands for everywhere
//! in this crate. Which address a node believes to have is the engine's decision.

use core::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::reader::Reader;

/// Bytes of a packed observed address: family, 16 bytes of address, port.
pub(crate) const OBSERVED: usize = 19;

/// Turns an IPv4-mapped IPv6 address into the IPv4 address it stands for.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(v6) => match v6.ip().to_canonical() {
            IpAddr::V4(v4) => SocketAddr::new(v4.into(), v6.port()),
            // A link-local address is reached only with its scope.
            IpAddr::V6(ip) => SocketAddrV6::new(ip, v6.port(), 0, v6.scope_id()).into(),
        },
    }
}

/// Packs an address for the one who sent from it.
pub(crate) fn pack_observed(address: SocketAddr) -> [u8; OBSERVED] {
    let mut packed = [0; OBSERVED];
    let (family, rest) = packed.split_at_mut(1);
    let (ip, port) = rest.split_at_mut(16);
    match address.ip().to_canonical() {
        IpAddr::V4(v4) => {
            family.fill(4);
            ip.iter_mut()
                .zip(v4.octets())
                .for_each(|(to, from)| *to = from);
        }
        IpAddr::V6(v6) => {
            family.fill(6);
            ip.copy_from_slice(&v6.octets());
        }
    }
    port.copy_from_slice(&address.port().to_be_bytes());
    packed
}

/// Reads an observed address; `None` when the family is unknown.
pub(crate) fn unpack_observed(packed: &[u8; OBSERVED]) -> Option<SocketAddr> {
    let mut reader = Reader::new(packed);
    let family = reader.u8()?;
    let ip: [u8; 16] = reader.array()?;
    let port = u16::from_be_bytes(reader.array()?);
    let ip = match family {
        4 => {
            let [a, b, c, d, ..] = ip;
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        6 => Ipv6Addr::from(ip).to_canonical(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// A canonical address in 22 bytes instead of 32, for where there are many.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SmallAddress {
    ip: [u8; 16],
    scope: [u8; 4],
    port: [u8; 2],
}

impl SmallAddress {
    pub(crate) fn of(address: SocketAddr) -> Self {
        let (ip, scope) = match address {
            SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), 0),
            SocketAddr::V6(v6) => (*v6.ip(), v6.scope_id()),
        };
        Self {
            ip: ip.octets(),
            scope: scope.to_ne_bytes(),
            port: address.port().to_ne_bytes(),
        }
    }

    pub(crate) fn address(self) -> SocketAddr {
        let (ip, port) = (Ipv6Addr::from(self.ip), u16::from_ne_bytes(self.port));
        let scope = u32::from_ne_bytes(self.scope);
        canonical(SocketAddrV6::new(ip, port, 0, scope).into())
    }
}

impl fmt::Debug for SmallAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().fmt(formatter)
    }
}

/// The /24 of an IPv4 address or the /48 of an IPv6 one: what one attacker gets for little money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressGroup([u8; 7]);

impl AddressGroup {
    /// The group that an address is in; an IPv4-mapped one is in that of its IPv4 address.
    pub fn of(address: SocketAddr) -> Self {
        match address.ip().to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                Self([4, a, b, c, 0, 0, 0])
            }
            IpAddr::V6(v6) => {
                let mut group = [6; 7];
                group
                    .iter_mut()
                    .skip(1)
                    .zip(v6.octets())
                    .for_each(|(to, from)| *to = from);
                Self(group)
            }
        }
    }

    /// The /16 or /32 around it: what one provider has.
    pub(crate) const fn provider(self) -> Provider {
        let [family, a, b, c, d, ..] = self.0;
        match family {
            4 => Provider([4, a, b, 0, 0]),
            _ => Provider([family, a, b, c, d]),
        }
    }
}

impl fmt::Display for AddressGroup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [family, network @ ..] = self.0;
        if family == 4 {
            let [a, b, c, ..] = network;
            return write!(formatter, "{}/24", Ipv4Addr::new(a, b, c, 0));
        }
        let mut octets = [0; 16];
        octets
            .iter_mut()
            .zip(network)
            .for_each(|(to, from)| *to = from);
        write!(formatter, "{}/48", Ipv6Addr::from(octets))
    }
}

/// The /16 of an IPv4 address or the /32 of an IPv6 one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Provider([u8; 5]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_addresses_are_the_canonical_ones() {
        assert_eq!(size_of::<SmallAddress>(), 22);
        for address in [
            "203.0.113.5:4001",
            "[::ffff:203.0.113.5]:4001",
            "[2001:db8::1]:65535",
            "[fe80::1%7]:1",
            "[::]:0",
        ] {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(SmallAddress::of(address).address(), canonical(address));
        }
    }

    #[test]
    fn groups_are_named_by_their_network() {
        for (address, name, neighbour) in [
            ("203.0.113.5:1", "203.0.113.0/24", "203.0.99.1:1"),
            ("[::ffff:203.0.113.5]:1", "203.0.113.0/24", "203.0.99.1:1"),
            (
                "[2001:db8:7:8::1]:1",
                "2001:db8:7::/48",
                "[2001:db8:9::1]:1",
            ),
        ] {
            let [group, other] =
                [address, neighbour].map(|address| AddressGroup::of(address.parse().unwrap()));
            assert_eq!(group.to_string(), name);
            assert_ne!(group, other);
            assert_eq!(group.provider(), other.provider());
        }
    }
}
