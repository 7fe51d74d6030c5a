//! The commonest question of a network, many at once over one session: who is close to a key.
//!
//! What must stay true: an answer counts only if it is long enough for all twenty contacts.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use qadom_engine::Engine;
use qadom_routing::{Families, Key, Moment};
use qadom_transport::{Batch, Class, Config, Endpoint, Event, Limits, Outgoing, SecretKey, Socket};
use qadom_wire::{FindNode, Request, Value};
use tokio::time::timeout_at;

use super::load::{Row, row};
use super::{BenchError, BenchSettings, Keeping, Network, usage};
use crate::clock::Clock;
use crate::convert::transport_time;
use crate::node::Node;

/// Nodes of the network: the one that is asked knows more than it can name at once.
const NODES: usize = 25;
/// Bytes of twenty packed contacts.
const CONTACTS: usize = 20 * 39;
/// The longest wait for the next answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Measures it with many in flight.
pub(super) async fn measure(
    settings: &BenchSettings,
    rows: &mut Vec<Row>,
) -> Result<(), BenchError> {
    let network = Network::start(NODES, Keeping::Memory).await?;
    if let Some(server) = network.nodes.first() {
        let asker = Asker::new(server)?;
        let in_flight = settings.in_flight;
        let work = format!("find-node with 20 contacts, {in_flight} in flight");
        rows.push(asker.run(work, settings.round_trips, in_flight).await?);
    }
    network.stop().await;
    Ok(())
}

/// Somebody who only asks.
struct Asker {
    endpoint: Endpoint,
    socket: Socket,
    clock: Clock,
    server: ([u8; 32], SocketAddr),
    last: u64,
    /// When each that is not answered yet was asked.
    in_flight: BTreeMap<u64, Moment>,
    spans: Vec<Duration>,
    failed: usize,
}

impl Asker {
    fn new(server: &Node) -> Result<Self, BenchError> {
        let clock = Clock::start(0);
        let socket = Socket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .map_err(|error| BenchError::Raw(std::io::Error::other(error)))?;
        let network = qadom_wire::Network::new(b"local", b"")
            .map_err(|error| BenchError::Raw(std::io::Error::other(error)))?;
        let config = Config {
            secret: SecretKey::from_bytes(rand::random()),
            network_id: *network.id().as_bytes(),
            wire_tag: network.wire_tag(0),
            k: 20,
            id_bits: 0,
            lowest_version: 1,
            highest_version: 1,
            hello: qadom_transport::Hello::default(),
            ping: Engine::ping_body(),
            reset_secret: rand::random(),
            seed: rand::random(),
            limits: Limits::default(),
        };
        let address = server.local_addresses().first().copied();
        Ok(Self {
            endpoint: Endpoint::new(config, transport_time(clock.now())),
            socket,
            clock,
            server: (
                *server.address().key().as_bytes(),
                address.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            ),
            last: 0,
            in_flight: BTreeMap::new(),
            spans: Vec::new(),
            failed: 0,
        })
    }

    async fn run(
        mut self,
        work: String,
        count: usize,
        in_flight: usize,
    ) -> Result<Row, BenchError> {
        // A session first, with its window open.
        self.ask_all(256, in_flight).await?;
        (self.spans, self.failed) = (Vec::new(), 0);
        let (clock, cpu) = (Clock::start(0), usage::cpu());
        self.ask_all(count, in_flight).await?;
        Ok(row(work, self.spans, self.failed, clock, cpu))
    }

    async fn ask_all(&mut self, count: usize, in_flight: usize) -> std::io::Result<()> {
        while self.spans.len() < count {
            let wanted = in_flight.min(count - self.spans.len());
            while self.in_flight.len() < wanted {
                self.ask();
            }
            self.send();
            let due = self.endpoint.next_deadline().unwrap_or(Duration::MAX);
            let now = self.clock.now().moment;
            let due = (Moment::ORIGIN + due).min(now + PATIENCE);
            if let Ok(readable) = timeout_at(self.clock.instant(due), self.socket.readable()).await
            {
                readable?;
            }
            let (endpoint, time) = (&mut self.endpoint, transport_time(self.clock.now()));
            self.socket.receive(
                |path, datagram| endpoint.handle_datagram(time, path, datagram),
                |_| {},
            )?;
            self.endpoint.handle_timeout(time);
            self.take_events();
        }
        Ok(())
    }

    fn ask(&mut self) {
        self.last += 1;
        let now = self.clock.now();
        let target = Value::new(Bytes::copy_from_slice(&self.last.to_le_bytes()));
        let request = Request::FindNode(FindNode {
            target: target.map_or(Key::ZERO, |value| *value.key()),
            want: Families {
                v4: true,
                v6: false,
            },
        });
        self.in_flight.insert(self.last, now.moment);
        let outgoing = Outgoing {
            token: self.last,
            key: self.server.0,
            address: self.server.1,
            body: request.encode(),
            first_ok: true,
            class: Class::Long,
            patience: Duration::ZERO,
            is_background: false,
        };
        self.endpoint.request(transport_time(now), outgoing);
    }

    fn send(&mut self) {
        let mut batch: Batch<'_> = self.socket.batch();
        while let Some(transmit) = self.endpoint.poll_transmit() {
            batch.push(&transmit);
        }
        // The socket counts what it refuses; the request is sent again.
        let _ = batch.finish();
    }

    fn take_events(&mut self) {
        let now = self.clock.now().moment;
        while let Some(event) = self.endpoint.poll_event() {
            let (token, is_good) = match event {
                Event::Answer { token, body, .. } => (token, body.len() >= CONTACTS),
                Event::Failed { token, .. } => (token, false),
                _ => continue,
            };
            if let Some(began) = self.in_flight.remove(&token) {
                self.spans.push(now.since(began));
                self.failed += usize::from(!is_good);
            }
        }
    }
}
