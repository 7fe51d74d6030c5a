//! Asking one node for a sign of life.

use qadom_routing::{Contact, Moment};
use qadom_wire::Answer;

use crate::core::Purpose;
use crate::effect::RequestFailure;
use crate::operation::{Failure, Outcome, PingReport};
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

    fn failed(&self, failure: &RequestFailure) -> Progress {
        let (node, reason) = (*self.contact.id(), reason_of(failure));
        Progress::failed(Failure::Peer { node, reason })
    }
}

impl Operation for PingOperation {
    fn begin(&mut self, context: &mut Context<'_>) -> Progress {
        if context.core.ping(Some(context.operation), &self.contact) {
            Progress::Going
        } else {
            self.failed(&RequestFailure::Unreachable)
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
                observed: pong.observed,
            })),
            Answer::Refused(reason) => Progress::failed(Failure::Peer {
                node: *from.id(),
                reason,
            }),
            _ => self.failed(&RequestFailure::Unreachable),
        }
    }

    fn on_failed(
        &mut self,
        _context: &mut Context<'_>,
        _from: &Contact,
        _purpose: Purpose,
        failure: &RequestFailure,
    ) -> Progress {
        self.failed(failure)
    }
}
