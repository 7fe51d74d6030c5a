//! The same bytes over QUIC as the library runs it, on sockets of its own.

use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn::VarInt;

use crate::PIECE;
use crate::quic::{Datagrams, client, endpoint, server};

/// Sends and says how long that took.
pub(crate) async fn send(pieces: usize, has_gso: bool, datagrams: Datagrams) -> Duration {
    let taker = endpoint(Some(server(has_gso, datagrams)));
    let giver = endpoint(None);
    let to = taker.local_addr().unwrap();
    let accepting = tokio::spawn(async move {
        let connection = taker.accept().await.unwrap().await.unwrap();
        let (sender, mut receiver) = connection.accept_bi().await.unwrap();
        let mut count = 0;
        while let Some(chunk) = receiver.read_chunk(usize::MAX, true).await.unwrap() {
            count += chunk.bytes.len();
        }
        assert_eq!(count, pieces * PIECE);
        drop(sender);
        connection.closed().await;
    });
    let connecting = giver.connect_with(client(has_gso, datagrams), to, "bench");
    let connection = connecting.unwrap().await.unwrap();
    let (mut sender, mut receiver) = connection.open_bi().await.unwrap();
    let began = Instant::now();
    let sending = tokio::spawn(async move {
        let piece = Bytes::from(vec![7; PIECE]);
        for _ in 0..pieces {
            sender.write_chunk(piece.clone()).await.unwrap();
        }
        sender.finish().unwrap();
        assert!(receiver.read_chunk(1, true).await.unwrap().is_none());
        began.elapsed()
    });
    let span = sending.await.unwrap();
    connection.close(VarInt::from_u32(0), b"");
    accepting.await.unwrap();
    span
}
