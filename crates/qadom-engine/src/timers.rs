//! When operations want to be called, if nothing comes for them before.

use std::collections::{BTreeMap, BTreeSet};

use qadom_routing::Moment;

use crate::operation::OperationId;

/// At most one moment for each operation.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_moment: BTreeSet<(Moment, OperationId)>,
    by_operation: BTreeMap<OperationId, Moment>,
}

impl Timers {
    /// Notes when an operation wants to be called, in place of what was noted for it.
    pub(crate) fn set(&mut self, operation: OperationId, at: Option<Moment>) {
        let former = match at {
            Some(at) => self.by_operation.insert(operation, at),
            None => self.by_operation.remove(&operation),
        };
        if former == at {
            return;
        }
        if let Some(former) = former {
            self.by_moment.remove(&(former, operation));
        }
        self.by_moment.extend(at.map(|at| (at, operation)));
    }

    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        self.by_moment.first().map(|(at, _)| *at)
    }

    /// The operations whose time has come.
    pub(crate) fn due(&self, now: Moment) -> Vec<OperationId> {
        let due = self.by_moment.iter().take_while(|(at, _)| *at <= now);
        due.map(|(_, operation)| *operation).collect()
    }
}
