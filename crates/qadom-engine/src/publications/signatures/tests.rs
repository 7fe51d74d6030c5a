//! Seqs and streams only rise.

use qadom_routing::Moment;

use super::*;

fn writer() -> Writer {
    qadom_wire::Identity::from_seed([7; 32]).writer()
}

fn id(kind: Kind) -> PublicationId {
    PublicationId {
        slot: Key::ZERO,
        kind,
        item: Key::ZERO,
    }
}

fn highest(signatures: &Signatures, id: &PublicationId) -> u64 {
    signatures.last.get(id).map_or(0, |last| last.seq)
}

fn at(seconds: u64) -> Time {
    Time {
        moment: Moment::ORIGIN,
        utc_micros: seconds * 1_000_000,
    }
}

#[test]
fn namespaces_count_and_dicts_follow_the_clock() {
    let mut signatures = Signatures::default();
    let (namespace, dict) = (id(Kind::NamespaceEntry), id(Kind::DictCell));
    let mut next = |id, seen, now| signatures.next_seq(&id, seen, at(now));
    assert_eq!([next(namespace, 0, 9), next(namespace, 0, 9)], [1, 2]);
    assert_eq!([next(namespace, 7, 9), next(namespace, 3, 9)], [8, 9]);
    assert_eq!([next(dict, 0, 9), next(dict, 0, 9)], [9_000_000, 9_000_001]);
    // The clock went back, and somebody else's went ahead.
    assert_eq!(
        [next(dict, 0, 8), next(dict, 9_500_000, 9)],
        [9_000_002, 9_500_001]
    );
}

#[test]
fn an_expiry_never_goes_back_and_is_forgotten_an_hour_after_it() {
    let mut signatures = Signatures::default();
    let dict = id(Kind::DictCell);
    signatures.note(&dict, 5, 1000);
    signatures.note(&dict, 4, 900);
    assert_eq!(
        (highest(&signatures, &dict), signatures.expiry(&dict)),
        (5, 1000)
    );
    signatures.prune(at(1000 + REMEMBERED - 1));
    assert_eq!(highest(&signatures, &dict), 5);
    signatures.prune(at(1000 + REMEMBERED));
    assert_eq!(highest(&signatures, &dict), 0);
    let namespace = id(Kind::NamespaceEntry);
    signatures.note(&namespace, 5, 1000);
    signatures.prune(at(1_000_000));
    assert_eq!(highest(&signatures, &namespace), 5);
}

#[test]
fn a_seq_that_was_only_given_out_is_remembered_too() {
    let mut signatures = Signatures::default();
    let dict = id(Kind::DictCell);
    let seq = signatures.next_seq(&dict, 0, at(9));
    signatures.prune(at(9));
    assert_eq!(signatures.next_seq(&dict, 0, at(9)), seq + 1);
}

#[test]
fn events_count_without_holes_and_streams_rise_over_restarts() {
    let mut signatures = Signatures::default();
    let mut places = Vec::new();
    for (topic, now) in [(1, 9), (1, 9), (2, 9), (1, 10)] {
        let topic = Key::from_bytes([topic; 32]);
        let (next, is_opened) = signatures.next_event(&writer(), topic, at(now));
        places.push((next.stream, next.seq, is_opened));
    }
    let (first, second) = (9_000_000, 9_000_001);
    let expected = [
        (first, 1, true),
        (first, 2, false),
        (second, 1, true),
        (first, 3, false),
    ];
    assert_eq!(places, expected);

    let mut restarted = Signatures::default();
    restarted.restore_stream(writer(), second);
    restarted.restore_stream(writer(), first);
    // Even when the clock stood still.
    let (next, is_opened) = restarted.next_event(&writer(), Key::ZERO, at(9));
    assert_eq!((next.stream, next.seq, is_opened), (second + 1, 1, true));
}

#[test]
fn the_topic_that_was_opened_first_gives_way() {
    let mut signatures = Signatures::default();
    let topic = |number: usize| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
        Key::from_bytes(bytes)
    };
    for number in 0..=TOPICS_MAX {
        signatures.next_event(&writer(), topic(number), at(1));
    }
    assert_eq!(signatures.topics.len(), TOPICS_MAX);
    assert!(!signatures.next_event(&writer(), topic(1), at(1)).1);
    assert!(signatures.next_event(&writer(), topic(0), at(1)).1);
}
