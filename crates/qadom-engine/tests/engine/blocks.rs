//! What an engine has to do with blocked nodes and keys, and who gets blocked for lies.

use std::time::Duration;

use crate::one::{One, address, node_key, value};
use qadom_engine::{
    Block, BlockCause, Blocked, Effect, Failure, JournalEntry, Mode, Outgoing, ReadFrom,
    TooManyBlocks,
};
use qadom_routing::{Contact, Families, Key};
use qadom_wire::{
    Answer, Find, Found, Kind, Ping, Reason, Record, Request, Store, StoreClass, StoreItem,
    StoreResult, Value,
};

const HOUR: Duration = Duration::from_hours(1);

fn contact(number: u8) -> Contact {
    Contact::at(node_key(number), address(number), true)
}

fn node(number: u8) -> Blocked {
    Blocked::Node(node_key(number).id())
}

fn find(slot: Key) -> Request {
    Request::Find(Find {
        slot,
        kind: Kind::Value,
        range: None,
        have: None,
        want: Families::BOTH,
    })
}

fn store(value: &Value) -> Request {
    let item = StoreItem {
        record: Record::Value(value.clone()),
        class: StoreClass::FirstHand,
        ttl_seconds: 7200,
        group: None,
        exclusive: false,
    };
    Request::Store(Store { items: vec![item] })
}

/// Lets a lookup for a value be answered with another value by everybody.
fn lie(one: &mut One, wanted: &[u8]) {
    one.engine
        .get(one.now, *value(wanted).key(), ReadFrom::Network);
    one.run(|_| {
        let records = vec![Record::Value(value(b"a lie"))];
        Some(Answer::Found(Found {
            records,
            ..Found::default()
        }))
    });
}

#[test]
fn a_blocked_node_is_neither_asked_nor_answered_nor_known() {
    let mut one = One::new(Mode::Storing);
    (1..=2).for_each(|number| one.meet(number, true));
    one.engine.block(one.now, node(1), None).unwrap();
    assert!(one.engine.contact(&node_key(1).id()).is_none());
    one.meet(1, true);
    assert!(one.engine.contact(&node_key(1).id()).is_none());
    one.ask_as(1, &Request::Ping(Ping::default()), true);
    assert_eq!(one.answer(), Answer::Refused(Reason::Blocked));
    one.engine.ping(one.now, contact(1));
    let effects = one.effects();
    let [Effect::Done { result, .. }] = &effects[..] else {
        panic!("{effects:?}")
    };
    let reason = Reason::Blocked;
    assert!(matches!(result, Err(Failure::Peer { reason: is, .. }) if *is == reason));
    assert!(one.engine.unblock(one.now, &node(1)).is_some());
    one.meet(1, true);
    assert!(one.engine.contact(&node_key(1).id()).is_some());
}

#[test]
fn what_a_node_answers_after_it_was_blocked_counts_for_nothing() {
    let mut one = One::new(Mode::Client);
    one.meet(1, true);
    let wanted = value(b"wanted");
    one.engine.get(one.now, *wanted.key(), ReadFrom::Network);
    let [(asked, _)] = &one.sent(false)[..] else {
        panic!("one node is known")
    };
    one.engine.block(one.now, node(1), None).unwrap();
    let records = vec![Record::Value(wanted)];
    let found = Found {
        records,
        ..Found::default()
    };
    one.answer_with(asked, &Answer::Found(found));
    let result = one.outcome(|_: &Outgoing| None);
    assert!(
        matches!(result, Err(Failure::NotFound { .. })),
        "{result:?}"
    );
}

#[test]
fn nothing_under_a_blocked_key_is_taken_or_served() {
    let mut one = One::new(Mode::Storing);
    let held = value(b"unwanted");
    one.ask(&store(&held), true);
    one.committed_answer();
    let blocked = Blocked::Key(*held.key());
    one.engine.block(one.now, blocked, Some(HOUR)).unwrap();
    one.ask(&find(*held.key()), true);
    assert_eq!(one.answer(), Answer::Refused(Reason::Blocked));
    one.ask(&store(&held), true);
    let refused = StoreResult::Refused(Reason::Blocked);
    assert_eq!(one.answer(), Answer::Stored(vec![refused]));
    one.pass(3600);
    one.effects();
    one.ask(&find(*held.key()), true);
    assert!(matches!(one.answer(), Answer::Found(found) if found.records.len() == 1));
}

#[test]
fn a_node_that_lies_is_blocked_for_an_hour_and_seen_in_the_list() {
    let mut one = One::new(Mode::Client);
    one.meet_far(1..=1);
    lie(&mut one, b"wanted");
    let until = Some(one.now.moment + HOUR);
    let expected = Block {
        what: node(1),
        cause: BlockCause::Lies(1),
        until,
    };
    assert_eq!(one.engine.blocks(one.now), [expected]);
    assert!(one.engine.contact(&node_key(1).id()).is_none());
    one.pass(3600);
    assert_eq!(one.engine.blocks(one.now), []);
}

#[test]
fn the_third_liar_of_an_address_group_gets_the_group_blocked_but_not_in_local_mode() {
    for (local, blocked) in [(false, 4), (true, 3)] {
        let mut one = One::with(|config| {
            config.mode = Mode::Client;
            config.local = local;
        });
        (1..=4).for_each(|number| {
            let at = ([70, 1, 1, number], 7236).into();
            one.confirm(number, at, &crate::one::STORING);
        });
        one.effects();
        let mut asked = 0;
        one.engine
            .get(one.now, *value(b"wanted").key(), ReadFrom::Network);
        one.run(|_| {
            asked += 1;
            let lie = vec![Record::Value(value(b"a lie"))];
            let records = if asked <= 3 { lie } else { Vec::new() };
            Some(Answer::Found(Found {
                records,
                ..Found::default()
            }))
        });
        let blocks = one.engine.blocks(one.now);
        assert_eq!(blocks.len(), blocked, "{blocks:?}");
        let known = one.engine.contacts().len();
        assert_eq!(known, usize::from(local), "the group left the table");
    }
}

#[test]
fn the_list_of_blocks_is_bounded() {
    let mut one = One::with(|config| config.limits.blocks = 2);
    for (number, is_taken) in [(1, true), (2, true), (3, false)] {
        let result = one.engine.block(one.now, node(number), None);
        let limit = 2;
        let full = Err(TooManyBlocks { limit });
        assert_eq!(result.map(drop), if is_taken { Ok(()) } else { full });
    }
    assert_eq!(one.engine.blocks(one.now).len(), 2);
    let status = one.engine.status();
    assert_eq!((status.blocks, status.limits.blocks), (2, 2));
}

#[test]
fn a_block_by_hand_outlives_a_restart_until_its_time_is_over_or_it_is_taken_back() {
    let mut first = One::new(Mode::Storing);
    let key = Blocked::Key(Key::from_bytes([3; 32]));
    let mut journal = Vec::new();
    let changes = [(node(1), None), (key, Some(HOUR)), (node(2), None)];
    for (what, lasts) in changes {
        first.engine.block(first.now, what, lasts).unwrap();
    }
    assert!(first.engine.unblock(first.now, &node(2)).is_some());
    assert_eq!(first.engine.unblock(first.now, &node(2)), None);
    for effect in first.effects() {
        if let Effect::Journal { entry, .. } = effect {
            journal.push(JournalEntry::from_bytes(&entry.to_bytes()).unwrap());
        }
    }
    let whole: Vec<_> = first.engine.journal().collect();
    for (entries, seconds, expected) in [
        (&journal, 0, vec![node(1), key]),
        (&whole, 0, vec![node(1), key]),
        (&journal, 3599, vec![node(1), key]),
        (&journal, 3600, vec![node(1)]),
    ] {
        let mut second = One::later(seconds);
        for entry in entries {
            second.engine.restore(entry.clone());
        }
        let blocks = second.engine.blocks(second.now);
        let what: Vec<_> = blocks.iter().map(|block| block.what).collect();
        assert_eq!(what, expected, "{seconds}");
        for block in blocks {
            assert_eq!(block.cause, BlockCause::ByHand);
        }
        second.pass(3600 - seconds.min(3600) + 1);
        assert_eq!(second.engine.blocks(second.now).len(), 1);
    }
}
