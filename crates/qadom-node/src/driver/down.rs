//! From the engine to the endpoint, the store, the journal and the callers: effects are carried out.
//!
//! What must stay true: no effect is lost, since the engine waits for each.

use qadom_engine::{Effect, Failure, OperationId, Outcome, Outgoing, Size, StreamKey, Time};
use qadom_transport::Class;
use qadom_wire::Reason;

use super::{Driver, datagrams};
use crate::convert::{store_reason, transport_hello, transport_time};
use crate::files::Asked;
use crate::flusher::Report;
use crate::transfer::let_in;

impl Driver {
    pub(super) fn on_effect(&mut self, now: Time, effect: Effect) {
        datagrams::goes(&effect);
        let time = transport_time(now);
        match effect {
            Effect::Identify { id, address } => {
                self.endpoint.identify(time, id.as_u64(), address);
            }
            Effect::Request(request) => self.endpoint.request(time, outgoing(request)),
            Effect::Probe(request) => self.endpoint.probe(time, outgoing(request)),
            Effect::Hello(hello) => self.endpoint.set_hello(transport_hello(hello)),
            Effect::Answer { inbound, body } => {
                if let Some(inbound) = self.inbound.remove(&inbound) {
                    self.endpoint.answer(time, inbound, body);
                }
            }
            Effect::Commit(_) => self.commit(),
            Effect::Journal { ticket, entry } => self.journal(now, ticket, &entry),
            Effect::Pin(key) => self.endpoint.pin(*key.as_bytes()),
            Effect::Unpin(key) => self.endpoint.unpin(*key.as_bytes()),
            Effect::Stream {
                inbound,
                key,
                address,
                fingerprint,
            } => {
                let theirs = StreamKey {
                    key,
                    address,
                    fingerprint,
                };
                let result = let_in(&self.quic, &theirs);
                self.engine.answer_stream(inbound, result);
            }
            Effect::Offer {
                inbound,
                key,
                address,
                offer,
            } => self.ask_files(Asked::Offer {
                inbound,
                key,
                address,
                offer,
            }),
            Effect::Holds { inbound, holds } => self.ask_files(Asked::Holds { inbound, holds }),
            Effect::KeepAlive(key) => self.endpoint.keep_alive(*key.as_bytes()),
            told @ (Effect::Event { .. } | Effect::Items { .. } | Effect::Steps { .. }) => {
                self.feeds.tell(told);
            }
            Effect::Done { operation, result } => self.on_done(now, operation, result),
        }
    }

    /// Passes on what a peer asks about files; who finds no room is told so.
    fn ask_files(&mut self, asked: Asked) {
        let busy = Reason::Busy;
        let Err(refused) = self.asked.try_send(Box::new(asked)) else {
            return;
        };
        match *refused.into_inner() {
            Asked::Offer { inbound, .. } => self.engine.answer_offer(inbound, Err(busy)),
            Asked::Holds { inbound, .. } => self.engine.answer_holds(inbound, Err(busy)),
        }
    }

    /// Asks the flusher, or commits on the spot where that waits for nothing.
    fn commit(&mut self) {
        if let Some(flusher) = &self.flusher {
            return flusher.commit();
        }
        let report = match self.store.commit() {
            Ok(ticket) => Report::Committed(ticket),
            Err(error) => Report::Failed(self.store.ticket(), store_reason(&error)),
        };
        self.on_report(self.clock.now(), report);
    }

    fn on_done(&mut self, now: Time, operation: OperationId, mut result: Result<Outcome, Failure>) {
        if let Ok(Outcome::Stream(theirs)) = &mut result
            && let Some(address) = self.endpoint.session_address(theirs.key.as_bytes())
        {
            // The word came from there, wherever the caller believed the node to be.
            theirs.address = address;
        }
        if matches!(result, Ok(Outcome::Joined(_))) {
            // So that a node that dies early still knows whom to come back to.
            self.save_at = self.save_at.map(|_| now.moment);
        }
        if let Some(result) = self.feeds.end(operation, result)
            && let Some(caller) = self.callers.remove(&operation)
        {
            // A caller that is gone needs no answer.
            drop(caller.send(result));
        }
    }
}

fn outgoing(request: Outgoing) -> qadom_transport::Outgoing {
    qadom_transport::Outgoing {
        token: request.id.as_u64(),
        key: *request.key.as_bytes(),
        address: request.address,
        patience: request.patience,
        is_background: request.is_background,
        body: request.body,
        first_ok: request.first_ok,
        class: match request.size {
            Size::Small => Class::Short,
            Size::Full => Class::Long,
        },
    }
}
