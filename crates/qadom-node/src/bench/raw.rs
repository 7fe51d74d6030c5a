//! Bare datagrams between two sockets: the limit that no protocol on top can beat.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::UdpSocket;

use super::load::{Row, row};
use super::{BenchSettings, usage};
use crate::clock::Clock;

/// The length of a bare datagram in bytes: that of an encrypted ping.
const LENGTH: usize = 64;

/// Measures bare round trips, one at a time and many in flight.
pub(super) async fn measure(settings: &BenchSettings, rows: &mut Vec<Row>) -> std::io::Result<()> {
    let echo = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let client = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    client.connect(echo.local_addr()?).await?;
    let echoing = tokio::spawn(async move {
        let mut buffer = [0; LENGTH];
        while let Ok((length, from)) = echo.recv_from(&mut buffer).await {
            let Some(datagram) = buffer.get(..length) else {
                break;
            };
            if echo.send_to(datagram, from).await.is_err() {
                break;
            }
        }
    });
    for in_flight in [1, settings.in_flight] {
        let work = format!("bare datagram there and back, {in_flight} in flight");
        rows.push(round(&client, work, settings.round_trips, in_flight).await?);
    }
    echoing.abort();
    Ok(())
}

async fn round(
    client: &UdpSocket,
    work: String,
    count: usize,
    in_flight: usize,
) -> std::io::Result<Row> {
    let clock = Clock::start(0);
    let cpu = usage::cpu();
    let mut buffer = [0; LENGTH];
    let mut sent = VecDeque::with_capacity(in_flight);
    let mut spans = Vec::with_capacity(count);
    for _ in 0..in_flight.min(count) {
        sent.push_back(clock.now().moment);
        client.send(&buffer).await?;
    }
    while let Some(began) = sent.pop_front() {
        let length = client.recv(&mut buffer).await?;
        spans.push(clock.now().moment.since(began));
        if spans.len() + sent.len() < count {
            sent.push_back(clock.now().moment);
            client
                .send(buffer.get(..length).unwrap_or_default())
                .await?;
        }
    }
    Ok(row(work, spans, 0, clock, cpu))
}
