//! Which of several records of one identity stays, whatever the order they come in.

use bytes::Bytes;
use proptest::prelude::*;
use qadom_routing::Key;
use qadom_wire::{Draft, Identity, Network, Verified};

use super::*;

const WRITER: [u8; 32] = [3; 32];

fn sign(is_tombstone: bool, seq: u64, expiry: u64, payload: u8) -> Verified {
    let network = Network::new(b"acceptance", b"").unwrap().id();
    let identity = Identity::from_seed(WRITER);
    let slot = Key::from_bytes([1; 32]);
    let draft = if is_tombstone {
        Draft::dict_tombstone(slot, seq, expiry)
    } else {
        Draft::dict_cell(slot, Bytes::copy_from_slice(&[payload]), seq, expiry)
    };
    identity.sign(&network, draft).unwrap()
}

/// Lets records arrive one after the other; gives the one that is held then.
fn held<'a>(records: impl Iterator<Item = &'a Verified>) -> Option<Verified> {
    records.fold(None, |held: Option<Verified>, record| {
        match check_version(record, held.as_deref(), false) {
            Ok(Verdict::Take { .. }) => Some(record.clone()),
            Ok(Verdict::Have) | Err(_) => held,
        }
    })
}

proptest! {
    #[test]
    fn the_largest_stays_whatever_the_order(
        drafts in proptest::collection::vec((any::<bool>(), 0..3_u64, 1..4_u64, 0..3_u8), 1..8),
        turn in any::<proptest::sample::Index>(),
    ) {
        let mut records: Vec<_> = drafts
            .into_iter()
            .map(|(is_tombstone, seq, expiry, payload)| sign(is_tombstone, seq, expiry, payload))
            .collect();
        let largest = records.iter().max_by(|a, b| a.order(b)).cloned();
        prop_assert_eq!(&held(records.iter()), &largest);
        prop_assert_eq!(&held(records.iter().rev()), &largest);
        let turn = turn.index(records.len());
        records.rotate_left(turn);
        prop_assert_eq!(&held(records.iter().chain(records.iter())), &largest);
    }

    #[test]
    fn an_exclusive_record_is_taken_only_above_all_that_is_there(
        there in (any::<bool>(), 1..4_u64, 1..4_u64, 0..3_u8),
        new in (any::<bool>(), 1..4_u64, 1..4_u64, 0..3_u8),
    ) {
        let (there, new) = [there, new]
            .map(|(is_tombstone, seq, expiry, payload)| sign(is_tombstone, seq, expiry, payload))
            .into();
        let is_same = there.seq() == new.seq()
            && there.is_tombstone() == new.is_tombstone()
            && there.payload() == new.payload();
        let verdict = check_version(&new, Some(&there), true);
        prop_assert_eq!(verdict.is_ok(), new.seq() > there.seq() || is_same);
    }
}
