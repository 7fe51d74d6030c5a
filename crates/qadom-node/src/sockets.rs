//! The sockets of a node: one for each address family at most.
//!
//! What must stay true: what does not fit into the kernel's buffers is dropped and counted, never
//! waited for, since every request is sent again. What datagrams mean is the endpoint's business.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use qadom_engine::Mode;
use qadom_routing::{Families, canonical};
use qadom_transport::{BindError, Hello, Socket, Transmit};

use crate::builder::DEFAULT_PORT;
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
    socket: Socket,
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

    /// What the node says of itself: the addresses that it was told to advertise or is bound to.
    pub(crate) fn hello(&self, mode: Mode, advertise: Option<SocketAddr>) -> Hello {
        let mut hello = Hello {
            storing: mode == Mode::Storing,
            v4: None,
            v6: None,
        };
        for address in self.addresses().into_iter().chain(advertise) {
            match canonical(address) {
                address if address.ip().is_unspecified() => {}
                SocketAddr::V4(v4) => hello.v4 = Some(v4),
                SocketAddr::V6(v6) => hello.v6 = Some(v6),
            }
        }
        hello
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
        mut on_datagram: impl FnMut(SocketAddr, &mut [u8]),
    ) -> io::Result<()> {
        for bound in self.each() {
            for _ in 0..BATCHES_AT_ONCE {
                if bound.socket.receive(&mut on_datagram)? == 0 {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Sends a datagram, or counts why not.
    pub(crate) fn send(&self, transmit: &Transmit) {
        let bound = if transmit.to.is_ipv4() {
            &self.v4
        } else {
            &self.v6
        };
        if let Some(bound) = bound {
            // The socket counts what the kernel does not take.
            let _ = bound.socket.send(transmit);
        }
    }

    /// Datagrams that the kernel did not take, and errors that it reported.
    pub(crate) fn dropped(&self) -> u64 {
        let errors = self.each().map(|bound| bound.socket.errors());
        errors
            .map(|errors| errors.receive + errors.send + errors.full)
            .sum()
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
        Ok(Self { socket, address })
    }
}
