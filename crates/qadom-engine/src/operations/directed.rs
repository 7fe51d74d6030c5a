//! Getting a value from one named node.

use std::time::Duration;

use qadom_routing::{Contact, Key};
use qadom_wire::Answer;

use crate::core::Purpose;
use crate::effect::RequestFailure;
use crate::operation::{Failure, Fetched, Outcome, Source};
use crate::operations::{Operation, Progress, reason_of};
use crate::time::Time;
use crate::walk::{Context, Query, is_oversize, query, value_of};

/// Asks one node, and once more when its value is too long for a cold answer.
#[derive(Debug)]
pub(crate) struct DirectedGet {
    key: Key,
    contact: Contact,
    began: Time,
    messages: u32,
}

impl DirectedGet {
    pub(crate) const fn new(key: Key, contact: Contact, now: Time) -> Self {
        Self {
            key,
            contact,
            began: now,
            messages: 0,
        }
    }

    fn ask(&mut self, context: &mut Context<'_>) -> Progress {
        let request = query(context.core, Query::Value, &self.key, None);
        self.messages += 1;
        let operation = Some(context.operation);
        if context
            .core
            .send(operation, Purpose::Find, &self.contact, &request)
            .is_some()
        {
            return Progress::Going;
        }
        Progress::unsent(context.core, &self.contact)
    }
}

impl Operation for DirectedGet {
    fn begin(&mut self, context: &mut Context<'_>) -> Progress {
        self.ask(context)
    }

    fn on_answer(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        _purpose: Purpose,
        answer: Answer,
    ) -> Progress {
        if let Some(value) = value_of(context.core, &self.key, from, &answer) {
            return Progress::done(Outcome::Fetched(Fetched {
                key: self.key,
                value: value.into_bytes(),
                source: Source::Node(*from.id()),
                age: Duration::ZERO,
                hops: 1,
                messages: self.messages,
                took: context.now.moment.since(self.began.moment),
            }));
        }
        match answer {
            Answer::Refused(reason) => Progress::refused_by(from, reason),
            _ if is_oversize(&answer) && self.messages == 1 => self.ask(context),
            _ => Progress::failed(Failure::NotFound {
                key: self.key,
                answered: 1,
                unanswered: 0,
            }),
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
