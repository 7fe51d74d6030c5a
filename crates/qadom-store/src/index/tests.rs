//! Listing all entries of a store at once, against adding them one by one.

use proptest::prelude::*;
use qadom_routing::Key;

use super::*;
use crate::{Class, EntryId};

type Drawn = (u8, u8, u8, u8, u8, u8, bool);

/// Few slots, groups and owners, so that crowds and large shares come about.
fn record((slot, id, group, owner, rank, expiry, is_cached): Drawn) -> Record<()> {
    Record {
        name: Name::new(
            &Key::from_bytes([slot % 3; 32]),
            &EntryId::new(&[id % 2, id, rank]).unwrap(),
        ),
        columns: Columns {
            expires_at: u64::from(expiry % 16),
            charge: u32::from(id),
            group: [group % 4; 8],
            owner: [owner % 4; 32],
            rank: u64::from(rank % 8),
            class: [Class::Record, Class::Cached][usize::from(is_cached)],
        },
        content: (),
    }
}

fn scopes() -> Vec<Scope> {
    let mut scopes = vec![Scope::All];
    for (slot, first) in (0..3).flat_map(|slot| [(slot, 0), (slot, 1)]) {
        let slot = Key::from_bytes([slot; 32]);
        let container = Container { slot, first };
        scopes.push(Scope::Container(container));
        scopes.extend((0..4).map(|owner| Scope::Owner(container, [owner; 32])));
    }
    scopes
}

/// What is said of every scope, and what would leave first in it.
fn told(index: &Index<()>) -> Vec<(LargestGroup, Usage, Usage, Option<Name>)> {
    let told = scopes().into_iter().map(|scope| {
        let (usage, of_owner) = match scope {
            Scope::All => (Usage::NONE, Usage::NONE),
            Scope::Container(container) => (index.usage(&container), Usage::NONE),
            Scope::Owner(container, owner) => (
                index.usage(&container),
                index.owner_usage(&container, &owner),
            ),
        };
        let victim = index.victim(scope, &[]);
        let victim = victim.map(|record| record.name.clone());
        (index.largest_group(scope), usage, of_owner, victim)
    });
    told.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn listed_at_once_is_listed_as_one_by_one(
        drawn in prop::collection::vec(any::<Drawn>(), 0..400),
        more in prop::collection::vec(any::<Drawn>(), 0..20),
    ) {
        // An engine gives names in their order, each once.
        let records: BTreeMap<_, _> = drawn
            .into_iter()
            .map(record)
            .map(|record| (record.name.clone(), record))
            .collect();
        let mut one_by_one = Index::new(Ticket::ZERO);
        for record in records.values() {
            one_by_one.add(record.name.clone(), record.columns, ());
        }
        let records: Vec<_> = records.into_values().map(Arc::new).collect();
        let mut at_once = Index::of(&records, Ticket::ZERO);
        prop_assert_eq!(told(&at_once), told(&one_by_one));
        // It goes on like the other one until nothing is left.
        for Record { name, columns, .. } in more.into_iter().map(record) {
            one_by_one.add(name.clone(), columns, ());
            at_once.add(name, columns, ());
        }
        prop_assert_eq!(at_once.stats(), one_by_one.stats());
        let mut rounds = 0;
        while let Some(victim) = one_by_one.victim(Scope::All, &[]) {
            let other = at_once.victim(Scope::All, &[]);
            prop_assert_eq!(other.map(|record| record.name.clone()), Some(victim.name.clone()));
            let first = |index: &Index<()>| {
                index.first_expired(u64::MAX).map(|record| record.name.clone())
            };
            prop_assert_eq!(first(&at_once), first(&one_by_one));
            if rounds % 16 == 0 {
                prop_assert_eq!(told(&at_once), told(&one_by_one));
            }
            rounds += 1;
            prop_assert!(one_by_one.strike(&victim.name) && at_once.strike(&victim.name));
        }
        prop_assert_eq!(at_once.stats(), one_by_one.stats());
        prop_assert!(at_once.first_expired(u64::MAX).is_none());
    }
}
