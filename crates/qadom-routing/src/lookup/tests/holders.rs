//! Lookups for the holders of something: who surely is one, and that slow ones are waited for.

use std::vec::Vec;

use super::{LOCAL, NOW, contact, ranked};
use crate::config::LookupConfig;
use crate::contact::Contact;
use crate::key::Key;
use crate::lookup::{Lookup, Next};

/// Asks everybody that may be asked now.
pub(crate) fn ask_all(lookup: &mut Lookup) -> Vec<Contact> {
    let ask = || match lookup.next(NOW) {
        Next::Ask(contact) => Some(contact),
        Next::Waiting | Next::Done => None,
    };
    std::iter::from_fn(ask).collect()
}

#[test]
fn whoever_answered_is_settled_within_the_reach_or_when_hardly_anybody_nearer_may_come() {
    let nodes = ranked(60);
    let own = *contact(u16::MAX).id();
    let reach = nodes[1].id().key().distance(&Key::ZERO);
    let config = LookupConfig {
        alpha_agreed: 20,
        reach,
        ..LOCAL
    };
    let seeds = nodes[40..].iter().cloned();
    let mut lookup = Lookup::new(own, Key::ZERO, config, seeds, NOW);
    let settled = |lookup: &Lookup| lookup.settled().cloned().collect::<Vec<_>>();
    let first = ask_all(&mut lookup);
    lookup.on_answer(first[0].id(), nodes[..20].iter().cloned(), NOW);
    ask_all(&mut lookup);
    lookup.on_answer(nodes[0].id(), nodes[40..].iter().cloned(), NOW);
    assert_eq!(
        settled(&lookup),
        nodes[..1],
        "nobody agrees yet, and one is within the reach"
    );
    lookup.on_answer(first[1].id(), nodes[4..24].iter().cloned(), NOW);
    let asked = ask_all(&mut lookup);
    lookup.on_answer(asked[0].id(), nodes[4..24].iter().cloned(), NOW);
    let expected = [nodes[0].clone(), asked[0].clone()];
    assert_eq!(
        settled(&lookup),
        expected,
        "those beyond the k nearest are not"
    );
}

#[test]
fn whoever_is_near_by_the_word_of_one_path_alone_is_not_settled() {
    let nodes = ranked(100);
    let own = *contact(u16::MAX).id();
    let config = LookupConfig {
        alpha_agreed: 20,
        paths: 3,
        ..LOCAL
    };
    let seeds = nodes[90..].iter().cloned();
    let mut lookup = Lookup::new(own, Key::ZERO, config, seeds, NOW);
    let first = ask_all(&mut lookup);
    let friends = || nodes[..20].iter().cloned();
    lookup.on_answer(first[0].id(), friends(), NOW);
    for _ in 0..20 {
        for asked in ask_all(&mut lookup) {
            lookup.on_answer(asked.id(), friends(), NOW);
        }
    }
    assert_eq!(lookup.answered().count(), 21, "all friends answered");
    assert_eq!(lookup.settled().count(), 0);
    assert!(!lookup.has_found());
    // The other paths come to the same.
    for honest in &first[1..] {
        lookup.on_answer(honest.id(), friends(), NOW);
    }
    assert_eq!(lookup.settled().cloned().collect::<Vec<_>>(), nodes[..20]);
    assert!(lookup.has_found());
}

#[test]
fn a_patient_lookup_waits_for_the_slow_ones_among_the_nearest() {
    let nodes = ranked(4);
    for is_patient in [false, true] {
        let config = LookupConfig {
            k: 2,
            is_patient,
            ..LOCAL
        };
        let own = *contact(u16::MAX).id();
        let mut lookup = Lookup::new(own, Key::ZERO, config, nodes.iter().cloned(), NOW);
        while let Next::Ask(asked) = lookup.next(NOW) {
            if asked == nodes[0] {
                lookup.on_slow(asked.id(), NOW);
            } else {
                lookup.on_answer(asked.id(), [], NOW);
            }
        }
        let found = |lookup: &Lookup| lookup.found().cloned().collect::<Vec<_>>();
        if is_patient {
            assert_eq!(lookup.next(NOW), Next::Waiting);
            lookup.on_answer(nodes[0].id(), [], NOW);
        }
        assert_eq!(lookup.next(NOW), Next::Done);
        let expected = if is_patient {
            &nodes[..2]
        } else {
            &nodes[1..3]
        };
        assert_eq!(found(&lookup), expected);
    }
}
