//! What waits for the journal, and what is taken back when the journal fails.
//!
//! What must stay true: tickets rise by one, each is answered once, and a failed one leaves what
//! was promised before it.

use std::collections::BTreeMap;

use qadom_routing::Key;
use qadom_wire::Writer;

use crate::operation::OperationId;
use crate::publications::promise::{Promise, PublicationId};

/// What waits for one ticket.
#[derive(Debug, Default)]
pub(crate) struct Waiter {
    pub(crate) operation: Option<OperationId>,
    /// What was promised for an identity before the entry.
    pub(crate) before: Option<Before>,
    /// A topic for which a writer opened a stream.
    pub(crate) opened: Option<(Writer, Key)>,
}

/// An identity and what is promised for it.
type Before = (PublicationId, Option<Promise>);

impl Waiter {
    /// Waits for an entry in whose place this was promised.
    pub(crate) fn replacing(
        operation: Option<OperationId>,
        id: PublicationId,
        before: Option<Promise>,
    ) -> Self {
        Self {
            operation,
            before: Some((id, before)),
            opened: None,
        }
    }
}

/// What entries leave behind that the journal could not take.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    /// Who waited for them.
    pub(crate) operations: Vec<OperationId>,
    /// What stands again for each identity.
    pub(crate) standing: Vec<Before>,
    /// Topics whose streams are not durable.
    pub(crate) opened: Vec<(Writer, Key)>,
}

/// The tickets of a journal.
#[derive(Debug, Default)]
pub(crate) struct Journalling {
    last: u64,
    waiting: BTreeMap<u64, Waiter>,
}

impl Journalling {
    /// The ticket of the next entry.
    pub(crate) fn begin(&mut self, waiter: Waiter) -> u64 {
        self.last += 1;
        self.waiting.insert(self.last, waiter);
        self.last
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Ends all tickets up to this one, as durable, and gives who waited for them.
    pub(crate) fn end(&mut self, ticket: u64) -> Vec<OperationId> {
        let rest = self.waiting.split_off(&ticket.saturating_add(1));
        let ended = std::mem::replace(&mut self.waiting, rest);
        let operations = ended.into_values().filter_map(|waiter| waiter.operation);
        operations.collect()
    }

    /// Ends all tickets up to this one, as failed. What a later entry still waits to replace is
    /// handed on to it.
    pub(crate) fn fail(&mut self, ticket: u64) -> Lost {
        let rest = self.waiting.split_off(&ticket.saturating_add(1));
        let failed = std::mem::replace(&mut self.waiting, rest);
        let mut lost = Lost::default();
        let mut standing: BTreeMap<PublicationId, Option<Promise>> = BTreeMap::new();
        for waiter in failed.into_values() {
            lost.operations.extend(waiter.operation);
            lost.opened.extend(waiter.opened);
            if let Some((id, before)) = waiter.before {
                // The first of several failed ones knows what stood before all of them.
                standing.entry(id).or_insert(before);
            }
        }
        for waiter in self.waiting.values_mut() {
            if let Some((id, before)) = &mut waiter.before
                && let Some(standing) = standing.remove(id)
            {
                *before = standing;
            }
        }
        lost.standing = standing.into_iter().collect();
        lost
    }
}

#[cfg(test)]
mod tests {
    use qadom_routing::Moment;
    use qadom_wire::Value;

    use super::*;
    use crate::publications::promise::Promised;
    use crate::time::Time;

    fn promise(ttl: u64) -> Promise {
        let now = Time {
            moment: Moment::ORIGIN,
            utc_micros: 0,
        };
        let value = Promised::Value(Value::new("x".into()).unwrap());
        Promise::new(value, std::time::Duration::from_secs(ttl), now)
    }

    fn replacing(operation: u64, before: Option<Promise>) -> Waiter {
        Waiter::replacing(Some(OperationId(operation)), promise(0).id(), before)
    }

    #[test]
    fn a_ticket_ends_all_before_it_once() {
        let mut journalling = Journalling::default();
        let tickets = [1, 2, 3].map(|number| journalling.begin(replacing(number, None)));
        assert_eq!(tickets, [1, 2, 3]);
        assert_eq!(journalling.end(2), [1, 2].map(OperationId));
        assert_eq!(journalling.end(2), []);
        assert_eq!(journalling.len(), 1);
        assert_eq!(journalling.end(3), [OperationId(3)]);
    }

    #[test]
    fn what_stood_before_all_that_failed_stands_again() {
        let mut journalling = Journalling::default();
        journalling.begin(replacing(1, Some(promise(10))));
        journalling.begin(replacing(2, Some(promise(20))));
        let lost = journalling.fail(2);
        assert_eq!(lost.operations, [1, 2].map(OperationId));
        assert_eq!(lost.standing, [(promise(0).id(), Some(promise(10)))]);
    }

    #[test]
    fn what_a_later_entry_replaced_is_handed_on_to_it() {
        let mut journalling = Journalling::default();
        journalling.begin(replacing(1, Some(promise(10))));
        journalling.begin(replacing(2, Some(promise(20))));
        assert_eq!(journalling.fail(1).standing, []);
        assert_eq!(
            journalling.fail(2).standing,
            [(promise(0).id(), Some(promise(10)))]
        );
    }
}
