//! A bag that is flooded by a thousand writers of ten address groups (goal 27 of the threat model).
//!
//! The suite floods a bag of a few hundred items. At the cap of the protocol, which is 16 384 items
//! and 16 MiB, with a million items of 1 KiB:
//!
//! ```sh
//! QADOM_FLOOD=1000000 cargo test --release -p qadom-engine --test engine floods -- --nocapture
//! ```

use std::collections::BTreeSet;

use crate::one::One;
use crate::quota::{group, records};
use crate::signed::{HOUR, identity, sign, signed, slot, start};
use bytes::Bytes;
use qadom_wire::{Draft, Identity, Kind, Verified};

/// Groups that flood, and groups that do not.
const FLOODING: u16 = 10;
const HONEST: u16 = 50;
/// Writers that flood.
const WRITERS: u16 = 1000;

/// The cap of the protocol.
const CAP: u64 = 16_384;

fn item(identity: &Identity, number: u64, length: usize) -> Verified {
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(length, 0);
    let draft = Draft::bag_item(slot(), Bytes::from(payload), number + 1, start() + HOUR);
    sign(identity, draft)
}

#[test]
fn honest_items_stay_four_fifths_of_a_bag_that_is_flooded() {
    let flood = std::env::var("QADOM_FLOOD").map_or(3000, |text| text.parse().unwrap());
    let (cap, length) = if flood < 100_000 {
        (600, 20)
    } else {
        (CAP, 1024)
    };
    let mut one = One::limited(|limits| limits.bag_items = cap);
    let flooding: Vec<Identity> = (0..WRITERS).map(|number| identity(1000 + number)).collect();
    let honest: Vec<Identity> = (0..HONEST).map(identity).collect();
    let groups = u64::from(FLOODING + HONEST);
    // Each honest group has its share of the bag, the first half of it before the flood begins.
    let share = cap / groups;
    let mut expected = BTreeSet::new();
    let mut write = |one: &mut One, numbers: std::ops::Range<u64>| {
        for number in numbers {
            for (who, writer) in (0..HONEST).zip(&honest) {
                let record = item(writer, 10_000_000 + number * 100 + u64::from(who), length);
                one.store_from(group(who), signed(&record));
                expected.insert(*record.id());
            }
        }
    };
    write(&mut one, 0..share / 2);
    for (number, writer) in (0..flood).zip(flooding.iter().cycle()) {
        // Younger than all that is honest.
        let record = item(writer, 100_000_000 + number, length);
        let from = 1000 + u16::try_from(number % u64::from(FLOODING)).unwrap();
        one.store_from(group(from), signed(&record));
    }
    write(&mut one, share / 2..share);
    let all = records(&mut one, Kind::BagItem);
    let bytes: usize = all.iter().map(|record| record.payload().len()).sum();
    let left = all.iter().filter(|record| expected.contains(record.id()));
    let left = left.count();
    println!(
        "{flood} items of {WRITERS} writers in {FLOODING} groups against {} honest ones in {HONEST}: \
         {left} honest ones left, {} items of {bytes} bytes in all, cap {cap}",
        expected.len(),
        all.len(),
    );
    assert!(all.len() as u64 <= cap && bytes <= 16 << 20);
    assert_eq!(left, expected.len());
    assert!(left * 5 >= all.len() * 4, "{left} of {}", all.len());
}
