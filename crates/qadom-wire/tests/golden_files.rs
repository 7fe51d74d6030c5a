//! What is said of files: one committed body for each message and payload, written from the schema by
//! hand, and what no honest node sends.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use data_encoding::HEXLOWER;
use qadom_wire::{
    Answer, BAG_ITEM_MAX, CONTENT_TYPE_MAX, DecodeError, FILE_URL_MAX, FILE_URLS_MAX, FileEntry,
    FileEntryError, HELD_BYTES_MAX, Held, Holds, OFFER_CHUNKS_MAX, Offer, OfferResult, Provider,
    Reason, Request,
};

const FILE: [u8; 32] = [0x77; 32];

fn body(hex: &str) -> Bytes {
    let bytes = HEXLOWER.decode(hex.trim_end().as_bytes());
    bytes.expect("the file is hexadecimal").into()
}

#[track_caller]
fn check_request(request: &Request, hex: &str) {
    assert_eq!(HEXLOWER.encode(&request.encode()), hex.trim_end());
    assert_eq!(Request::decode(body(hex)).as_ref(), Ok(request));
}

#[track_caller]
fn check_answer(answer: &Answer, hex: &str) {
    assert_eq!(HEXLOWER.encode(&answer.encode()), hex.trim_end());
    assert_eq!(Answer::decode(body(hex)).as_ref(), Ok(answer));
}

fn offer(chunks: Vec<u64>) -> Offer {
    Offer {
        file: FILE,
        length: 600_000,
        chunks,
        expiry: 2_000_000_000,
        copies: 6,
    }
}

#[test]
fn offers() {
    check_request(
        &Request::Offer(offer(vec![0, 2])),
        include_str!("vectors/messages/request_offer.hex"),
    );
    let results = vec![
        OfferResult::Wanted,
        OfferResult::Held,
        OfferResult::Refused(Reason::DiskFull),
    ];
    check_answer(
        &Answer::Offered(results),
        include_str!("vectors/messages/answer_offered.hex"),
    );
}

#[test]
fn holders() {
    let holds = Holds {
        file: FILE,
        first: 8,
    };
    check_request(
        &Request::Holds(holds),
        include_str!("vectors/messages/request_holds.hex"),
    );
    let held = Held {
        length: 600_000,
        bits: vec![0b101].into(),
    };
    assert_eq!(
        [0, 1, 2, 8].map(|offset| held.has(offset)),
        [true, false, true, false]
    );
    check_answer(
        &Answer::Held(held),
        include_str!("vectors/messages/answer_held.hex"),
    );
}

#[test]
fn entries() {
    let entry = FileEntry::new(
        FILE,
        5,
        "text/plain",
        vec!["http://example.org/a".to_owned()],
    );
    let entry = entry.expect("an entry");
    let hex = include_str!("vectors/files/entry.hex");
    assert_eq!(HEXLOWER.encode(&entry.encode()), hex.trim_end());
    assert_eq!(FileEntry::decode(&body(hex)), Ok(entry));
}

#[test]
fn lists_of_chunks_rise_and_have_a_limit() {
    for count in [1, OFFER_CHUNKS_MAX as u64 - 1, OFFER_CHUNKS_MAX as u64] {
        let offer = Request::Offer(offer((0..count).collect()));
        assert_eq!(Request::decode(offer.encode()), Ok(offer));
    }
    let too_many = (0..=OFFER_CHUNKS_MAX as u64).collect();
    for chunks in [vec![], too_many, vec![1, 1], vec![2, 1]] {
        let refused = Request::decode(Request::Offer(offer(chunks)).encode());
        assert_eq!(refused, Err(DecodeError::Field { field: "chunks" }));
    }
}

#[test]
fn bitfields_begin_at_a_byte_and_have_a_limit() {
    let holds = Request::Holds(Holds {
        file: FILE,
        first: 9,
    });
    let refused = Request::decode(holds.encode());
    assert_eq!(refused, Err(DecodeError::Field { field: "first" }));
    let held = |length| {
        let bits = vec![0xff; length].into();
        Answer::Held(Held {
            length: 1 << 50,
            bits,
        })
    };
    assert_eq!(
        Answer::decode(held(HELD_BYTES_MAX).encode()),
        Ok(held(HELD_BYTES_MAX))
    );
    let refused = Answer::decode(held(HELD_BYTES_MAX + 1).encode());
    assert_eq!(refused, Err(DecodeError::Field { field: "bits" }));
}

#[test]
fn each_limit_of_an_entry_is_named() {
    let entry = |content_type: &str, urls: Vec<String>| FileEntry::new(FILE, 5, content_type, urls);
    let url = |length: usize| format!("http://{}", "a".repeat(length - 7));
    assert!(entry(&"a".repeat(CONTENT_TYPE_MAX), vec![]).is_ok());
    for content_type in ["a".repeat(CONTENT_TYPE_MAX + 1), "a\nb".into(), "é".into()] {
        assert_eq!(
            entry(&content_type, vec![]),
            Err(FileEntryError::ContentType)
        );
    }
    assert!(entry("", vec![url(20); FILE_URLS_MAX]).is_ok());
    let count = FILE_URLS_MAX + 1;
    let refused = entry("", vec![url(20); count]);
    assert_eq!(refused, Err(FileEntryError::TooManyUrls { count }));
    assert!(entry("", vec![url(FILE_URL_MAX)]).is_ok());
    let long = url(FILE_URL_MAX + 1);
    for bad in [
        long.as_str(),
        "ftp://a/b",
        "http://",
        "http://a b",
        "file:///etc/passwd",
    ] {
        let refused = entry("", vec![bad.to_owned()]);
        assert_eq!(
            refused,
            Err(FileEntryError::Url {
                url: bad.to_owned()
            })
        );
    }
    let refused = entry("", vec![url(FILE_URL_MAX); 2]);
    assert!(matches!(refused, Err(FileEntryError::TooLong { length }) if length > BAG_ITEM_MAX));
}

#[test]
fn payloads_that_are_no_entry_and_no_provider_are_refused() {
    assert!(FileEntry::decode(b"http://example.org/file").is_err());
    assert!(FileEntry::decode(&[]).is_err(), "an id has 32 bytes");
    assert!(FileEntry::decode(&vec![0; BAG_ITEM_MAX + 1]).is_err());
    assert!(Provider::decode(&[]).is_err(), "exactly one contact");
    assert!(Provider::decode(&[1; 39]).is_err());
    let entry = body(include_str!("vectors/files/entry.hex"));
    for length in 0..entry.len() {
        // Whatever comes, it does no harm.
        let _ = FileEntry::decode(&entry[..length]);
        let _ = Provider::decode(&entry[..length]);
    }
}
