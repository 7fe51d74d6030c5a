//! Asking one node about the chunks of a file: which it has, and whether it will keep some.

use qadom_routing::Contact;
use qadom_wire::{Answer, Reason, Request};

use crate::core::Purpose;
use crate::effect::RequestFailure;
use crate::operation::Outcome;
use crate::operations::{Operation, Progress, reason_of};
use crate::walk::Context;

/// Asks one node, once.
#[derive(Debug)]
pub(crate) struct FileOperation {
    contact: Contact,
    request: Request,
}

impl FileOperation {
    /// `request` is an offer or asks what a node holds.
    pub(crate) const fn new(contact: Contact, request: Request) -> Self {
        Self { contact, request }
    }
}

impl Operation for FileOperation {
    fn begin(&mut self, context: &mut Context<'_>) -> Progress {
        let operation = Some(context.operation);
        let core = &mut *context.core;
        if core
            .send(operation, Purpose::File, &self.contact, &self.request)
            .is_some()
        {
            return Progress::Going;
        }
        Progress::unsent(core, &self.contact)
    }

    fn on_answer(
        &mut self,
        _context: &mut Context<'_>,
        from: &Contact,
        _purpose: Purpose,
        answer: Answer,
    ) -> Progress {
        match (answer, &self.request) {
            (Answer::Offered(results), Request::Offer(offer))
                if results.len() == offer.chunks.len() =>
            {
                Progress::done(Outcome::Offered(results))
            }
            (Answer::Held(held), Request::Holds(_)) => Progress::done(Outcome::Held(held)),
            (Answer::Refused(reason), _) => Progress::refused_by(from, reason),
            _ => Progress::refused_by(from, Reason::Malformed),
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
