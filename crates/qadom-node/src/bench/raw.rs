//! Bare datagrams between two sockets: the limit that no protocol on top can beat.
//!
//! What must stay true: a datagram that is lost, which happens on loopback too, is counted as
//! failed and holds nothing up for longer than [`PATIENCE`].

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use qadom_routing::Moment;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::load::{Row, row};
use super::{BenchSettings, usage};
use crate::clock::Clock;

/// The lengths of a bare datagram in bytes: about that of an encrypted ping, and the longest that
/// nodes send.
const LENGTHS: [usize; 2] = [64, 1200];

/// The longest wait for the next datagram to come back.
const PATIENCE: Duration = Duration::from_secs(1);

/// Measures bare round trips of each length, one at a time and many in flight.
pub(super) async fn measure(settings: &BenchSettings, rows: &mut Vec<Row>) -> std::io::Result<()> {
    let echo = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let client = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    client.connect(echo.local_addr()?).await?;
    let echoing = tokio::spawn(async move {
        let mut buffer = [0; 1200];
        while let Ok((length, from)) = echo.recv_from(&mut buffer).await {
            let Some(datagram) = buffer.get(..length) else {
                break;
            };
            if echo.send_to(datagram, from).await.is_err() {
                break;
            }
        }
    });
    for length in LENGTHS {
        for in_flight in [1, settings.in_flight] {
            let work = format!("bare datagram of {length} B and back, {in_flight} in flight");
            let round = Round::new(&client, length);
            rows.push(round.run(work, settings.round_trips, in_flight).await?);
        }
    }
    echoing.abort();
    Ok(())
}

/// Datagrams of one length, each with its number in front.
struct Round<'a> {
    client: &'a UdpSocket,
    datagram: Vec<u8>,
    clock: Clock,
    last: u64,
    /// When each that is not back yet was sent.
    in_flight: BTreeMap<u64, Moment>,
    spans: Vec<Duration>,
}

impl<'a> Round<'a> {
    /// `length` is at least 8 bytes.
    fn new(client: &'a UdpSocket, length: usize) -> Self {
        Self {
            client,
            datagram: vec![0; length],
            clock: Clock::start(0),
            last: 0,
            in_flight: BTreeMap::new(),
            spans: Vec::new(),
        }
    }

    async fn run(mut self, work: String, count: usize, in_flight: usize) -> std::io::Result<Row> {
        let cpu = usage::cpu();
        let mut failed = 0;
        while self.spans.len() < count {
            while self.in_flight.len() < in_flight.min(count - self.spans.len()) {
                self.send().await?;
            }
            if let Ok(received) = timeout(PATIENCE, self.receive()).await {
                received?;
            } else {
                // Everything in flight is lost.
                let now = self.clock.now().moment;
                failed += self.in_flight.len();
                let lost = std::mem::take(&mut self.in_flight).into_values();
                self.spans.extend(lost.map(|began| now.since(began)));
            }
        }
        Ok(row(work, self.spans, failed, self.clock, cpu))
    }

    async fn send(&mut self) -> std::io::Result<()> {
        self.last += 1;
        let number = self.last.to_le_bytes();
        for (place, byte) in self.datagram.iter_mut().zip(number) {
            *place = byte;
        }
        self.in_flight.insert(self.last, self.clock.now().moment);
        self.client.send(&self.datagram).await?;
        Ok(())
    }

    /// Waits for one that is still waited for.
    async fn receive(&mut self) -> std::io::Result<()> {
        let mut buffer = [0; 1200];
        loop {
            self.client.recv(&mut buffer).await?;
            let number = buffer.first_chunk().copied().map_or(0, u64::from_le_bytes);
            if let Some(began) = self.in_flight.remove(&number) {
                self.spans.push(self.clock.now().moment.since(began));
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pair() -> (UdpSocket, UdpSocket) {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (client, peer) = (UdpSocket::bind(any).await, UdpSocket::bind(any).await);
        let (client, peer) = (client.unwrap(), peer.unwrap());
        client.connect(peer.local_addr().unwrap()).await.unwrap();
        (client, peer)
    }

    #[tokio::test(start_paused = true)]
    async fn datagrams_that_nobody_sends_back_have_failed() {
        let (client, _silent) = pair().await;
        let round = Round::new(&client, 64).run(String::new(), 5, 2);
        let row = round.await.unwrap();
        assert_eq!((row.count, row.failed), (5, 5));
    }

    #[tokio::test]
    async fn one_lost_datagram_fails_alone() {
        let (client, peer) = pair().await;
        tokio::spawn(async move {
            let mut buffer = [0; 1200];
            while let Ok((length, from)) = peer.recv_from(&mut buffer).await {
                if buffer[0] != 3 {
                    peer.send_to(&buffer[..length], from).await.unwrap();
                }
            }
        });
        let round = Round::new(&client, 1200).run(String::new(), 10, 4);
        let row = round.await.unwrap();
        assert_eq!((row.count, row.failed), (10, 1));
    }
}
