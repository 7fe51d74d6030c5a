//! The order of what is due, against a list of everything.

use std::time::Duration;

use proptest::prelude::*;
use qadom_wire::Value;

use super::*;
use crate::publications::promise::Promised;
use crate::time::Time;

const TTL: Duration = Duration::from_hours(12);

fn promise(number: u16) -> Promise {
    let value = Value::new(number.to_be_bytes().to_vec().into()).unwrap();
    let now = Time {
        moment: Moment::ORIGIN,
        utc_micros: 1,
    };
    Promise::new(Promised::Value(value), TTL, now)
}

fn at(minutes: u64) -> Moment {
    Moment::ORIGIN + Duration::from_mins(minutes)
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u16, Option<u64>),
    Remove(u16),
    Schedule(u16, Option<u64>),
    Take { now: u64, bits: u32, most: usize },
}

fn steps() -> impl Strategy<Value = Step> {
    let number = || 0_u16..40;
    let due = || prop::option::of(0_u64..600);
    prop_oneof![
        3 => (number(), due()).prop_map(|(number, due)| Step::Insert(number, due)),
        1 => number().prop_map(Step::Remove),
        2 => (number(), due()).prop_map(|(number, due)| Step::Schedule(number, due)),
        2 => (0_u64..600, 0_u32..5, 1_usize..10)
            .prop_map(|(now, bits, most)| Step::Take { now, bits, most }),
    ]
}

/// What a list of (id, due) says of the same question.
fn check_taken(
    model: &BTreeMap<PublicationId, Option<Moment>>,
    taken: &[PublicationId],
    (now, bits, most): (Moment, u32, usize),
) {
    let due = model
        .iter()
        .filter_map(|(id, due)| due.map(|due| (due, *id)));
    let Some((_, first)) = due.min().filter(|(due, _)| *due <= now) else {
        assert!(taken.is_empty());
        return;
    };
    // A twelfth of 12 h.
    let soon = now + Duration::from_hours(1);
    let is_fit = |id: &PublicationId, due: &Option<Moment>| {
        id.slot.distance(&first.slot).shared_bits() >= bits && due.is_some_and(|due| due <= soon)
    };
    let fit: Vec<_> = model
        .iter()
        .filter(|(id, due)| is_fit(id, due))
        .map(|(id, _)| *id)
        .collect();
    assert!(taken.contains(&first));
    assert!(
        taken.iter().all(|id| fit.contains(id)),
        "{taken:?} of {fit:?}"
    );
    assert_eq!(taken.len(), fit.len().min(most));
}

proptest! {
    #[test]
    fn the_first_is_taken_with_those_of_its_region(steps in prop::collection::vec(steps(), 1..120)) {
        let mut book = Publications::default();
        let mut model = BTreeMap::new();
        for step in steps {
            match step {
                Step::Insert(number, due) => {
                    let due = due.map(at);
                    let known = book.insert(promise(number), due).is_some();
                    let was_known = model.insert(promise(number).id(), due).is_some();
                    prop_assert_eq!(known, was_known);
                }
                Step::Remove(number) => {
                    let id = promise(number).id();
                    prop_assert_eq!(book.remove(&id).is_some(), model.remove(&id).is_some());
                }
                Step::Schedule(number, due) => {
                    let id = promise(number).id();
                    book.schedule(&id, due.map(at));
                    model.entry(id).and_modify(|old| *old = due.map(at));
                }
                Step::Take { now, bits, most } => {
                    let taken = book.take_due(at(now), bits, most);
                    check_taken(&model, &taken, (at(now), bits, most));
                    for id in taken {
                        model.insert(id, None);
                    }
                }
            }
            prop_assert_eq!(book.next_due(), model.values().flatten().min().copied());
            prop_assert_eq!(book.len(), model.len());
            prop_assert_eq!(book.charge(), model.len() * 514);
        }
    }
}
