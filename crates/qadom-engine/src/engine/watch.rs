//! Watching, as users ask for it, and the timers of operations that live that long.
//!
//! What must stay true: after each input the watchers of what was kept are told, and what was
//! pushed here has reached its operation.

use qadom_wire::{Kind, Reason};

use super::Engine;
use crate::operation::{Failure, OperationId};
use crate::operations::subscribe::SubscribeOperation;
use crate::time::Time;
use crate::watch::{Since, WatchSlot};

impl Engine {
    /// Watches a slot: [`Effect::Event`](crate::Effect::Event) tells each record that is new there,
    /// until [`cancel`](Self::cancel). It ends by itself only when it is refused: with `malformed`
    /// for the kind of values, with `busy` above the limit of subscriptions, with `blocked` for a
    /// slot that the user has blocked.
    pub fn watch(&mut self, now: Time, slot: WatchSlot, since: Since) -> OperationId {
        let now = self.core.corrected(now);
        let refusal = if slot.kind == Kind::Value {
            Some(Reason::Malformed)
        } else if self.core.is_key_blocked(&slot.slot) {
            Some(Reason::Blocked)
        } else if self.core.subscriptions.len() >= self.core.config.limits.subscriptions {
            Some(Reason::Busy)
        } else {
            None
        };
        match refusal {
            Some(reason) => self.end_at_once(Err(Failure::Refused { reason })),
            None => self.start(now, Box::new(SubscribeOperation::new(slot, since, now))),
        }
    }

    /// Sends watchers what is new for them, and gives operations what was pushed to this node.
    pub(crate) fn tell_watchers(&mut self, now: Time) {
        self.core.push(now);
        while let Some(heard) = self.core.subscriptions.next_heard() {
            self.step(now, heard.operation, |machine, context| {
                machine.on_pushed(context, &heard.from, heard.batch)
            });
        }
    }

    /// Calls the operations whose time has come.
    pub(super) fn run_timers(&mut self, now: Time) {
        for operation in self.timers.due(now.moment) {
            self.step(now, operation, |machine, context| machine.go_on(context));
        }
    }
}
