//! The set of chunks against the plainest set there is.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use qadom_files::ChunkSet;

#[derive(Clone, Debug)]
enum Change {
    Insert(u64),
    Remove(u64),
    InsertRun(u64, u64),
    RemoveRun(u64, u64),
    Bytes(u64, Vec<u8>),
}

fn changes(chunks: u64) -> impl Strategy<Value = Vec<Change>> {
    let chunk = 0..chunks + 70;
    // Long enough to fill a page from one end to the other, with what lies before.
    let run = (0..chunks, prop_oneof![0..300_u64, 3900..4200_u64]);
    let change = prop_oneof![
        chunk.clone().prop_map(Change::Insert),
        chunk.prop_map(Change::Remove),
        run.clone()
            .prop_map(|(first, count)| Change::InsertRun(first, count)),
        run.prop_map(|(first, count)| Change::RemoveRun(first, count)),
        (0..chunks / 8 + 1, prop::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(first, bytes)| Change::Bytes(8 * first, bytes)),
    ];
    prop::collection::vec(change, 0..8)
}

fn apply(set: &mut ChunkSet, model: &mut BTreeSet<u64>, chunks: u64, change: Change) {
    match change {
        Change::Insert(chunk) => {
            let is_new = chunk < chunks && model.insert(chunk);
            assert_eq!(set.insert(chunk), is_new);
        }
        Change::Remove(chunk) => assert_eq!(set.remove(chunk), model.remove(&chunk)),
        Change::InsertRun(first, count) => {
            for chunk in first..chunks.min(first + count) {
                assert_eq!(set.insert(chunk), model.insert(chunk));
            }
        }
        Change::RemoveRun(first, count) => {
            for chunk in first..first + count {
                assert_eq!(set.remove(chunk), model.remove(&chunk));
            }
        }
        Change::Bytes(first, bytes) => {
            let bits = (first..).zip(
                bytes
                    .iter()
                    .flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1)),
            );
            let bits: Vec<u64> = bits
                .filter(|(_, bit)| *bit == 1)
                .map(|(chunk, _)| chunk)
                .collect();
            let is_valid = bits.iter().all(|chunk| *chunk < chunks);
            assert_eq!(set.insert_bytes(first, &bytes).is_ok(), is_valid);
            if is_valid {
                model.extend(bits);
            }
        }
    }
}

fn check(set: &ChunkSet, model: &BTreeSet<u64>, chunks: u64) {
    assert_eq!(set.len(), model.len() as u64);
    assert_eq!(set.is_empty(), model.is_empty());
    assert_eq!(set.is_full(), set.len() == chunks);
    assert!(set.iter().eq(model.iter().copied()));
    for chunk in [0, 1, chunks / 2, chunks - 1, chunks] {
        assert_eq!(set.contains(chunk), model.contains(&chunk));
        let next = model.range(chunk..).next().copied();
        assert_eq!(set.first_in(chunk..u64::MAX), next);
        let missing = (chunk..chunks).find(|chunk| !model.contains(chunk));
        assert_eq!(set.first_missing(chunk..u64::MAX), missing);
    }
    let mut again = ChunkSet::new(chunks);
    again
        .insert_bytes(0, &set.to_bytes(0, usize::MAX))
        .expect("its own bitfield");
    assert_eq!(again, *set);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn it_is_a_set(
        (chunks, changes) in (1..10_000_u64).prop_flat_map(|chunks| (Just(chunks), changes(chunks))),
        begin_full in any::<bool>(),
    ) {
        let (mut set, mut model) = if begin_full {
            (ChunkSet::full(chunks), (0..chunks).collect())
        } else {
            (ChunkSet::new(chunks), BTreeSet::new())
        };
        for change in changes {
            apply(&mut set, &mut model, chunks, change);
            check(&set, &model, chunks);
        }
    }

    #[test]
    fn a_union_has_what_either_has(
        (chunks, left, right) in (1..10_000_u64)
            .prop_flat_map(|chunks| (Just(chunks), changes(chunks), changes(chunks))),
        full in any::<[bool; 2]>(),
    ) {
        let mut sets = Vec::new();
        for (changes, is_full) in [left, right].into_iter().zip(full) {
            let (mut set, mut model) = if is_full {
                (ChunkSet::full(chunks), (0..chunks).collect())
            } else {
                (ChunkSet::new(chunks), BTreeSet::new())
            };
            for change in changes {
                apply(&mut set, &mut model, chunks, change);
            }
            sets.push((set, model));
        }
        let (right, right_model) = sets.pop().expect("two sets");
        let (mut left, mut left_model) = sets.pop().expect("two sets");
        left.union_with(&right);
        left_model.extend(right_model);
        check(&left, &left_model, chunks);
    }
}

#[test]
fn the_sets_of_a_petabyte_are_a_few_words() {
    let chunks = 1 << 34;
    let mut full = ChunkSet::full(chunks);
    assert!(full.remove(chunks - 1));
    assert_eq!(full.first_missing(0..u64::MAX), Some(chunks - 1));
    assert!(full.insert(chunks - 1));
    assert!(full.is_full());
    assert_eq!(full, ChunkSet::full(chunks));
    let mut empty = ChunkSet::new(chunks);
    assert!(empty.insert(chunks / 2));
    assert_eq!(empty.first_in(0..u64::MAX), Some(chunks / 2));
    assert_eq!(
        empty.first_missing(chunks / 2..u64::MAX),
        Some(chunks / 2 + 1)
    );
    empty.union_with(&full);
    assert!(empty.is_full());
    assert!(
        ChunkSet::new(chunks)
            .insert_bytes(u64::MAX - 7, &[1])
            .is_err()
    );
}
