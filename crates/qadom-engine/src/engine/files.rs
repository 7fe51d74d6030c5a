//! Files at other nodes: what is asked of them, and what they ask, which the driver answers.

use qadom_routing::Contact;
use qadom_wire::{Answer, Held, Holds, Offer, OfferResult, Reason, Request};

use super::Engine;
use crate::effect::{Effect, InboundId};
use crate::operation::OperationId;
use crate::operations::file::FileOperation;
use crate::time::Time;

impl Engine {
    /// Asks one node to keep chunks of a file; ends with [`Outcome::Offered`].
    ///
    /// [`Outcome::Offered`]: crate::Outcome::Offered
    pub fn offer(&mut self, now: Time, contact: Contact, offer: Offer) -> OperationId {
        let now = self.core.corrected(now);
        let operation = FileOperation::new(contact, Request::Offer(offer));
        self.start(now, Box::new(operation))
    }

    /// Asks one node which chunks of a file it has; ends with [`Outcome::Held`].
    ///
    /// [`Outcome::Held`]: crate::Outcome::Held
    pub fn holds(&mut self, now: Time, contact: Contact, holds: Holds) -> OperationId {
        let now = self.core.corrected(now);
        let operation = FileOperation::new(contact, Request::Holds(holds));
        self.start(now, Box::new(operation))
    }

    /// Answers [`Effect::Offer`]: one result for each chunk, or why none is kept.
    pub fn answer_offer(&mut self, inbound: InboundId, result: Result<Vec<OfferResult>, Reason>) {
        self.tell(inbound, result.map(Answer::Offered));
    }

    /// Answers [`Effect::Holds`].
    pub fn answer_holds(&mut self, inbound: InboundId, result: Result<Held, Reason>) {
        self.tell(inbound, result.map(Answer::Held));
    }

    fn tell(&mut self, inbound: InboundId, answer: Result<Answer, Reason>) {
        let body = answer.unwrap_or_else(Answer::Refused).encode();
        self.core.emit(Effect::Answer { inbound, body });
    }
}
