//! Commands of the node's handles: operations are begun, questions answered.
//!
//! What must stay true: a caller that is gone costs nothing, before its operation began and after.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use qadom_engine::{CauseCost, Failure, LOST_MAX, Mode, OperationId, Outcome, Promised, Time};
use qadom_routing::{Contact, Key, Moment, NodeId, NodeKey};
use qadom_store::{BUFFER_MAX, QUARANTINED_MAX};
use qadom_transport::Quic;
use qadom_wire::Reason;
use tokio::sync::oneshot;

use super::up::SEARCH;
use super::{Driver, records};
use crate::address::NodeAddress;
use crate::command::{COMMANDS_MAX, Command, Operation};
use crate::contacts::SAVED_MAX;
use crate::convert::transport_time;
use crate::error::Error;
use crate::flusher::JOURNAL_QUEUE;
use crate::status::{Block, Limit, Peer, Status, Traffic};

impl Driver {
    pub(super) fn on_command(&mut self, now: Time, command: Command) {
        match command {
            Command::Begin(operation, caller) => self.begin(now, operation, caller),
            Command::Identify(address, caller) => self.search(now, address, caller),
            Command::Contact(id, caller) => drop(caller.send(self.contact(&id))),
            Command::SetMode(mode, caller) => {
                self.engine.set_mode(now, mode);
                // A caller that is gone needs no answer.
                let _ = caller.send(());
            }
            Command::Identity(identity, caller) => {
                self.engine.add_identity(identity);
                let _ = caller.send(());
            }
            Command::Status(caller) => drop(caller.send(Box::new(self.status(now)))),
            Command::Watch(slot, since, feed) => {
                let operation = self.engine.watch(now, slot, since);
                self.feeds.watch(operation, feed);
                self.follow(now, operation);
            }
            Command::BagStream(key, from, feed) => {
                if feed.is_unread() {
                    return;
                }
                let operation = self.engine.bag_stream(now, key, from);
                self.feeds.list(operation, feed);
                self.follow(now, operation);
            }
            Command::LookupStream(key, feed) => {
                if feed.is_unread() {
                    return;
                }
                let operation = self.engine.lookup_stream(now, key);
                self.feeds.look_up(operation, feed);
                self.follow(now, operation);
            }
            Command::Publications(behind, limit, caller) => {
                let all = self.engine.publications();
                let behind = all.filter(|promise| behind.is_none_or(|last| promise.id() > last));
                drop(caller.send(behind.take(limit).cloned().collect()));
            }
            Command::Promised(slot, caller) => drop(caller.send(self.promised(&slot))),
            Command::Block(what, duration, caller) => {
                match self.engine.block(now, what, duration) {
                    Ok(ticket) => drop(self.marking.insert(ticket, caller)),
                    Err(error) => drop(caller.send(Err(Error::TooManyBlocks(error)))),
                }
            }
            Command::Unblock(what, caller) => match self.engine.unblock(now, &what) {
                Some(ticket) => drop(self.marking.insert(ticket, caller)),
                None => drop(caller.send(Ok(false))),
            },
            Command::Blocks(caller) => drop(caller.send(self.blocks(now))),
            Command::IsBlocked(what, caller) => {
                // A caller that is gone needs no answer.
                let _ = caller.send(self.engine.is_blocked(now, &what));
            }
            Command::AnswerOffer(inbound, result) => self.engine.answer_offer(inbound, result),
            Command::AnswerHolds(inbound, result) => self.engine.answer_holds(inbound, result),
            Command::Peers(caller) => drop(caller.send(self.peers(now))),
            Command::Neighbours(caller) => drop(caller.send(self.neighbours(now))),
            Command::Bootstrapped(bootstrapped) => self.health.on_bootstrapped(bootstrapped),
            Command::Stop(reason) => self.stop = Some(*reason),
        }
    }

    /// Lets whoever follows an operation know that it has begun. What is refused ends at once, and so
    /// does what asks nobody; either takes its feed away.
    fn follow(&mut self, now: Time, operation: OperationId) {
        self.quiet(now);
        self.feeds.begin(operation);
    }

    /// What this node signed and keeps alive in a slot.
    fn promised(&self, slot: &Key) -> Vec<Bytes> {
        let promises = self.engine.publications();
        let payloads = promises.filter_map(|promise| match &promise.promised {
            Promised::Signed(record) if record.slot() == slot => Some(record.payload().clone()),
            _ => None,
        });
        payloads.collect()
    }

    fn begin(
        &mut self,
        now: Time,
        operation: Operation,
        caller: oneshot::Sender<Result<Outcome, Failure>>,
    ) {
        if caller.is_closed() {
            return;
        }
        let engine = &mut self.engine;
        let id = match operation {
            Operation::Put(value, options) => engine.put(now, value, options),
            Operation::Get(key, from) => engine.get(now, key, from),
            Operation::Lookup(target) => engine.lookup(now, target),
            Operation::Leave => engine.leave(now),
            Operation::Join(addresses, contacts) => engine.join(now, addresses, contacts),
            Operation::Ping(contact) => engine.ping(now, *contact),
            Operation::Stream(contact, key) => engine.stream(now, *contact, key),
            Operation::Offer(contact, offer) => engine.offer(now, *contact, *offer),
            Operation::Holds(contact, holds) => engine.holds(now, *contact, holds),
            Operation::Records(operation) => records::begin(engine, now, *operation),
        };
        self.callers.insert(id, caller);
    }

    /// Asks who answers at an address, beside the engine, which has no use for the answer.
    fn search(
        &mut self,
        now: Time,
        address: SocketAddr,
        caller: oneshot::Sender<Result<NodeKey, Reason>>,
    ) {
        self.last_search += 1;
        let token = SEARCH | self.last_search;
        self.searches.insert(token, caller);
        self.endpoint.identify(transport_time(now), token, address);
    }

    /// Gives up the operations that nobody waits for any more.
    pub(super) fn forget_abandoned(&mut self) {
        let engine = &mut self.engine;
        self.callers.retain(|&operation, caller| {
            if caller.is_closed() {
                engine.cancel(operation);
            }
            !caller.is_closed()
        });
        self.feeds.forget_unread(engine);
    }

    /// A node that this one knows: from its table, or by a session. Nodes that store nothing for
    /// others stand in no table.
    fn contact(&self, id: &NodeId) -> Option<Contact> {
        self.engine.contact(id).or_else(|| {
            let keys = self.endpoint.session_peers().copied();
            let key = keys
                .filter_map(|key| NodeKey::new(key).ok())
                .find(|key| key.id() == *id)?;
            let address = self.endpoint.session_address(key.as_bytes())?;
            Some(Contact::at(key, address, false))
        })
    }

    fn peers(&self, now: Time) -> Vec<Peer> {
        let utc_micros = |moment: Moment| {
            let ago = u64::try_from(now.moment.since(moment).as_micros()).unwrap_or(u64::MAX);
            now.utc_micros.saturating_sub(ago)
        };
        let peers = self.engine.peers().into_iter().filter_map(|peer| {
            let key = *self.engine.contact(&peer.node)?.key();
            Some(Peer {
                node: peer.node,
                address: NodeAddress::new(key, peer.address),
                mode: Mode::Storing,
                rtt: peer.rtt,
                last_seen_utc_micros: utc_micros(peer.last_seen),
                bucket: peer.bucket,
            })
        });
        peers.collect()
    }

    fn blocks(&self, now: Time) -> Vec<Block> {
        let blocks = self.engine.blocks(now).into_iter().map(|block| {
            let left = block.until.map(|until| until.since(now.moment));
            Block {
                what: block.what,
                cause: block.cause,
                until: left.map(|left| now.utc_seconds() + left.as_secs()),
            }
        });
        blocks.collect()
    }

    /// Every limit beside its use.
    fn limits(&self, engine: &qadom_engine::Status) -> Vec<Limit> {
        let usage = self.endpoint.usage();
        let quic = self.quic.usage();
        let most = &engine.limits;
        let sessions = &self.parameters.limits;
        let mut limits = vec![
            limit("records", engine.records, most.records),
            limit("record-bytes", engine.record_bytes, most.record_bytes),
            count("store-buffer-bytes", self.store.buffered(), BUFFER_MAX),
            count(
                "quarantined-stores",
                self.quarantines.list().len(),
                QUARANTINED_MAX,
            ),
            count("operations", engine.operations, most.operations),
            count("background-operations", engine.background, most.background),
            count("held-answers", engine.held_answers, most.held_answers),
            count("leases", engine.leases, most.leases),
            count("subscriptions", engine.subscriptions, most.subscriptions),
            count("publications", engine.publications, most.publications),
            count(
                "publication-bytes",
                engine.publication_bytes,
                most.publication_bytes,
            ),
            count("renewals", engine.renewals, most.renewals),
            count("journal-queue", engine.journalling, JOURNAL_QUEUE),
            count("watchers", engine.leases, most.leases),
            count("lost-contacts", engine.lost, LOST_MAX),
            count("blocks", engine.blocks, most.blocks),
            count("saved-contacts", self.known.len().min(SAVED_MAX), SAVED_MAX),
            count("commands", self.queue.len(), COMMANDS_MAX),
            count("sessions", usage.sessions, sessions.sessions),
            count("pending-handshakes", usage.pending, sessions.pending),
            count("requests-in-flight", usage.in_flight, sessions.in_flight),
            count("requests-queued", usage.queued, sessions.queue),
            count("requests-waiting", usage.requests, sessions.requests),
            count(
                "background-requests",
                usage.background,
                sessions.background_queue,
            ),
            count("pinned-sessions", usage.pinned, sessions.pinned),
            count("messages-in-pieces", usage.assemblies, sessions.assemblies),
            count("quic-grants", quic.grants, quic.grants_max),
            count("quic-connections", quic.connections, quic.connections_max),
        ];
        limits.extend(self.files.limits());
        limits.push(sum("kept-bytes", &limits, &KEPT));
        limits
    }

    fn status(&mut self, now: Time) -> Status {
        let engine = self.engine.status();
        let mut limits = self.limits(&engine);
        limits.extend(self.rates(now));
        let mut drops = BTreeMap::new();
        let engine_drops = engine
            .drops
            .iter()
            .map(|(reason, count)| (reason.as_str(), count));
        let endpoint_drops = self.endpoint.drops().iter();
        let endpoint_drops = endpoint_drops.map(|(reason, count)| (reason.as_str(), count));
        let socket_drops = self.sockets.dropped().into_iter();
        let socket_drops = socket_drops.chain(quic_drops(&self.quic));
        let crowded = [("address-group", engine.crowded)].into_iter();
        let chunk_drops = self.files.drops();
        let chunk_drops = chunk_drops.iter().map(|(reason, count)| (*reason, *count));
        for (reason, count) in engine_drops
            .chain(crowded)
            .chain(endpoint_drops)
            .chain(socket_drops)
            .chain(chunk_drops)
        {
            if count > 0 {
                *drops.entry(reason.to_owned()).or_default() += count;
            }
        }
        let (verdict, reasons) = self.health.verdict(engine.live, engine.refill);
        Status {
            node: self.facts.id,
            address: match engine.addresses.first() {
                Some(address) => NodeAddress::new(*self.engine.key(), address),
                None => self.facts.address.clone(),
            },
            network: self.facts.network.clone(),
            mode: engine.mode,
            reachability: engine.reachability,
            reachability_age: engine.tested_at.map(|at| now.moment.since(at)),
            observed_addresses: engine.observed.each().collect(),
            clock_offset_ms: engine.clock_offset / 1000,
            local: self.facts.is_local,
            verdict,
            reasons,
            peers: engine.peers,
            network_size: Some(engine.network_size),
            density: engine.density,
            limits,
            quarantined: self.quarantines.list(),
            drops,
            traffic: self.traffic(engine.costs),
        }
    }

    /// What went over the sockets, by the endpoint and by QUIC.
    fn traffic(&self, costs: Vec<CauseCost>) -> Traffic {
        let (own, quic) = (self.endpoint.usage().traffic, self.sockets.quic_traffic());
        Traffic {
            bytes_in: own.bytes_in + quic.bytes_in,
            bytes_out: own.bytes_out + quic.bytes_out,
            datagrams_in: own.datagrams_in + quic.datagrams_in,
            datagrams_out: own.datagrams_out + quic.datagrams_out,
            costs,
        }
    }
}

/// What QUIC dropped or refused, under the names that users see.
fn quic_drops(quic: &Quic) -> [(&'static str, u64); 5] {
    let drops = quic.drops();
    [
        ("quic-no-grant", drops.no_grant),
        ("quic-queue-full", drops.queue_full),
        ("quic-handshakes", drops.handshakes),
        ("quic-streams", drops.streams),
        ("quic-defects", drops.defects),
    ]
}

/// What the node keeps on its disk for others, and of its own promises: each has a limit that holds, and so has their
/// sum.
const KEPT: [&str; 3] = ["record-bytes", "publication-bytes", "files-held-bytes"];

/// Some limits as one.
fn sum(name: &'static str, limits: &[Limit], parts: &[&str]) -> Limit {
    let parts = limits.iter().filter(|limit| parts.contains(&limit.name));
    parts.fold(limit(name, 0, 0), |all, part| Limit {
        name,
        used: all.used.saturating_add(part.used),
        limit: all.limit.saturating_add(part.limit),
    })
}

const fn limit(name: &'static str, used: u64, limit: u64) -> Limit {
    Limit { name, used, limit }
}

const fn count(name: &'static str, used: usize, limit: usize) -> Limit {
    Limit {
        name,
        used: used as u64,
        limit: limit as u64,
    }
}
