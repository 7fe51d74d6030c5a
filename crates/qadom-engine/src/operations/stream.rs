//! Agreeing with one node to speak QUIC: each learns the key by which the other is known there.

use std::net::SocketAddr;

use qadom_routing::Contact;
use qadom_wire::{Answer, Reason, Request, Stream};

use crate::core::Purpose;
use crate::effect::RequestFailure;
use crate::operation::{Outcome, StreamKey};
use crate::operations::{Operation, Progress, reason_of};
use crate::walk::Context;

/// Tells one node the own key and asks for its.
#[derive(Debug)]
pub(crate) struct StreamOperation {
    contact: Contact,
    fingerprint: [u8; 32],
}

impl StreamOperation {
    pub(crate) const fn new(contact: Contact, fingerprint: [u8; 32]) -> Self {
        Self {
            contact,
            fingerprint,
        }
    }

    fn address(&self, context: &Context<'_>) -> Option<SocketAddr> {
        self.contact.address(context.core.config.families)
    }
}

impl Operation for StreamOperation {
    fn begin(&mut self, context: &mut Context<'_>) -> Progress {
        let request = Request::Stream(Stream {
            fingerprint: self.fingerprint,
        });
        let operation = Some(context.operation);
        let core = &mut *context.core;
        if core
            .send(operation, Purpose::Stream, &self.contact, &request)
            .is_some()
        {
            return Progress::Going;
        }
        Progress::unsent(core, &self.contact)
    }

    fn on_answer(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        _purpose: Purpose,
        answer: Answer,
    ) -> Progress {
        match (answer, self.address(context)) {
            (Answer::Stream(stream), Some(address)) => Progress::done(Outcome::Stream(StreamKey {
                key: *from.key(),
                address,
                fingerprint: stream.fingerprint,
            })),
            (Answer::Refused(reason), _) => Progress::refused_by(from, reason),
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
