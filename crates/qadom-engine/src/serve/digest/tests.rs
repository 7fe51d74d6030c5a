//! How two holders find out in what they differ.

use proptest::prelude::*;
use qadom_routing::Key;

use super::*;
use crate::listing::whole;
use qadom_wire::Position;

const SLOT: Key = Key::ZERO;

fn listed(number: u16, version: u8) -> Listed {
    let mut id = [0; 32];
    id[..2].copy_from_slice(&number.to_be_bytes());
    let position = Position {
        slot: SLOT,
        id: Key::from_bytes(id),
    };
    let mut hash = id;
    hash[31] = version;
    (position, hash)
}

fn range(fingerprint: [u8; 32]) -> DigestRange {
    let (start, end) = whole(SLOT);
    DigestRange {
        start,
        end,
        fingerprint,
    }
}

/// Asks range by range what another holder has that is not here, and what is here and not there;
/// gives both and the number of questions.
fn compare(here: &[Listed], there: &[Listed]) -> (Vec<Listed>, Vec<Listed>, usize) {
    let mut ranges = vec![range(fingerprint_of(here))];
    let (mut missing, mut surplus, mut questions) = (Vec::new(), Vec::new(), 0);
    while let Some(asked) = ranges.pop() {
        questions += 1;
        let own = within(here, &asked);
        let answer = difference(within(there, &asked), &asked);
        assert!(answer.is_answer_to(&asked));
        match answer {
            RangeDigest::Same => {}
            RangeDigest::Differs => panic!("there is room for one answer"),
            RangeDigest::Records(records) => {
                missing.extend(records.iter().filter(|record| !own.contains(record)));
                surplus.extend(own.iter().filter(|record| !records.contains(record)));
            }
            RangeDigest::Split(parts) => ranges.extend(parts.into_iter().filter_map(|part| {
                let fingerprint = fingerprint_of(within(here, &part));
                (fingerprint != part.fingerprint).then_some(DigestRange {
                    fingerprint,
                    ..part
                })
            })),
        }
    }
    missing.sort_unstable();
    surplus.sort_unstable();
    (missing, surplus, questions)
}

#[test]
fn up_to_32_records_are_listed_and_more_are_split_in_16() {
    for (count, parts) in [(0, 0), (31, 0), (32, 0), (33, 11), (64, 16), (1000, 16)] {
        let there: Vec<_> = (0..count).map(|number| listed(number, 0)).collect();
        let asked = range([1; 32]);
        match difference(&there, &asked) {
            RangeDigest::Records(records) => assert_eq!((records.len(), parts), (there.len(), 0)),
            RangeDigest::Split(split) => assert_eq!(split.len(), parts, "{count}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(
            difference(&there, &range(fingerprint_of(&there))),
            RangeDigest::Same
        );
    }
}

#[test]
fn one_record_in_a_full_bag_is_found_with_few_questions() {
    let all: Vec<_> = (0..16_384).map(|number| listed(number, 0)).collect();
    let here: Vec<_> = all
        .iter()
        .copied()
        .filter(|one| *one != listed(9999, 0))
        .collect();
    let (missing, surplus, questions) = compare(&here, &all);
    assert_eq!((missing, surplus), (vec![listed(9999, 0)], Vec::new()));
    assert_eq!(questions, 4);
}

proptest! {
    #[test]
    fn exactly_the_difference_is_found(
        ours in proptest::collection::btree_map(0..600_u16, 0..2_u8, 0..200),
        theirs in proptest::collection::btree_map(0..600_u16, 0..2_u8, 0..200),
    ) {
        let list = |numbers: &std::collections::BTreeMap<u16, u8>| -> Vec<Listed> {
            numbers.iter().map(|(number, version)| listed(*number, *version)).collect()
        };
        let (here, there) = (list(&ours), list(&theirs));
        let (missing, surplus, _) = compare(&here, &there);
        let without = |one: &[Listed], other: &[Listed]| -> Vec<Listed> {
            one.iter().filter(|record| !other.contains(record)).copied().collect()
        };
        prop_assert_eq!(missing, without(&there, &here));
        prop_assert_eq!(surplus, without(&here, &there));
    }
}
