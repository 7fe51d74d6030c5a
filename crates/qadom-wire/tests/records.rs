//! Signed records by themselves: signatures, weak keys, tombstones, orders, relations, merging and
//! renewals.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::cmp::Ordering;
use std::collections::BTreeMap;

use ed25519_dalek::VerifyingKey;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use qadom_routing::Key;
use qadom_wire::{
    Draft, Identity, Kind, Network, NetworkId, Reason, RecordError, Relation, Renewal,
    SignedRecord, Verified, WeakKey, Writer, WriterTextError, bag_label, fingerprint, merge,
    relation,
};

fn network() -> NetworkId {
    Network::new(b"test", b"").expect("a network").id()
}

fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

fn sign(seed: u8, draft: Draft) -> Verified {
    let signed = identity(seed).sign(&network(), draft);
    signed.expect("a valid draft")
}

/// Few writers, payloads, seqs and expiries, so that all orders and conflicts come up.
fn any_cell() -> impl Strategy<Value = Verified> {
    (1..4_u8, 0..3_u64, 0..4_u8, 0..3_u64).prop_map(|(writer, seq, payload, expiry)| {
        let draft = match payload {
            3 => Draft::dict_tombstone(Key::MAX, seq, expiry),
            _ => Draft::dict_cell(Key::MAX, vec![payload].into(), seq, expiry),
        };
        sign(writer, draft)
    })
}

fn any_item() -> impl Strategy<Value = Verified> {
    (1..4_u8, 0..3_u64, 0..4_u8, 0..3_u64, any::<bool>()).prop_map(
        |(writer, seq, payload, expiry, is_buried)| {
            let draft = if is_buried {
                Draft::bag_tombstone(Key::MAX, bag_label(&[payload]), seq, expiry)
            } else {
                Draft::bag_item(Key::MAX, vec![payload].into(), seq, expiry)
            };
            sign(writer, draft)
        },
    )
}

/// A page: sorted by id, each id once.
fn any_page() -> impl Strategy<Value = Vec<Verified>> {
    vec(any_item(), 0..12).prop_map(|items| {
        let page: BTreeMap<Key, Verified> =
            items.into_iter().map(|item| (*item.id(), item)).collect();
        page.into_values().collect()
    })
}

fn is_total(
    order: impl Fn(&SignedRecord, &SignedRecord) -> Ordering,
    [a, b, c]: [&SignedRecord; 3],
) -> bool {
    let reversed = order(a, b) == order(b, a).reverse() && order(a, a) == Ordering::Equal;
    let transitive = order(a, b) == Ordering::Greater
        || order(b, c) == Ordering::Greater
        || order(a, c) != Ordering::Greater;
    reversed && transitive
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn the_orders_are_total(a in any_cell(), b in any_cell(), c in any_cell()) {
        prop_assert!(is_total(SignedRecord::order, [&a, &b, &c]));
        prop_assert!(is_total(SignedRecord::dict_order, [&a, &b, &c]));
        let one_identity = a.writer() == b.writer();
        prop_assert!(!one_identity || (a.order(&b) == Ordering::Equal) == (a == b));
        // The cells of a dict name that do not differ in what readers see are renewals.
        if a.dict_order(&b) == Ordering::Equal {
            prop_assert_eq!((a.writer(), a.payload(), a.seq()), (b.writer(), b.payload(), b.seq()));
        }
    }

    #[test]
    fn a_relation_says_what_the_order_says(
        held in (0..3_u64, 0..8_u8, 0..3_u64), new in (0..3_u64, 0..8_u8, 0..3_u64),
    ) {
        let cell = |(seq, payload, expiry): (u64, u8, u64)| sign(1, match payload {
            7 => Draft::dict_tombstone(Key::MAX, seq, expiry),
            _ => Draft::dict_cell(Key::MAX, vec![payload].into(), seq, expiry),
        });
        let expected = match (held.0.cmp(&new.0), held.1 == new.1) {
            (Ordering::Less, _) => Relation::Newer,
            (Ordering::Greater, _) => Relation::Stale,
            (_, false) => {
                // A tombstone wins over a payload.
                let rank = |payload: u8| (payload == 7, blake3::hash(&[payload]).as_bytes().to_owned());
                Relation::Conflict { wins: rank(new.1) > rank(held.1) }
            }
            (_, true) => match held.2.cmp(&new.2) {
                Ordering::Less => Relation::Renewal,
                Ordering::Equal => Relation::Same,
                Ordering::Greater => Relation::Stale,
            },
        };
        let (held, new) = (cell(held), cell(new));
        prop_assert_eq!(relation(&held, &new), expected);
        let replaces = matches!(
            expected,
            Relation::Newer | Relation::Renewal | Relation::Conflict { wins: true }
        );
        prop_assert_eq!(replaces, new.order(&held) == Ordering::Greater);
    }

    #[test]
    fn merging_is_commutative_associative_and_idempotent(
        a in any_page(), b in any_page(), c in any_page(),
    ) {
        let merged = |a: &[Verified], b: &[Verified]| merge(a.to_vec(), b.to_vec());
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(merged(&a, &a), a.clone());
        prop_assert_eq!(merged(&merged(&a, &b), &b), merged(&a, &b));
        // The model: of each id the largest.
        let mut model: BTreeMap<Key, Verified> = BTreeMap::new();
        for record in a.iter().chain(&b) {
            let held = model.entry(*record.id()).or_insert_with(|| record.clone());
            if record.order(held) == Ordering::Greater {
                *held = record.clone();
            }
        }
        prop_assert_eq!(merged(&a, &b), model.into_values().collect::<Vec<_>>());
    }

    #[test]
    fn a_fingerprint_does_not_depend_on_the_sequence(mut hashes in vec(any::<[u8; 32]>(), 0..20)) {
        let mut sorted = hashes.clone();
        sorted.sort_unstable();
        let expected = *blake3::hash(&sorted.concat()).as_bytes();
        prop_assert_eq!(fingerprint(&mut hashes.clone()), expected);
        hashes.reverse();
        prop_assert_eq!(fingerprint(&mut hashes), expected);
    }

    #[test]
    fn no_flipped_bit_of_a_signature_holds(item in any_item(), bit in 0..512_usize) {
        let (mut bytes, length) = (item.to_bytes().to_vec(), item.to_bytes().len());
        // The signature is the last field.
        bytes[length - 64 + bit / 8] ^= 1 << (bit % 8);
        let changed = SignedRecord::from_bytes(bytes.into()).expect("its structure is whole");
        prop_assert_eq!(changed.verify(&network()), Err(RecordError::BadSignature));
    }
}

#[test]
fn larger_signatures_win_when_all_else_is_equal() {
    let record = sign(1, Draft::dict_cell(Key::ZERO, "x".into(), 1, 2));
    let mut bytes = record.to_bytes().to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let other = SignedRecord::from_bytes(bytes.into()).expect("its structure is whole");
    let order = record.signature().cmp(other.signature());
    assert_eq!(record.order(&other), order);
    let (small, large) = if order == Ordering::Less {
        ((*record).clone(), other)
    } else {
        (other, (*record).clone())
    };
    assert_eq!(relation(&small, &large), Relation::Renewal);
    assert_eq!(relation(&large, &small), Relation::Stale);
}

#[test]
fn weak_and_unusual_keys_are_refused() {
    let p_minus = |below: u8| {
        let mut key = [0xff; 32];
        (key[0], key[31]) = (0xed - below, 0x7f);
        key
    };
    let mut hostile = vec![[0; 32], p_minus(1), p_minus(0), [0xff; 32]];
    // 0 and 1 once more, written as p and p + 1; the largest of 255 bits.
    let mut one = [0; 32];
    one[0] = 1;
    let mut p_plus_one = p_minus(0);
    p_plus_one[0] += 1;
    let mut largest = [0xff; 32];
    largest[31] = 0x7f;
    hostile.extend([one, p_plus_one, largest]);
    for text in [
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ] {
        let key = data_encoding::HEXLOWER
            .decode(text.as_bytes())
            .expect("hexadecimal");
        hostile.push(key.try_into().expect("32 bytes"));
    }
    let mut weak = 0;
    for mut key in hostile {
        for _sign in 0..2 {
            assert_eq!(Writer::new(key), Err(WeakKey), "{key:?}");
            weak += usize::from(VerifyingKey::from_bytes(&key).is_ok_and(|key| key.is_weak()));
            key[31] ^= 0x80;
        }
    }
    // The eight points of small order, some of them written in several ways.
    assert!(weak >= 8, "only {weak} of these keys are weak");
    // Next to the limits there are keys that are neither.
    for good in [p_minus(2), {
        let mut two = [0; 32];
        two[0] = 2;
        two
    }] {
        assert!(Writer::new(good).is_ok());
    }
    assert_eq!(RecordError::from(WeakKey).reason(), Reason::WeakKey);
}

#[test]
fn neither_r_of_small_order_nor_s_above_the_group_order_holds() {
    let record = sign(1, Draft::dict_cell(Key::ZERO, "x".into(), 1, 2));
    let with_signature = |signature: [u8; 64]| {
        let mut bytes = record.to_bytes().to_vec();
        let at = bytes.len() - 64;
        bytes[at..].copy_from_slice(&signature);
        SignedRecord::from_bytes(bytes.into()).expect("its structure is whole")
    };
    // R of order 4 and of order 1, with S = 0.
    let mut identity_point = [0; 64];
    identity_point[0] = 1;
    // S plus the order of the group, which a check that does not reduce S takes for S.
    let order: [u8; 32] = data_encoding::HEXLOWER
        .decode(b"edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
        .expect("hexadecimal")
        .try_into()
        .expect("32 bytes");
    let mut unreduced = *record.signature();
    let mut carry = 0;
    for (byte, add) in unreduced[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = u8::try_from(sum & 0xff).expect("eight bits");
        carry = sum >> 8;
    }
    for signature in [[0; 64], identity_point, unreduced] {
        let refused = with_signature(signature).verify(&network());
        assert_eq!(refused, Err(RecordError::BadSignature));
    }
    assert!(
        with_signature(*record.signature())
            .verify(&network())
            .is_ok()
    );
}

#[test]
fn a_key_off_the_curve_signs_nothing() {
    // y = 2 belongs to no point.
    let mut off = [0; 32];
    off[0] = 2;
    assert!(VerifyingKey::from_bytes(&off).is_err());
    let record = sign(1, Draft::dict_cell(Key::ZERO, "x".into(), 1, 2));
    let writer = *record.writer().as_bytes();
    let mut bytes = record.to_bytes().to_vec();
    let at = bytes.windows(32).position(|window| window == writer);
    let at = at.expect("the writer is sent");
    bytes[at..at + 32].copy_from_slice(&off);
    let changed = SignedRecord::from_bytes(bytes.into()).expect("its structure is whole");
    assert_eq!(changed.verify(&network()), Err(RecordError::BadSignature));
}

#[test]
fn a_tombstone_has_the_identity_of_what_it_buries() {
    let item = sign(1, Draft::bag_item(Key::ZERO, "x".into(), 5, 9));
    let tombstone = sign(1, Draft::bag_tombstone(Key::ZERO, bag_label(b"x"), 6, 9));
    assert_eq!(item.id(), tombstone.id());
    assert_eq!(relation(&item, &tombstone), Relation::Newer);
    let same_seq = sign(1, Draft::bag_tombstone(Key::ZERO, bag_label(b"x"), 5, 9));
    assert_eq!(
        relation(&item, &same_seq),
        Relation::Conflict { wins: true }
    );
    assert_eq!(
        relation(&same_seq, &item),
        Relation::Conflict { wins: false }
    );
    // Also where the payload is empty like that of a tombstone.
    let empty = sign(1, Draft::dict_cell(Key::ZERO, "".into(), 5, 9));
    let buried = sign(1, Draft::dict_tombstone(Key::ZERO, 5, 9));
    assert_eq!(relation(&empty, &buried), Relation::Conflict { wins: true });
}

#[test]
fn a_renewal_brings_the_expiry_and_nothing_else() {
    let cell = |seq, payload: &'static str, expiry| {
        sign(1, Draft::dict_cell(Key::ZERO, payload.into(), seq, expiry))
    };
    let (held, later) = (cell(5, "x", 9), cell(5, "x", 10));
    let renewal = Renewal::of(&later);
    assert_eq!(
        (renewal.slot(), renewal.kind(), renewal.id()),
        (later.slot(), later.kind(), *later.id())
    );
    let applied = renewal.apply(&held, &network()).expect("the same payload");
    assert_eq!(applied, later);
    assert_eq!(relation(&held, &applied), Relation::Renewal);
    let other_writer = sign(2, Draft::dict_cell(Key::ZERO, "x".into(), 5, 9));
    let other_slot = sign(1, Draft::dict_cell(Key::MAX, "x".into(), 5, 9));
    for other in [
        cell(4, "x", 9),
        cell(5, "y", 9),
        cell(5, "xx", 9),
        other_writer,
        other_slot,
    ] {
        assert_eq!(renewal.apply(&other, &network()), Err(RecordError::BadHash));
    }
    assert_eq!(RecordError::BadHash.reason(), Reason::BadHash);
    let value = Renewal::Value(Key::MAX);
    assert_eq!(
        (value.slot(), value.kind(), value.id()),
        (&Key::MAX, Kind::Value, Key::ZERO)
    );
    assert_eq!(value.apply(&held, &network()), Err(RecordError::BadHash));
    let foreign = Network::new(b"other", b"").expect("a network").id();
    assert_eq!(
        renewal.apply(&held, &foreign),
        Err(RecordError::BadSignature)
    );
}

#[test]
fn writers_have_texts() {
    let writer = identity(1).writer();
    assert_eq!(writer.to_string().parse(), Ok(writer));
    let decimal = format!("int:{}", Key::from_bytes(*writer.as_bytes()).to_decimal());
    assert_eq!(decimal.parse(), Ok(writer));
    assert_eq!("name:x".parse::<Writer>(), Err(WriterTextError::Form));
    assert_eq!("12".parse::<Writer>(), Err(WriterTextError::Form));
    assert_eq!(
        "int:0".parse::<Writer>(),
        Err(WriterTextError::Weak(WeakKey))
    );
    assert!(matches!(
        "int:x".parse::<Writer>(),
        Err(WriterTextError::Number(_))
    ));
}

#[test]
fn a_secret_is_not_shown() {
    let identity = identity(0xab);
    assert_eq!(identity.seed(), &[0xab; 32]);
    let shown = format!("{identity:?}");
    assert!(
        !shown.contains("abab") && !shown.contains("171, 171"),
        "{shown}"
    );
}
