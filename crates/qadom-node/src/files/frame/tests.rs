//! Frames of data streams: golden bytes, round trips, and bytes that no honest node sends.

use data_encoding::HEXLOWER;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;

/// Reads a frame the way a stream does.
fn read(bytes: &[u8]) -> Result<Frame, BadFrame> {
    let (head, body) = bytes.split_first_chunk().ok_or(BadFrame)?;
    Frame::parse(Head::parse(*head)?, Bytes::copy_from_slice(body))
}

fn whole(frame: &Frame) -> Vec<u8> {
    let mut bytes = frame.encode().to_vec();
    if let Frame::Chunk { bytes: chunk, .. } = frame {
        bytes.extend_from_slice(chunk);
    }
    bytes
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let reason = prop::sample::select(Reason::ALL.to_vec());
    let bytes = |most| vec(any::<u8>(), 0..=most).prop_map(Bytes::from);
    let proof = vec(any::<[u8; 32]>(), 0..=PROOF_HASHES_MAX)
        .prop_map(|hashes| Bytes::from(hashes.as_flattened().to_vec()));
    prop_oneof![
        any::<[u8; 32]>().prop_map(|file| Frame::Want { file }),
        any::<([u8; 32], u64)>().prop_map(|(file, size)| Frame::Give { file, size }),
        any::<u64>().prop_map(|size| Frame::All { size }),
        (any::<(u64, u64, bool)>(), bytes(200)).prop_map(|((size, first, more), bits)| {
            let first = first & !7;
            Frame::Has {
                size,
                first,
                more,
                bits,
            }
        }),
        Just(Frame::Look),
        any::<u64>().prop_map(|index| Frame::Ask { index }),
        any::<u64>().prop_map(|index| Frame::Cancel { index }),
        (any::<u64>(), proof, bytes(5000)).prop_map(|(index, proof, bytes)| Frame::Chunk {
            index,
            proof,
            bytes
        }),
        (any::<(u64, u32)>(), reason.clone()).prop_map(|((index, retry_after_ms), reason)| {
            Frame::Refuse {
                index,
                reason,
                retry_after_ms,
            }
        }),
        any::<u64>().prop_map(|index| Frame::Kept { index }),
        reason.prop_map(|reason| Frame::End { reason }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn frames_arrive(frame in any_frame()) {
        prop_assert_eq!(read(&whole(&frame)), Ok(frame));
    }

    #[test]
    fn random_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..400), kind in 0_u8..14) {
        let _ = read(&bytes);
        let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
        let framed = [&[kind][..], &length, &bytes].concat();
        if let Ok(frame) = read(&framed) {
            prop_assert_eq!(read(&whole(&frame)), Ok(frame));
        }
    }
}

#[test]
fn the_bytes_are_those_of_the_page() {
    for (frame, hex) in [
        (Frame::Ask { index: 0x0102 }, "06080000000201000000000000"),
        (Frame::Look, "0500000000"),
        (
            Frame::End {
                reason: Reason::NotFound,
            },
            "0b0100000012",
        ),
        (
            Frame::Has {
                size: 3,
                first: 8,
                more: false,
                bits: Bytes::from_static(&[5]),
            },
            "0412000000030000000000000008000000000000000005",
        ),
        (
            Frame::Chunk {
                index: 1,
                proof: Bytes::new(),
                bytes: Bytes::from_static(b"abc"),
            },
            "080c000000010000000000000000616263",
        ),
    ] {
        let hex = hex.replace(' ', "");
        assert_eq!(HEXLOWER.encode(&whole(&frame)), hex, "{frame:?}");
        assert_eq!(read(&HEXLOWER.decode(hex.as_bytes()).unwrap()), Ok(frame));
    }
}

#[test]
fn no_head_asks_for_more_memory_than_its_kind_may() {
    for kind in 0..=u8::MAX {
        for length in [0_u32, 1, 8, 32, 65_553, 65_554, 263_241, 263_242, u32::MAX] {
            let [a, b, c, d] = length.to_le_bytes();
            if let Ok(head) = Head::parse([kind, a, b, c, d]) {
                let longest = CHUNK_HEAD + PROOF_HASHES_MAX * HASH_LENGTH + CHUNK_MAX;
                assert!((1..=11).contains(&kind) && head.length <= longest);
            }
        }
    }
    assert!(
        Head::parse([CHUNK, 0x49, 0x04, 0x04, 0x00]).is_ok(),
        "263241"
    );
    assert!(
        Head::parse([CHUNK, 0x4a, 0x04, 0x04, 0x00]).is_err(),
        "263242"
    );
}

#[test]
fn a_chunk_whose_proof_or_bytes_are_too_long_is_none() {
    let chunk = |hashes: u8, rest: usize| {
        let body = [&[0; 8][..], &[hashes], &vec![0; rest]].concat();
        let length = u32::try_from(body.len()).unwrap().to_le_bytes();
        read(&[&[CHUNK][..], &length, &body].concat())
    };
    assert!(chunk(34, 34 * 32).is_ok());
    assert_eq!(chunk(35, 35 * 32), Err(BadFrame));
    assert_eq!(chunk(1, 31), Err(BadFrame));
    assert!(chunk(0, CHUNK_MAX).is_ok());
    assert_eq!(chunk(0, CHUNK_MAX + 1), Err(BadFrame));
}
