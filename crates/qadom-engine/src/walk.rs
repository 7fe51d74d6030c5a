//! One lookup on its way: the pure [`Lookup`] joined to requests and answers, and what follows when
//! everybody within a distance is wanted (`walk/ring.rs`).
//!
//! What must stay true: every contact that the lookup asked is told back to it as answered or
//! failed. What the walk is for (a get, a put, a refresh) is the business of its operation.

mod ring;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use qadom_routing::{Contact, Key, Lookup, LookupConfig, Moment, Next, NodeId, Noted};
use qadom_wire::{Answer, Find, FindNode, Found, IdRange, Kind, Reason, Record, Request, Value};

use crate::core::{Core, Purpose};
use crate::effect::RequestFailure;
use crate::network::Effort;
use crate::operation::{LookupReport, OperationId};
use crate::time::Time;
use ring::Rings;

/// The time within which a request that was not answered is sent once more.
const HASTY: Duration = Duration::from_millis(500);
/// Requests under way from which on no walk hurries: whoever waits for many things at once has them
/// no sooner by it, and bursts of all of them would overrun buffers.
const HURRY_BELOW: usize = 64;

/// Where an operation stands when one of its inputs arrives.
pub(crate) struct Context<'a> {
    pub(crate) core: &'a mut Core,
    pub(crate) operation: OperationId,
    pub(crate) now: Time,
}

/// What a walk asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Query {
    /// Contacts near the target.
    Node,
    /// The value under the target, or contacts near it.
    Value,
    /// The signed records of a kind under the target, and contacts near it.
    Records { kind: Kind, range: Option<IdRange> },
}

/// What an answer brought.
#[derive(Debug)]
pub(crate) enum Brought {
    /// Contacts, or nothing.
    Nothing,
    /// The value that was asked for, verified.
    Value(Value),
    /// What a node has of the records that were asked for. Nothing of it is verified.
    Found {
        found: Found,
        /// What the node was told that is here.
        have: Option<[u8; 32]>,
    },
}

/// A lookup under way.
#[derive(Debug)]
pub(crate) struct Walk {
    lookup: Lookup,
    rings: Rings,
    query: Query,
    began: Time,
    /// Nodes whose value was too long for a cold answer and that were asked once more.
    asked_again: BTreeSet<NodeId>,
    /// Those of them that have not answered again: they have the value, so the walk is not over.
    promised: BTreeSet<NodeId>,
    /// When each node was asked.
    asked_at: BTreeMap<NodeId, Moment>,
    /// Nodes that were asked once more because their time was over so soon.
    asked_twice: BTreeSet<NodeId>,
    /// What is here of the records that are asked for, by its fingerprint.
    have: Option<[u8; 32]>,
    /// What each node that was asked was told of that.
    told: BTreeMap<NodeId, [u8; 32]>,
}

/// A request to begin or to go on with a walk's query at one node, which is told by its fingerprint
/// what is here of the records that are asked for.
pub(crate) fn query(core: &Core, query: Query, target: &Key, have: Option<[u8; 32]>) -> Request {
    let want = core.config.families;
    match query {
        Query::Node => Request::FindNode(FindNode {
            target: *target,
            want,
        }),
        Query::Value => Request::Find(Find {
            slot: *target,
            kind: Kind::Value,
            range: None,
            have: None,
            want,
        }),
        Query::Records { kind, range } => Request::Find(Find {
            slot: *target,
            kind,
            range,
            have,
            want,
        }),
    }
}

/// The value of an answer, when it has one that belongs under the key. For a lie its sender
/// is blocked.
pub(crate) fn value_of(
    core: &mut Core,
    key: &Key,
    from: &Contact,
    answer: &Answer,
) -> Option<Value> {
    let Answer::Found(found) = answer else {
        return None;
    };
    let Record::Value(value) = found.records.first()? else {
        return None;
    };
    if value.key() == key {
        Some(value.clone())
    } else {
        core.refuse_answer(from, Reason::BadHash);
        None
    }
}

/// Whether an answer says that its value is too long for a session that is not yet confirmed.
pub(crate) const fn is_oversize(answer: &Answer) -> bool {
    matches!(answer, Answer::Found(found) if found.oversize.is_some())
}

impl Walk {
    pub(crate) fn new(core: &Core, target: Key, query: Query, effort: Effort, now: Time) -> Self {
        let seeds = core.seeds(&target);
        Self::through(core, (target, query), effort, seeds, now)
    }

    /// A walk that begins with these nodes.
    pub(crate) fn through(
        core: &Core,
        (target, query): (Key, Query),
        effort: Effort,
        seeds: Vec<Contact>,
        now: Time,
    ) -> Self {
        let hurries = effort.hurries && core.requests_under_way() < HURRY_BELOW;
        let config = LookupConfig {
            k: effort.k,
            alpha: core.config.alpha,
            alpha_agreed: if hurries { effort.k } else { 0 },
            paths: effort.paths,
            reach: effort.reach,
            is_patient: effort.is_patient,
            families: core.config.families,
            is_local: core.config.local,
            ..LookupConfig::default()
        };
        let lookup = Lookup::new(core.own, target, config, seeds, now.moment);
        Self {
            lookup,
            rings: Rings::default(),
            query,
            began: now,
            asked_again: BTreeSet::new(),
            promised: BTreeSet::new(),
            asked_at: BTreeMap::new(),
            asked_twice: BTreeSet::new(),
            have: None,
            told: BTreeMap::new(),
        }
    }

    pub(crate) const fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    /// When it began.
    pub(crate) const fn began(&self) -> Time {
        self.began
    }

    /// Asks none of these nodes, which did not have what is looked for.
    pub(crate) fn exclude<'a>(&mut self, nodes: impl IntoIterator<Item = &'a NodeId>) {
        self.lookup.exclude(nodes);
    }

    /// Asks whom the lookup wants asked; true when the lookup is over.
    pub(crate) fn go_on(&mut self, context: &mut Context<'_>) -> bool {
        loop {
            if self.rings.is_under_way() {
                if !self.go_on_around(context) {
                    return false;
                }
                continue;
            }
            match self.lookup.next(context.now.moment) {
                Next::Ask(contact) => {
                    if !self.ask(context, &contact) {
                        self.lookup.on_failure(contact.id(), context.now.moment);
                    }
                }
                Next::Waiting => return false,
                Next::Done if !self.promised.is_empty() => return false,
                Next::Done if self.begin_ring(context) => {}
                Next::Done => {
                    let target = *self.lookup.target();
                    context.core.table.on_lookup(&target, context.now.moment);
                    return true;
                }
            }
        }
    }

    /// Takes an answer in. The caller goes on with the walk afterwards.
    pub(crate) fn on_answer(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        answer: Answer,
    ) -> Brought {
        if self.on_ring_answer(from, &answer, context.now.moment) {
            return Brought::Nothing;
        }
        let target = *self.lookup.target();
        self.promised.remove(from.id());
        let is_value = self.query == Query::Value;
        let value = is_value.then(|| value_of(context.core, &target, from, &answer));
        let value = value.flatten();
        let may_ask_again = is_oversize(&answer) && value.is_none() && !self.is_held(&answer);
        if may_ask_again && self.asked_again.insert(*from.id()) && self.ask(context, from) {
            self.promised.insert(*from.id());
            return Brought::Nothing;
        }
        let moment = context.now.moment;
        match answer {
            Answer::Contacts(contacts) => self.lookup.on_answer(from.id(), contacts, moment),
            Answer::Found(mut found) => {
                let contacts = std::mem::take(&mut found.contacts);
                let noted = self.lookup.on_answer(from.id(), contacts, moment);
                if matches!(self.query, Query::Records { .. }) && noted != Noted::Unknown {
                    return self.found(from, found);
                }
                noted
            }
            _ => self.lookup.on_failure(from.id(), moment),
        };
        value.map_or(Brought::Nothing, |value| {
            self.finish();
            Brought::Value(value)
        })
    }

    /// Tells further nodes what is here of the records that are asked for.
    pub(crate) const fn tell_held(&mut self, fingerprint: [u8; 32]) {
        self.have = Some(fingerprint);
    }

    /// Ends the walk before its time, since what it was for is reached.
    pub(crate) fn finish(&mut self) {
        self.rings.end();
        self.lookup.finish();
    }

    /// Whether what is too long for a cold answer is here already.
    fn is_held(&self, answer: &Answer) -> bool {
        let Answer::Found(found) = answer else {
            return false;
        };
        let hash = found.oversize.map(|oversize| oversize.hash);
        hash.is_some() && hash == self.have
    }

    fn found(&self, from: &Contact, mut found: Found) -> Brought {
        let mut have = self.told.get(from.id()).copied();
        if let Some(oversize) = found.oversize
            && found.records.is_empty()
        {
            // Whoever has the same by now need not send it.
            found.same = Some(oversize.hash) == self.have;
            have = self.have;
        }
        Brought::Found { found, have }
    }

    pub(crate) fn on_slow(&mut self, from: &Contact, now: Time) {
        self.rings.on_slow(from, now.moment);
        self.lookup.on_slow(from.id(), now.moment);
    }

    /// Learns that a request failed. Whoever did not answer in hardly any time is asked once more:
    /// the timeouts of near nodes are so short that a machine that is busy elsewhere for a moment
    /// passes for a dead one, and a write would take the only node it knows for gone.
    pub(crate) fn on_failed(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        failure: &RequestFailure,
    ) {
        let now = context.now.moment;
        if self.rings.on_failed(from, now) {
            // It may have been the other one of its requests, which nobody tells of again.
            self.promised.remove(from.id());
            return;
        }
        let asked_at = self.asked_at.get(from.id());
        let is_hasty = asked_at.is_some_and(|at| now.since(*at) < HASTY);
        if *failure == RequestFailure::Timeout
            && is_hasty
            && self.asked_twice.insert(*from.id())
            && self.ask(context, from)
        {
            return;
        }
        self.promised.remove(from.id());
        self.lookup.on_failure(from.id(), now);
    }

    /// The nodes that answered and that will be among the closest by all that is known so far.
    pub(crate) fn settled(&self) -> Vec<Contact> {
        self.lookup.settled().cloned().collect()
    }

    /// The nodes that answered, nearest first: the k closest, and all within the reach of the effort.
    pub(crate) fn closest(&self) -> Vec<Contact> {
        self.lookup.found().cloned().collect()
    }

    pub(crate) fn report(&self, now: Time) -> LookupReport {
        LookupReport {
            target: *self.lookup.target(),
            steps: self.lookup.trace().to_vec(),
            began: self.began.moment,
            closest: self.closest(),
            hops: self.lookup.hops(),
            messages: self.lookup.queries() + self.asked_again(),
            took: now.moment.since(self.began.moment),
        }
    }

    /// Requests sent beyond those of the lookup itself.
    pub(crate) fn asked_again(&self) -> u32 {
        let again = self.asked_again.len() + self.asked_twice.len();
        let again = u32::try_from(again).unwrap_or(u32::MAX);
        again.saturating_add(self.rings.queries())
    }

    fn ask(&mut self, context: &mut Context<'_>, contact: &Contact) -> bool {
        let request = query(context.core, self.query, self.lookup.target(), self.have);
        if let Some(have) = self.have {
            self.told.insert(*contact.id(), have);
        }
        self.asked_at.insert(*contact.id(), context.now.moment);
        let operation = Some(context.operation);
        // Where a contact of the table is reached is known better here than by who named it.
        let known = context.core.table.contact(contact.id()).cloned();
        let contact = known.as_ref().unwrap_or(contact);
        context
            .core
            .send(operation, Purpose::Find, contact, &request)
            .is_some()
    }
}
