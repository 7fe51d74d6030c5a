//! The layouts of datagrams: fixed headers in and out.
//!
//! What must stay true: the bytes of the protocol's section 6, nothing else; a size, class or
//! reserved byte that it does not have does not parse. What a packet means is the endpoint's.

use bytes::{BufMut, BytesMut};

use crate::address::OBSERVED;
use crate::event::Mismatch;
use crate::reader::Reader;

pub(crate) const INIT: u8 = 0x04;
pub(crate) const RESP: u8 = 0x05;
pub(crate) const COOKIE: u8 = 0x06;
pub(crate) const DATA: u8 = 0x07;
pub(crate) const RESET: u8 = 0x08;
pub(crate) const WHO: u8 = 0x09;
pub(crate) const IAM: u8 = 0x0a;
pub(crate) const MISMATCH: u8 = 0x0b;

/// What kind of packet a datagram begins as, in the words of the protocol page; what begins as none of
/// them is `other`.
pub fn packet_kind(datagram: &[u8]) -> &'static str {
    match datagram.first() {
        Some(&INIT) => "init",
        Some(&RESP) => "resp",
        Some(&COOKIE) => "cookie",
        Some(&DATA) => "data",
        Some(&RESET) => "reset",
        Some(&WHO) => "who",
        Some(&IAM) => "iam",
        Some(&MISMATCH) => "mismatch",
        _ => "other",
    }
}

/// Where INIT's handshake message begins; the bytes before are part of the prologue.
pub(crate) const INIT_HEADER: usize = 16;
/// Where RESP's handshake message begins.
pub(crate) const RESP_HEADER: usize = 12;
/// mac1 and mac2 at the end of INIT and RESP.
pub(crate) const MACS: usize = 32;
/// Bytes of an INIT besides its payload.
pub(crate) const INIT_OVERHEAD: usize = 144;
/// Bytes of a RESP besides its payload.
pub(crate) const RESP_OVERHEAD: usize = 92;
/// Bytes of a DATA packet besides its plaintext.
pub(crate) const DATA_OVERHEAD: usize = 32;
/// Bytes of a WHO.
pub(crate) const WHO_LENGTH: usize = 200;
/// Bytes of a MISMATCH.
pub(crate) const MISMATCH_LENGTH: usize = 32;
/// Bytes of a COOKIE.
pub(crate) const COOKIE_LENGTH: usize = 64;
/// Bytes of a RESET.
pub(crate) const RESET_LENGTH: usize = 24;
/// The sizes of a DATA packet.
const DATA_SIZES: [usize; 5] = [64, 128, 256, 512, 1200];

/// The size that a DATA packet with this plaintext is padded to; `None` when none holds it.
pub(crate) fn data_size(plaintext: usize) -> Option<usize> {
    DATA_SIZES
        .into_iter()
        .find(|&size| plaintext + DATA_OVERHEAD <= size)
}

/// INIT's fields before the handshake message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InitHeader {
    pub(crate) version: u8,
    pub(crate) class: u8,
    pub(crate) sender: u32,
    pub(crate) wire_tag: [u8; 8],
}

impl InitHeader {
    /// Reads the header of an INIT whose length and class agree.
    pub(crate) fn parse(datagram: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(datagram);
        let [kind, version, class, reserved] = reader.array()?;
        let length = match class {
            0 => 512,
            1 => 1200,
            _ => return None,
        };
        let header = Self {
            version,
            class,
            sender: reader.u32()?,
            wire_tag: reader.array()?,
        };
        (kind == INIT && reserved == 0 && datagram.len() == length).then_some(header)
    }

    pub(crate) fn bytes(&self) -> [u8; INIT_HEADER] {
        let mut bytes = [0; INIT_HEADER];
        let mut out = &mut bytes[..];
        out.put_slice(&[INIT, self.version, self.class, 0]);
        out.put_u32_le(self.sender);
        out.put_slice(&self.wire_tag);
        bytes
    }
}

/// RESP's fields before the handshake message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RespHeader {
    pub(crate) version: u8,
    pub(crate) sender: u32,
    pub(crate) receiver: u32,
}

impl RespHeader {
    /// Reads the header of a RESP that is long enough to hold an answer.
    pub(crate) fn parse(datagram: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(datagram);
        let [kind, version, 0, 0] = reader.array()? else {
            return None;
        };
        let header = Self {
            version,
            sender: reader.u32()?,
            receiver: reader.u32()?,
        };
        let is_long_enough = datagram.len() > RESP_OVERHEAD + 16 + OBSERVED + 2;
        (kind == RESP && is_long_enough).then_some(header)
    }

    pub(crate) fn bytes(&self) -> [u8; RESP_HEADER] {
        let mut bytes = [0; RESP_HEADER];
        let mut out = &mut bytes[..];
        out.put_slice(&[RESP, self.version, 0, 0]);
        out.put_u32_le(self.sender);
        out.put_u32_le(self.receiver);
        bytes
    }
}

/// A COOKIE: the sender index of the INIT it answers, and the cookie sealed for that INIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CookiePacket {
    pub(crate) receiver: u32,
    pub(crate) nonce: [u8; 24],
    pub(crate) sealed: [u8; 32],
}

impl CookiePacket {
    pub(crate) fn parse(datagram: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(datagram);
        let [COOKIE, 0, 0, 0] = reader.array()? else {
            return None;
        };
        let packet = Self {
            receiver: reader.u32()?,
            nonce: reader.array()?,
            sealed: reader.array()?,
        };
        (datagram.len() == COOKIE_LENGTH).then_some(packet)
    }

    pub(crate) fn write(&self, out: &mut BytesMut) {
        out.put_slice(&[COOKIE, 0, 0, 0]);
        out.put_u32_le(self.receiver);
        out.put_slice(&self.nonce);
        out.put_slice(&self.sealed);
    }
}

/// DATA's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DataHeader {
    pub(crate) receiver: u32,
    pub(crate) counter: u32,
}

impl DataHeader {
    /// Reads the header of a DATA packet that has one of its sizes and an allowed counter.
    pub(crate) fn parse(datagram: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(datagram);
        let [DATA, 0, 0, 0] = reader.array()? else {
            return None;
        };
        let header = Self {
            receiver: reader.u32()?,
            counter: u32::try_from(reader.u64()?).ok()?,
        };
        DATA_SIZES.contains(&datagram.len()).then_some(header)
    }

    pub(crate) fn bytes(self) -> [u8; crate::suite::DATA_HEADER] {
        let mut bytes = [0; crate::suite::DATA_HEADER];
        let mut out = &mut bytes[..];
        out.put_slice(&[DATA, 0, 0, 0]);
        out.put_u32_le(self.receiver);
        out.put_u64_le(self.counter.into());
        bytes
    }
}

/// Counters that this node uses stay below this; a session that reaches it has ended.
pub(crate) const COUNTER_END: u32 = u32::MAX;

/// A RESET: the index of the DATA it answers, and the token that RESP had given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reset {
    pub(crate) index: u32,
    pub(crate) token: [u8; 16],
}

impl Reset {
    pub(crate) fn parse(datagram: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(datagram);
        let [RESET, 0, 0, 0] = reader.array()? else {
            return None;
        };
        let reset = Self {
            index: reader.u32()?,
            token: reader.array()?,
        };
        (datagram.len() == RESET_LENGTH).then_some(reset)
    }

    pub(crate) fn write(&self, out: &mut BytesMut) {
        out.put_slice(&[RESET, 0, 0, 0]);
        out.put_u32_le(self.index);
        out.put_slice(&self.token);
    }
}

/// A WHO, or the front of an IAM: both carry tag and nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) wire_tag: [u8; 8],
    pub(crate) nonce: [u8; 16],
}

impl Who {
    pub(crate) fn parse(datagram: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(datagram);
        let [WHO, 0, 0, 0] = reader.array()? else {
            return None;
        };
        let who = Self {
            wire_tag: reader.array()?,
            nonce: reader.array()?,
        };
        (datagram.len() == WHO_LENGTH).then_some(who)
    }

    pub(crate) fn write(&self, out: &mut BytesMut) {
        out.put_slice(&[WHO, 0, 0, 0]);
        out.put_slice(&self.wire_tag);
        out.put_slice(&self.nonce);
        out.put_bytes(0, WHO_LENGTH - 28);
    }
}

/// An IAM: who answers a WHO. Unsigned; the observed address in it is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Iam {
    pub(crate) wire_tag: [u8; 8],
    pub(crate) nonce: [u8; 16],
    pub(crate) key: [u8; 32],
    pub(crate) observed: [u8; OBSERVED],
}

impl Iam {
    pub(crate) fn parse(datagram: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(datagram);
        let [IAM, 0, 0, 0] = reader.array()? else {
            return None;
        };
        let iam = Self {
            wire_tag: reader.array()?,
            nonce: reader.array()?,
            key: reader.array()?,
            observed: reader.array()?,
        };
        reader.rest().is_empty().then_some(iam)
    }

    pub(crate) fn write(&self, out: &mut BytesMut) {
        out.put_slice(&[IAM, 0, 0, 0]);
        out.put_slice(&self.wire_tag);
        out.put_slice(&self.nonce);
        out.put_slice(&self.key);
        out.put_slice(&self.observed);
    }
}

/// A MISMATCH: what the refusing node is, and what it refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MismatchPacket {
    /// INIT's sender index, 0 to a WHO.
    pub(crate) receiver: u32,
    /// The first eight bytes of INIT's e or of the WHO's nonce.
    pub(crate) echo: [u8; 8],
    pub(crate) theirs: Mismatch,
}

impl MismatchPacket {
    pub(crate) fn parse(datagram: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(datagram);
        let [MISMATCH, lowest_version, highest_version, k] = reader.array()? else {
            return None;
        };
        let receiver = reader.u32()?;
        let echo = reader.array()?;
        let wire_tag = reader.array()?;
        let network_prefix = reader.array()?;
        let [id_bits, 0, 0, 0] = reader.array()? else {
            return None;
        };
        let theirs = Mismatch {
            lowest_version,
            highest_version,
            k,
            id_bits,
            wire_tag,
            network_prefix,
        };
        reader.rest().is_empty().then_some(Self {
            receiver,
            echo,
            theirs,
        })
    }

    pub(crate) fn write(&self, out: &mut BytesMut) {
        let theirs = &self.theirs;
        out.put_slice(&[
            MISMATCH,
            theirs.lowest_version,
            theirs.highest_version,
            theirs.k,
        ]);
        out.put_u32_le(self.receiver);
        out.put_slice(&self.echo);
        out.put_slice(&theirs.wire_tag);
        out.put_slice(&theirs.network_prefix);
        out.put_slice(&[theirs.id_bits, 0, 0, 0]);
    }
}
