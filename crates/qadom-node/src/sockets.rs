//! The sockets of a node: one for each address family at most.
//!
//! What must stay true: what does not fit into the kernel's buffers is dropped and counted, never
//! waited for, since every request is sent again. What datagrams mean is the endpoint's business.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use qadom_engine::Addresses;
use qadom_routing::{Families, canonical};
use qadom_transport::{
    Arrived, Batch, BindError, Quic, QuicDatagrams, Socket, SocketErrors, Traffic, Transmit,
};

use crate::builder::DEFAULT_PORT;
use crate::clock;
use crate::error::StartError;

/// Batches that are taken before commands and deadlines get their turn.
const BATCHES_AT_ONCE: usize = 16;

/// The sockets of a node; at least one.
#[derive(Debug)]
pub(crate) struct Sockets {
    v4: Option<Bound>,
    v6: Option<Bound>,
}

#[derive(Debug)]
struct Bound {
    socket: Arc<Socket>,
    address: SocketAddr,
}

impl Sockets {
    /// Opens a socket for each address; without any, port 7236 of every address.
    pub(crate) fn bind(listen: &[SocketAddr]) -> Result<Self, StartError> {
        let mut sockets = Self { v4: None, v6: None };
        for &address in listen {
            let address = canonical(address);
            let place = sockets.place(address);
            if place.is_some() {
                return Err(StartError::TooManyListenAddresses { address });
            }
            *place = Some(Bound::open(address)?);
        }
        if listen.is_empty() {
            sockets.v4 = Some(Bound::open((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT).into())?);
            // Not every machine has IPv6, and nobody asked for it.
            match Bound::open((Ipv6Addr::UNSPECIFIED, DEFAULT_PORT).into()) {
                Ok(bound) => sockets.v6 = Some(bound),
                Err(error @ StartError::PortInUse { .. }) => return Err(error),
                Err(error) => tracing::info!(%error, "listening on IPv4 only"),
            }
        }
        Ok(sockets)
    }

    /// The addresses that the sockets have, with their real ports.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.each().map(|bound| bound.address).collect()
    }

    pub(crate) const fn families(&self) -> Families {
        Families {
            v4: self.v4.is_some(),
            v6: self.v6.is_some(),
        }
    }

    /// The addresses of this machine that the sockets are reached at: as bound or, where that is
    /// every address, those of the interfaces that lead out.
    pub(crate) fn interface(&self) -> Addresses {
        let mut interface = Addresses::default();
        for address in self.addresses() {
            if address.ip().is_unspecified() {
                if let Some(ip) = way_out(address) {
                    interface.set(SocketAddr::new(ip, address.port()));
                }
            } else {
                interface.set(address);
            }
        }
        interface
    }

    /// Waits until a datagram is there.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match (&self.v4, &self.v6) {
            (Some(v4), Some(v6)) => tokio::select! {
                result = v4.socket.readable() => result,
                result = v6.socket.readable() => result,
            },
            (Some(one), None) | (None, Some(one)) => one.socket.readable().await,
            (None, None) => std::future::pending().await,
        }
    }

    /// Hands over the datagrams that are there, a bounded number at once.
    pub(crate) fn receive(
        &self,
        mut on_datagrams: impl FnMut(&mut [Arrived<'_>]),
        mut on_quic: impl FnMut(QuicDatagrams<'_>),
    ) -> io::Result<()> {
        for bound in self.each() {
            for _ in 0..BATCHES_AT_ONCE {
                if bound
                    .socket
                    .receive_batch(&mut on_datagrams, &mut on_quic)?
                    == 0
                {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Sends datagrams, several in one call where that can be, or counts why not; tells the peers
    /// that the system refused to send to.
    pub(crate) fn send(&self, mut next: impl FnMut() -> Option<Transmit>) -> Vec<SocketAddr> {
        let Some(first) = next() else {
            return Vec::new();
        };
        let mut v4 = self.v4.as_ref().map(|bound| bound.socket.batch());
        let mut v6 = self.v6.as_ref().map(|bound| bound.socket.batch());
        let mut transmit = Some(first);
        while let Some(datagram) = transmit {
            let batch = if datagram.to.is_ipv4() {
                &mut v4
            } else {
                &mut v6
            };
            if let Some(batch) = batch {
                batch.push(&datagram);
            }
            transmit = next();
        }
        let batches = [v4, v6].into_iter().flatten();
        batches.flat_map(Batch::finish).collect()
    }

    /// QUIC over these sockets.
    pub(crate) fn quic(&self) -> Arc<Quic> {
        let sockets: Vec<_> = self.each().map(|bound| &bound.socket).collect();
        Quic::new(&sockets, clock::instant)
    }

    /// Datagrams that the kernel did not take, and errors that it reported, under the names that
    /// users see.
    pub(crate) fn dropped(&self) -> [(&'static str, u64); 5] {
        let mut all = SocketErrors::default();
        for errors in self.each().map(|bound| bound.socket.errors()) {
            all.receive += errors.receive;
            all.send += errors.send;
            all.too_long += errors.too_long;
            all.unreachable += errors.unreachable;
            all.full += errors.full;
        }
        [
            ("socket-receive", all.receive),
            ("socket-unreachable", all.unreachable),
            ("socket-too-long", all.too_long),
            ("socket-refused", all.send - all.unreachable - all.too_long),
            ("socket-full", all.full),
        ]
    }

    /// What QUIC sent and received.
    pub(crate) fn quic_traffic(&self) -> Traffic {
        let mut all = Traffic::default();
        for traffic in self.each().map(|bound| bound.socket.quic_traffic()) {
            all.datagrams_in += traffic.datagrams_in;
            all.bytes_in += traffic.bytes_in;
            all.datagrams_out += traffic.datagrams_out;
            all.bytes_out += traffic.bytes_out;
        }
        all
    }

    /// The sockets themselves, for tests that break them.
    #[cfg(test)]
    pub(crate) fn sockets(&self) -> Vec<Arc<Socket>> {
        self.each().map(|bound| Arc::clone(&bound.socket)).collect()
    }

    fn place(&mut self, address: SocketAddr) -> &mut Option<Bound> {
        if address.is_ipv4() {
            &mut self.v4
        } else {
            &mut self.v6
        }
    }

    fn each(&self) -> impl Iterator<Item = &Bound> {
        self.v4.iter().chain(&self.v6)
    }
}

impl Bound {
    fn open(address: SocketAddr) -> Result<Self, StartError> {
        let unavailable = |source| StartError::AddressUnavailable { address, source };
        let socket = Socket::bind(address).map_err(|error| match error {
            BindError::InUse(address) => StartError::PortInUse { address },
            BindError::Failed { source, .. } => unavailable(source),
            other => unavailable(io::Error::other(other)),
        })?;
        let address = socket.local_addr().map_err(unavailable)?;
        let (segments, merged) = (socket.segments(), socket.merged());
        if segments > 1 {
            tracing::info!(%address, segments, merged, "segmentation offload (GSO) works");
        } else {
            tracing::info!(%address, merged, "no segmentation offload (GSO): sending costs more");
        }
        let socket = Arc::new(socket);
        Ok(Self { socket, address })
    }
}

/// The address of the interface that leads out of this machine, if there is one.
fn way_out(bound: SocketAddr) -> Option<IpAddr> {
    // Addresses for documentation (RFC 5737, RFC 3849): connecting sends nothing.
    let (any, outside): (SocketAddr, SocketAddr) = if bound.is_ipv4() {
        (
            (Ipv4Addr::UNSPECIFIED, 0).into(),
            (Ipv4Addr::new(192, 0, 2, 1), 9).into(),
        )
    } else {
        (
            (Ipv6Addr::UNSPECIFIED, 0).into(),
            (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9).into(),
        )
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(outside).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified() && !ip.is_loopback()).then_some(ip)
}
