//! Between the node's sockets and the library: datagrams come from a bounded queue that the node
//! fills, and leave through the sockets.
//!
//! What must stay true: the sockets belong to the node, which may close them at any time; what
//! does not fit into the queue is dropped and counted; first packets are tried out before. The library sees IPv6 addresses alone, with
//! IPv4 ones mapped, so that one endpoint serves both families.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use quinn::{AsyncUdpSocket, UdpPoller};
use quinn_udp::{EcnCodepoint, RecvMeta, Transmit};

use super::lock;
use super::rehearsal::{Outcome, Rehearsal};
use crate::address::canonical;
use crate::socket::{QuicDatagrams, Socket};

#[cfg(test)]
pub(super) use self::faults::Fault;

#[cfg(test)]
mod faults;

/// The most bytes that wait for the library: more would only lie there, and out of the caches.
const QUEUE_MAX: usize = 1024 * 1024;

/// What the library takes for a socket.
#[derive(Debug)]
pub(super) struct Port {
    sockets: Vec<(bool, Weak<Socket>)>,
    queue: Mutex<Queue>,
    dropped: AtomicU64,
    defects: AtomicU64,
    rehearsal: Mutex<Option<Rehearsal>>,
    #[cfg(test)]
    faults: faults::Faults,
}

#[derive(Debug, Default)]
struct Queue {
    runs: VecDeque<Run>,
    bytes: usize,
    reader: Option<Waker>,
}

/// Datagrams of one sender, `stride` bytes each but the last.
#[derive(Debug)]
struct Run {
    from: SocketAddr,
    local: Option<IpAddr>,
    ecn: Option<EcnCodepoint>,
    stride: usize,
    bytes: Bytes,
    /// Whether the library may have it.
    is_tried: bool,
}

impl Run {
    /// What the library is told of this many of the bytes.
    fn meta(&self, length: usize) -> RecvMeta {
        RecvMeta {
            addr: self.from,
            len: length,
            stride: self.stride,
            ecn: self.ecn,
            dst_ip: self.local,
        }
    }
}

impl Port {
    pub(super) fn new(sockets: &[&Arc<Socket>]) -> Self {
        let sockets = sockets.iter().filter_map(|socket| {
            let address = socket.local_addr().ok()?;
            Some((address.is_ipv4(), Arc::downgrade(socket)))
        });
        Self {
            sockets: sockets.collect(),
            queue: Mutex::default(),
            dropped: AtomicU64::new(0),
            defects: AtomicU64::new(0),
            rehearsal: Mutex::new(None),
            #[cfg(test)]
            faults: faults::Faults::default(),
        }
    }

    /// Hands datagrams to the library, or drops them when too much waits.
    pub(super) fn push(&self, datagrams: &QuicDatagrams<'_>) {
        let run = Run {
            from: mapped(datagrams.from),
            local: datagrams.local,
            ecn: datagrams.ecn,
            stride: datagrams.stride,
            is_tried: false,
            bytes: Bytes::copy_from_slice(datagrams.bytes),
        };
        let mut queue = lock(&self.queue);
        if queue.bytes + run.bytes.len() > QUEUE_MAX {
            drop(queue);
            let count = datagrams.count() as u64;
            self.dropped.fetch_add(count, Ordering::Relaxed);
            return;
        }
        queue.bytes += run.bytes.len();
        queue.runs.push_back(run);
        let reader = queue.reader.take();
        drop(queue);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Forgets what waits, for a library that begins anew, and whose packets are tried out so.
    pub(super) fn begin(&self, rehearsal: Rehearsal) {
        *lock(&self.queue) = Queue::default();
        *lock(&self.rehearsal) = Some(rehearsal);
    }

    /// Datagrams that did not fit.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// First packets that would have made the library fail.
    pub(super) fn defects(&self) -> u64 {
        self.defects.load(Ordering::Relaxed)
    }

    /// Lets this go wrong next.
    #[cfg(test)]
    pub(super) fn fail(&self, fault: Fault) {
        self.faults.set(fault);
    }

    /// Whether what shall go wrong has not yet.
    #[cfg(test)]
    pub(super) fn will_fail(&self) -> bool {
        self.faults.is_pending()
    }

    /// Tries out what a run has of first packets; `false` drops it.
    fn is_fine(&self, run: &Run) -> bool {
        let mut rehearsal = lock(&self.rehearsal);
        let Some(rehearsal) = rehearsal.as_mut() else {
            return true;
        };
        let datagrams = run.bytes.chunks(run.stride);
        let first = datagrams.filter(|datagram| Rehearsal::concerns(datagram));
        let outcome = first
            .map(|datagram| {
                rehearsal.try_out(&run.meta(datagram.len()), datagram, || {
                    #[cfg(test)]
                    self.faults.on_first_packet();
                })
            })
            .find(|outcome| *outcome != Outcome::Fine);
        match outcome {
            None | Some(Outcome::Fine) => return true,
            Some(Outcome::TooMany) => {
                let count = run.bytes.len().div_ceil(run.stride) as u64;
                self.dropped.fetch_add(count, Ordering::Relaxed);
            }
            Some(Outcome::Defect) => {
                self.defects.fetch_add(1, Ordering::Relaxed);
            }
        }
        false
    }

    /// The queue, where what comes out next has been tried out. While that goes on, others fill it.
    fn tried(&self) -> MutexGuard<'_, Queue> {
        loop {
            let mut queue = lock(&self.queue);
            let is_next = |run: &mut Run| !run.is_tried;
            let Some(mut run) = queue.runs.pop_front_if(is_next) else {
                return queue;
            };
            queue.bytes -= run.bytes.len();
            drop(queue);
            run.is_tried = true;
            if self.is_fine(&run) {
                let mut queue = lock(&self.queue);
                queue.bytes += run.bytes.len();
                queue.runs.push_front(run);
            }
        }
    }

    /// What comes out next; `waker` is woken when there is something, if there is nothing now.
    fn next(&self, buffer: &mut [u8], waker: Option<&Waker>) -> Option<RecvMeta> {
        loop {
            let mut queue = self.tried();
            let meta = queue.pop(buffer);
            if meta.is_some() {
                return meta;
            }
            if queue.runs.is_empty() {
                queue.reader = waker.cloned();
                return None;
            }
        }
    }

    fn sockets(&self) -> impl Iterator<Item = Arc<Socket>> {
        self.sockets
            .iter()
            .filter_map(|(_, socket)| socket.upgrade())
    }
}

impl Queue {
    /// Moves datagrams of one sender that were tried out into `buffer`, as many as fit.
    fn pop(&mut self, buffer: &mut [u8]) -> Option<RecvMeta> {
        loop {
            let run = self.runs.front_mut().filter(|run| run.is_tried)?;
            let fitting = if run.bytes.len() <= buffer.len() {
                run.bytes.len()
            } else {
                buffer.len() / run.stride * run.stride
            };
            if fitting == 0 {
                // Longer than this node ever said that it takes.
                self.bytes -= run.bytes.len();
                self.runs.pop_front();
                continue;
            }
            let (taken, _) = buffer.split_at_mut(fitting);
            run.bytes.copy_to_slice(taken);
            let meta = run.meta(fitting);
            self.bytes -= fitting;
            if run.bytes.is_empty() {
                self.runs.pop_front();
            }
            return Some(meta);
        }
    }
}

impl AsyncUdpSocket for Port {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable {
            port: self,
            waiting: None,
        })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        #[cfg(test)]
        self.faults.on_send();
        let destination = canonical(transmit.destination);
        let family = |(is_ipv4, _): &&(bool, Weak<Socket>)| *is_ipv4 == destination.is_ipv4();
        let socket = self.sockets.iter().find(family);
        // Without a socket, the network lost it.
        socket
            .and_then(|(_, socket)| socket.upgrade())
            .map_or(Ok(()), |socket| {
                socket.send_quic(&Transmit {
                    destination,
                    ..transmit.clone()
                })
            })
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        #[cfg(test)]
        self.faults.on_receive()?;
        let mut count = 0;
        for (buffer, place) in buffers.iter_mut().zip(metas) {
            let waker = (count == 0).then(|| context.waker());
            let Some(meta) = self.next(buffer, waker) else {
                break;
            };
            *place = meta;
            count += 1;
        }
        if count == 0 {
            return Poll::Pending;
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        let address = self.sockets().find_map(|socket| socket.local_addr().ok());
        let port = address.map_or(0, |address| address.port());
        Ok((Ipv6Addr::UNSPECIFIED, port).into())
    }

    fn max_transmit_segments(&self) -> usize {
        let segments = self.sockets().map(|socket| socket.segments());
        segments.min().unwrap_or(1)
    }

    fn max_receive_segments(&self) -> usize {
        // Each buffer has room for the longest datagram, which is as much as the kernel ever merges.
        1
    }

    fn may_fragment(&self) -> bool {
        self.sockets().any(|socket| socket.may_fragment())
    }
}

type Waiting = Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>;

/// Waits until the kernel takes datagrams again.
struct Writable {
    port: Arc<Port>,
    waiting: Option<Waiting>,
}

impl UdpPoller for Writable {
    fn poll_writable(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { port, waiting } = &mut *self;
        let future = waiting.get_or_insert_with(|| {
            let sockets: Vec<_> = port.sockets().collect();
            // Which of them was full is not known; an idle one is ready at once.
            Box::pin(async move {
                for socket in sockets {
                    socket.writable().await?;
                }
                Ok(())
            })
        });
        let result = future.as_mut().poll(context);
        if result.is_ready() {
            *waiting = None;
        }
        result
    }
}

impl fmt::Debug for Writable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Writable").finish_non_exhaustive()
    }
}

fn mapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into(),
        SocketAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(bytes: &[u8], stride: usize) -> QuicDatagrams<'_> {
        QuicDatagrams {
            from: ([192, 0, 2, 1], 7).into(),
            local: None,
            ecn: None,
            stride,
            bytes,
        }
    }

    fn poll(port: &Port, buffers: usize, length: usize) -> Vec<(usize, usize)> {
        let mut bytes = vec![0; buffers * length];
        let mut slices: Vec<_> = bytes.chunks_mut(length).map(IoSliceMut::new).collect();
        let mut metas = vec![RecvMeta::default(); buffers];
        let mut context = Context::from_waker(Waker::noop());
        match port.poll_recv(&mut context, &mut slices, &mut metas) {
            Poll::Ready(Ok(count)) => {
                let metas = metas.iter().take(count);
                metas.map(|meta| (meta.len, meta.stride)).collect()
            }
            _ => Vec::new(),
        }
    }

    #[test]
    fn datagrams_come_out_whole_whatever_the_buffers() {
        let port = Port::new(&[]);
        port.push(&run(&[0x40; 1050], 100));
        port.push(&run(&[0x40; 60], 60));
        assert_eq!(poll(&port, 2, 250), [(200, 100), (200, 100)]);
        assert_eq!(poll(&port, 4, 450), [(400, 100), (250, 100), (60, 60)]);
        port.push(&run(&[0x40; 500], 300));
        assert_eq!(poll(&port, 1, 250), [], "too long for any buffer");
        assert_eq!(lock(&port.queue).bytes, 0);
    }

    #[test]
    fn the_queue_is_bounded_in_bytes() {
        let port = Port::new(&[]);
        let most = vec![0x40; QUEUE_MAX];
        port.push(&run(&most[1..], 1000));
        port.push(&run(&most[..1], 1));
        assert_eq!(port.dropped(), 0);
        port.push(&run(&most[..2500], 1000));
        assert_eq!(port.dropped(), 3);
        *lock(&port.queue) = Queue::default();
        port.push(&run(&most[..1], 1));
        assert_eq!(port.dropped(), 3);
    }
}
