//! The datagrams that go to peers and come from them, and the messages inside, one line each, for those
//! who ask for them: the target `qadom_node::datagrams` at the level DEBUG.
//!
//! What must stay true: as long as nobody asks for them they cost a look at one number, and nothing is
//! taken apart; a line says nothing in words that a peer has chosen.

use qadom_engine::{Effect, Engine, RequestId};
use qadom_routing::NodeKey;
use qadom_transport::{Arrived, Event, Transmit, packet_kind};
use qadom_wire::{Answer, Request};
use tracing::{Level, debug, enabled};

use super::up::SEARCH;

/// What is written before each line that has one.
const TARGET: &str = "qadom_node::datagrams";

/// Tells of datagrams as they came, before anybody knows whether they mean anything.
pub(super) fn arrived(datagrams: &[Arrived<'_>]) {
    if !enabled!(target: TARGET, Level::DEBUG) {
        return;
    }
    for (path, datagram) in datagrams {
        let (address, packet, bytes) = (path.remote, packet_kind(datagram), datagram.len());
        debug!(target: TARGET, %address, packet, bytes, "datagram came");
    }
}

/// Tells of a datagram as it leaves.
pub(super) fn leaves(transmit: &Transmit) {
    if !enabled!(target: TARGET, Level::DEBUG) {
        return;
    }
    let (packet, bytes) = (packet_kind(&transmit.bytes), transmit.bytes.len());
    debug!(target: TARGET, address = %transmit.to, packet, bytes, "datagram goes");
}

/// Tells of what a datagram brought, or what became of a request. `inbound` is what a request is called
/// until it is answered.
pub(super) fn came(event: &Event, engine: &Engine, inbound: u64) {
    if !enabled!(target: TARGET, Level::DEBUG) {
        return;
    }
    match event {
        Event::Confirmed { key, address, .. } => {
            debug!(target: TARGET, peer = %node(key), %address, "session confirmed");
        }
        Event::Gone { key } => debug!(target: TARGET, peer = %node(key), "session over"),
        Event::Request {
            key,
            address,
            body,
            confirmed,
            ..
        } => {
            let (kind, bytes) = (asked(body), body.len());
            let peer = node(key);
            debug!(target: TARGET, inbound, %peer, %address, kind, bytes, confirmed, "request came");
        }
        Event::Answer {
            token, body, rtt, ..
        } => {
            let (kind, bytes, rtt_us) = (answered(body), body.len(), rtt.as_micros());
            let (id, peer) = named(*token, engine);
            debug!(target: TARGET, id, %peer, kind, bytes, rtt_us, "answered");
        }
        Event::Slow { token } => {
            let (id, peer) = named(*token, engine);
            debug!(target: TARGET, id, %peer, "slow");
        }
        Event::Failed { token, reason } => {
            let (id, peer) = named(*token, engine);
            debug!(target: TARGET, id, %peer, ?reason, "not answered");
        }
        Event::Identified {
            token,
            address,
            key,
        } => {
            let id = token & !SEARCH;
            debug!(target: TARGET, id, peer = %node(key), %address, "identified");
        }
        _ => {}
    }
}

/// Tells of what goes.
pub(super) fn goes(effect: &Effect) {
    if !enabled!(target: TARGET, Level::DEBUG) {
        return;
    }
    match effect {
        Effect::Request(request) | Effect::Probe(request) => {
            let (id, peer) = (request.id.as_u64(), request.key.id());
            let (kind, bytes) = (asked(&request.body), request.body.len());
            let address = request.address;
            debug!(target: TARGET, id, %peer, %address, kind, bytes, "request goes");
        }
        Effect::Answer { inbound, body } => {
            let (kind, bytes) = (answered(body), body.len());
            debug!(target: TARGET, inbound = inbound.0, kind, bytes, "answer goes");
        }
        Effect::Identify { id, address } => {
            debug!(target: TARGET, id = id.as_u64(), %address, "who is there?");
        }
        _ => {}
    }
}

/// What a request is called, and the node that it went to.
fn named(token: u64, engine: &Engine) -> (u64, String) {
    let contact = engine.asked(RequestId::from(token));
    let peer = contact.map_or_else(|| "-".to_owned(), |contact| contact.id().to_string());
    (token & !SEARCH, peer)
}

/// The node of a key, as far as it is one.
fn node(key: &[u8; 32]) -> String {
    NodeKey::new(*key).map_or_else(|_| "-".to_owned(), |key| key.id().to_string())
}

fn asked(body: &bytes::Bytes) -> &'static str {
    match Request::decode(body.clone()) {
        Ok(Request::Ping(_)) => "ping",
        Ok(Request::FindNode(_)) => "find-node",
        Ok(Request::Find(_)) => "find",
        Ok(Request::Store(_)) => "store",
        Ok(Request::Digest(_)) => "digest",
        Ok(Request::Watch(_)) => "watch",
        Ok(Request::Notify(_)) => "notify",
        Ok(Request::Unwatch(_)) => "unwatch",
        Ok(Request::Offer(_)) => "offer",
        Ok(Request::Holds(_)) => "holds",
        Ok(Request::Stream(_)) => "stream",
        Ok(Request::DialBack(_)) => "dial-back",
        Err(_) => "malformed",
    }
}

fn answered(body: &bytes::Bytes) -> &'static str {
    match Answer::decode(body.clone()) {
        Ok(Answer::Pong(_)) => "pong",
        Ok(Answer::Contacts(_)) => "contacts",
        Ok(Answer::Found(_)) => "found",
        Ok(Answer::Stored(_)) => "stored",
        Ok(Answer::Digested(_)) => "digested",
        Ok(Answer::Watched(_)) => "watched",
        Ok(Answer::Notified { .. }) => "notified",
        Ok(Answer::Unwatched) => "unwatched",
        Ok(Answer::Offered(_)) => "offered",
        Ok(Answer::Held(_)) => "held",
        Ok(Answer::Stream(_)) => "stream",
        Ok(Answer::Refused(reason)) => reason.as_str(),
        Ok(Answer::DialedBack { .. }) => "dialed-back",
        Err(_) => "malformed",
    }
}
