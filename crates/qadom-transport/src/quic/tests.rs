//! Two QUIC sides over real sockets on loopback, each fed as a node feeds it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::port::Fault;
use super::*;
use crate::event::Transmit;
use crate::socket::Sent;

/// One side, with a task that hands QUIC's datagrams over and counts the others.
struct Side {
    key: [u8; 32],
    socket: Arc<Socket>,
    quic: Arc<Quic>,
    others: Arc<AtomicUsize>,
    /// Whether QUIC comes in only once this side has begun a connection, as behind a firewall.
    is_walled: Arc<AtomicBool>,
    /// The longest datagram of QUIC that comes in.
    carries: Arc<AtomicUsize>,
    pump: JoinHandle<()>,
}

impl Drop for Side {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

impl Side {
    fn new(key: u8, address: &str) -> Self {
        let socket = Arc::new(Socket::bind(address.parse().unwrap()).unwrap());
        let quic = Quic::new(&[&socket], Instant::now);
        let others = Arc::new(AtomicUsize::new(0));
        let is_walled = Arc::new(AtomicBool::new(false));
        let carries = Arc::new(AtomicUsize::new(usize::MAX));
        let (socket_in, quic_in, others_in) = (socket.clone(), quic.clone(), others.clone());
        let (is_walled_in, carries_in) = (is_walled.clone(), carries.clone());
        let pump = tokio::spawn(async move {
            loop {
                socket_in.readable().await.unwrap();
                let count = |_, _: &mut [u8]| {
                    others_in.fetch_add(1, Ordering::SeqCst);
                };
                let pass = |datagrams: QuicDatagrams<'_>| {
                    let longest = datagrams.stride.min(datagrams.bytes.len());
                    if longest > carries_in.load(Ordering::SeqCst) {
                        return;
                    }
                    if !is_walled_in.load(Ordering::SeqCst) || quic_in.usage().connections > 0 {
                        quic_in.receive(&datagrams);
                    }
                };
                socket_in.receive(count, pass).unwrap();
            }
        });
        Self {
            key: [key; 32],
            socket,
            quic,
            others,
            is_walled,
            carries,
            pump,
        }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    fn grant(&self, other: &Self, fingerprint: [u8; 32]) {
        self.quic.grant(other.granted(fingerprint)).unwrap();
    }

    /// What another side grants to this one.
    fn granted(&self, fingerprint: [u8; 32]) -> Grant {
        Grant {
            peer: self.key,
            address: self.address(),
            fingerprint,
        }
    }

    async fn send(&self, to: &Self, bytes: &[u8]) {
        let transmit = Transmit {
            from: None,
            to: to.address(),
            bytes: Bytes::copy_from_slice(bytes),
        };
        while self.socket.send(&transmit) == Sent::Full {
            self.socket.writable().await.unwrap();
        }
    }
}

fn agree(one: &Side, two: &Side) {
    one.grant(two, two.quic.fingerprint().unwrap());
    two.grant(one, one.quic.fingerprint().unwrap());
}

fn pair() -> (Side, Side) {
    (Side::new(1, "127.0.0.1:0"), Side::new(2, "127.0.0.1:0"))
}

/// Opens a stream and sends a text that comes back.
async fn echo(one: &Side, two: &Side) -> Result<(), QuicError> {
    let mut streams = two.quic.accept();
    let mut stream = one.quic.open(two.key).await?;
    stream.write_all(b"there").await.unwrap();
    stream.shutdown().await.unwrap();
    let (peer, mut other) = streams.recv().await.unwrap();
    assert_eq!(peer, one.key);
    let mut text = String::new();
    other.read_to_string(&mut text).await.unwrap();
    other.write_all(text.as_bytes()).await.unwrap();
    other.shutdown().await.unwrap();
    let mut back = String::new();
    stream.read_to_string(&mut back).await.unwrap();
    assert_eq!(back, "there");
    Ok(())
}

#[tokio::test]
async fn both_sides_open_streams_over_one_connection_and_the_other_datagrams_pass() {
    let (one, two) = pair();
    agree(&one, &two);
    assert!(!one.quic.is_fresh(&two.key));
    echo(&one, &two).await.unwrap();
    assert!(one.quic.is_fresh(&two.key) && two.quic.is_fresh(&one.key));
    one.send(&two, &[0x07; 64]).await;
    echo(&two, &one).await.unwrap();
    assert_eq!(one.quic.usage().connections, 1);
    while two.others.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let (drops, other) = (one.quic.drops(), two.quic.drops());
    assert_eq!((drops, other), (QuicDrops::default(), QuicDrops::default()));
}

/// Sends a MiB; gives how long datagrams are by then.
async fn longest_after_a_mib(one: &Side, two: &Side) -> u16 {
    let mut streams = two.quic.accept();
    let mut stream = one.quic.open(two.key).await.unwrap();
    let bytes = vec![7; 1 << 20];
    let sending = async {
        stream.write_all(&bytes).await.unwrap();
        stream.shutdown().await.unwrap();
    };
    let receiving = async {
        let (_, mut other) = streams.recv().await.unwrap();
        let mut came = Vec::new();
        other.read_to_end(&mut came).await.unwrap();
        assert!(came == bytes);
    };
    tokio::join!(sending, receiving);
    let link = one.quic.links.current(&two.key).unwrap();
    link.connection.stats().path.current_mtu
}

#[tokio::test]
async fn datagrams_are_as_long_as_the_path_carries() {
    for (carries, least) in [(usize::MAX, 8900), (1472, 1440)] {
        let (one, two) = pair();
        agree(&one, &two);
        two.carries.store(carries, Ordering::SeqCst);
        let found = async {
            loop {
                let longest = longest_after_a_mib(&one, &two).await;
                assert!(usize::from(longest) <= carries);
                if longest >= least {
                    return;
                }
            }
        };
        timeout(Duration::from_mins(1), found).await.unwrap();
        // The path carries less from now on, and nobody says so.
        two.carries.store(1300, Ordering::SeqCst);
        let narrower = async { while longest_after_a_mib(&one, &two).await > 1300 {} };
        timeout(Duration::from_mins(1), narrower).await.unwrap();
    }
}

/// The first side asks, the second one answers.
fn ask(one: &Side, two: &Side) {
    let asker = one.granted(one.quic.fingerprint().unwrap());
    two.quic.grant_asker(asker).unwrap();
    one.grant(two, two.quic.fingerprint().unwrap());
}

#[tokio::test]
async fn a_side_that_nobody_reaches_connects_to_whoever_asks_it() {
    let (one, two) = pair();
    // Nothing comes in at the second side before it has begun a connection itself.
    two.is_walled.store(true, Ordering::SeqCst);
    ask(&one, &two);
    echo(&one, &two).await.unwrap();
    ask(&one, &two);
    echo(&two, &one).await.unwrap();
    assert!(lock(&two.quic.meetings).is_empty());
}

#[tokio::test]
async fn a_side_that_is_asked_and_connected_to_begins_nothing() {
    let (one, two) = pair();
    ask(&one, &two);
    echo(&one, &two).await.unwrap();
    while !lock(&two.quic.meetings).is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        (one.quic.usage().connections, two.quic.usage().connections),
        (1, 1)
    );
}

#[tokio::test]
async fn sides_that_connect_at_once_end_up_on_one_connection() {
    for _ in 0..20 {
        let (one, two) = pair();
        agree(&one, &two);
        let (there, back) = tokio::join!(echo(&one, &two), echo(&two, &one));
        assert_eq!((there, back), (Ok(()), Ok(())));
        let of_smaller = |side: &Side, other: &Side| {
            let link = side.quic.links.current(&other.key)?;
            Some(link.origin.is_of_smaller)
        };
        // Of two connections the later ones come in a moment after the first ones.
        let settled = async {
            while one.quic.usage().connections != two.quic.usage().connections
                || of_smaller(&one, &two) != of_smaller(&two, &one)
            {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), settled).await.unwrap();
        echo(&one, &two).await.unwrap();
        echo(&two, &one).await.unwrap();
    }
}

#[tokio::test]
async fn both_families_are_served() {
    if Socket::bind("[::1]:0".parse().unwrap()).is_err() {
        // The machine has no IPv6.
        return;
    }
    let (one, two) = (Side::new(1, "[::1]:0"), Side::new(2, "[::1]:0"));
    agree(&one, &two);
    echo(&one, &two).await.unwrap();
}

#[tokio::test]
async fn nobody_connects_without_a_grant() {
    let (one, two) = pair();
    assert_eq!(
        one.quic.open(two.key).await.unwrap_err(),
        QuicError::NoGrant
    );
    assert!(matches!(*lock(&one.quic.running), Running::No), "no cost");
    one.send(&two, &[0x40; 100]).await;
    one.send(&two, &[0xc0; 1200]).await;
    while two.quic.drops().no_grant < 2 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(*lock(&two.quic.running), Running::No), "no cost");
}

#[tokio::test]
async fn a_server_with_another_key_is_refused() {
    let (one, two) = pair();
    agree(&one, &two);
    one.grant(&two, [7; 32]);
    assert_eq!(echo(&one, &two).await, Err(QuicError::NotConnected));
    assert_eq!(one.quic.usage().connections, 0);
    agree(&one, &two);
    echo(&one, &two).await.unwrap();
}

#[tokio::test]
async fn a_client_with_another_key_is_refused() {
    let (one, two) = pair();
    agree(&one, &two);
    two.grant(&one, [7; 32]);
    let mut streams = two.quic.accept();
    // The client is done with its part of the handshake before it is refused.
    if let Ok(mut stream) = one.quic.open(two.key).await {
        let _ = stream.write_all(b"there").await;
        let mut back = Vec::new();
        assert!(stream.read_to_end(&mut back).await.is_err());
    }
    assert!(streams.try_recv().is_err());
    assert_eq!(two.quic.drops().handshakes, 1);
    assert!(two.quic.links.current(&one.key).is_none());
}

#[tokio::test]
async fn a_peer_that_names_another_key_has_started_anew() {
    let (one, two) = pair();
    agree(&one, &two);
    echo(&one, &two).await.unwrap();
    let mut old = one.quic.open(two.key).await.unwrap();
    let again = Quic::new(&[&two.socket], Instant::now);
    one.grant(&two, again.fingerprint().unwrap());
    let mut rest = Vec::new();
    assert!(old.read_to_end(&mut rest).await.is_err(), "it ends at once");
    assert!(!one.quic.is_fresh(&two.key));
    agree(&one, &two);
    echo(&one, &two).await.unwrap();
}

#[tokio::test]
async fn streams_that_nobody_accepts_are_refused() {
    let (one, two) = pair();
    agree(&one, &two);
    let mut stream = one.quic.open(two.key).await.unwrap();
    stream.write_all(b"anybody?").await.unwrap();
    let mut back = Vec::new();
    assert!(stream.read_to_end(&mut back).await.is_err());
    assert_eq!(two.quic.drops().streams, 1);
    echo(&one, &two).await.unwrap();
}

#[tokio::test]
async fn garbage_from_a_granted_address_ends_nothing() {
    let (one, two) = pair();
    agree(&one, &two);
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut chance = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..2000usize {
        let length = 1 + usize::try_from(chance() % 1200).unwrap();
        let mut bytes: Vec<u8> = (0..length).map(|_| chance().to_le_bytes()[0]).collect();
        bytes[0] |= 0x40;
        if round % 2 == 0 && length > 6 {
            // As the first packet of a connection looks.
            bytes[..6].copy_from_slice(&[0xc0, 0, 0, 0, 1, 8]);
        }
        one.send(&two, &bytes).await;
        if round % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    one.send(&two, &[0x07; 64]).await;
    echo(&one, &two).await.unwrap();
    assert!(two.others.load(Ordering::SeqCst) <= 1);
}

/// A connection, and then this fault on the second side.
async fn fail(fault: Fault) -> (Side, Side) {
    let (one, two) = pair();
    agree(&one, &two);
    echo(&one, &two).await.unwrap();
    two.quic.port.fail(fault);
    let held = two.quic.open(one.key).await.unwrap();
    let mut stream = one.quic.open(two.key).await.unwrap();
    stream.write_all(b"there").await.unwrap();
    while two.quic.port.will_fail() {
        tokio::task::yield_now().await;
    }
    drop(held);
    (one, two)
}

/// Datagrams that are not QUIC's go both ways.
async fn others_pass(one: &Side, two: &Side) {
    for (from, to) in [(one, two), (two, one)] {
        for count in 1..=20 {
            from.send(to, &[0x07; 64]).await;
            while to.others.load(Ordering::SeqCst) < count {
                tokio::task::yield_now().await;
            }
        }
    }
}

#[tokio::test]
async fn the_end_of_quics_own_task_harms_nothing_else_and_it_begins_anew() {
    let (one, two) = fail(Fault::ErrorInReceive).await;
    others_pass(&one, &two).await;
    while two.quic.links.current(&one.key).is_some() {
        tokio::task::yield_now().await;
    }
    agree(&one, &two);
    echo(&two, &one).await.unwrap();
}

#[tokio::test]
async fn a_panic_on_a_connection_harms_nothing_else_and_another_one_is_begun() {
    let (one, two) = fail(Fault::PanicInSend).await;
    others_pass(&one, &two).await;
    agree(&one, &two);
    // Whoever opens a stream finds out, unless a peer's stream came before.
    if two.quic.links.current(&one.key).is_some() {
        let failed = two.quic.open(one.key).await;
        assert_eq!(failed.unwrap_err(), QuicError::Failed);
    }
    echo(&two, &one).await.unwrap();
    while two.quic.usage().connections > 1 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_first_packet_that_the_library_fails_by_is_kept_from_it() {
    let (one, two) = pair();
    agree(&one, &two);
    two.quic.port.fail(Fault::PanicInFirstPacket);
    // The packet is lost; it comes again and is fine.
    echo(&one, &two).await.unwrap();
    assert_eq!(two.quic.drops().defects, 1);
    assert_eq!(two.quic.drops().handshakes, 0);
    others_pass(&one, &two).await;
}

#[tokio::test]
async fn the_end_is_told_and_final() {
    let (one, two) = pair();
    agree(&one, &two);
    echo(&one, &two).await.unwrap();
    let mut stream = one.quic.open(two.key).await.unwrap();
    two.quic.close().await;
    let mut rest = Vec::new();
    assert!(stream.read_to_end(&mut rest).await.is_err());
    assert_eq!(two.quic.grant(one.granted([0; 32])), Err(QuicError::Closed));
}
