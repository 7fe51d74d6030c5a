//! The cryptography that an endpoint needs, as a trait: real in [`NoiseSuite`], cheap in a
//! simulator.
//!
//! What must stay true: every implementation keeps the lengths of the real one, and a packet that
//! was changed, or sealed under another key, does not open. Chance comes in as an argument.

use core::fmt;

use zeroize::Zeroize;

use crate::key::SecretKey;

pub use noise::{Handshake, NoiseSuite};

pub(crate) mod x25519;

mod noise;
#[cfg(test)]
mod published;

/// Bytes that an INIT's handshake message has besides its payload: e 32, s 32 + 16, tag 16.
pub const INITIATE_OVERHEAD: usize = 96;

/// Bytes that a RESP's handshake message has besides its payload: e 32, tag 16.
pub const RESPOND_OVERHEAD: usize = 48;

/// Bytes of a DATA packet's header, which is associated data of its seal.
pub const DATA_HEADER: usize = 16;

/// The two keys of a session, from one side; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKeys {
    /// Seals what this side sends.
    pub send: [u8; 32],
    /// Opens what the other side sends.
    pub receive: [u8; 32],
}

impl Drop for SessionKeys {
    fn drop(&mut self) {
        self.send.zeroize();
        self.receive.zeroize();
    }
}

impl fmt::Debug for SessionKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SessionKeys(..)")
    }
}

/// What is fixed before a handshake begins, on either side.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// Both sides must mix in the same bytes.
    pub prologue: &'a [u8],
    /// This side's ephemeral secret: 32 fresh random bytes.
    pub ephemeral: &'a [u8; 32],
}

/// Handshakes, seals and macs of one node.
///
/// The handshake has two messages, each with a payload: the initiator knows the responder's key;
/// the first message brings the initiator's own, encrypted.
pub trait Suite: fmt::Debug + Send + Sized + 'static {
    /// An initiator between its message and the answer; survives answers that do not open.
    type Initiator: fmt::Debug + Send;
    /// A responder between the first message and its own.
    type Responder: fmt::Debug + Send;

    /// A suite for the node with this secret.
    fn new(secret: SecretKey) -> Self;

    /// Writes the first message for the holder of `responder` into `message`, whose length is
    /// the payload's plus [`INITIATE_OVERHEAD`]. `None` when the key is no node key or the
    /// lengths do not fit.
    fn initiate(
        &self,
        opening: Opening<'_>,
        responder: &[u8; 32],
        payload: &[u8],
        message: &mut [u8],
    ) -> Option<Self::Initiator>;

    /// Opens a first message; its payload goes to `payload`, whose length is the message's less
    /// [`INITIATE_OVERHEAD`]. Gives the initiator's key. `None` when it does not open or a key in
    /// it is no node key.
    fn accept(
        &self,
        opening: Opening<'_>,
        message: &[u8],
        payload: &mut [u8],
    ) -> Option<([u8; 32], Self::Responder)>;

    /// Writes the second message into `message`, whose length is the payload's plus
    /// [`RESPOND_OVERHEAD`].
    fn respond(
        &self,
        responder: Self::Responder,
        payload: &[u8],
        message: &mut [u8],
    ) -> Option<SessionKeys>;

    /// Opens the second message; its payload goes to `payload`, whose length is the message's
    /// less [`RESPOND_OVERHEAD`].
    fn complete(
        &self,
        initiator: &mut Self::Initiator,
        message: &[u8],
        payload: &mut [u8],
    ) -> Option<SessionKeys>;

    /// Seals `body` in place and gives its tag.
    fn seal(
        key: &[u8; 32],
        counter: u64,
        header: &[u8; DATA_HEADER],
        body: &mut [u8],
    ) -> Option<[u8; 16]>;

    /// Opens `sealed`, whose last 16 bytes are the tag, in place; gives the plaintext. What is
    /// left in `sealed` when it does not open is undefined.
    fn open<'a>(
        key: &[u8; 32],
        counter: u64,
        header: &[u8; DATA_HEADER],
        sealed: &'a mut [u8],
    ) -> Option<&'a mut [u8]>;

    /// A mac over the concatenation of `parts`, under a key of 16 or 32 bytes.
    fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 16];

    /// Macs as [`mac`](Self::mac) makes them, of several messages under one key: what is faster
    /// together. As many as there are places for.
    fn macs(key: &[u8], messages: &[&[u8]], macs: &mut [[u8; 16]]) {
        for (message, mac) in messages.iter().zip(macs) {
            *mac = Self::mac(key, &[message]);
        }
    }

    /// The mac key that belongs to a node key for the purpose that `label` names.
    fn mac_key(label: &[u8], node_key: &[u8; 32]) -> [u8; 32];
}
