//! Keys, node ids, puzzles and refused keys against the vectors of an independent implementation.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test panic as the test does"
)]

use data_encoding::HEXLOWER;
use qadom_routing::{Key, NodeKey, NodeKeyError, is_node_key};
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/wire.json")).unwrap()
}

fn bytes(value: &Value) -> [u8; 32] {
    let text = value.as_str().unwrap();
    HEXLOWER
        .decode(text.as_bytes())
        .unwrap()
        .try_into()
        .unwrap()
}

#[test]
fn names_hash_to_their_keys() {
    let vectors = vectors();
    let named = &vectors["derive"]["qadom 1 name"];
    let name = HEXLOWER
        .decode(named["input"].as_str().unwrap().as_bytes())
        .unwrap();
    assert_eq!(
        Key::from_name(&name).unwrap().as_bytes(),
        &bytes(&named["output"])
    );
    let key: Key = "name:key".parse().unwrap();
    assert_eq!(key.as_bytes(), &bytes(&vectors["slots"]["name 'key'"]));
}

#[test]
fn node_keys_stand_at_their_ids() {
    let vectors = vectors();
    for node in vectors["node"].as_object().unwrap().values() {
        let key = NodeKey::new(bytes(&node["key"])).unwrap();
        assert_eq!(key.id().key().as_bytes(), &bytes(&node["node_id"]));
    }
}

#[test]
fn puzzles_have_their_leading_zero_bits() {
    let vectors = vectors();
    let puzzles = vectors["puzzle"].as_array().unwrap();
    assert!(!puzzles.is_empty());
    for puzzle in puzzles {
        let key = NodeKey::new(bytes(&puzzle["key"])).unwrap();
        assert_eq!(
            u64::from(key.puzzle_bits()),
            puzzle["zero_bits"].as_u64().unwrap()
        );
    }
}

/// The hashes inside ids and puzzles, so that a failure above can be told from a wrong context.
#[test]
fn contexts_derive_what_they_should() {
    let vectors = vectors();
    for (context, vector) in vectors["derive"].as_object().unwrap() {
        let input = HEXLOWER
            .decode(vector["input"].as_str().unwrap().as_bytes())
            .unwrap();
        assert_eq!(
            blake3::derive_key(context, &input),
            bytes(&vector["output"]),
            "{context}"
        );
    }
}

#[test]
fn every_refused_key_is_refused_and_its_neighbours_are_not() {
    let vectors = vectors();
    let refused = vectors["refused_keys"].as_array().unwrap();
    for key in refused.iter().map(bytes) {
        assert!(!is_node_key(&key), "{}", HEXLOWER.encode(&key));
        assert_eq!(NodeKey::new(key), Err(NodeKeyError));
    }
    let mut below = bytes(&refused[4]);
    below[0] -= 1;
    assert!(is_node_key(&below), "p - 2 is canonical and of large order");
    let mut two = [0; 32];
    two[0] = 2;
    assert!(is_node_key(&two));
}
