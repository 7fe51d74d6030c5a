//! What the table promises about eviction, refresh and its own neighbourhood, case by case.

use std::collections::BTreeSet;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::closest::closest;
use crate::contact::NodeKey;

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

/// A table around key 0 that holds these contacts, heard from at second 0.
fn table(contacts: &[Contact]) -> RoutingTable {
    let mut table = RoutingTable::new(NodeId::from(Key::ZERO), TableConfig::default());
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
fn a_full_bucket_pings_its_least_recently_seen_and_keeps_it_when_it_answers() {
    let mut nodes = contacts(23, true);
    let near = contacts(40, false);
    let (newcomers, old) = nodes.split_at_mut(3);
    let mut table = table(&[old.to_vec(), near].concat());
    let [first, second, third] = newcomers else {
        panic!()
    };
    assert_eq!(
        table.observe(first.clone(), at(59)),
        Observation::Waiting,
        "all are fresh"
    );
    let ping = Observation::Queued {
        ping: old[0].clone(),
    };
    assert_eq!(table.observe(first.clone(), at(60)), ping);
    assert_eq!(
        table.observe(second.clone(), at(61)),
        Observation::Waiting,
        "a ping is under way"
    );
    assert_eq!(
        table.observe(old[0].clone(), at(62)),
        Observation::Refreshed
    );
    let ping = Observation::Queued {
        ping: old[1].clone(),
    };
    assert_eq!(table.observe(third.clone(), at(63)), ping);
    assert_eq!(table.on_failure(old[1].id(), 1, at(64)), Removal::Kept);
    let ping = Observation::Queued {
        ping: old[1].clone(),
    };
    assert_eq!(table.observe(second.clone(), at(65)), ping);
    let by = second.clone();
    assert_eq!(
        table.on_failure(old[1].id(), 2, at(66)),
        Removal::Replaced { by }
    );
    assert!(table.contact(second.id()).is_some() && table.contact(old[1].id()).is_none());
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
    let mut table = RoutingTable::new(*own.id(), TableConfig::default());
    assert_eq!(table.observe(own, at(0)), Observation::Ignored);
    let client = Contact::new(*contact(2).key(), contact(2).v4(), None, false).unwrap();
    assert_eq!(table.observe(client, at(0)), Observation::Ignored);
    assert!(table.is_empty());
}

#[test]
fn the_whole_neighbourhood_of_the_own_id_is_known() {
    for own in 0..50 {
        let own = contact(own);
        let mut table = RoutingTable::new(*own.id(), TableConfig::default());
        let others: Vec<Contact> = (100..700).map(contact).collect();
        for contact in &others {
            table.observe(contact.clone(), at(0));
        }
        let target = own.id().key();
        assert_eq!(table.closest(target, 20), closest(&others, target, 20));
    }
}

#[test]
fn idle_buckets_are_stale_until_a_lookup_or_an_insertion() {
    let nodes: Vec<Contact> = (0..100).map(contact).collect();
    let mut table = RoutingTable::new(NodeId::from(Key::ZERO), TableConfig::default());
    assert!(table.stale_buckets(at(9999), Duration::ZERO).is_empty());
    for contact in nodes {
        table.observe(contact, at(0));
    }
    let deepest = table.entries().last().unwrap().bucket;
    let all: Vec<u32> = (0..=deepest + 1).collect();
    assert_eq!(table.stale_buckets(at(0), Duration::ZERO), all);
    assert!(table.stale_buckets(at(3599), HOUR).is_empty());
    assert_eq!(table.stale_buckets(at(3600), HOUR), all);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for (&bucket, rest) in all.iter().zip((1..).map(|done| &all[done..])) {
        let target = table.random_target(bucket, &mut rng);
        table.on_lookup(&target, at(3600));
        assert_eq!(table.stale_buckets(at(3600), HOUR), rest);
    }
    // A lookup for the own id refreshes what is deeper than every filled bucket.
    table.on_lookup(&Key::ZERO, at(7200));
    assert_eq!(table.stale_buckets(at(7200), HOUR), all[..all.len() - 1]);
}

#[test]
fn random_targets_fall_into_their_bucket() {
    let own = contact(1);
    let table = RoutingTable::new(*own.id(), TableConfig::default());
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for bucket in 0..256 {
        let targets: BTreeSet<Key> = (0..4)
            .map(|_| table.random_target(bucket, &mut rng))
            .collect();
        for target in &targets {
            assert_eq!(own.id().key().distance(target).shared_bits(), bucket);
        }
        assert!(targets.len() > 1 || bucket > 240, "bucket {bucket}");
    }
    let target = table.random_target(u32::MAX, &mut rng);
    assert_eq!(own.id().key().distance(&target).shared_bits(), 255);
}

#[test]
fn four_hundred_contacts_take_less_than_100_kilobytes() {
    let entry = size_of::<Entry>();
    // 18 full buckets and a tail, each with room for 20 and 10 replacements.
    assert!(entry <= 144, "{entry} bytes");
    assert!(400 * entry + 24 * size_of::<Bucket>() < 64 * 1024);
    assert!(size_of::<Contact>() <= 108);
}
