//! How many round trips the first byte of a remote file takes over HTTP, counted by a line with delay.
//!
//! `QADOM_SPARSE_GIB=8 cargo test --release -p qadom-cli --test cli files::first_byte -- --nocapture` takes
//! a file of that size.
//!
//! The line holds all datagrams back until neither side says more, and then hands them over together:
//! each time is one way through the line for whatever waits for an answer, however long the machine takes.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::{MIB, add, http, setting, text};
use crate::process::Daemon;

/// How long nobody has said anything when the line hands over what it has.
const QUIET: Duration = Duration::from_millis(60);
/// Datagrams that are handed over without a pause: what sockets have room for.
const BURST: usize = 16;
/// Round trips to the first byte, but for the lookup of who has the file.
const ROUND_TRIPS_MAX: usize = 5;

/// A line between two nodes.
struct Line {
    /// Where the one is reached by the other.
    address: SocketAddr,
    /// Ways through it so far.
    ways: Arc<AtomicUsize>,
    /// The way with the first packet of QUIC; zero before.
    first_quic: Arc<AtomicUsize>,
}

/// The node that a datagram goes to, and its bytes.
type Held = (SocketAddr, Vec<u8>);

/// Reads all that comes at a socket; tells also where from.
fn listen(socket: &UdpSocket, held: mpsc::Sender<Held>) {
    let socket = socket.try_clone().unwrap();
    thread::spawn(move || {
        let mut bytes = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut bytes) {
            if held.send((from, bytes[..length].to_vec())).is_err() {
                return;
            }
        }
    });
}

impl Line {
    /// A line to a node that will listen at this address, for one node that calls it.
    fn to(node: SocketAddr) -> Self {
        let outer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let inner = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (sender, said) = mpsc::channel();
        listen(&outer, sender.clone());
        listen(&inner, sender);
        let line = Self {
            address: outer.local_addr().unwrap(),
            ways: Arc::default(),
            first_quic: Arc::default(),
        };
        let (ways, first_quic) = (Arc::clone(&line.ways), Arc::clone(&line.first_quic));
        thread::spawn(move || {
            let (mut held, mut caller) = (Vec::new(), None);
            loop {
                match said.recv_timeout(QUIET) {
                    Ok(datagram) => held.push(datagram),
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) if held.is_empty() => {}
                    Err(RecvTimeoutError::Timeout) => {
                        let way = ways.fetch_add(1, Ordering::SeqCst) + 1;
                        for (number, (from, bytes)) in held.drain(..).enumerate() {
                            // The first bits of QUIC are set, those of other datagrams are not.
                            if bytes[0] & 0xc0 != 0 && first_quic.load(Ordering::SeqCst) == 0 {
                                first_quic.store(way, Ordering::SeqCst);
                            }
                            let sent = if from == node {
                                caller.map(|caller| outer.send_to(&bytes, caller))
                            } else {
                                caller = Some(from);
                                Some(inner.send_to(&bytes, node))
                            };
                            // A node that has ended hears nothing.
                            let _ = sent;
                            if number % BURST == BURST - 1 {
                                thread::sleep(Duration::from_millis(1));
                            }
                        }
                    }
                }
            }
        });
        line
    }
}

#[test]
fn the_first_byte_over_http_takes_five_round_trips_beside_the_lookup() {
    let size = match setting("QADOM_SPARSE_GIB", 0) {
        0 => 16 * MIB as u64,
        gib => (gib as u64) << 30,
    };
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("film");
    File::create(&path).unwrap().set_len(size).unwrap();
    let node = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = node.local_addr().unwrap();
    let line = Line::to(address);
    drop(node);
    let (listening, advertised) = (address.to_string(), line.address.to_string());
    let one = Daemon::start(&["--listen", &listening, "--advertise", &advertised]);
    let id = add(&one, &path, &[]).code(0).text().to_owned();

    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = port.local_addr().unwrap().to_string();
    drop(port);
    // A client: nobody else calls it, so that all goes through the line.
    let two = Daemon::start(&["--client", "--gateway", &gateway]);
    let key = one.address().split('@').next().unwrap();
    two.run(&["join", &format!("{key}@{advertised}")]).code(0);
    let begun = line.ways.load(Ordering::SeqCst);
    assert_eq!(line.first_quic.load(Ordering::SeqCst), 0);
    let range = ["range: bytes=0-0"];
    let (status, head, body) = http(&gateway, "GET", &format!("/files/{id}"), &range);
    let ended = line.ways.load(Ordering::SeqCst);
    assert_eq!((status, &body[..]), (206, &[0][..]), "{head}");
    let quic = line.first_quic.load(Ordering::SeqCst);
    // The round trip before is that in which both sides agree on QUIC.
    let lookup = (quic - begun).div_ceil(2).saturating_sub(1);
    let fetching = 1 + (ended - quic + 1).div_ceil(2);
    println!("first byte of {size} bytes: lookup {lookup} round trips, then {fetching}");
    assert!(
        fetching <= ROUND_TRIPS_MAX,
        "{fetching} round trips: {begun} ways before, the first of QUIC was {quic}, {ended} at the end; {}",
        text(&path)
    );
}
