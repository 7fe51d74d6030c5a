//! What becomes of a subscription at its own node: held there when the node is near, or refused.

use std::time::Duration;

use crate::one::One;
use crate::signed::{signed, slot};
use crate::subscribing::topic;
use crate::watched::event;
use qadom_engine::{Blocked, Effect, Failure, Mode, Since, WatchEvent, WatchSlot};
use qadom_wire::{Cursor, Kind, Reason};

#[test]
fn a_node_that_is_near_holds_a_lease_at_itself() {
    let mut one = One::trusting();
    let operation = one.engine.watch(one.now, topic(), Since::Now);
    one.effects();
    assert_eq!(one.engine.status().leases, 1);
    one.store(signed(&event(1, 1)));
    // The store took the effects; what comes next shows that the subscription lives.
    let now = one.now;
    let other = one.engine.watch(now, topic(), Since::Cursor(Cursor::new()));
    // A long backlog of its own does not hold the node up.
    one.now.moment = now.moment + Duration::from_millis(1);
    one.engine.on_deadline(one.now);
    let told: Vec<_> = one
        .effects()
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Event {
                operation,
                event: WatchEvent::Record { record, .. },
            } => Some((operation, record.seq())),
            _ => None,
        })
        .collect();
    assert_eq!(told, [(other, 1)]);
    one.engine.cancel(operation);
    assert_eq!(one.engine.status().leases, 1);
    one.engine.cancel(other);
    assert_eq!(one.engine.status().leases, 0);
}

#[test]
fn values_blocked_slots_and_too_many_are_refused() {
    let mut one = One::with(|config| config.limits.subscriptions = 2);
    let values = WatchSlot {
        slot: slot(),
        kind: Kind::Value,
    };
    let refused = |one: &mut One, slot| {
        one.engine.watch(one.now, slot, Since::Now);
        one.effects().into_iter().find_map(|effect| match effect {
            Effect::Done {
                result: Err(Failure::Refused { reason }),
                ..
            } => Some(reason),
            _ => None,
        })
    };
    assert_eq!(refused(&mut one, values), Some(Reason::Malformed));
    assert_eq!(refused(&mut one, topic()), None);
    assert_eq!(refused(&mut one, topic()), None);
    assert_eq!(refused(&mut one, topic()), Some(Reason::Busy));
    let mut one = One::new(Mode::Client);
    let blocked = Blocked::Key(slot());
    one.engine.block(one.now, blocked, None).unwrap();
    assert_eq!(refused(&mut one, topic()), Some(Reason::Blocked));
}
