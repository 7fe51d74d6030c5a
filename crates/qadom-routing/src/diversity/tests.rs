//! Each limit one below, at and one above it, in both families, and that nobody starves.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::vec::Vec;

use super::*;
use crate::contact::NodeKey;

fn at(number: u8, address: IpAddr) -> Contact {
    let key = NodeKey::new([number + 2; 32]).unwrap();
    Contact::at(key, (address, 4001).into(), true)
}

fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    Ipv4Addr::new(a, b, c, d).into()
}

fn v6(a: u16, b: u16, c: u16, d: u16) -> IpAddr {
    Ipv6Addr::new(a, b, c, d, 0, 0, 0, 1).into()
}

fn chosen(addresses: &[IpAddr], n: usize, limits: GroupLimits) -> (Vec<usize>, usize) {
    let numbers = (0..).zip(addresses);
    let contacts: Vec<Contact> = numbers
        .map(|(number, address)| at(number, *address))
        .collect();
    let (chosen, filtered) = diverse(&contacts, n, limits, false);
    let place = |contact: &&Contact| contacts.iter().position(|other| other == *contact);
    (
        chosen
            .iter()
            .map(|contact| place(contact).unwrap())
            .collect(),
        filtered,
    )
}

#[test]
fn groups_are_networks_of_24_and_16_bits_and_of_48_and_32() {
    let groups = |address| AddressGroups::of(address);
    assert_eq!(groups(v4(1, 2, 3, 4)), groups(v4(1, 2, 3, 200)));
    assert_eq!(groups(v4(1, 2, 3, 4)).wide, groups(v4(1, 2, 9, 4)).wide);
    assert_ne!(groups(v4(1, 2, 3, 4)).narrow, groups(v4(1, 2, 9, 4)).narrow);
    assert_ne!(groups(v4(1, 2, 3, 4)).wide, groups(v4(1, 3, 3, 4)).wide);
    assert_eq!(groups(v6(1, 2, 3, 4)), groups(v6(1, 2, 3, 9)));
    assert_eq!(groups(v6(1, 2, 3, 4)).wide, groups(v6(1, 2, 9, 4)).wide);
    assert_ne!(groups(v6(1, 2, 3, 4)).narrow, groups(v6(1, 2, 9, 4)).narrow);
    assert_ne!(groups(v6(0, 0, 0x102, 3)), groups(v4(1, 2, 3, 4)));
    let mapped = Ipv4Addr::new(1, 2, 3, 4).to_ipv6_mapped().into();
    assert_eq!(groups(mapped), groups(v4(1, 2, 3, 4)));
}

#[test]
fn the_nearest_that_keep_the_limits_come_first() {
    let limits = GroupLimits::REPLY;
    // Three of one /24, of which two keep the limits; then others of its /16, of which one does.
    let same = [
        v4(1, 1, 1, 1),
        v4(1, 1, 1, 2),
        v4(1, 1, 1, 3),
        v4(1, 1, 2, 1),
        v4(1, 1, 3, 1),
    ];
    let others = [v4(2, 1, 1, 1), v4(3, 1, 1, 1)];
    let all = [&same[..], &others].concat();
    assert_eq!(chosen(&all, 5, limits), (Vec::from([0, 1, 3, 5, 6]), 2));
    // One more is wanted than keep them: the nearest of those that were passed over.
    assert_eq!(chosen(&all, 6, limits), (Vec::from([0, 1, 2, 3, 5, 6]), 1));
    assert_eq!(
        chosen(&all, 7, limits),
        (Vec::from([0, 1, 2, 3, 4, 5, 6]), 0)
    );
    assert_eq!(chosen(&all, 20, limits).0.len(), 7);
}

#[test]
fn a_network_in_one_group_is_served_all_the_same() {
    for address in [v4(10, 0, 0, 1), v6(1, 2, 3, 4)] {
        let all = Vec::from([address; 30]);
        let (found, filtered) = chosen(&all, 20, GroupLimits::REPLY);
        assert_eq!(found, (0..20).collect::<Vec<_>>());
        assert_eq!(filtered, 10);
    }
}

#[test]
fn in_local_mode_nobody_is_passed_over() {
    let all: Vec<Contact> = (0..30).map(|number| at(number, v4(127, 0, 0, 1))).collect();
    let (chosen, filtered) = diverse(&all, 20, GroupLimits::REPLY, true);
    assert_eq!((chosen.len(), filtered), (20, 0));
    assert!(AddressGroups::of_contact(&all[0], true).is_none());
    assert!(AddressGroups::of_contact(&all[0], false).is_some());
}

#[test]
fn each_limit_holds_up_to_itself() {
    for limits in [
        GroupLimits::BUCKET,
        GroupLimits::REPLY,
        GroupLimits::table(400),
    ] {
        let mut count = GroupCount::new(limits);
        let narrow: Vec<bool> = (0..=limits.narrow)
            .map(|_| count.take_if_room(AddressGroups::of(v4(1, 1, 1, 1))))
            .collect();
        assert_eq!(narrow.iter().filter(|taken| **taken).count(), limits.narrow);
        assert!(!narrow[limits.narrow]);
        let mut count = GroupCount::new(limits);
        let wide: Vec<bool> = (0..=limits.wide)
            .map(|third| {
                let third = u8::try_from(third).unwrap();
                count.take_if_room(AddressGroups::of(v4(1, 1, third, 1)))
            })
            .collect();
        assert_eq!(wide.iter().filter(|taken| **taken).count(), limits.wide);
        assert!(!wide[limits.wide]);
    }
}

#[test]
fn only_local_mode_exempts() {
    for address in [
        v4(127, 0, 0, 1),
        v4(192, 168, 0, 1),
        v4(1, 1, 1, 1),
        v6(1, 2, 3, 4),
    ] {
        assert!(is_exempt(address, true) && !is_exempt(address, false));
    }
}
