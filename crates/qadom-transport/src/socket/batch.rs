//! Datagrams on their way out, several in one call of the kernel.
//!
//! What must stay true: nothing waits for more to come; datagrams leave in the order in which they
//! were given.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};

use super::{Sent, Socket};
use crate::event::Transmit;

/// The most bytes that one call takes: what fits into one IP packet, with some to spare.
pub(super) const BYTES_MAX: usize = 65_000;

thread_local! {
    /// The send buffer of all sockets that this thread serves.
    static SEND: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Sends the datagrams that a caller has at hand: those that follow each other, go to one peer and
/// have one length (the last may be shorter) leave in one call where the kernel can do that. What
/// is left goes out when the batch is finished or dropped. What the kernel does not take is counted
/// by the socket and gone: requests are sent again.
///
/// # Examples
///
/// ```
/// # fn example(socket: &qadom_transport::Socket, transmits: Vec<qadom_transport::Transmit>) {
/// let mut batch = socket.batch();
/// for transmit in &transmits {
///     batch.push(transmit);
/// }
/// let refused = batch.finish();
/// # }
/// ```
#[derive(Debug)]
pub struct Batch<'a> {
    socket: &'a Socket,
    /// What waits: datagrams of `stride` bytes from and to where `path` says.
    bytes: Vec<u8>,
    path: Option<(Option<IpAddr>, SocketAddr)>,
    stride: usize,
    segments: usize,
    refused: Vec<SocketAddr>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(socket: &'a Socket) -> Self {
        Self {
            socket,
            // Taken out while it is in use, so that a second batch has one of its own.
            bytes: SEND.take(),
            path: None,
            stride: 0,
            segments: socket.segments(),
            refused: Vec::new(),
        }
    }

    /// Sends what is left, and tells the peers that the kernel refused to send to.
    pub fn finish(mut self) -> Vec<SocketAddr> {
        self.flush();
        std::mem::take(&mut self.refused)
    }

    /// Adds a datagram; it leaves now or with its neighbours.
    pub fn push(&mut self, transmit: &Transmit) {
        if !self.has_room_for(transmit) {
            self.flush();
        }
        if self.bytes.is_empty() {
            self.path = Some((transmit.from, transmit.to));
            self.stride = transmit.bytes.len();
        }
        self.bytes.extend_from_slice(&transmit.bytes);
    }

    fn has_room_for(&self, transmit: &Transmit) -> bool {
        let (waiting, length) = (self.bytes.len(), transmit.bytes.len());
        // A shorter datagram is the last one.
        self.path == Some((transmit.from, transmit.to))
            && waiting.checked_rem(self.stride) == Some(0)
            && waiting / self.stride < self.segments
            && (1..=self.stride).contains(&length)
            && waiting + length <= BYTES_MAX
    }

    fn flush(&mut self) {
        if let Some(path) = self.path.take() {
            if self.socket.send_datagrams(path, &self.bytes, self.stride) == Sent::Refused {
                self.refused.push(path.1);
            }
            self.bytes.clear();
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.flush();
        SEND.set(std::mem::take(&mut self.bytes));
    }
}
