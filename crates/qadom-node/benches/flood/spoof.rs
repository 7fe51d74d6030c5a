//! INITs as somebody makes them who knows a node's key and writes any address into them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use qadom_node::NodeAddress;
use qadom_transport::{NoiseSuite, Socket, Suite, Transmit};
use qadom_wire::Network;
use tokio::runtime::{Builder, Runtime};

/// Bytes of an INIT of the shorter class.
const LENGTH: usize = 512;
/// Sockets, each with a port of its own.
const SOCKETS: usize = 16;
/// Packets that are made beforehand.
const PACKETS: usize = 8192;

/// Whether the first mac shows knowledge of the node's key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mac {
    Wrong,
    Right,
}

/// Somebody who floods a node.
pub(crate) struct Spoofer {
    to: SocketAddr,
    packets: Vec<Bytes>,
}

impl Spoofer {
    pub(crate) fn new(address: &NodeAddress, network: &[u8], mac: Mac) -> Self {
        let network = Network::new(network, b"").unwrap();
        let tag = network.wire_tag(network.default_id_bits());
        let key = NoiseSuite::mac_key(b"qadom 1 mac1", address.key().as_bytes());
        let place = address.to_string();
        let (_, place) = place.split_once('@').unwrap();
        let packets = (0..PACKETS).map(|_| {
            let mut packet: Vec<u8> = (0..LENGTH).map(|_| rand::random()).collect();
            packet[..4].copy_from_slice(&[4, 1, 0, 0]);
            packet[8..16].copy_from_slice(&tag);
            // A canonical key.
            packet[47] &= 0x3f;
            let (covered, macs) = packet.split_at_mut(LENGTH - 32);
            if matches!(mac, Mac::Right) {
                macs[..16].copy_from_slice(&NoiseSuite::mac(&key, &[covered]));
            }
            macs[16..].fill(0);
            packet.into()
        });
        Self {
            to: place.parse().unwrap(),
            packets: packets.collect(),
        }
    }

    /// Sends so many a second until it is over; how many those were.
    pub(crate) fn run(self, rate: u64, is_over: &AtomicBool) -> u64 {
        let runtime: Runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let _entered = runtime.enter();
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let sockets: Vec<Socket> = (0..SOCKETS).map(|_| Socket::bind(any).unwrap()).collect();
        let (began, mut sent) = (Instant::now(), 0);
        while !is_over.load(Ordering::Relaxed) {
            let due = began.elapsed().as_nanos() * u128::from(rate) / 1_000_000_000;
            while u128::from(sent) < due {
                let [a, b, c, d]: [u8; 4] = rand::random();
                let from = Ipv4Addr::new(127, a, b, c.clamp(1, 254));
                let transmit = Transmit {
                    to: self.to,
                    from: Some(IpAddr::V4(from)),
                    bytes: self.packets[sent as usize % PACKETS].clone(),
                };
                sockets[usize::from(d) % SOCKETS].send(&transmit);
                sent += 1;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        sent
    }
}
