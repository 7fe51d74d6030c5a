//! A driver without a node around it, and one that is asked more than it can do.

use std::net::Ipv4Addr;

use qadom_store::MemoryStore;
use qadom_transport::{Class, Event, FailReason, Limits, Outgoing, SecretKey, Socket};

use super::*;
use crate::address::{HostPort, NodeAddress};
use crate::command::Operation;
use crate::files::FileSettings;
use crate::folder::FILES;

/// A node on loopback that keeps its records in this store.
pub(super) fn build(store: Arc<dyn Store>) -> (Box<Driver>, mpsc::Sender<Box<Command>>) {
    build_with(store, Promises::default())
}

/// A node on loopback that goes on with what was promised.
pub(super) fn build_with(
    store: Arc<dyn Store>,
    promises: Promises,
) -> (Box<Driver>, mpsc::Sender<Box<Command>>) {
    let folder = Folder::temporary().unwrap();
    let identity = Identity::load_or_make(&folder, 0, || false);
    let identity = identity.unwrap().unwrap();
    let sockets = Sockets::bind(&[SocketAddr::from((Ipv4Addr::LOCALHOST, 0))]).unwrap();
    let facts = Arc::new(Facts {
        address: NodeAddress::new(identity.key, HostPort::from(sockets.addresses()[0])),
        id: identity.key.id(),
        local_addresses: sockets.addresses(),
        families: sockets.families(),
        data_dir: folder.path().to_owned(),
        network: "local".to_owned(),
        network_id: Network::new(b"local", b"").unwrap().id(),
        is_local: true,
    });
    let (commands, queue) = mpsc::channel(1);
    let bootstrap = Bootstrap::new(Vec::new(), Vec::new(), commands.downgrade(), &facts);
    let clock = Clock::start(0);
    let place = folder.path().join(FILES);
    let opened = qadom_files::Folder::open(&place, qadom_files::FolderConfig::default());
    let files = Service::new(opened.unwrap(), place, clock, FileSettings::default());
    let driver = Driver::new(Parts {
        clock,
        here: Arc::new(Here::new(clock)),
        files,
        asked: mpsc::channel(1).0,
        network: Network::new(b"local", b"").unwrap(),
        id_bits: 0,
        bits_per_level: Some(2),
        mode: Mode::Storing,
        mode_is_fixed: true,
        advertise: None,
        identity,
        identities: Vec::new(),
        promises,
        opening: Opening {
            store,
            recovery: None,
        },
        quarantines: Arc::new(Quarantines::of(folder.path())),
        folder,
        known: Vec::new(),
        known_since: Vec::new(),
        quic: sockets.quic(),
        sockets,
        queue,
        signals: Arc::default(),
        facts,
        bootstrap,
    });
    (driver.unwrap(), commands)
}

/// Somebody who asks, with a socket to hear the answers at.
struct Client {
    endpoint: Endpoint,
    socket: Socket,
    address: SocketAddr,
    asked: u64,
    answered: u64,
    turned_away: u64,
}

impl Client {
    fn new(driver: &Driver, number: u8) -> Self {
        let socket = Socket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let network = Network::new(b"local", b"").unwrap();
        let config = qadom_transport::Config {
            secret: SecretKey::from_bytes([number; 32]),
            network_id: *network.id().as_bytes(),
            wire_tag: network.wire_tag(0),
            k: 20,
            id_bits: 0,
            lowest_version: 1,
            highest_version: 1,
            hello: qadom_transport::Hello::default(),
            ping: Engine::ping_body(),
            reset_secret: [number; 32],
            seed: [number; 32],
            limits: Limits::default(),
        };
        Self {
            endpoint: Endpoint::new(config, transport_time(driver.clock.now())),
            address: socket.local_addr().unwrap(),
            socket,
            asked: 0,
            answered: 0,
            turned_away: 0,
        }
    }

    /// Asks this often; the driver takes the questions in and does not answer yet.
    fn ask(&mut self, driver: &mut Driver, count: u64) {
        let now = transport_time(driver.clock.now());
        for _ in 0..count {
            self.asked += 1;
            let outgoing = Outgoing {
                token: self.asked,
                key: *driver.endpoint.key(),
                address: driver.facts.local_addresses[0],
                body: Engine::ping_body(),
                first_ok: true,
                class: Class::Short,
                patience: Duration::from_mins(1),
                is_background: false,
            };
            self.endpoint.request(now, outgoing);
        }
        while let Some(transmit) = self.endpoint.poll_transmit() {
            let mut bytes = transmit.bytes.to_vec();
            driver
                .endpoint
                .handle_datagram(now, self.address, &mut bytes);
        }
    }

    /// Takes what came back until nothing is open.
    async fn hear(&mut self, clock: Clock) {
        while self.answered + self.turned_away < self.asked {
            self.socket.readable().await.unwrap();
            let (endpoint, now) = (&mut self.endpoint, transport_time(clock.now()));
            self.socket
                .receive(
                    |path, bytes| endpoint.handle_datagram(now, path, bytes),
                    |_| {},
                )
                .unwrap();
            while let Some(event) = self.endpoint.poll_event() {
                match event {
                    Event::Answer { .. } => self.answered += 1,
                    Event::Failed { reason, .. } => {
                        assert!(matches!(reason, FailReason::Busy { .. }), "{reason:?}");
                        self.turned_away += 1;
                    }
                    _ => {}
                }
            }
        }
    }
}

#[tokio::test]
async fn a_driver_that_is_behind_serves_in_turns_and_says_that_it_is_busy() {
    let (mut driver, _commands) = build(Arc::new(MemoryStore::new()));
    let identity = Identity::load_or_make(&Folder::temporary().unwrap(), 0, || false);
    let hello = transport_hello(driver.engine.hello());
    let mut config = driver
        .parameters
        .transport(&identity.unwrap().unwrap(), hello);
    config.limits.requests = 2 * REQUESTS_AT_ONCE;
    let now = driver.clock.now();
    driver.endpoint = Endpoint::new(config, transport_time(now));
    let mut clients = [1, 2, 3].map(|number| Client::new(&driver, number));
    // Their windows open with what is answered.
    for client in &mut clients {
        for count in [1, 4, 8, 16, 32, 64, 128, 200] {
            client.ask(&mut driver, count);
            driver.settle(driver.clock.now());
            client.hear(driver.clock).await;
        }
        assert_eq!(client.turned_away, 0);
    }
    for client in &mut clients {
        client.ask(&mut driver, 250);
    }
    let waiting = driver.endpoint.usage().requests;
    assert!(waiting > REQUESTS_AT_ONCE, "{waiting}");
    driver.settle(driver.clock.now());
    let left = driver.endpoint.usage().requests;
    assert_eq!(left, waiting - REQUESTS_AT_ONCE);
    // It goes on by itself, and every question has its end.
    let clock = driver.clock;
    tokio::spawn(driver.run(watch::Sender::new(None)));
    for client in &mut clients {
        client.hear(clock).await;
    }
    // The first filled half of the room; of the others each had its share beside it.
    assert_eq!(clients[0].turned_away, 0);
    for client in &clients[1..] {
        assert!(client.answered >= 453 + 85, "{}", client.answered);
        assert!(client.turned_away > 0);
    }
}

#[tokio::test]
async fn a_node_whose_interface_vanishes_says_so_and_goes_on_when_it_is_back() {
    let (driver, commands) = build(Arc::new(MemoryStore::new()));
    let (peer, _peers_commands) = build(Arc::new(MemoryStore::new()));
    let at = Addresses::at(peer.facts.local_addresses[0]);
    let contact = Contact::new(*peer.engine.key(), at.v4, at.v6, true).unwrap();
    tokio::spawn(peer.run(watch::Sender::new(None)));
    let socket = driver.sockets.sockets().remove(0);
    tokio::spawn(driver.run(watch::Sender::new(None)));
    let ping = async || {
        let (caller, answer) = oneshot::channel();
        let operation = Operation::Ping(Box::new(contact.clone()));
        let command = Command::Begin(operation, caller);
        commands.send(Box::new(command)).await.unwrap();
        answer.await.unwrap()
    };
    assert!(ping().await.is_ok());
    // No route, no interface, a way too narrow, an address that is gone.
    for error in [101, 100, 90, 99] {
        socket.fail_sends(Some(error));
        let Err(Failure::Peer { reason, .. }) = ping().await else {
            panic!("nothing can have come back");
        };
        assert_eq!(reason, Reason::Unreachable, "{error}");
        socket.fail_sends(None);
        assert!(ping().await.is_ok());
    }
    // A buffer that is full for a while costs a try, and no more.
    socket.fail_sends(Some(105));
    let pinging = ping();
    tokio::pin!(pinging);
    let answer = loop {
        tokio::select! {
            biased;
            answer = &mut pinging => break answer,
            () = tokio::task::yield_now() => {
                if socket.errors().full > 0 {
                    socket.fail_sends(None);
                }
            }
        }
    };
    assert!(answer.is_ok());
    let (caller, status) = oneshot::channel();
    commands
        .send(Box::new(Command::Status(caller)))
        .await
        .unwrap();
    let drops = status.await.unwrap().drops;
    assert!(drops["socket-unreachable"] >= 9 && drops["socket-too-long"] >= 3);
    assert!(drops["socket-full"] > 0);
}
