//! Asking one node for a sign of life.

use qadom_routing::{Contact, Moment};
use qadom_wire::{Answer, Reason};

use crate::core::Purpose;
use crate::effect::RequestFailure;
use crate::operation::{Outcome, PingReport};
use crate::operations::{Operation, Progress, reason_of};
use crate::walk::Context;

/// Pings one node.
#[derive(Debug)]
pub(crate) struct PingOperation {
    contact: Contact,
    began: Moment,
}

impl PingOperation {
    pub(crate) const fn new(contact: Contact, began: Moment) -> Self {
        Self { contact, began }
    }
}

impl Operation for PingOperation {
    fn begin(&mut self, context: &mut Context<'_>) -> Progress {
        if context.core.ping(Some(context.operation), &self.contact) {
            Progress::Going
        } else {
            Progress::unsent(context.core, &self.contact)
        }
    }

    fn on_answer(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        _purpose: Purpose,
        answer: Answer,
    ) -> Progress {
        match answer {
            Answer::Pong(pong) => Progress::done(Outcome::Pong(PingReport {
                contact: from.clone(),
                rtt: context.now.moment.since(self.began),
                observed: pong
                    .observed
                    .or_else(|| context.core.seen_at.get(from.id()).copied()),
            })),
            Answer::Refused(reason) => Progress::refused_by(from, reason),
            _ => Progress::refused_by(&self.contact, Reason::Unreachable),
        }
    }

    fn on_failed(
        &mut self,
        _context: &mut Context<'_>,
        from: &Contact,
        _purpose: Purpose,
        failure: &RequestFailure,
    ) -> Progress {
        Progress::refused_by(from, reason_of(failure))
    }
}
