//! Order, holes and bounds: rule by rule, then against everything that loss, repetition and
//! reordering can do.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const A: Tag = [1; 16];
const BEGAN: u64 = 1000;

fn place(stream: u64, seq: u64) -> Place {
    Place { stream, seq }
}

fn at(millis: u64) -> Moment {
    Moment::ORIGIN + Duration::from_millis(millis)
}

fn all<T>(ordering: &mut Ordering<T>) -> Vec<Ordered<T>> {
    std::iter::from_fn(|| ordering.next()).collect()
}

/// Takes events of writer A whose item is their seq, at one time; gives what comes out.
fn take(ordering: &mut Ordering<u64>, stream: u64, seqs: &[u64], now: u64) -> Vec<Ordered<u64>> {
    for &seq in seqs {
        ordering.take(A, place(stream, seq), seq, 10, at(now));
    }
    all(ordering)
}

fn events(seqs: impl IntoIterator<Item = u64>) -> Vec<Ordered<u64>> {
    let event = |item| Ordered { missed: None, item };
    seqs.into_iter().map(event).collect()
}

/// The event behind a gap.
fn behind(from_seq: u64, to_seq: u64, item: u64) -> Ordered<u64> {
    let missed = Some((from_seq, to_seq));
    Ordered { missed, item }
}

#[test]
fn a_new_stream_is_delivered_at_once_and_only_once() {
    let mut ordering = Ordering::new(Beginning::Now(BEGAN));
    assert_eq!(
        take(&mut ordering, BEGAN, &[1, 2, 1, 2, 3], 0),
        events([1, 2, 3])
    );
    assert_eq!(take(&mut ordering, BEGAN, &[3, 1], 0), []);
    assert_eq!(ordering.next_deadline(), None);
}

#[test]
fn a_hole_is_filled_within_its_time_and_reported_after_it() {
    let mut ordering = Ordering::new(Beginning::Now(BEGAN));
    assert_eq!(take(&mut ordering, BEGAN, &[1, 3, 5], 100), events([1]));
    assert_eq!(ordering.next_deadline(), Some(at(5100)));
    assert_eq!(take(&mut ordering, BEGAN, &[2], 4000), events([2, 3]));
    ordering.expire(at(5099));
    assert_eq!(all(&mut ordering), []);
    ordering.expire(at(5100));
    assert_eq!(all(&mut ordering), [behind(4, 4, 5)]);
    assert_eq!(take(&mut ordering, BEGAN, &[4, 6], 5200), events([6]));
}

#[test]
fn holes_nearby_are_asked_for_at_once() {
    let mut ordering = Ordering::new(Beginning::Now(BEGAN));
    take(&mut ordering, BEGAN, &[1, 3, 4, 6, 7], 0);
    let hole = ordering.holes().next().unwrap();
    assert_eq!(
        (hole.before, hole.until),
        (place(BEGAN, 3), place(BEGAN, 6))
    );
    take(&mut ordering, BEGAN + 1, &[1], 0);
    assert_eq!(ordering.holes().next().unwrap().until, place(BEGAN + 1, 1));
    let many: Vec<u64> = (1..50).collect();
    take(&mut ordering, BEGAN + 2, &many, 0);
    take(&mut ordering, BEGAN + 3, &[1], 0);
    let until = ordering.holes().next().unwrap().until;
    assert_eq!(until, place(BEGAN + 2, 1), "32 that wait are looked at");
}

#[test]
fn the_end_of_a_stream_is_asked_for_and_never_reported() {
    let mut ordering = Ordering::new(Beginning::Now(BEGAN));
    take(&mut ordering, BEGAN, &[1, 2], 0);
    assert_eq!(take(&mut ordering, BEGAN + 9, &[1], 0), []);
    let hole = ordering.holes().next().unwrap();
    assert!(hole.is_asked && !hole.is_certain);
    assert_eq!(hole.after, Some(place(BEGAN, 2)));
    // Somebody has one more.
    assert_eq!(take(&mut ordering, BEGAN, &[3], 0), events([3]));
    ordering.clear(&hole);
    assert_eq!(all(&mut ordering), [], "the hole is another one now");
    let hole = ordering.holes().next().unwrap();
    ordering.clear(&hole);
    assert_eq!(all(&mut ordering), events([1]));
}

#[test]
fn a_hole_in_which_something_is_missing_is_not_cleared() {
    let mut ordering = Ordering::new(Beginning::Now(BEGAN));
    take(&mut ordering, BEGAN, &[1, 3], 0);
    let hole = ordering.holes().next().unwrap();
    assert!(hole.is_certain);
    ordering.clear(&hole);
    assert_eq!(all(&mut ordering), []);
}

#[test]
fn a_live_subscription_begins_with_the_lowest_that_comes_in_a_moment() {
    let mut ordering = Ordering::new(Beginning::Now(BEGAN));
    assert_eq!(take(&mut ordering, BEGAN - 1, &[8, 7], 0), []);
    assert!(!ordering.holes().next().unwrap().is_asked);
    ordering.expire(at(199));
    assert_eq!(all(&mut ordering), []);
    ordering.expire(at(200));
    assert_eq!(all(&mut ordering), events([7, 8]));
}

#[test]
fn a_backlog_reports_what_is_missing_only_when_it_goes_on_from_a_cursor() {
    let mut oldest = Ordering::new(Beginning::Oldest(BEGAN));
    assert_eq!(take(&mut oldest, 5, &[4], 0), []);
    let hole = oldest.holes().next().unwrap();
    assert!(hole.is_asked && !hole.is_certain);
    oldest.clear(&hole);
    assert_eq!(all(&mut oldest), events([4]));

    let mut resumed = Ordering::new(Beginning::Resumed);
    resumed.skip_to(A, place(5, 1));
    assert_eq!(take(&mut resumed, 5, &[1, 4], 0), []);
    resumed.expire(at(5000));
    assert_eq!(all(&mut resumed), [behind(2, 3, 4)]);

    let mut unknown = Ordering::new(Beginning::Resumed);
    assert_eq!(take(&mut unknown, 5, &[4], 0), []);
    unknown.expire(at(5000));
    assert_eq!(all(&mut unknown), [behind(1, 3, 4)]);
}

#[test]
fn what_waits_is_bounded_in_number_and_in_bytes() {
    let mut ordering = Ordering::new(Beginning::Now(BEGAN));
    let seqs: Vec<u64> = (2..=1025).collect();
    assert_eq!(take(&mut ordering, BEGAN, &seqs, 0), []);
    assert_eq!((ordering.waiting, ordering.bytes), (WAITING_MAX, 10_240));
    let out = take(&mut ordering, BEGAN, &[1026], 0);
    assert_eq!(out[0], behind(1, 1, 2));
    assert_eq!(out[1..], events(3..=1026));

    let mut ordering = Ordering::new(Beginning::Now(BEGAN));
    ordering.take(A, place(BEGAN, 2), 2, WAITING_BYTES_MAX, at(0));
    assert_eq!(all(&mut ordering), []);
    assert_eq!(take(&mut ordering, BEGAN, &[4], 0), [behind(1, 1, 2)]);
    assert_eq!((ordering.waiting, ordering.bytes), (1, 10));
}

#[test]
fn the_writer_heard_longest_ago_is_forgotten_first() {
    let mut ordering = Ordering::new(Beginning::Now(BEGAN));
    let tag = |number: usize| {
        let mut tag = [0; 16];
        tag[..8].copy_from_slice(&number.to_be_bytes());
        tag
    };
    for number in 0..WRITERS_MAX {
        ordering.take(tag(number), place(BEGAN, 1), 1, 1, at(0));
    }
    assert!(!ordering.wants(&tag(0), place(BEGAN, 1)));
    ordering.take(tag(WRITERS_MAX), place(BEGAN, 1), 1, 1, at(0));
    assert!(ordering.wants(&tag(0), place(BEGAN, 1)));
    assert!(!ordering.wants(&tag(1), place(BEGAN, 1)));
}

/// What a writer published: per stream, how many.
type Published = Vec<u64>;

/// One arrival: writer, stream, seq, and how many milliseconds after the one before.
type Arrival = (u8, u64, u64, u64);

fn arrivals(published: &[Published], chance: &[(prop::sample::Index, u8)]) -> Vec<Arrival> {
    let mut all = Vec::new();
    for (writer, streams) in (0..).zip(published) {
        for (stream, &count) in (0..).zip(streams) {
            all.extend((1..=count).map(|seq| (writer, BEGAN + stream, seq, 0)));
        }
    }
    if all.is_empty() {
        return all;
    }
    let picked = chance.iter().map(|(index, after)| {
        let (writer, stream, seq, _) = *index.get(&all);
        (writer, stream, seq, u64::from(*after) * 20)
    });
    picked.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Random arrivals are loss, repetition and reordering in one: whatever comes is delivered in
    /// order and once, or was passed before it came; a gap names exactly what was not delivered.
    #[test]
    fn every_event_is_delivered_once_in_order_or_was_reported(
        published in prop::collection::vec(prop::collection::vec(0_u64..12, 1..4), 1..4),
        chance in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..120),
    ) {
        let arrivals = arrivals(&published, &chance);
        let mut ordering = Ordering::new(Beginning::Now(BEGAN));
        let mut out = Vec::new();
        let mut now = 0;
        let mut in_time = BTreeSet::new();
        for &(writer, stream, seq, after) in &arrivals {
            now += after;
            ordering.expire(at(now));
            let (tag, place) = ([writer; 16], place(stream, seq));
            if ordering.wants(&tag, place) {
                in_time.insert((writer, place));
            }
            ordering.take(tag, place, (writer, place), 1, at(now));
            out.extend(all(&mut ordering));
        }
        ordering.expire(at(now + 60_000));
        out.extend(all(&mut ordering));
        prop_assert_eq!((ordering.waiting, ordering.bytes), (0, 0));
        prop_assert_eq!(ordering.next_deadline(), None);

        let mut last: BTreeMap<u8, Place> = BTreeMap::new();
        let mut delivered = BTreeSet::new();
        let mut missed = BTreeSet::new();
        for ordered in out {
            let (writer, place) = ordered.item;
            let first = ordered.missed.map_or(place.seq, |(from, _)| from);
            let before = last.insert(writer, place);
            prop_assert!(before < Some(Place { seq: first, ..place }), "{before:?}, {ordered:?}");
            delivered.insert((writer, place));
            if let Some((from, to)) = ordered.missed {
                prop_assert_eq!(to + 1, place.seq);
                missed.extend((from..=to).map(|seq| (writer, Place { seq, ..place })));
            }
        }
        prop_assert_eq!(&delivered, &in_time, "what came in time is what is delivered");
        prop_assert!(delivered.is_disjoint(&missed));
        // A gap names exactly what is missing in front of something delivered in its stream.
        let mut expected = BTreeSet::new();
        for (writer, place) in &delivered {
            expected.extend((1..place.seq).map(|seq| (*writer, Place { seq, ..*place })));
        }
        let expected: BTreeSet<_> = expected.difference(&delivered).copied().collect();
        prop_assert_eq!(missed, expected);
    }

    /// A bounded buffer changes when holes are passed, never the order.
    #[test]
    fn a_full_buffer_keeps_the_order(
        seqs in prop::collection::vec(1_u64..3000, 0..3000),
    ) {
        let mut ordering = Ordering::new(Beginning::Now(BEGAN));
        let mut last = 0;
        for seq in seqs {
            ordering.take(A, place(BEGAN, seq), seq, 100, at(0));
            let (waiting, bytes) = (ordering.waiting, ordering.bytes);
            prop_assert!(waiting <= WAITING_MAX && bytes <= WAITING_BYTES_MAX);
            for ordered in all(&mut ordering) {
                let first = ordered.missed.map_or(ordered.item, |(from, _)| from);
                prop_assert_eq!(first, last + 1);
                last = ordered.item;
            }
        }
    }
}
