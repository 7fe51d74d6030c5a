//! What a node says of itself when a session begins: whether it keeps records for others, and
//! the addresses it advertises.
//!
//! What must stay true: bytes behind the known fields are skipped, so that later revisions may
//! add some. Whether an advertised address is believed is the engine's decision.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use bytes::{BufMut, BytesMut};

use crate::reader::Reader;

const STORING: u8 = 1;
const HAS_V4: u8 = 2;
const HAS_V6: u8 = 4;

/// What a node says of itself in the first packet it sends to a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// The node keeps records for others.
    pub storing: bool,
    /// The IPv4 address that it asks others to use.
    pub v4: Option<SocketAddrV4>,
    /// The IPv6 address that it asks others to use.
    pub v6: Option<SocketAddrV6>,
}

impl Hello {
    /// Bytes that [`Hello::pack`] writes.
    pub(crate) const fn length(&self) -> usize {
        let v4 = if self.v4.is_some() { 6 } else { 0 };
        let v6 = if self.v6.is_some() { 18 } else { 0 };
        2 + v4 + v6
    }

    pub(crate) fn pack(&self, out: &mut BytesMut) {
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        out.put_u8(u8::try_from(self.length() - 1).unwrap_or(u8::MAX));
        out.put_u8(
            flag(self.storing, STORING)
                | flag(self.v4.is_some(), HAS_V4)
                | flag(self.v6.is_some(), HAS_V6),
        );
        if let Some(v4) = self.v4 {
            out.put_slice(&v4.ip().octets());
            out.put_u16(v4.port());
        }
        if let Some(v6) = self.v6 {
            out.put_slice(&v6.ip().octets());
            out.put_u16(v6.port());
        }
    }

    /// Reads a hello off the front; `None` when its own length does not hold its fields.
    pub(crate) fn unpack(reader: &mut Reader<'_>) -> Option<Self> {
        let length = usize::from(reader.u8()?);
        let mut fields = Reader::new(reader.take(length)?);
        let flags = fields.u8()?;
        let mut hello = Self {
            storing: flags & STORING != 0,
            v4: None,
            v6: None,
        };
        if flags & HAS_V4 != 0 {
            let ip = Ipv4Addr::from(fields.array::<4>()?);
            hello.v4 = Some(SocketAddrV4::new(ip, u16::from_be_bytes(fields.array()?)));
        }
        if flags & HAS_V6 != 0 {
            let ip = Ipv6Addr::from(fields.array::<16>()?);
            let port = u16::from_be_bytes(fields.array()?);
            hello.v6 = Some(SocketAddrV6::new(ip, port, 0, 0));
        }
        Some(hello)
    }
}
