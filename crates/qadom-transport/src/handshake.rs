//! The plaintexts of INIT and RESP.
//!
//! What must stay true: `length` counts hello and message; padding is not looked at; an INIT
//! brings exactly one request and a RESP its answer or a busy notice.

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};

use crate::address::{OBSERVED, pack_observed, unpack_observed};
use crate::hello::Hello;
use crate::message::{Envelope, Message};
use crate::reader::Reader;

/// What an INIT says once opened.
#[derive(Debug)]
pub(crate) struct InitPayload {
    pub(crate) hello: Hello,
    pub(crate) message: Message,
}

/// What a RESP says once opened.
#[derive(Debug)]
pub(crate) struct RespPayload {
    pub(crate) reset_token: [u8; 16],
    pub(crate) observed: SocketAddr,
    pub(crate) hello: Hello,
    pub(crate) message: Message,
}

impl InitPayload {
    pub(crate) fn parse(plaintext: &[u8]) -> Option<Self> {
        let (hello, message) = parse_content(Reader::new(plaintext))?;
        Some(Self { hello, message })
    }

    /// Writes an INIT's plaintext of `length` bytes; false when it does not fit.
    pub(crate) fn write(
        hello: &Hello,
        message: &Envelope,
        length: usize,
        out: &mut BytesMut,
    ) -> bool {
        write_content(hello, message, length, out)
    }
}

impl RespPayload {
    pub(crate) fn parse(plaintext: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(plaintext);
        let reset_token = reader.array()?;
        let observed = unpack_observed(&reader.array()?)?;
        let (hello, message) = parse_content(reader)?;
        Some(Self {
            reset_token,
            observed,
            hello,
            message,
        })
    }

    /// Writes a RESP's plaintext of `length` bytes; false when it does not fit.
    pub(crate) fn write(
        front: (&[u8; 16], SocketAddr),
        hello: &Hello,
        message: &Envelope,
        length: usize,
        out: &mut BytesMut,
    ) -> bool {
        out.put_slice(front.0);
        out.put_slice(&pack_observed(front.1));
        write_content(hello, message, length, out)
    }
}

/// How long a request's message may be in an INIT of `length` bytes.
pub(crate) fn init_room(length: usize, hello: &Hello) -> usize {
    length.saturating_sub(crate::packet::INIT_OVERHEAD + 2 + hello.length())
}

/// How long an answer's message may be in a RESP of `length` bytes.
pub(crate) fn resp_room(length: usize, hello: &Hello) -> usize {
    length.saturating_sub(crate::packet::RESP_OVERHEAD + 16 + OBSERVED + 2 + hello.length())
}

fn parse_content(mut reader: Reader<'_>) -> Option<(Hello, Message)> {
    let length = reader.u16()?.into();
    let mut content = Reader::new(reader.take(length)?);
    let hello = Hello::unpack(&mut content)?;
    let message = Message::parse(&Bytes::copy_from_slice(content.rest()))?;
    Some((hello, message))
}

fn write_content(hello: &Hello, message: &Envelope, length: usize, out: &mut BytesMut) -> bool {
    let content = hello.length() + message.length();
    let Ok(counted) = u16::try_from(content) else {
        return false;
    };
    if out.len() + 2 + content > length {
        return false;
    }
    out.put_u16_le(counted);
    hello.pack(out);
    message.write(0, message.length(), out);
    out.put_bytes(0, length - out.len());
    true
}
