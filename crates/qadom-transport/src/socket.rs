//! The UDP socket of a node, for tokio.
//!
//! What must stay true: no error of the kernel ends a node's loop, each is counted; what the
//! kernel merged into one buffer is split again before anybody looks at it; receive buffers belong
//! to the thread, not to the socket, so that many nodes of one process share them. Which bytes
//! mean what is the endpoint's.

use core::sync::atomic::{AtomicU64, Ordering};
use std::cell::Cell;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::SocketAddr;

use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::address::canonical;
use crate::event::Transmit;

/// Kernel buffers that are asked for, in bytes; the kernel gives what its limits allow.
const BUFFER: usize = 4 * 1024 * 1024;

/// The longest buffer that the kernel merges datagrams into.
const MERGED: usize = 64 * 1024;

/// Why a socket was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another program, or another node, has the port. Choose another one or port 0.
    #[error("the address {0} is in use")]
    InUse(SocketAddr),
    /// The address belongs to no interface of this machine.
    #[error("the address {0} is not one of this machine")]
    NotAvailable(SocketAddr),
    /// The user may not open this port.
    #[error("no permission to open {0}")]
    Denied(SocketAddr),
    /// The machine does not have this address family.
    #[error("the address family of {0} is not supported here")]
    NoFamily(SocketAddr),
    /// The operating system refused for another reason.
    #[error("the socket for {address} could not be opened")]
    Failed {
        /// The address asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
}

/// What became of a datagram that was given to [`Socket::send`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The kernel took it.
    Taken,
    /// The kernel's buffer is full. The caller may keep the datagram in a bounded queue and wait
    /// for [`Socket::writable`], or drop it: requests are sent again.
    Full,
    /// The kernel refused it, as it would again; counted.
    Refused,
}

/// How often the kernel reported errors, by what it was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketErrors {
    /// Reports on receiving, such as that a port we sent to is closed.
    pub receive: u64,
    /// Datagrams refused on sending.
    pub send: u64,
    /// Datagrams that found the kernel's send buffer full.
    pub full: u64,
}

/// A UDP socket: batched receiving, datagrams sent one by one, never fragmented.
#[derive(Debug)]
pub struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    receive_errors: AtomicU64,
    send_errors: AtomicU64,
    full: AtomicU64,
}

thread_local! {
    /// The receive buffer of all sockets that this thread serves.
    static RECEIVE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Socket {
    /// Opens a socket. One on an IPv6 address takes IPv6 only, so that `0.0.0.0` and `[::]` can
    /// both be opened on one port. Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// Why the operating system refused; nothing stays open.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        Self::open(address).map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => BindError::InUse(address),
            ErrorKind::AddrNotAvailable => BindError::NotAvailable(address),
            ErrorKind::PermissionDenied => BindError::Denied(address),
            ErrorKind::Unsupported => BindError::NoFamily(address),
            _ => BindError::Failed {
                address,
                source: error,
            },
        })
    }

    fn open(address: SocketAddr) -> io::Result<Self> {
        let domain = Domain::for_address(address);
        let socket = socket2::Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // Less than asked for is no reason to refuse.
        let _ = socket.set_recv_buffer_size(BUFFER);
        let _ = socket.set_send_buffer_size(BUFFER);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let io = UdpSocket::from_std(socket.into())?;
        let state = UdpSocketState::new(UdpSockRef::from(&io))?;
        Ok(Self {
            io,
            state,
            receive_errors: AtomicU64::new(0),
            send_errors: AtomicU64::new(0),
            full: AtomicU64::new(0),
        })
    }

    /// The address that the socket has, with its real port.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// Waits until datagrams are there.
    ///
    /// # Errors
    ///
    /// Only when the runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        self.io.readable().await
    }

    /// Waits until the kernel takes datagrams again.
    ///
    /// # Errors
    ///
    /// Only when the runtime is shutting down.
    pub async fn writable(&self) -> io::Result<()> {
        self.io.writable().await
    }

    /// Takes one batch of the datagrams that are there, without waiting, and says how many there
    /// were; 0 when there are none. Reports of the kernel about earlier sendings are counted and
    /// end the batch.
    ///
    /// # Errors
    ///
    /// When the socket itself is broken; trying again at once would fail again.
    pub fn receive(&self, mut on_datagram: impl FnMut(SocketAddr, &mut [u8])) -> io::Result<usize> {
        // Taken out while it is in use, so that a callback may receive on another socket.
        let mut buffer = RECEIVE.take();
        if buffer.is_empty() {
            // Zeroed by the kernel, page by page as datagrams come; `resize` would touch all.
            buffer = vec![0; BATCH_SIZE * MERGED];
        }
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let received = self.io.try_io(Interest::READABLE, || {
            let mut chunks = buffer.chunks_mut(MERGED);
            let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
                core::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
            self.state
                .recv(UdpSockRef::from(&self.io), &mut slices, &mut metas)
        });
        let result = match received {
            Ok(count) => {
                let batch = buffer.chunks_mut(MERGED).zip(&metas).take(count);
                Ok(batch
                    .map(|(chunk, meta)| split(chunk, meta, &mut on_datagram))
                    .sum())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) if is_broken(&error) => Err(error),
            Err(_) => {
                self.receive_errors.fetch_add(1, Ordering::Relaxed);
                Ok(0)
            }
        };
        RECEIVE.set(buffer);
        result
    }

    /// Sends a datagram without waiting.
    pub fn send(&self, transmit: &Transmit) -> Sent {
        let datagram = quinn_udp::Transmit {
            destination: transmit.to,
            ecn: None,
            contents: &transmit.bytes,
            segment_size: None,
            src_ip: None,
        };
        match self.state.try_send(UdpSockRef::from(&self.io), &datagram) {
            Ok(()) => Sent::Taken,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                // Tells the runtime, so that `writable` waits.
                let full = self.io.try_io(Interest::WRITABLE, || Err::<(), _>(error));
                debug_assert!(full.is_err(), "the attempt above failed");
                self.full.fetch_add(1, Ordering::Relaxed);
                Sent::Full
            }
            Err(_) => {
                self.send_errors.fetch_add(1, Ordering::Relaxed);
                Sent::Refused
            }
        }
    }

    /// How often the kernel reported errors.
    pub fn errors(&self) -> SocketErrors {
        SocketErrors {
            receive: self.receive_errors.load(Ordering::Relaxed),
            send: self.send_errors.load(Ordering::Relaxed),
            full: self.full.load(Ordering::Relaxed),
        }
    }
}

/// Hands on the datagrams that the kernel put into one buffer, `stride` bytes each but the last.
fn split(
    chunk: &mut [u8],
    meta: &RecvMeta,
    on_datagram: &mut impl FnMut(SocketAddr, &mut [u8]),
) -> usize {
    let from = canonical(meta.addr);
    let filled = chunk.get_mut(..meta.len).unwrap_or_default();
    let datagrams = filled.chunks_mut(meta.stride.max(1));
    datagrams
        .map(|datagram| on_datagram(from, datagram))
        .count()
}

/// Whether an error of receiving means that the socket is of no use any more, and not that the
/// network reports something about a datagram sent before.
fn is_broken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidInput | ErrorKind::NotConnected
    ) || matches!(error.raw_os_error(), Some(EBADF | ENOTSOCK))
}

/// The number is the same on all Unix systems; Windows does not use it.
const EBADF: i32 = 9;
/// Linux's number.
const ENOTSOCK: i32 = 88;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_datagrams_are_split_by_their_stride() {
        let mut chunk = [7u8; 1000];
        let addr = "[::ffff:192.0.2.1]:4001".parse().unwrap();
        let meta = RecvMeta {
            addr,
            len: 500,
            stride: 200,
            ..RecvMeta::default()
        };
        let mut lengths = Vec::new();
        let count = split(&mut chunk, &meta, &mut |from, datagram| {
            assert_eq!(from, "192.0.2.1:4001".parse().unwrap());
            lengths.push(datagram.len());
        });
        assert_eq!((count, lengths), (3, vec![200, 200, 100]));
    }
}
