//! Every promise of a lookup, in single steps and for any order of events.

use std::collections::{BTreeMap, BTreeSet};
use std::vec;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::closest::closest;
use crate::contact::{Families, NodeKey};

pub(super) mod holders;

pub(super) const NOW: Moment = Moment::ORIGIN;

/// All contacts here share one address.
pub(super) const LOCAL: LookupConfig = LookupConfig {
    k: 20,
    alpha: 3,
    alpha_agreed: 0,
    paths: 1,
    reach: Distance::ZERO,
    max_queries: 200,
    max_path_queries: 40,
    is_patient: false,
    families: Families::BOTH,
    is_local: true,
};

pub(super) fn contact(number: u16) -> Contact {
    let mut key = [7; 32];
    key[..2].copy_from_slice(&number.to_be_bytes());
    let address = ([192, 0, 2, 1], 4001).into();
    Contact::at(NodeKey::new(key).unwrap(), address, true)
}

/// Contacts 0 to `count`, nearest to key 0 first.
pub(super) fn ranked(count: u16) -> Vec<Contact> {
    let mut contacts: Vec<Contact> = (0..count).map(contact).collect();
    contacts.sort_by_key(|contact| *contact.id().key());
    contacts
}

fn lookup(k: usize, alpha: usize, seeds: &[Contact]) -> Lookup {
    let config = LookupConfig { k, alpha, ..LOCAL };
    let own = *contact(u16::MAX).id();
    Lookup::new(own, Key::ZERO, config, seeds.iter().cloned(), NOW)
}

fn ask(lookup: &mut Lookup) -> Contact {
    match lookup.next(NOW) {
        Next::Ask(contact) => contact,
        other => panic!("{other:?} instead of a question"),
    }
}

#[test]
fn a_slow_request_frees_its_slot_and_its_answer_still_counts() {
    let nodes = ranked(4);
    let mut lookup = lookup(2, 1, &nodes[..2]);
    assert_eq!(ask(&mut lookup), nodes[0]);
    assert_eq!(lookup.next(NOW), Next::Waiting);
    assert_eq!(lookup.on_slow(nodes[0].id(), NOW), Noted::Accepted);
    assert_eq!(ask(&mut lookup), nodes[1]);
    assert_eq!(lookup.on_answer(nodes[1].id(), [], NOW), Noted::Accepted);
    assert_eq!(
        lookup.next(NOW),
        Next::Waiting,
        "the slow one is not given up"
    );
    assert_eq!(lookup.on_answer(nodes[0].id(), [], NOW), Noted::Late);
    assert_eq!(lookup.next(NOW), Next::Done);
    assert_eq!(lookup.into_closest(), nodes[..2]);
}

#[test]
fn an_answer_after_the_failure_still_counts() {
    let nodes = ranked(3);
    let mut lookup = lookup(2, 3, &nodes[1..]);
    assert_eq!(ask(&mut lookup), nodes[1]);
    assert_eq!(ask(&mut lookup), nodes[2]);
    assert_eq!(lookup.on_failure(nodes[1].id(), NOW), Noted::Accepted);
    assert_eq!(lookup.on_failure(nodes[1].id(), NOW), Noted::Unknown);
    assert_eq!(
        lookup.on_answer(nodes[1].id(), [nodes[0].clone()], NOW),
        Noted::Late
    );
    assert_eq!(ask(&mut lookup), nodes[0]);
    assert_eq!(lookup.hops_of(nodes[0].id()), Some(2));
}

#[test]
fn k_answers_end_it_without_the_slow_and_without_asking_farther_nodes() {
    let nodes = ranked(6);
    let mut lookup = lookup(3, 4, &nodes);
    let asked: Vec<Contact> = (0..3).map(|_| ask(&mut lookup)).collect();
    assert_eq!(asked, nodes[..3]);
    assert_eq!(
        lookup.next(NOW),
        Next::Waiting,
        "three are under way and three are wanted"
    );
    lookup.on_slow(nodes[0].id(), NOW);
    assert_eq!(ask(&mut lookup), nodes[3]);
    for node in &nodes[1..4] {
        assert_eq!(lookup.next(NOW), Next::Waiting);
        lookup.on_answer(node.id(), [], NOW);
    }
    assert_eq!(lookup.next(NOW), Next::Done);
    assert_eq!(
        lookup.on_answer(nodes[0].id(), [], NOW),
        Noted::Unknown,
        "too late"
    );
    assert_eq!(lookup.queries(), 4);
    assert_eq!(lookup.into_closest(), nodes[1..4]);
}

#[test]
fn a_finished_lookup_is_done_and_deaf() {
    let nodes = ranked(2);
    let mut lookup = lookup(2, 1, &nodes);
    ask(&mut lookup);
    lookup.finish();
    assert_eq!(lookup.next(NOW), Next::Done);
    assert_eq!(lookup.on_answer(nodes[0].id(), [], NOW), Noted::Unknown);
    assert_eq!(lookup.on_slow(nodes[0].id(), NOW), Noted::Unknown);
    assert_eq!(lookup.answered().count(), 0);
}

#[test]
fn the_trace_tells_everything() {
    let nodes = ranked(3);
    let mut lookup = lookup(3, 3, &nodes[1..]);
    ask(&mut lookup);
    ask(&mut lookup);
    let at = Moment::from_micros(5);
    lookup.on_answer(nodes[2].id(), nodes.iter().cloned(), at);
    lookup.on_slow(nodes[1].id(), NOW);
    lookup.on_failure(nodes[1].id(), at);
    let told: Vec<_> = lookup
        .trace()
        .iter()
        .map(|step| (step.contact.clone(), step.event))
        .collect();
    let answered = StepEvent::Answered {
        contacts: 3,
        nearer: 1,
    };
    assert_eq!(
        told,
        [
            (nodes[1].clone(), StepEvent::Asked),
            (nodes[2].clone(), StepEvent::Asked),
            (nodes[2].clone(), answered),
            (nodes[1].clone(), StepEvent::Slow),
            (nodes[1].clone(), StepEvent::Failed),
        ]
    );
    let step = &lookup.trace()[2];
    assert_eq!((step.at, step.hop), (at, 1));
    assert_eq!(
        step.shared_bits,
        nodes[2].id().key().distance(&Key::ZERO).shared_bits()
    );
}

#[test]
fn unreachable_contacts_are_skipped() {
    let address = "[2001:db8::1]:4001".parse().unwrap();
    let v6 = Contact::at(*contact(1).key(), address, true);
    let config = LookupConfig {
        families: Families {
            v4: true,
            v6: false,
        },
        ..LookupConfig::default()
    };
    let mut lookup = Lookup::new(*contact(0).id(), Key::ZERO, config, [v6], NOW);
    assert_eq!(lookup.next(NOW), Next::Done);
}

#[test]
fn requests_and_candidates_are_bounded() {
    let nodes = ranked(400);
    let config = LookupConfig {
        k: 6,
        max_queries: 5,
        ..LOCAL
    };
    let own = *contact(u16::MAX).id();
    let mut lookup = Lookup::new(own, Key::ZERO, config, nodes[300..].iter().cloned(), NOW);
    while let Next::Ask(asked) = lookup.next(NOW) {
        lookup.on_answer(asked.id(), nodes.iter().rev().cloned(), NOW);
        assert!(lookup.candidates.len() <= 29);
    }
    assert_eq!(lookup.queries(), 5);
    let mut kept = nodes[..24].iter();
    assert!(kept.all(|node| lookup.hops_of(node.id()).is_some()));
}

#[test]
fn while_requests_are_slow_more_are_under_way() {
    let nodes = ranked(12);
    let mut lookup = lookup(10, 3, &nodes);
    for node in &nodes[..3] {
        assert_eq!(&ask(&mut lookup), node);
    }
    assert_eq!(lookup.next(NOW), Next::Waiting);
    for (slow, node) in nodes[..3].iter().enumerate() {
        lookup.on_slow(node.id(), NOW);
        // Its slot, and one more.
        assert_eq!(ask(&mut lookup), nodes[3 + 2 * slow]);
        assert_eq!(ask(&mut lookup), nodes[4 + 2 * slow]);
        assert_eq!(lookup.next(NOW), Next::Waiting);
    }
    for node in &nodes[..3] {
        lookup.on_answer(node.id(), [], NOW);
    }
    assert_eq!(
        lookup.next(NOW),
        Next::Waiting,
        "six are under way for three slots"
    );
}

#[test]
fn paths_share_no_node_and_a_liar_spoils_one() {
    let nodes = ranked(30);
    let (far, near) = (&nodes[20..22], &nodes[..20]);
    let config = LookupConfig {
        k: 3,
        paths: 2,
        ..LOCAL
    };
    let own = *contact(u16::MAX).id();
    let mut lookup = Lookup::new(own, Key::ZERO, config, far.iter().cloned(), NOW);
    assert_eq!(
        [ask(&mut lookup), ask(&mut lookup)],
        [far[0].clone(), far[1].clone()]
    );
    // The one names colluders alone, who name nobody; the other whom it knows.
    lookup.on_answer(far[0].id(), nodes[3..6].iter().cloned(), NOW);
    lookup.on_answer(far[1].id(), near.iter().cloned(), NOW);
    let mut asked = BTreeSet::from([*far[0].id(), *far[1].id()]);
    while let Next::Ask(contact) = lookup.next(NOW) {
        assert!(asked.insert(*contact.id()), "asked twice");
        lookup.on_answer(contact.id(), [], NOW);
    }
    assert_eq!(lookup.into_closest(), nodes[..3]);
}

#[test]
fn each_path_has_a_budget_of_its_own() {
    let nodes = ranked(60);
    let config = LookupConfig {
        k: 20,
        paths: 2,
        max_path_queries: 5,
        ..LOCAL
    };
    let own = *contact(u16::MAX).id();
    let mut lookup = Lookup::new(own, Key::ZERO, config, nodes.iter().cloned(), NOW);
    while let Next::Ask(asked) = lookup.next(NOW) {
        lookup.on_failure(asked.id(), NOW);
    }
    assert_eq!(lookup.queries(), 10);
}

#[test]
fn everybody_within_reach_is_found_up_to_sixty() {
    let nodes = ranked(200);
    let own = *contact(u16::MAX).id();
    for (within, expected) in [(0, 3), (3, 3), (10, 10), (60, 60), (61, 60), (150, 60)] {
        let place: usize = within;
        let reach = place
            .checked_sub(1)
            .map(|last| nodes[last].id().key().distance(&Key::ZERO));
        let reach = reach.unwrap_or(Distance::ZERO);
        let config = LookupConfig {
            k: 3,
            reach,
            ..LOCAL
        };
        let mut lookup = Lookup::new(own, Key::ZERO, config, nodes.iter().cloned(), NOW);
        while let Next::Ask(asked) = lookup.next(NOW) {
            lookup.on_answer(asked.id(), [], NOW);
        }
        assert!(lookup.found().eq(&nodes[..expected]), "{within}");
    }
}

#[test]
fn a_lookup_goes_on_with_whom_it_is_told_of() {
    let nodes = ranked(4);
    let mut lookup = lookup(2, 3, &nodes[2..]);
    while let Next::Ask(asked) = lookup.next(NOW) {
        lookup.on_answer(asked.id(), [], NOW);
    }
    lookup.widen(nodes[..2].iter().cloned());
    assert_eq!(
        [ask(&mut lookup), ask(&mut lookup)],
        [nodes[0].clone(), nodes[1].clone()]
    );
    lookup.on_answer(nodes[0].id(), [], NOW);
    lookup.on_answer(nodes[1].id(), [], NOW);
    assert_eq!(lookup.next(NOW), Next::Done);
    assert_eq!(lookup.into_closest(), nodes[..2]);
}

#[test]
fn whoever_was_not_waited_for_holds_no_slot_when_it_goes_on() {
    let nodes = ranked(6);
    let config = LookupConfig {
        k: 2,
        alpha: 1,
        reach: nodes[2].id().key().distance(&Key::ZERO),
        ..LOCAL
    };
    let own = *contact(u16::MAX).id();
    let seeds = [0, 1, 4].map(|place| nodes[place].clone());
    let mut lookup = Lookup::new(own, Key::ZERO, config, seeds, NOW);
    assert_eq!(ask(&mut lookup), nodes[0]);
    lookup.on_slow(nodes[0].id(), NOW);
    assert_eq!(
        [ask(&mut lookup), ask(&mut lookup)],
        [nodes[1].clone(), nodes[4].clone()]
    );
    lookup.on_answer(nodes[1].id(), [], NOW);
    lookup.on_answer(nodes[0].id(), [], NOW);
    assert_eq!(lookup.next(NOW), Next::Done);
    assert_eq!(lookup.on_answer(nodes[4].id(), [], NOW), Noted::Unknown);
    lookup.widen([nodes[2].clone()]);
    assert_eq!(ask(&mut lookup), nodes[2]);
    lookup.on_answer(nodes[2].id(), [], NOW);
    assert_eq!(lookup.next(NOW), Next::Done);
    assert_eq!(lookup.found().count(), 3);
}

#[test]
fn whoever_was_asked_before_is_not_asked_and_does_not_count() {
    let nodes = ranked(6);
    let mut lookup = lookup(2, 3, &nodes[..3]);
    lookup.exclude([nodes[0].id(), nodes[3].id()]);
    assert_eq!(
        [ask(&mut lookup), ask(&mut lookup)],
        [nodes[1].clone(), nodes[2].clone()]
    );
    lookup.on_answer(nodes[1].id(), nodes.iter().cloned(), NOW);
    lookup.on_failure(nodes[2].id(), NOW);
    assert_eq!(ask(&mut lookup), nodes[4]);
    lookup.on_answer(nodes[4].id(), [], NOW);
    assert_eq!(lookup.next(NOW), Next::Done);
    assert_eq!(lookup.into_closest(), [nodes[1].clone(), nodes[4].clone()]);
}

#[test]
fn whoever_shares_addresses_with_nearer_ones_comes_last_but_comes() {
    let elsewhere = |contact: &Contact, third| {
        let address = ([198, 51, third, 1], 4001).into();
        Contact::at(*contact.key(), address, true)
    };
    let mut nodes = ranked(6);
    nodes[4] = elsewhere(&nodes[4], 1);
    nodes[5] = elsewhere(&nodes[5], 2);
    for (is_local, expected) in [(false, [0, 1, 4, 5, 2, 3]), (true, [0, 1, 2, 3, 4, 5])] {
        let config = LookupConfig {
            k: 6,
            alpha: 1,
            is_local,
            ..LOCAL
        };
        let own = *contact(u16::MAX).id();
        let mut lookup = Lookup::new(own, Key::ZERO, config, nodes.iter().cloned(), NOW);
        for place in expected {
            let asked = ask(&mut lookup);
            assert_eq!(asked, nodes[place], "local: {is_local}");
            lookup.on_answer(asked.id(), [], NOW);
        }
        assert_eq!(lookup.next(NOW), Next::Done);
    }
}

/// What becomes of a request next.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answer,
    Slow,
    Fail,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![4 => Just(Fate::Answer), 2 => Just(Fate::Slow), 2 => Just(Fate::Fail)]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        rng_seed: RngSeed::Fixed(20),
        ..ProptestConfig::default()
    })]

    /// Nodes name any contacts, in any order, and any input comes for any node at any time.
    #[test]
    fn every_lookup_ends_within_its_bounds(
        k in 1_usize..6,
        (alpha, alpha_agreed) in (1_usize..5, 0_usize..12),
        (paths, reach, is_local) in (1_usize..=8, 0.0..1.2, any::<bool>()),
        max_queries in 0_usize..40,
        seeds in prop::collection::vec(0_u16..40, 0..8),
        own in 0_u16..40,
        script in prop::collection::vec(
            (fate(), any::<prop::sample::Index>(), prop::collection::vec(0_u16..40, 0..8)),
            1..40,
        ),
    ) {
        let own = *contact(own).id();
        let reach = if reach > 1.0 { Distance::ZERO } else { Distance::from_fraction(reach) };
        let config =
            LookupConfig { k, alpha, alpha_agreed, paths, reach, max_queries, is_local, ..LOCAL };
        let seeds = seeds.into_iter().map(contact);
        let mut lookup = Lookup::new(own, Key::ZERO, config, seeds, NOW);
        let mut script = script.into_iter().cycle();
        let mut states: BTreeMap<NodeId, State> = BTreeMap::new();
        loop {
            match lookup.next(NOW) {
                Next::Ask(contact) => {
                    prop_assert!(contact.id() != &own);
                    prop_assert_eq!(states.insert(*contact.id(), State::Asked), None, "asked twice");
                }
                Next::Waiting => {
                    // Anything may come from who was asked, also a second time; at least one who
                    // is awaited says something, since requests end.
                    let (fate, chosen, named) = script.next().unwrap();
                    let awaited: Vec<NodeId> = states
                        .iter()
                        .filter(|(_, state)| matches!(state, State::Asked | State::Slow))
                        .map(|(id, _)| *id)
                        .collect();
                    prop_assert!(!awaited.is_empty(), "waits for nobody");
                    let any: Vec<NodeId> = states.keys().copied().collect();
                    for id in [*chosen.get(&any), *chosen.get(&awaited)] {
                        let state = states[&id];
                        let (noted, to) = match fate {
                            Fate::Slow if state == State::Asked => (lookup.on_slow(&id, NOW), State::Slow),
                            Fate::Answer => {
                                let named = named.iter().map(|&number| contact(number));
                                (lookup.on_answer(&id, named, NOW), State::Answered)
                            }
                            _ => (lookup.on_failure(&id, NOW), State::Failed),
                        };
                        let expected = match (state, to) {
                            (State::Asked, _) => Noted::Accepted,
                            (State::Slow, _) | (State::Failed, State::Answered) => Noted::Late,
                            _ => Noted::Unknown,
                        };
                        prop_assert_eq!(noted, expected);
                        if noted != Noted::Unknown {
                            states.insert(id, to);
                        }
                    }
                }
                Next::Done => break,
            }
            let in_flight = states.values().filter(|state| **state == State::Asked).count();
            // Twice its share of alpha on each path, as long as requests are slow, and more at the end.
            let most = alpha_agreed.max(2 * alpha.div_ceil(paths));
            prop_assert!(in_flight <= most * paths);
            prop_assert!(states.len() <= max_queries * paths);
        }
        let answered: BTreeSet<NodeId> = states
            .iter()
            .filter(|(_, state)| **state == State::Answered)
            .map(|(id, _)| *id)
            .collect();
        prop_assert_eq!(lookup.queries() as usize, states.len());
        let all: Vec<Contact> = (0..40).map(contact).collect();
        let live = all.iter().filter(|contact| answered.contains(contact.id()));
        let expected: Vec<Contact> = closest(live, &Key::ZERO, k).into_iter().cloned().collect();
        prop_assert_eq!(lookup.into_closest(), expected, "sorted, without duplicates");
    }

    /// In a static network whose nodes know a ring of neighbours and some others, the k closest of
    /// those that answer are found.
    #[test]
    fn the_true_k_closest_are_found(
        k in 1_usize..8,
        (alpha, alpha_agreed) in (1_usize..5, 0_usize..12),
        size in 1_u16..60,
        dead in prop::collection::btree_set(0_usize..60, 0..20),
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..40),
    ) {
        let nodes = ranked(size);
        let is_dead = |index: &usize| *index > 0 && dead.contains(index);
        // Node i names its neighbours by rank, as far as the dead ones between them reach.
        let reach = k + dead.len();
        let named = |index: usize| {
            let range = index.saturating_sub(reach)..(index + reach).min(nodes.len());
            nodes[range].iter().cloned()
        };
        let ranks: BTreeMap<NodeId, usize> =
            nodes.iter().enumerate().map(|(rank, node)| (*node.id(), rank)).collect();
        let live: Vec<Contact> = (0..nodes.len())
            .filter(|index| !is_dead(index))
            .map(|index| nodes[index].clone())
            .collect();
        let config = LookupConfig { k, alpha, alpha_agreed, ..LOCAL };
        let own = *contact(u16::MAX).id();
        let farthest = live.last().cloned();
        let mut lookup = Lookup::new(own, Key::ZERO, config, farthest, NOW);
        let mut asked = vec![];
        for chosen in order.iter().cycle() {
            match lookup.next(NOW) {
                Next::Ask(contact) => asked.push(contact),
                Next::Waiting => {
                    let node = asked.swap_remove(chosen.index(asked.len()));
                    let rank = ranks[node.id()];
                    if is_dead(&rank) {
                        lookup.on_failure(node.id(), NOW);
                    } else {
                        lookup.on_answer(node.id(), named(rank), NOW);
                    }
                }
                Next::Done => break,
            }
        }
        let found = lookup.into_closest();
        prop_assert_eq!(&found[..], &live[..k.min(live.len())]);
    }
}
