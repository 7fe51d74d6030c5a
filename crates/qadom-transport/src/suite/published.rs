//! `tests/vectors/noise_ik.json`: published vectors of `Noise_IK_25519_ChaChaPoly_BLAKE2s`, from
//! cacophony (public domain) and from snow's own tests (Apache-2.0 OR MIT), against the suite in
//! both roles, its raw keys included.

use data_encoding::HEXLOWER;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use serde_json::Value;

use super::{INITIATE_OVERHEAD, NoiseSuite, Opening, RESPOND_OVERHEAD, SessionKeys, Suite};
use crate::key::SecretKey;

fn hex(value: &Value) -> Vec<u8> {
    HEXLOWER
        .decode(value.as_str().expect("a string").as_bytes())
        .unwrap()
}

fn array(value: &Value) -> [u8; 32] {
    hex(value).try_into().unwrap()
}

/// Both messages of the handshake byte for byte; gives the keys of initiator and responder.
fn handshake(vector: &Value) -> (SessionKeys, SessionKeys) {
    let ann = NoiseSuite::new(SecretKey::from_bytes(array(&vector["init_static"])));
    let bob_secret = SecretKey::from_bytes(array(&vector["resp_static"]));
    assert_eq!(bob_secret.public(), array(&vector["init_remote_static"]));
    let bob = NoiseSuite::new(bob_secret);
    let prologue = hex(&vector["init_prologue"]);
    assert_eq!(prologue, hex(&vector["resp_prologue"]));
    let [init, resp] = [0, 1].map(|at| &vector["messages"][at]);

    let ephemeral = array(&vector["init_ephemeral"]);
    let opening = Opening {
        prologue: &prologue,
        ephemeral: &ephemeral,
    };
    let payload = hex(&init["payload"]);
    let mut message = vec![0; payload.len() + INITIATE_OVERHEAD];
    let remote = array(&vector["init_remote_static"]);
    let mut initiator = ann
        .initiate(opening, &remote, &payload, &mut message)
        .unwrap();
    assert_eq!(message, hex(&init["ciphertext"]));

    let ephemeral = array(&vector["resp_ephemeral"]);
    let opening = Opening {
        prologue: &prologue,
        ephemeral: &ephemeral,
    };
    let mut opened = vec![0; payload.len()];
    let (key, responder) = bob.accept(opening, &message, &mut opened).unwrap();
    assert_eq!(opened, payload);
    assert_eq!(
        key,
        SecretKey::from_bytes(array(&vector["init_static"])).public()
    );
    let payload = hex(&resp["payload"]);
    let mut message = vec![0; payload.len() + RESPOND_OVERHEAD];
    let bob_keys = bob.respond(responder, &payload, &mut message).unwrap();
    assert_eq!(message, hex(&resp["ciphertext"]));

    let mut opened = vec![0; payload.len()];
    let ann_keys = ann.complete(&mut initiator, &message, &mut opened).unwrap();
    assert_eq!(opened, payload);
    (ann_keys, bob_keys)
}

/// Noise's own transport seal: like ours, without associated data.
fn seal(key: &[u8; 32], counter: u64, payload: &[u8]) -> Vec<u8> {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).unwrap());
    let mut sealed = payload.to_vec();
    key.seal_in_place_append_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::empty(),
        &mut sealed,
    )
    .unwrap();
    sealed
}

#[test]
fn handshakes_and_the_messages_after_them() {
    let file: Value =
        serde_json::from_str(include_str!("../../tests/vectors/noise_ik.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 2);
    for vector in vectors {
        let (ann, bob) = handshake(vector);
        assert_eq!((ann.send, ann.receive), (bob.receive, bob.send));
        let later = vector["messages"].as_array().unwrap().iter().skip(2);
        for (at, message) in later.enumerate() {
            let key = if at % 2 == 0 { &ann.send } else { &bob.send };
            let sealed = seal(key, at as u64 / 2, &hex(&message["payload"]));
            assert_eq!(sealed, hex(&message["ciphertext"]), "{}", vector["source"]);
        }
    }
}
