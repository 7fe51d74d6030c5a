//! What the table promises about eviction, refresh and its own neighbourhood, case by case.

use std::collections::BTreeSet;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use core::time::Duration;

use super::*;
use crate::closest::closest;
use crate::contact::NodeKey;
use crate::diversity::AddressGroups;

const HOUR: Duration = Duration::from_hours(1);

fn contact(number: u16) -> Contact {
    let mut key = [7; 32];
    key[..2].copy_from_slice(&number.to_be_bytes());
    let address = ([192, 0, 2, 1], 4001).into();
    Contact::at(NodeKey::new(key).unwrap(), address, true)
}

fn at(seconds: u64) -> Moment {
    Moment::from_micros(seconds * 1_000_000)
}

/// All contacts here share one address.
fn local() -> TableConfig {
    TableConfig {
        is_local: true,
        ..TableConfig::default()
    }
}

/// A table around key 0 that holds these contacts, heard from at second 0.
fn table(contacts: &[Contact]) -> RoutingTable {
    let mut table = RoutingTable::new(NodeId::from(Key::ZERO), local());
    for contact in contacts {
        assert_eq!(table.observe(contact.clone(), at(0)), Observation::Inserted);
    }
    table
}

/// Contacts of bucket 0 around key 0, or of any other one.
fn contacts(count: usize, in_bucket_0: bool) -> Vec<Contact> {
    let numbers = (0..u16::MAX).map(contact);
    numbers
        .filter(|contact| (contact.id().key().as_bytes()[0] >= 0x80) == in_bucket_0)
        .take(count)
        .collect()
}

#[test]
fn a_full_bucket_keeps_its_contacts_until_one_has_failed_twice() {
    let mut nodes = contacts(22, true);
    let near = contacts(40, false);
    let (newcomers, old) = nodes.split_at_mut(2);
    let mut table = table(&[old.to_vec(), near].concat());
    for newcomer in newcomers.iter() {
        let waiting = table.observe(newcomer.clone(), at(59));
        assert_eq!(waiting, Observation::Waiting);
    }
    assert_eq!(table.on_failure(old[1].id(), 1, at(64)), Removal::Kept);
    table.observe(old[0].clone(), at(65));
    let by = newcomers[1].clone();
    assert_eq!(
        table.on_failure(old[1].id(), 2, at(66)),
        Removal::Replaced { by }
    );
    assert!(table.contact(newcomers[1].id()).is_some() && table.contact(old[1].id()).is_none());
}

#[test]
fn contacts_are_checked_the_later_the_longer_they_are_known() {
    let nodes = contacts(2, true);
    let mut table = table(&nodes);
    let due = |table: &RoutingTable, second| table.due_checks(at(second), HOUR, 9);
    assert!(due(&table, 299).is_empty());
    assert_eq!(due(&table, 300), nodes);
    assert_eq!(table.due_checks(at(300), HOUR, 1), nodes[..1]);
    // Known for 20 min: due after 10; known for a day: after an hour.
    table.observe(nodes[1].clone(), at(1200));
    assert_eq!(due(&table, 1799), nodes[..1]);
    assert_eq!(due(&table, 1800).len(), 2);
    table.known_since(nodes[1].id(), at(0));
    table.observe(nodes[1].clone(), at(86_400));
    assert_eq!(due(&table, 86_400 + 3599), nodes[..1]);
    assert_eq!(due(&table, 86_400 + 3600).len(), 2);
    // Churn may ask for more.
    let soon = table.due_checks(at(86_400 + 600), Duration::from_mins(10), 9);
    assert_eq!(soon.len(), 2);
}

#[test]
fn whoever_waits_for_a_place_has_the_first_of_the_bucket_checked_sooner() {
    let nodes = contacts(21, true);
    let near = contacts(20, false);
    let mut table = table(&[&nodes[..20], &near].concat());
    for second in [0, 10_000] {
        for node in &near {
            table.observe(node.clone(), at(second));
        }
        for node in &nodes[..20] {
            table.observe(node.clone(), at(second));
        }
    }
    assert!(table.due_checks(at(10_300), HOUR, 99).is_empty());
    table.observe(nodes[20].clone(), at(10_300));
    assert_eq!(table.due_checks(at(10_300), HOUR, 99), nodes[..1]);
    // One of a bucket at a time.
    table.observe(nodes[0].clone(), at(10_301));
    assert!(table.due_checks(at(10_600), HOUR, 99).is_empty());
    assert_eq!(table.due_checks(at(10_601), HOUR, 99), nodes[1..2]);
}

#[test]
fn a_silent_contact_is_left_alone_for_longer_and_longer() {
    let nodes = contacts(1, true);
    let mut table = table(&nodes);
    let passer_by = contacts(1, false);
    let mut now = 1000;
    for rest in [30, 60, 120, 240, 480, 960, 1920, 3840, 3840] {
        table.observe(passer_by[0].clone(), at(now));
        table.remove(passer_by[0].id());
        now += 1;
        table.on_failure(nodes[0].id(), now, at(now));
        assert!(table.due_checks(at(now + rest - 1), HOUR, 9).is_empty());
        assert_eq!(table.due_checks(at(now + rest), HOUR, 9), nodes);
        now += rest;
    }
}

#[test]
fn silent_contacts_begin_no_lookup_and_are_told_to_nobody() {
    let nodes = contacts(4, true);
    let mut table = table(&nodes);
    let target = *nodes[0].id().key();
    table.on_failure(nodes[0].id(), 1, at(1));
    assert_eq!(table.seeds(&target, 3).len(), 3);
    assert!(!table.seeds(&target, 3).contains(&&nodes[0]));
    assert_eq!(table.seeds(&target, 4)[3], &nodes[0]);
    assert_eq!(table.reply(&target, 9, |_| true).len(), 3);
    for node in &nodes[1..] {
        table.on_failure(node.id(), 1, at(2));
    }
    assert_eq!(table.reply(&target, 9, |_| true).len(), 4, "all are silent");
}

#[test]
fn one_request_counts_once_and_a_sign_of_life_wipes_the_slate() {
    let nodes = contacts(3, true);
    let mut table = table(&nodes);
    let id = nodes[0].id();
    for second in 1..5 {
        assert_eq!(table.on_failure(id, 1, at(2 * second)), Removal::Kept);
        table.observe(nodes[1].clone(), at(2 * second + 1));
    }
    table.observe(nodes[0].clone(), at(10));
    assert_eq!(table.on_failure(id, 2, at(11)), Removal::Kept);
    table.observe(nodes[1].clone(), at(12));
    assert_eq!(table.on_failure(id, 3, at(13)), Removal::Removed);
    assert_eq!(table.on_failure(id, 4, at(14)), Removal::Unknown);
}

#[test]
fn nobody_is_evicted_while_nobody_is_heard_from() {
    let nodes = contacts(20, true);
    let mut table = table(&nodes);
    for request in 1..100 {
        let removal = table.on_failure(nodes[0].id(), request, at(request));
        assert_eq!(removal, Removal::Kept);
    }
    assert_eq!(table.len(), 20);
}

#[test]
fn nobody_is_evicted_when_most_of_the_table_fell_silent_at_once() {
    let nodes = contacts(20, true);
    let mut table = table(&nodes);
    for node in &nodes[..11] {
        table.on_failure(node.id(), 1, at(10));
    }
    table.observe(nodes[19].clone(), at(11));
    assert_eq!(table.on_failure(nodes[0].id(), 2, at(12)), Removal::Kept);
    assert_eq!(table.on_failure(nodes[0].id(), 3, at(70)), Removal::Kept);
    // A minute later it is no longer at once.
    assert_eq!(table.on_failure(nodes[0].id(), 4, at(71)), Removal::Removed);
}

#[test]
fn half_of_the_table_may_go() {
    let nodes = contacts(20, true);
    let mut table = table(&nodes);
    for node in &nodes[..10] {
        table.on_failure(node.id(), 1, at(10));
    }
    table.observe(nodes[19].clone(), at(11));
    for node in &nodes[..10] {
        assert_eq!(table.on_failure(node.id(), 2, at(12)), Removal::Removed);
    }
}

#[test]
fn the_last_contacts_stay() {
    let nodes = contacts(2, true);
    let mut table = table(&nodes[..1]);
    let passer_by = contacts(1, false);
    for request in 1..10 {
        assert_eq!(
            table.on_failure(nodes[0].id(), request, at(100 * request)),
            Removal::Kept
        );
        table.observe(passer_by[0].clone(), at(100 * request + 1));
        table.remove(passer_by[0].id());
    }
    assert_eq!(table.len(), 1);
}

#[test]
fn a_silent_contact_stays_but_is_not_live_until_it_is_heard_from() {
    let nodes = contacts(2, true);
    let mut table = table(&nodes);
    assert_eq!((table.len(), table.live()), (2, 2));
    table.on_failure(nodes[0].id(), 1, at(1));
    assert_eq!((table.len(), table.live()), (2, 1));
    table.on_failure(nodes[1].id(), 2, at(2));
    assert_eq!((table.len(), table.live()), (2, 0));
    table.observe(nodes[0].clone(), at(3));
    assert_eq!((table.len(), table.live()), (2, 1));
}

#[test]
fn clients_and_the_own_id_stay_out() {
    let own = contact(1);
    let mut table = RoutingTable::new(*own.id(), local());
    assert_eq!(table.observe(own, at(0)), Observation::Ignored);
    let client = Contact::new(*contact(2).key(), contact(2).v4(), None, false).unwrap();
    assert_eq!(table.observe(client, at(0)), Observation::Ignored);
    assert!(table.is_empty());
}

#[test]
fn the_whole_neighbourhood_of_the_own_id_is_known() {
    for own in 0..50 {
        let own = contact(own);
        let mut table = RoutingTable::new(*own.id(), local());
        let others: Vec<Contact> = (100..700).map(contact).collect();
        for contact in &others {
            table.observe(contact.clone(), at(0));
        }
        let target = own.id().key();
        assert_eq!(table.closest(target, 20), closest(&others, target, 20));
    }
}

#[test]
fn thin_buckets_are_refreshed_when_nothing_touched_them() {
    let mut table = RoutingTable::new(NodeId::from(Key::ZERO), local());
    assert!(table.thin_buckets(at(9999), Duration::ZERO, 20).is_empty());
    assert_eq!(table.idle_neighbourhood(at(9999), Duration::ZERO), None);
    for contact in (0..300).map(contact) {
        table.observe(contact, at(0));
    }
    let deepest = table.entries().last().unwrap().bucket;
    let held = |bucket| {
        let entries = table.entries();
        entries.filter(|entry| entry.bucket == bucket).count()
    };
    assert_eq!([0, 1].map(held), [20; 2], "the far ones are full");
    let thin = |table: &RoutingTable, second, enough| {
        let thin = table.thin_buckets(at(second), HOUR, enough).into_iter();
        thin.filter(|bucket| *bucket < 2).collect::<Vec<u32>>()
    };
    assert_eq!(thin(&table, 3600, 20), []);
    assert_eq!(thin(&table, 3599, 21), []);
    assert_eq!(thin(&table, 3600, 21), [0, 1]);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let target = table.random_target(1, &mut rng);
    table.on_lookup(&target, at(3600));
    assert_eq!(thin(&table, 3600, 21), [0]);
    // A full bucket with a silent contact is not full.
    let far = *table.entries().next().unwrap().contact.id();
    table.on_failure(&far, 1, at(3600));
    assert_eq!(thin(&table, 3600, 20), [0]);
    // One lookup refreshes the whole neighbourhood of the own id.
    assert_eq!(table.idle_neighbourhood(at(3599), HOUR), None);
    let own = table.idle_neighbourhood(at(3600), HOUR).unwrap();
    assert_eq!(own, deepest + 1);
    let target = table.random_target(own, &mut rng);
    table.on_lookup(&target, at(3600));
    assert_eq!(table.idle_neighbourhood(at(7199), HOUR), None);
    assert_eq!(table.idle_neighbourhood(at(7200), HOUR), Some(own));
}

#[test]
fn random_targets_fall_into_their_bucket() {
    let own = contact(1);
    for bits in [1, 2, 3, 5, 8] {
        let config = TableConfig {
            bits_per_level: bits,
            ..local()
        };
        let table = RoutingTable::new(*own.id(), config);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let width = (1 << bits) - 1;
        let full_levels = 256 / bits * width;
        for bucket in (0..full_levels).step_by(1 + full_levels as usize / 300) {
            let targets: BTreeSet<Key> = (0..4)
                .map(|_| table.random_target(bucket, &mut rng))
                .collect();
            for target in &targets {
                assert_eq!(
                    table.index_of(target),
                    usize::try_from(bucket).ok(),
                    "{bits} bits"
                );
            }
            assert!(
                targets.len() > 1 || bucket / width * bits >= 240,
                "bucket {bucket}"
            );
        }
        let target = table.random_target(u32::MAX, &mut rng);
        assert!(own.id().key().distance(&target).shared_bits() >= 240);
    }
}

#[test]
fn more_bits_per_level_make_more_buckets_in_the_same_order() {
    let own = contact(1);
    let others: Vec<Contact> = (100..3000).map(contact).collect();
    let mut sizes = Vec::new();
    for bits in [1, 2, 3, 4] {
        let config = TableConfig {
            bits_per_level: bits,
            ..local()
        };
        let mut table = RoutingTable::new(*own.id(), config);
        for contact in &others {
            table.observe(contact.clone(), at(0));
        }
        let near = own.id().key();
        assert_eq!(table.closest(near, 20), closest(&others, near, 20));
        let held: Vec<Contact> = table.entries().map(|entry| entry.contact.clone()).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for bucket in 0..12 {
            let target = table.random_target(bucket, &mut rng);
            for n in [1, 20, 70] {
                assert_eq!(
                    table.closest(&target, n),
                    closest(&held, &target, n),
                    "{bits} bits"
                );
            }
        }
        sizes.push(held.len());
    }
    assert!(sizes.is_sorted_by(|one, other| one < other), "{sizes:?}");
}

/// Contacts of bucket 0 at these addresses.
fn at_addresses(addresses: &[[u8; 4]]) -> Vec<Contact> {
    let far = contacts(addresses.len(), true);
    let placed = far.iter().zip(addresses);
    placed
        .map(|(contact, address)| Contact::at(*contact.key(), (*address, 4001).into(), true))
        .collect()
}

#[test]
fn who_shares_addresses_gives_way_to_who_does_not() {
    for (is_local, expected) in [(false, true), (true, false)] {
        let config = TableConfig {
            is_local,
            ..TableConfig::default()
        };
        let mut table = RoutingTable::new(NodeId::from(Key::ZERO), config);
        let mut addresses = [[10, 1, 1, 1]; 21];
        addresses[20] = [10, 2, 1, 1];
        let nodes = at_addresses(&addresses);
        for near in contacts(20, false) {
            table.observe(near, at(0));
        }
        let before = table.crowded();
        for (second, node) in (0..).zip(&nodes[..20]) {
            // Nobody starves while there is room.
            assert_eq!(
                table.observe(node.clone(), at(second)),
                Observation::Inserted
            );
        }
        let gone = nodes[19].clone();
        let displaced = Observation::Displaced { gone };
        let observed = table.observe(nodes[20].clone(), at(60));
        assert_eq!(observed == displaced, expected, "{observed:?}");
        assert_eq!(table.crowded() > before, expected);
        assert_eq!(table.len(), 40);
        // One more of the crowded group waits.
        let more = table.observe(nodes[19].clone(), at(61));
        assert!(more == Observation::Waiting || is_local);
    }
}

#[test]
fn no_contact_within_the_limits_gives_way() {
    let addresses: Vec<[u8; 4]> = (0..21)
        .map(|number| [20 + number / 4, number, 1, 1])
        .collect();
    let nodes = at_addresses(&addresses);
    let mut table = RoutingTable::new(NodeId::from(Key::ZERO), TableConfig::default());
    for near in contacts(20, false) {
        table.observe(near, at(0));
    }
    let before = table.crowded();
    for node in &nodes[..20] {
        assert_eq!(table.observe(node.clone(), at(0)), Observation::Inserted);
    }
    assert_eq!(
        table.observe(nodes[20].clone(), at(1)),
        Observation::Waiting
    );
    assert_eq!(table.crowded(), before);
}

#[test]
fn answers_hold_three_of_a_network_of_16_bits_before_others() {
    let near = contacts(30, false);
    let mut table = RoutingTable::new(NodeId::from(Key::ZERO), TableConfig::default());
    for (place, node) in near.iter().enumerate() {
        let third = u8::try_from(place).unwrap();
        let address = if place < 20 {
            [10, 1, third, 1]
        } else {
            [third, 1, 1, 1]
        };
        let contact = Contact::at(*node.key(), (address, 4001).into(), true);
        table.observe(contact, at(0));
    }
    let of_group = |contacts: &[Contact]| {
        let groups = contacts.iter();
        let groups = groups.filter_map(|contact| AddressGroups::of_contact(contact, false));
        groups.filter(|groups| groups.wide == 0x0a01).count()
    };
    let reply = table.reply(&Key::ZERO, 12, |_| true);
    assert_eq!((reply.len(), of_group(&reply)), (12, 3));
    let reply = table.reply(&Key::ZERO, 20, |_| true);
    assert_eq!(reply.len(), 20, "the nearest others fill up");
    let distance = |contact: &Contact| contact.id().key().distance(&Key::ZERO);
    assert!(reply.is_sorted_by_key(distance));
    table.config.is_local = true;
    let nearest: Vec<Contact> = table.closest(&Key::ZERO, 12).into_iter().cloned().collect();
    assert_eq!(table.reply(&Key::ZERO, 12, |_| true), nearest);
}

#[test]
fn four_hundred_contacts_take_less_than_100_kilobytes() {
    let entry = size_of::<Entry>();
    // 18 full buckets and a tail, each with room for 20 and 10 replacements.
    assert!(entry <= 152, "{entry} bytes");
    assert!(400 * entry + 24 * size_of::<Bucket>() < 64 * 1024);
    assert!(size_of::<Contact>() <= 108);
}
