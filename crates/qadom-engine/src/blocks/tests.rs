//! How blocks are made, grow and end.

use super::*;

const LIMIT: usize = 4;
const HOUR: Duration = Duration::from_hours(1);

fn node(number: u8) -> NodeId {
    let mut bytes = [9; 32];
    bytes[1] = number;
    NodeKey::new(bytes).unwrap().id()
}

fn key(number: u8) -> Blocked {
    Blocked::Key(Key::from_bytes([number; 32]))
}

fn group(number: u8) -> SourceGroup {
    SourceGroup::of([10, 0, number, 1].into())
}

fn at(hours: u32) -> Moment {
    Moment::ORIGIN + HOUR * hours
}

#[test]
fn a_liar_is_blocked_for_twice_as_long_each_time_up_to_a_day() {
    let mut blocks = Blocks::new(LIMIT);
    let liar = Blocked::Node(node(1));
    let mut now = at(0);
    for (times, hours) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 24), (7, 24)] {
        assert!(blocks.on_lie(node(1), None, now));
        // Lies that were under way when the block was made do not count.
        assert!(blocks.on_lie(node(1), None, now));
        let until = now + HOUR * hours;
        let block = blocks.iter(now).next().unwrap();
        assert_eq!(block.cause, BlockCause::Lies(times));
        assert_eq!(block.until, Some(until));
        assert!(blocks.is_blocked(&liar, until - Duration::from_micros(1)));
        assert!(!blocks.is_blocked(&liar, until));
        now = until + HOUR;
    }
    // After a day without a block all is forgotten.
    assert!(blocks.on_lie(node(2), None, now));
    assert!(blocks.on_lie(node(1), None, now + HOUR * 24));
    let block = blocks
        .iter(now + HOUR * 24)
        .find(|block| block.what == liar);
    assert_eq!(block.unwrap().cause, BlockCause::Lies(1));
}

#[test]
fn a_group_is_blocked_for_the_third_of_its_keys_and_never_in_local_mode() {
    let mut blocks = Blocks::new(LIMIT);
    let blocked = Blocked::Group(group(1));
    for (number, is_blocked) in [(1, false), (2, false), (2, false), (3, true)] {
        blocks.on_lie(node(number), Some(group(1)), at(0));
        assert_eq!(blocks.is_blocked(&blocked, at(0)), is_blocked, "{number}");
    }
    let mut local = Blocks::new(LIMIT);
    for number in 0..3 {
        local.on_lie(node(number), None, at(0));
    }
    assert!(
        local
            .iter(at(0))
            .all(|block| matches!(block.what, Blocked::Node(_)))
    );
}

#[test]
fn keys_that_lied_a_day_apart_do_not_add_up_to_a_group() {
    let mut blocks = Blocks::new(LIMIT);
    for number in 0..3 {
        blocks.on_lie(node(number), Some(group(1)), at(13 * u32::from(number)));
    }
    assert!(!blocks.is_blocked(&Blocked::Group(group(1)), at(26)));
}

#[test]
fn what_the_user_blocks_takes_the_place_of_lies_but_not_the_other_way_round() {
    for limit in [LIMIT - 1, LIMIT, LIMIT + 1] {
        let mut blocks = Blocks::new(LIMIT);
        for number in 0..limit {
            let what = key(u8::try_from(number).unwrap());
            let result = blocks.block(what, (None, None), at(0));
            assert_eq!(result.is_ok(), number < LIMIT);
        }
        assert_eq!(blocks.iter(at(0)).count(), limit.min(LIMIT));
        assert_eq!(blocks.on_lie(node(1), None, at(0)), limit < LIMIT);
        // Replacing a block needs no room.
        assert_eq!(blocks.block(key(0), (Some(at(1)), None), at(0)), Ok(()));
    }
    let mut blocks = Blocks::new(LIMIT);
    for number in 0..8 {
        assert!(blocks.on_lie(node(number), None, at(0)));
    }
    for number in 0..4 {
        assert_eq!(blocks.block(key(number), (None, None), at(0)), Ok(()));
    }
    assert!(
        blocks
            .iter(at(0))
            .all(|block| block.cause == BlockCause::ByHand)
    );
}

#[test]
fn a_block_by_hand_lasts_until_it_is_taken_back_or_its_time_is_over() {
    let mut blocks = Blocks::new(LIMIT);
    blocks.block(key(1), (None, None), at(0)).unwrap();
    blocks.block(key(2), (Some(at(2)), None), at(0)).unwrap();
    assert!(blocks.is_blocked(&key(1), at(9999)));
    assert!(blocks.is_blocked(&key(2), at(1)));
    assert!(!blocks.is_blocked(&key(2), at(2)));
    assert!(!blocks.unblock(&key(2), at(2)));
    assert!(blocks.unblock(&key(1), at(2)));
    assert!(!blocks.unblock(&key(1), at(2)));
    assert_eq!(blocks.iter(at(0)).count(), 0);
}

#[test]
fn only_bytes_that_fail_hash_or_signature_are_lies() {
    let lies: Vec<_> = Reason::ALL
        .iter()
        .filter(|reason| is_lie(**reason))
        .collect();
    assert_eq!(lies, [&Reason::BadHash, &Reason::BadSignature]);
}
