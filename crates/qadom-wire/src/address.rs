//! Addresses as bytes: the flags and addresses that contacts and hellos share, and the observed
//! address of a pong.
//!
//! What must stay true: what is packed or unpacked holds no IPv4-mapped IPv6 address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use qadom_routing::canonical;

/// The flag of a node that keeps records for others.
pub(crate) const STORING: u8 = 1;
/// The flag that announces 6 bytes of IPv4 address and port.
pub(crate) const HAS_V4: u8 = 2;
/// The flag that announces 18 bytes of IPv6 address and port.
pub(crate) const HAS_V6: u8 = 4;

/// The length in bytes of an observed address: family, 16 bytes of address, port.
pub(crate) const OBSERVED_LENGTH: usize = 19;

/// At most one address of each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) v4: Option<SocketAddrV4>,
    pub(crate) v6: Option<SocketAddrV6>,
}

impl Addresses {
    /// Turns an IPv4-mapped IPv6 address into the IPv4 address; a true IPv4 address wins over it.
    pub(crate) fn new(v4: Option<SocketAddrV4>, v6: Option<SocketAddrV6>) -> Self {
        match v6.map(|v6| canonical(SocketAddr::V6(v6))) {
            Some(SocketAddr::V4(mapped)) => Self {
                v4: v4.or(Some(mapped)),
                v6: None,
            },
            Some(SocketAddr::V6(_)) | None => Self { v4, v6 },
        }
    }

    pub(crate) fn flags(&self, storing: bool) -> u8 {
        [
            (storing, STORING),
            (self.v4.is_some(), HAS_V4),
            (self.v6.is_some(), HAS_V6),
        ]
        .into_iter()
        .filter_map(|(is_set, flag)| is_set.then_some(flag))
        .sum()
    }

    /// The packed length in bytes, flags not included.
    pub(crate) fn packed_length(&self) -> usize {
        self.v4.map_or(0, |_| 6) + self.v6.map_or(0, |_| 18)
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        if let Some(v4) = self.v4 {
            out.extend_from_slice(&v4.ip().octets());
            out.extend_from_slice(&v4.port().to_be_bytes());
        }
        if let Some(v6) = self.v6 {
            out.extend_from_slice(&v6.ip().octets());
            out.extend_from_slice(&v6.port().to_be_bytes());
        }
    }

    /// Takes the addresses that the flags announce off the front; `None` when bytes are missing.
    pub(crate) fn take(flags: u8, bytes: &mut &[u8]) -> Option<Self> {
        let mut v4 = None;
        if flags & HAS_V4 != 0 {
            let address = Ipv4Addr::from(take_array::<4>(bytes)?);
            v4 = Some(SocketAddrV4::new(address, take_port(bytes)?));
        }
        let mut v6 = None;
        if flags & HAS_V6 != 0 {
            let address = Ipv6Addr::from(take_array::<16>(bytes)?);
            v6 = Some(SocketAddrV6::new(address, take_port(bytes)?, 0, 0));
        }
        Some(Self::new(v4, v6))
    }
}

/// Takes an array off the front; `None` when bytes are missing.
pub(crate) fn take_array<const LENGTH: usize>(bytes: &mut &[u8]) -> Option<[u8; LENGTH]> {
    let (array, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*array)
}

fn take_port(bytes: &mut &[u8]) -> Option<u16> {
    take_array(bytes).map(u16::from_be_bytes)
}

pub(crate) fn pack_observed(address: SocketAddr) -> Vec<u8> {
    let address = canonical(address);
    let mut packed = Vec::with_capacity(OBSERVED_LENGTH);
    match address.ip() {
        IpAddr::V4(v4) => {
            packed.push(4);
            packed.extend_from_slice(&v4.octets());
            packed.extend_from_slice(&[0; 12]);
        }
        IpAddr::V6(v6) => {
            packed.push(6);
            packed.extend_from_slice(&v6.octets());
        }
    }
    packed.extend_from_slice(&address.port().to_be_bytes());
    packed
}

/// `None` when the bytes are no observed address.
pub(crate) fn unpack_observed(mut bytes: &[u8]) -> Option<SocketAddr> {
    let [family] = take_array(&mut bytes)?;
    let address = match family {
        4 => {
            let v4 = take_array::<4>(&mut bytes)?;
            take_array::<12>(&mut bytes).filter(|zeros| *zeros == [0; 12])?;
            IpAddr::from(v4)
        }
        6 => IpAddr::from(take_array::<16>(&mut bytes)?),
        _ => return None,
    };
    let port = take_port(&mut bytes)?;
    bytes
        .is_empty()
        .then(|| canonical(SocketAddr::new(address, port)))
}
