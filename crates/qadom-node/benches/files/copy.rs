//! A plain copy over quinn: read, hash, send; received, gathered, hashed, written.

use std::fs::File;
use std::io::{Read, Write};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use quinn::VarInt;
use tokio::task::block_in_place;

use crate::PIECE;
use crate::process::{await_end, await_go, say};
use crate::quic::{self, Datagrams};

pub(crate) async fn give(source: &str, datagrams: Datagrams) {
    let endpoint = quic::endpoint(Some(quic::server(true, datagrams)));
    say(&endpoint.local_addr().unwrap().to_string());
    let mut file = File::open(source).unwrap();
    let before = await_go();
    let connection = endpoint.accept().await.unwrap().await.unwrap();
    let (mut sender, mut receiver) = connection.accept_bi().await.unwrap();
    assert!(receiver.read_chunk(1, true).await.unwrap().is_some());
    let mut hasher = blake3::Hasher::new();
    loop {
        let piece = block_in_place(|| {
            let mut piece = Vec::with_capacity(PIECE);
            let limit = u64::try_from(PIECE).unwrap();
            Read::by_ref(&mut file)
                .take(limit)
                .read_to_end(&mut piece)
                .unwrap();
            hasher.update(&piece);
            piece
        });
        if piece.is_empty() {
            break;
        }
        sender.write_chunk(Bytes::from(piece)).await.unwrap();
    }
    sender
        .write_all(hasher.finalize().as_bytes())
        .await
        .unwrap();
    sender.finish().unwrap();
    connection.closed().await;
    await_end(before);
}

pub(crate) async fn take(offer: &str, target: &str, datagrams: Datagrams) {
    let endpoint = quic::endpoint(None);
    say("ready");
    let before = await_go();
    let began = Instant::now();
    let client = quic::client(true, datagrams);
    let connecting = endpoint.connect_with(client, offer.parse().unwrap(), "bench");
    let connection = connecting.unwrap().await.unwrap();
    let (mut sender, mut receiver) = connection.open_bi().await.unwrap();
    sender.write_all(b"?").await.unwrap();
    let (mut file, mut hasher) = (File::create(target).unwrap(), blake3::Hasher::new());
    let mut gathered = BytesMut::with_capacity(2 * PIECE);
    while let Some(chunk) = receiver.read_chunk(usize::MAX, true).await.unwrap() {
        gathered.extend_from_slice(&chunk.bytes);
        // The hash comes last.
        while gathered.len() >= PIECE + blake3::OUT_LEN {
            let piece = gathered.split_to(PIECE);
            block_in_place(|| {
                hasher.update(&piece);
                file.write_all(&piece).unwrap();
            });
        }
    }
    let hash = gathered.split_off(gathered.len() - blake3::OUT_LEN);
    hasher.update(&gathered);
    file.write_all(&gathered).unwrap();
    assert_eq!(hasher.finalize().as_bytes(), &hash[..]);
    say(&began.elapsed().as_secs_f64().to_string());
    connection.close(VarInt::from_u32(0), b"");
    await_end(before);
}
