//! When a lookup asks all that are left, and when not.

use crate::config::LookupConfig;
use crate::key::Key;
use crate::lookup::Lookup;
use crate::lookup::tests::holders::ask_all;
use crate::lookup::tests::{LOCAL, NOW, contact, ranked};

#[test]
fn once_two_answers_agree_on_the_nearest_all_of_them_are_asked_at_once() {
    let nodes = ranked(60);
    for (alpha_agreed, expected) in [(0, 3), (12, 12), (20, 20)] {
        let config = LookupConfig {
            alpha_agreed,
            ..LOCAL
        };
        let own = *contact(u16::MAX).id();
        let seeds = nodes[40..].iter().cloned();
        let mut lookup = Lookup::new(own, Key::ZERO, config, seeds, NOW);
        let first = ask_all(&mut lookup);
        assert_eq!(first, nodes[40..43]);
        // The first answer names others than were known, as every answer on the way does.
        lookup.on_answer(first[0].id(), nodes[..20].iter().cloned(), NOW);
        assert_eq!(ask_all(&mut lookup), nodes[..1]);
        // The second names the same, but for a few.
        lookup.on_answer(first[1].id(), nodes[4..24].iter().cloned(), NOW);
        let under_way = 2 + ask_all(&mut lookup).len();
        assert_eq!(under_way, expected);
    }
}

#[test]
fn paths_agree_with_each_other_and_a_liar_with_nobody() {
    let nodes = ranked(100);
    let config = LookupConfig {
        alpha_agreed: 20,
        paths: 3,
        ..LOCAL
    };
    let own = *contact(u16::MAX).id();
    let seeds = nodes[90..].iter().cloned();
    let mut lookup = Lookup::new(own, Key::ZERO, config, seeds, NOW);
    let first = ask_all(&mut lookup);
    assert_eq!(first.len(), 3, "one on each path");
    lookup.on_answer(first[0].id(), nodes[20..40].iter().cloned(), NOW);
    assert_eq!(ask_all(&mut lookup).len(), 1);
    // Whoever names others, even nearer ones, hurries nobody.
    lookup.on_answer(first[1].id(), nodes[..20].iter().cloned(), NOW);
    assert_eq!(ask_all(&mut lookup).len(), 1);
    lookup.on_answer(first[2].id(), nodes[..20].iter().cloned(), NOW);
    let asked = ask_all(&mut lookup);
    assert!(
        asked.iter().all(|node| nodes[..20].contains(node)),
        "{asked:?}"
    );
    assert_eq!(
        asked.len(),
        19,
        "both paths that were told, the third as before"
    );
}

#[test]
fn nobody_is_asked_at_once_as_long_as_answers_name_others() {
    let nodes = ranked(80);
    let config = LookupConfig {
        alpha_agreed: 20,
        ..LOCAL
    };
    let own = *contact(u16::MAX).id();
    let seeds = nodes[60..].iter().cloned();
    let mut lookup = Lookup::new(own, Key::ZERO, config, seeds, NOW);
    let first = ask_all(&mut lookup);
    // Chance picks out of many: every third is named by both.
    let of = |step: usize| nodes[..60].iter().skip(step).step_by(3).cloned();
    lookup.on_answer(first[0].id(), of(0), NOW);
    lookup.on_answer(first[1].id(), of(1).take(14).chain(of(0).take(6)), NOW);
    assert_eq!(ask_all(&mut lookup).len(), 2, "as many as answered");
    // Whoever names too few to tell, tells nothing.
    lookup.on_answer(first[2].id(), of(0).take(4), NOW);
    assert_eq!(ask_all(&mut lookup).len(), 1);
}
