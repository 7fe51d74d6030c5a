//! From the endpoint to the engine: events, with the endpoint's types turned into the engine's.
//!
//! What must stay true: a key that came over the network is checked again before the engine sees
//! it, and every event about a request of the driver itself ends at whoever waits for it.

use std::net::SocketAddr;

use bytes::Bytes;
use qadom_engine::{Inbound, InboundId, RequestFailure, RequestId, Time};
use qadom_routing::NodeKey;
use qadom_transport::{Event, FailReason};
use qadom_wire::Reason;

use super::{Driver, datagrams};
use crate::convert::{request_failure, wire_hello};

/// Marks the tokens of the driver's own questions; the engine counts its own up from 1.
pub(super) const SEARCH: u64 = 1 << 63;

impl Driver {
    pub(super) fn on_event(&mut self, now: Time, event: Event) {
        datagrams::came(&event, &self.engine, self.last_inbound + 1);
        match event {
            Event::Confirmed {
                key,
                address,
                hello,
            } => {
                self.quic.doubt(&key);
                if let Ok(key) = NodeKey::new(key) {
                    self.engine
                        .on_confirmed(now, key, address, &wire_hello(hello));
                }
            }
            Event::Request {
                key,
                address,
                confirmed,
                inbound,
                body,
                answer_max,
            } => {
                if let Ok(key) = NodeKey::new(key) {
                    self.on_request(now, key, address, confirmed, (inbound, body, answer_max));
                }
            }
            Event::Answer {
                token,
                body,
                rtt,
                utc_micros,
            } => {
                let id = RequestId::from(token);
                self.engine.on_answer(now, id, body, rtt, Some(utc_micros));
            }
            Event::Observed { key, address } => {
                if let Ok(key) = NodeKey::new(key) {
                    self.engine.on_observed(now, &key, address);
                }
            }
            Event::Slow { token } => self.engine.on_slow(now, RequestId::from(token)),
            Event::Failed { token, reason } => self.on_failed(now, token, reason),
            Event::Identified { token, key, .. } => self.on_identified(now, token, key),
            Event::Mismatch {
                token: Some(token),
                address,
                theirs,
            } => {
                let differences = self.parameters.differences(&theirs);
                tracing::debug!(%address, ?differences, "a node of another network answered");
                self.fail(now, token, &RequestFailure::Mismatch(differences));
            }
            // The engine follows its own requests; nothing hangs on the others yet.
            _ => {}
        }
    }

    fn on_request(
        &mut self,
        now: Time,
        key: NodeKey,
        address: SocketAddr,
        confirmed: bool,
        (inbound, body, answer_max): (qadom_transport::InboundId, Bytes, usize),
    ) {
        self.last_inbound += 1;
        let id = InboundId(self.last_inbound);
        self.inbound.insert(id, inbound);
        let inbound = Inbound {
            id,
            key,
            address,
            confirmed,
            body,
            answer_max,
        };
        self.engine.on_request(now, &inbound);
    }

    fn on_identified(&mut self, now: Time, token: u64, key: [u8; 32]) {
        let Ok(key) = NodeKey::new(key) else {
            return self.fail(now, token, &RequestFailure::WrongKey);
        };
        match self.searches.remove(&token) {
            // A caller that is gone needs no answer.
            Some(caller) => drop(caller.send(Ok(key))),
            None => self.engine.on_identified(now, RequestId::from(token), key),
        }
    }

    fn on_failed(&mut self, now: Time, token: u64, reason: FailReason) {
        self.fail(now, token, &request_failure(reason));
    }

    fn fail(&mut self, now: Time, token: u64, failure: &RequestFailure) {
        match self.searches.remove(&token) {
            Some(caller) => drop(caller.send(Err(reason_of(failure)))),
            None if token & SEARCH == 0 => {
                self.engine.on_failed(now, RequestId::from(token), failure);
            }
            None => {}
        }
    }
}

const fn reason_of(failure: &RequestFailure) -> Reason {
    match failure {
        RequestFailure::Timeout => Reason::Timeout,
        RequestFailure::Busy { .. } | RequestFailure::Overloaded => Reason::Busy,
        RequestFailure::Mismatch(_) => Reason::WrongNetwork,
        _ => Reason::Unreachable,
    }
}
