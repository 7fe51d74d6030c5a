//! Notifications, digests, pages and cursors, filled to their limits.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use qadom_routing::Key;
use qadom_wire::*;

use crate::any::*;

/// An answer that may be as brief as to leave it in.
fn is_short(range: &RangeDigest) -> bool {
    *range == RangeDigest::Records(Vec::new())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn notifications_hold_every_record_in_order(lengths in vec(0..=VALUE_MAX, 0..12), first in 0..9_u64) {
        let (slot, kind) = (Key::MAX, Kind::Event);
        let records = events(slot, lengths);
        let batches = Notify::batches(slot, kind, first, records.clone());
        for (batch, number) in batches.iter().zip(first..) {
            prop_assert_eq!((batch.number, batch.skipped), (number, 0));
            let latest = Notify { number: u64::MAX, skipped: u64::MAX, ..batch.clone() };
            let body = Request::Notify(latest.clone()).encode();
            prop_assert!(body.len() <= BODY_MAX);
            prop_assert_eq!(Request::decode(body), Ok(Request::Notify(latest)));
        }
        for pair in batches.windows(2) {
            let mut joined = Notify { number: u64::MAX, skipped: u64::MAX, ..pair[0].clone() };
            joined.records.push(pair[1].records[0].clone());
            prop_assert!(Request::Notify(joined).encode().len() > BODY_MAX, "room was left");
        }
        let batched: Vec<_> = batches.into_iter().flat_map(|batch| batch.records).collect();
        prop_assert_eq!(batched, records);
    }

    #[test]
    fn digests_hold_every_range_in_order(kind in any_kind(), ranges in vec(any_range(), 0..200)) {
        let batches = Digest::batches(kind, ranges.clone());
        for batch in &batches {
            prop_assert!(batch.ranges.len() <= DIGEST_RANGES_MAX);
            let body = Request::Digest(batch.clone()).encode();
            prop_assert!(body.len() <= BODY_MAX);
            prop_assert_eq!(Request::decode(body), Ok(Request::Digest(batch.clone())));
        }
        for pair in batches.windows(2) {
            prop_assert!(pair[0].ranges.len() >= 52, "room was left");
        }
        let batched: Vec<_> = batches.into_iter().flat_map(|batch| batch.ranges).collect();
        prop_assert_eq!(batched, ranges);
    }

    #[test]
    fn a_digest_is_always_answered(ranges in vec(any_range_digest(), 1..=DIGEST_RANGES_MAX)) {
        let body = Answer::Digested(ranges.clone()).encode_within(BODY_MAX).expect("it fits");
        prop_assert!(body.len() <= BODY_MAX);
        let Ok(Answer::Digested(read)) = Answer::decode(body) else {
            return Err(TestCaseError::fail("no digest"));
        };
        prop_assert_eq!(read.len(), ranges.len());
        // What is left out stands at the end, and never the first difference.
        let is_cut = |(read, range): (&RangeDigest, &RangeDigest)| read != range;
        let first_cut = read.iter().zip(&ranges).position(is_cut).unwrap_or(read.len());
        let first_difference = ranges.iter().position(|range| *range != RangeDigest::Same);
        prop_assert!(first_cut == read.len() || first_difference < Some(first_cut));
        for (read, range) in read.iter().zip(&ranges).skip(first_cut) {
            let is_brief = matches!(range, RangeDigest::Same | RangeDigest::Differs);
            prop_assert!(*read == RangeDigest::Differs || (is_brief && read == range) || is_short(range));
        }
    }

    #[test]
    fn a_page_is_filled_and_its_cursor_names_the_next_record(
        lengths in vec(0..1500_usize, 0..12),
        limit in 60_usize..9000,
    ) {
        let records: Vec<_> = events(Key::MAX, lengths).into_iter().map(Record::Signed).collect();
        let mut found = Found::default();
        let taken = found.fill(records.clone(), limit);
        prop_assert_eq!(&found.records, &records[..taken]);
        prop_assert_eq!(found.cursor, records.get(taken).map(Record::id));
        let body = Answer::Found(found.clone()).encode_within(limit).expect("it fits");
        prop_assert_eq!(Answer::decode(body), Ok(Answer::Found(found.clone())));
        if let Some(next) = records.get(taken) {
            found.records.push(next.clone());
            found.cursor = records.get(taken + 1).map(Record::id);
            prop_assert!(Answer::Found(found).encode().len() > limit);
        }
    }

    #[test]
    fn cursors_arrive(cursor in any_cursor()) {
        prop_assert_eq!(Cursor::from_bytes(&cursor.to_bytes()), Ok(cursor.clone()));
        prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }
}
