//! Publications that could not be renewed as they should: taken by few, or by nobody, or without the
//! secret that signs them.

use std::sync::Arc;

use qadom_engine::{Mode, Promised};
use qadom_routing::Key;
use qadom_wire::{Draft, Identity, Reason};

use crate::one::{One, network, node_key, value};
use crate::publications::{HOUR, Holders, TTL, one, pass, publish};

#[test]
fn what_fewer_than_half_of_the_holders_took_is_brought_again_soon() {
    for (full, is_renewed) in [(3, false), (2, true)] {
        let mut one = One::new(Mode::Storing);
        (1..=3).for_each(|number| one.meet(number, true));
        let mut holders = Holders {
            full: (1..=full).map(node_key).collect(),
            ..Holders::default()
        };
        publish(&mut one, Promised::Value(value(b"value")));
        let begin = one.now.utc_seconds();
        // At about 12 h, and then after 90 min or another 12 h.
        pass(&mut one, &mut holders, 18);
        let rounds = one.engine.status().renewal_cost.rounds;
        let promise = one.engine.publications().next().unwrap();
        assert_eq!(promise.stored, 4 - u32::from(full));
        assert_eq!(rounds == 1, is_renewed, "{rounds} rounds");
        assert_eq!(promise.renewed_at > begin, is_renewed);
    }
}

#[test]
fn without_its_secret_a_record_lives_as_long_as_it_was_signed_for_and_is_sent_no_longer() {
    let mut one = one(3);
    let mut holders = Holders::default();
    let (begin, expiry) = (one.now.utc_seconds(), one.now.utc_seconds() + TTL);
    let draft = Draft::dict_cell(Key::from_bytes([1; 32]), "cell".into(), 5, expiry);
    let stranger = Arc::new(Identity::from_seed([8; 32]));
    let record = stranger.sign(&network(), draft).unwrap().into_inner();
    publish(&mut one, Promised::Signed(record));
    pass(&mut one, &mut holders, 34);
    let standing = |one: &One| {
        let promise = one.engine.publications().next().unwrap();
        (promise.stored, promise.renewed_at, promise.expires_at)
    };
    assert_eq!(holders.held.len(), 3);
    assert_eq!(standing(&one), (3, begin, expiry));
    pass(&mut one, &mut holders, 2);
    holders.brought.clear();
    let refused = |one: &One| {
        let drops = one.engine.status().drops;
        drops.iter().any(|(reason, _)| reason == Reason::Expired)
    };
    assert!(!refused(&one));
    pass(&mut one, &mut holders, 24);
    assert!(holders.brought.is_empty());
    assert!(refused(&one));
    assert_eq!(standing(&one), (3, begin, expiry));
    one.engine.add_identity(stranger);
    pass(&mut one, &mut holders, 4);
    assert!(standing(&one).2 > expiry + 24 * HOUR);
}

#[test]
fn who_knows_nobody_tries_again_soon() {
    let mut one = one(0);
    let mut holders = Holders::default();
    publish(&mut one, Promised::Value(value(b"value")));
    pass(&mut one, &mut holders, 14);
    one.meet(1, true);
    pass(&mut one, &mut holders, 2);
    assert_eq!(holders.held.len(), 1);
}
