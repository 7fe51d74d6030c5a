//! The UDP socket of a node, for tokio.
//!
//! What must stay true: no error of the kernel ends a node's loop, each is counted; what the
//! kernel merged into one buffer is split again before anybody looks at it, then told apart by the
//! first byte of each datagram; buffers belong to the thread, not to the socket, so that many nodes
//! of one process share them. Which bytes mean what is the endpoint's and QUIC's business; how many
//! datagrams go into one call is that of `batch`.

mod batch;
#[cfg(any(test, feature = "faults"))]
mod faults;

use core::sync::atomic::{AtomicU64, Ordering};
use std::cell::Cell;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{IpAddr, SocketAddr};

use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::address::canonical;
use crate::endpoint::Traffic;
use crate::event::{Path, Transmit};

pub use self::batch::Batch;

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
    /// Of these, those longer than the way to the peer takes.
    pub too_long: u64,
    /// Of these, those for which an interface, an own address or a route was missing.
    pub unreachable: u64,
    /// Datagrams that found the kernel's send buffer, or a device's, full.
    pub full: u64,
}

/// A bit of the first byte that every QUIC packet has and no packet of this protocol.
const QUIC_BIT: u8 = 0x40;

/// QUIC datagrams of one sender that came in together: one behind the other, each as long as the
/// first but the last.
#[derive(Clone, Copy, Debug)]
pub struct QuicDatagrams<'a> {
    pub(crate) from: SocketAddr,
    /// The own address that they came to.
    pub(crate) local: Option<IpAddr>,
    pub(crate) ecn: Option<EcnCodepoint>,
    /// The length of each but the last, 1 or more.
    pub(crate) stride: usize,
    pub(crate) bytes: &'a [u8],
}

impl QuicDatagrams<'_> {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.bytes.len().div_ceil(self.stride)
    }
}

/// A UDP socket: datagrams are received and sent many at once, and never fragmented.
#[derive(Debug)]
pub struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    /// Whether it has all addresses of the machine.
    is_wildcard: bool,
    receive_errors: AtomicU64,
    send_errors: AtomicU64,
    too_long: AtomicU64,
    unreachable: AtomicU64,
    full: AtomicU64,
    quic: QuicTraffic,
    #[cfg(any(test, feature = "faults"))]
    faults: faults::Faults,
}

/// What QUIC sent and received over a socket.
#[derive(Debug, Default)]
struct QuicTraffic {
    datagrams_in: AtomicU64,
    bytes_in: AtomicU64,
    datagrams_out: AtomicU64,
    bytes_out: AtomicU64,
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
            is_wildcard: address.ip().is_unspecified(),
            receive_errors: AtomicU64::new(0),
            send_errors: AtomicU64::new(0),
            too_long: AtomicU64::new(0),
            unreachable: AtomicU64::new(0),
            full: AtomicU64::new(0),
            quic: QuicTraffic::default(),
            #[cfg(any(test, feature = "faults"))]
            faults: faults::Faults::default(),
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

    /// Takes datagrams as [`receive_batch`](Self::receive_batch) does and hands them on one by one.
    ///
    /// # Errors
    ///
    /// When the socket itself is broken; trying again at once would fail again.
    pub fn receive(
        &self,
        mut on_datagram: impl FnMut(Path, &mut [u8]),
        on_quic: impl FnMut(QuicDatagrams<'_>),
    ) -> io::Result<usize> {
        let each = |batch: &mut [Arrived<'_>]| {
            for (path, datagram) in batch {
                on_datagram(*path, datagram);
            }
        };
        self.receive_batch(each, on_quic)
    }

    /// Takes one batch of the datagrams that are there, without waiting, and says how many there
    /// were; 0 when there are none. QUIC's are told apart from the others. Reports of the kernel
    /// about earlier sendings are counted and end the batch.
    ///
    /// # Errors
    ///
    /// When the socket itself is broken; trying again at once would fail again.
    pub fn receive_batch(
        &self,
        mut on_datagrams: impl FnMut(&mut [Arrived<'_>]),
        mut on_quic: impl FnMut(QuicDatagrams<'_>),
    ) -> io::Result<usize> {
        let is_wildcard = self.is_wildcard;
        let mut on_quic = |run: QuicDatagrams<'_>| {
            add(&self.quic.datagrams_in, run.count());
            add(&self.quic.bytes_in, run.bytes.len());
            on_quic(run);
        };
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
            #[cfg(any(test, feature = "faults"))]
            self.faults.on_receive()?;
            self.state
                .recv(UdpSockRef::from(&self.io), &mut slices, &mut metas)
        });
        let result = match received {
            Ok(count) => {
                let mut arrived: Vec<Arrived<'_>> = Vec::with_capacity(count);
                let mut on_datagram = |remote, local: Option<IpAddr>, datagram| {
                    let local = local.filter(|_| is_wildcard);
                    arrived.push((Path { remote, local }, datagram));
                };
                let batch = buffer.chunks_mut(MERGED).zip(&metas).take(count);
                let taken = batch
                    .map(|(chunk, meta)| split(chunk, meta, &mut on_datagram, &mut on_quic))
                    .sum();
                on_datagrams(&mut arrived);
                Ok(taken)
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
        let path = (transmit.from, transmit.to);
        self.send_datagrams(path, &transmit.bytes, transmit.bytes.len())
    }

    /// Begins to send several datagrams; see [`Batch`].
    pub fn batch(&self) -> Batch<'_> {
        Batch::new(self)
    }

    /// How many datagrams of one length to one peer the kernel takes at once: 1 when it has no
    /// segmentation offload, or when that has failed.
    pub fn segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// How many datagrams of one sender the kernel may merge; 1 when it merges none.
    pub fn merged(&self) -> usize {
        self.state.gro_segments()
    }

    /// Whether the network may cut datagrams in parts.
    pub(crate) fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    /// Sends what lies in `bytes`: datagrams of `stride` bytes each but the last.
    fn send_datagrams(
        &self,
        (from, to): (Option<IpAddr>, SocketAddr),
        bytes: &[u8],
        stride: usize,
    ) -> Sent {
        let is_one = bytes.len() <= stride;
        let datagrams = quinn_udp::Transmit {
            destination: to,
            ecn: None,
            contents: bytes,
            segment_size: (!is_one).then_some(stride),
            src_ip: from,
        };
        match self.attempt(&datagrams) {
            Ok(()) => Sent::Taken,
            Err(error) if is_full(&error) => Sent::Full,
            Err(error) if is_one => {
                self.note_refusal(&error);
                Sent::Refused
            }
            // Not every device segments, and one datagram may be at fault: each by itself.
            Err(_) => {
                let each = bytes.chunks(stride);
                let sent = each.map(|datagram| self.send_datagrams((from, to), datagram, stride));
                sent.filter(|sent| *sent != Sent::Taken)
                    .last()
                    .unwrap_or(Sent::Taken)
            }
        }
    }

    /// Sends datagrams of QUIC, whose losses are QUIC's to mend, as many in one call as fit into it.
    ///
    /// # Errors
    ///
    /// Only `WouldBlock`; other errors are counted. Some may have left before: it is harmless to send them again.
    pub(crate) fn send_quic(&self, datagrams: &quinn_udp::Transmit<'_>) -> io::Result<()> {
        let length = datagrams.contents.len();
        let stride = datagrams.segment_size.unwrap_or(length).max(1);
        let most = (batch::BYTES_MAX / stride).max(1) * stride;
        for contents in datagrams.contents.chunks(most) {
            self.send_quic_at_once(&quinn_udp::Transmit {
                contents,
                segment_size: (contents.len() > stride).then_some(stride),
                ..datagrams.clone()
            })?;
        }
        Ok(())
    }

    fn send_quic_at_once(&self, datagrams: &quinn_udp::Transmit<'_>) -> io::Result<()> {
        match self.attempt(datagrams) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(error),
            Err(error) => {
                // QUIC tries how long datagrams may be; the own network interface may know at once.
                let is_probe = datagrams.segment_size.is_none();
                let is_known = is_probe && error.raw_os_error() == Some(EMSGSIZE);
                if !is_full(&error) && !is_known {
                    self.note_refusal(&error);
                }
                Ok(())
            }
            Ok(()) => {
                add(&self.quic.datagrams_out, count(datagrams));
                add(&self.quic.bytes_out, datagrams.contents.len());
                Ok(())
            }
        }
    }

    /// What QUIC sent and received over this socket, which the endpoint never sees.
    pub fn quic_traffic(&self) -> Traffic {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Traffic {
            datagrams_in: load(&self.quic.datagrams_in),
            bytes_in: load(&self.quic.bytes_in),
            datagrams_out: load(&self.quic.datagrams_out),
            bytes_out: load(&self.quic.bytes_out),
        }
    }

    /// Gives datagrams to the kernel, and counts those that it has no room for.
    fn attempt(&self, datagrams: &quinn_udp::Transmit<'_>) -> io::Result<()> {
        let Err(error) = self.hand_over(datagrams) else {
            return Ok(());
        };
        if is_full(&error) {
            add(&self.full, count(datagrams));
        }
        if error.kind() == ErrorKind::WouldBlock {
            // Tells the runtime, so that `writable` waits.
            return self.io.try_io(Interest::WRITABLE, || Err(error));
        }
        Err(error)
    }

    fn hand_over(&self, datagrams: &quinn_udp::Transmit<'_>) -> io::Result<()> {
        #[cfg(any(test, feature = "faults"))]
        self.faults.on_send()?;
        self.state.try_send(UdpSockRef::from(&self.io), datagrams)
    }

    /// Counts a datagram that the kernel will not send.
    fn note_refusal(&self, error: &io::Error) {
        self.send_errors.fetch_add(1, Ordering::Relaxed);
        let kind = match error.kind() {
            ErrorKind::NetworkDown
            | ErrorKind::NetworkUnreachable
            | ErrorKind::HostUnreachable
            | ErrorKind::AddrNotAvailable => &self.unreachable,
            _ if error.raw_os_error() == Some(EMSGSIZE) => &self.too_long,
            _ => return,
        };
        kind.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the kernel reported errors.
    pub fn errors(&self) -> SocketErrors {
        SocketErrors {
            receive: self.receive_errors.load(Ordering::Relaxed),
            send: self.send_errors.load(Ordering::Relaxed),
            too_long: self.too_long.load(Ordering::Relaxed),
            unreachable: self.unreachable.load(Ordering::Relaxed),
            full: self.full.load(Ordering::Relaxed),
        }
    }
}

/// A datagram, and the way that it came.
pub type Arrived<'a> = (Path, &'a mut [u8]);

/// Hands on the datagrams that the kernel put into one buffer, `stride` bytes each but the last,
/// those of QUIC that follow each other together; says how many there were.
fn split<'a>(
    chunk: &'a mut [u8],
    meta: &RecvMeta,
    on_datagram: &mut impl FnMut(SocketAddr, Option<IpAddr>, &'a mut [u8]),
    on_quic: &mut impl FnMut(QuicDatagrams<'_>),
) -> usize {
    let from = canonical(meta.addr);
    let stride = meta.stride.max(1);
    let mut rest = chunk.get_mut(..meta.len).unwrap_or_default();
    let count = rest.len().div_ceil(stride);
    while !rest.is_empty() {
        let leading = rest.chunks(stride).take_while(|datagram| is_quic(datagram));
        let length = leading.map(<[u8]>::len).sum();
        let (quic, others) = rest.split_at_mut(length);
        if !quic.is_empty() {
            on_quic(QuicDatagrams {
                from,
                local: meta.dst_ip,
                ecn: meta.ecn,
                stride,
                bytes: quic,
            });
        }
        let length = stride.min(others.len());
        let (datagram, behind) = others.split_at_mut(length);
        if !datagram.is_empty() {
            on_datagram(from, meta.dst_ip, datagram);
        }
        rest = behind;
    }
    count
}

fn is_quic(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|byte| byte & QUIC_BIT != 0)
}

/// Whether an error of receiving means that the socket is of no use any more, and not that the
/// network reports something about a datagram sent before.
fn is_broken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidInput | ErrorKind::NotConnected
    ) || matches!(error.raw_os_error(), Some(EBADF | ENOTSOCK))
}

/// How many datagrams leave in one call.
fn count(datagrams: &quinn_udp::Transmit<'_>) -> usize {
    let length = datagrams.contents.len();
    length.div_ceil(datagrams.segment_size.unwrap_or(length).max(1))
}

fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

/// Whether the kernel, or a device, has no room for a datagram now.
fn is_full(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock || error.raw_os_error() == Some(ENOBUFS)
}

/// Linux's number, and that of the BSDs.
const ENOBUFS: i32 = if cfg!(target_os = "linux") { 105 } else { 55 };
/// Linux's number, and that of the BSDs.
const EMSGSIZE: i32 = if cfg!(target_os = "linux") { 90 } else { 40 };
/// The number is the same on all Unix systems; Windows does not use it.
const EBADF: i32 = 9;
/// Linux's number.
const ENOTSOCK: i32 = 88;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_datagrams_are_split_first_and_told_apart_then() {
        // Seven of 200 bytes and one of 100, as the kernel merges what one sender sent.
        let first_bytes = [0x07, 0x40, 0xc3, 0x07, 0x04, 0x7f, 0xff, 0x45];
        let mut chunk = vec![0x40; 2000];
        for (datagram, first) in chunk.chunks_mut(200).zip(first_bytes) {
            datagram.fill(!first);
            datagram[0] = first;
        }
        let meta = RecvMeta {
            addr: "[::ffff:192.0.2.1]:4001".parse().unwrap(),
            len: 1500,
            stride: 200,
            ..RecvMeta::default()
        };
        let from: SocketAddr = "192.0.2.1:4001".parse().unwrap();
        let (mut ours, mut quic) = (Vec::new(), Vec::new());
        let count = split(
            &mut chunk,
            &meta,
            &mut |at, _, datagram| ours.push((at, datagram[0], datagram.len())),
            &mut |run| {
                let firsts: Vec<u8> = run.bytes.chunks(run.stride).map(|each| each[0]).collect();
                assert_eq!((run.from, run.count()), (from, firsts.len()));
                quic.push((firsts, run.bytes.len()));
            },
        );
        assert_eq!(count, 8);
        assert_eq!(ours, [0x07, 0x07, 0x04].map(|first| (from, first, 200)));
        let runs = [(vec![0x40, 0xc3], 400), (vec![0x7f, 0xff, 0x45], 500)];
        assert_eq!(quic, runs);
    }

    #[tokio::test]
    async fn every_error_of_the_kernel_is_counted_and_survived() {
        let [socket, peer] = ["127.0.0.1:0", "127.0.0.1:0"]
            .map(|address| Socket::bind(address.parse().unwrap()).unwrap());
        let to = peer.local_addr().unwrap();
        let transmit = Transmit {
            to,
            from: None,
            bytes: bytes::Bytes::from_static(&[7; 64]),
        };
        let send = |error| {
            socket.fail_sends(Some(error));
            let sent = socket.send(&transmit);
            let mut batch = socket.batch();
            batch.push(&transmit);
            batch.push(&transmit);
            (sent, batch.finish())
        };
        // ENETDOWN, ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL and EMSGSIZE, EPERM, then ENOBUFS.
        for error in [100, 101, 113, 99, EMSGSIZE, 1] {
            assert_eq!(send(error), (Sent::Refused, vec![to]), "{error}");
        }
        assert_eq!(send(ENOBUFS), (Sent::Full, vec![]));
        let expected = SocketErrors {
            receive: 0,
            send: 18,
            too_long: 3,
            unreachable: 12,
            full: 3,
        };
        assert_eq!(socket.errors(), expected);
        socket.fail_sends(None);
        assert_eq!(socket.send(&transmit), Sent::Taken);
        // A report while receiving ends the batch, and the next one brings what came.
        peer.readable().await.unwrap();
        peer.fail_receive(100);
        assert_eq!(peer.receive(|_, _| {}, |_| {}).unwrap(), 0);
        assert_eq!(peer.errors().receive, 1);
        assert_eq!(peer.receive(|_, _| {}, |_| {}).unwrap(), 1);
    }

    #[tokio::test]
    async fn datagrams_that_do_not_fit_into_one_call_leave_in_several() {
        let [socket, peer] = ["127.0.0.1:0", "127.0.0.1:0"]
            .map(|address| Socket::bind(address.parse().unwrap()).unwrap());
        let mut contents = vec![0x40; 10 * 8952 - 1000];
        for (number, datagram) in (0..).zip(contents.chunks_mut(8952)) {
            datagram[1] = number;
        }
        let datagrams = quinn_udp::Transmit {
            destination: peer.local_addr().unwrap(),
            ecn: None,
            contents: &contents,
            segment_size: Some(8952),
            src_ip: None,
        };
        socket.send_quic(&datagrams).unwrap();
        let mut came = Vec::new();
        while came.len() < 10 {
            peer.readable().await.unwrap();
            let take = |run: QuicDatagrams<'_>| {
                let each = run.bytes.chunks(run.stride);
                came.extend(each.map(|datagram| (datagram[1], datagram.len())));
            };
            peer.receive(|_, _| {}, take).unwrap();
        }
        let sent: Vec<_> = (0..10).map(|number| (number, 8952)).collect();
        assert_eq!(came[..9], sent[..9]);
        assert_eq!(came[9], (9, 7952));
        assert_eq!(socket.quic_traffic().datagrams_out, 10);
        assert_eq!(socket.errors(), SocketErrors::default());
    }

    #[tokio::test]
    async fn a_single_datagram_of_quic_that_is_too_long_is_no_error() {
        let socket = Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        socket.fail_sends(Some(EMSGSIZE));
        let send = |segment_size| {
            let datagrams = quinn_udp::Transmit {
                destination: socket.local_addr().unwrap(),
                ecn: None,
                contents: &[0x40; 200],
                segment_size,
                src_ip: None,
            };
            socket.send_quic(&datagrams).unwrap();
            socket.errors().too_long
        };
        assert_eq!(send(None), 0, "how long it may be is tried");
        assert_eq!(send(Some(100)), 1);
    }
}
