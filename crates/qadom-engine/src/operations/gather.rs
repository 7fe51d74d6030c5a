//! Gathering what the holders of a slot have: a walk that asks everybody on the way, then pages
//! of what did not fit from several holders at once, then a comparison of every holder with the
//! union, and what stale holders lack brought to them.
//!
//! What must stay true: what comes out was verified (`gather/union.rs`); a holder counts as
//! agreeing only when it is known to have exactly the union; whatever holders answer, a bounded
//! number of messages later it is over.

mod holder;
pub(crate) mod jobs;
pub(crate) mod ranges;
pub(crate) mod survey;
pub(crate) mod union;

use std::collections::{BTreeMap, VecDeque};

use qadom_routing::{Contact, Key, NodeId};
use qadom_wire::{Answer, Found, IdRange, Reason, Record, SignedRecord};

use crate::blocks::is_lie;
use crate::core::{Core, Purpose};
use crate::effect::RequestFailure;
use crate::network::{Effort, leave_own_place};
use crate::operation::Source;
use crate::operations::reason_of;
use crate::time::Time;
use crate::walk::{Brought, Context, Query, Walk};
use holder::{Heard, Holder};
use jobs::Job;
use survey::Survey;
use union::{Place, Union};

/// Holders whose agreement makes a union complete, and whose answers make a read the latest.
pub(crate) const ENOUGH: usize = 3;
/// Records of a union up to which what holders have is remembered record by record.
const SMALL: usize = 64;
/// Comparisons with all holders, after which the union counts as changing all the time.
const ROUNDS_MAX: u32 = 4;
/// Parts in which a slot is paged at once.
const PARTS_MAX: u32 = 64;

/// How far a gathering goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// The first record whose seq is at least this. A tombstone is none: a holder that lags behind
    /// may show one for what was set again.
    First { least: u64 },
    /// What the nodes on the way show.
    Walked,
    /// The union of all holders.
    Complete,
}

/// Whether a record is the first that a reader may take.
pub(crate) fn is_found(record: &SignedRecord, least: u64) -> bool {
    !record.is_tombstone() && record.seq() >= least
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Walking,
    /// Pages are fetched.
    Fetching,
    /// Holders are compared with the union.
    Comparing,
    /// What holders lack is brought to them, since too few agree.
    Repairing,
    Over,
}

/// A union on its way.
#[derive(Debug)]
pub(crate) struct Gather {
    union: Union,
    until: Until,
    stage: Stage,
    /// None when one named node is asked.
    walk: Option<Walk>,
    began: Time,
    /// What was told as held, by its fingerprint.
    told: BTreeMap<[u8; 32], Vec<(Key, [u8; 32])>>,
    heard: BTreeMap<NodeId, Heard>,
    liars: BTreeMap<NodeId, Reason>,
    holders: Vec<Holder>,
    /// The fingerprint of what this node had, when it is among the k closest itself.
    own: Option<[u8; 32]>,
    own_is_near: bool,
    pages: VecDeque<(Option<NodeId>, IdRange)>,
    jobs: BTreeMap<u32, Job>,
    last_job: u32,
    rounds: u32,
    messages: u32,
}

impl Gather {
    /// Gathers from the network and the own store.
    pub(crate) fn new(core: &mut Core, place: Place, until: Until, now: Time) -> Self {
        let query = Query::Records {
            kind: place.kind,
            range: place.range,
        };
        let effort = match until {
            Until::First { .. } => Effort::PLAIN,
            Until::Walked | Until::Complete => core.thorough(),
        };
        let walk = Walk::new(core, place.slot, query, effort, now);
        let mut gather = Self::empty(core, place, until, now);
        gather.take_own(core, now);
        gather.walk = Some(walk);
        gather
    }

    /// Gathers from the own store alone. It is over at once.
    pub(crate) fn local(core: &mut Core, place: Place, now: Time) -> Self {
        let mut gather = Self::empty(core, place, Until::Complete, now);
        gather.take_own(core, now);
        gather.stage = Stage::Over;
        gather
    }

    /// Gathers from one node alone.
    pub(crate) fn directed(core: &Core, place: Place, node: Contact, now: Time) -> Self {
        let mut gather = Self::empty(core, place, Until::Complete, now);
        gather.pages.push_back((Some(*node.id()), place.ids()));
        gather.holders.push(Holder::new(node, None));
        gather.stage = Stage::Fetching;
        gather
    }

    fn empty(core: &Core, place: Place, until: Until, now: Time) -> Self {
        Self {
            union: Union::new(place, core.config.network),
            until,
            stage: Stage::Walking,
            walk: None,
            began: now,
            told: BTreeMap::new(),
            heard: BTreeMap::new(),
            liars: BTreeMap::new(),
            holders: Vec::new(),
            own: None,
            own_is_near: false,
            pages: VecDeque::new(),
            jobs: BTreeMap::new(),
            last_job: 0,
            rounds: 0,
            messages: 0,
        }
    }

    fn take_own(&mut self, core: &mut Core, now: Time) {
        let place = *self.union.place();
        match core.held_records(&place.slot, place.kind, place.range, now) {
            Ok(records) => {
                for record in records {
                    self.union.take_own(record);
                }
            }
            Err(reason) => core.drops.count(reason),
        }
        self.own = Some(self.fingerprint());
    }

    // What it came to.

    pub(crate) const fn union(&self) -> &Union {
        &self.union
    }

    pub(crate) const fn union_mut(&mut self) -> &mut Union {
        &mut self.union
    }

    pub(crate) fn into_union(self) -> Union {
        self.union
    }

    pub(crate) const fn began(&self) -> Time {
        self.began
    }

    pub(crate) const fn messages(&self) -> u32 {
        self.messages
    }

    pub(crate) fn hops(&self) -> u32 {
        let walked = self.walk.as_ref().map(|walk| walk.lookup().hops());
        walked.unwrap_or_else(|| u32::from(!self.holders.is_empty()))
    }

    /// The k closest nodes that answered, and those within reach, nearest first.
    pub(crate) fn closest(&self) -> Vec<Contact> {
        self.walk.as_ref().map(Walk::closest).unwrap_or_default()
    }

    /// Nodes that answered, and nodes that did not.
    pub(crate) fn answered(&self) -> (u32, u32) {
        let Some(walk) = &self.walk else {
            return (u32::from(self.failure().is_none()), 0);
        };
        let answered = u32::try_from(walk.lookup().answered().count()).unwrap_or(u32::MAX);
        (answered, walk.lookup().queries().saturating_sub(answered))
    }

    /// Why the one node that was asked did not tell what it has.
    pub(crate) fn failure(&self) -> Option<(NodeId, Reason)> {
        let holder = self.holders.first().filter(|_| self.walk.is_none())?;
        Some((*holder.contact.id(), holder.gone?))
    }

    /// Nodes among those that should hold it whose answers hold together, and all of them.
    pub(crate) fn valid_answers(&self) -> (usize, usize) {
        let own = usize::from(self.own_is_near);
        (self.live().count() + own, self.holders.len() + own)
    }

    /// Whether enough holders are known to have exactly the union. What one node alone has is never
    /// known to be everything.
    pub(crate) fn is_complete(&self) -> bool {
        self.walk.is_some() && self.enough_agree()
    }

    // Inputs.

    pub(crate) fn walk_mut(&mut self) -> Option<&mut Walk> {
        self.walk.as_mut().filter(|_| self.stage == Stage::Walking)
    }

    /// Does what can be done now; true when it is over.
    pub(crate) fn go_on(&mut self, context: &mut Context<'_>) -> bool {
        loop {
            match self.stage {
                Stage::Walking => {
                    self.tell_held();
                    let Some(walk) = self.walk.as_mut() else {
                        self.stage = Stage::Over;
                        continue;
                    };
                    if !walk.go_on(context) {
                        return false;
                    }
                    self.end_walk(context);
                }
                Stage::Fetching => {
                    self.send_all_pages(context);
                    if !self.jobs.is_empty() {
                        return false;
                    }
                    self.begin_round();
                }
                Stage::Comparing => {
                    self.send_questions(context);
                    self.send_all_pages(context);
                    if !self.jobs.is_empty() {
                        return false;
                    }
                    self.end_round(context);
                }
                Stage::Repairing if self.jobs.is_empty() => self.stage = Stage::Over,
                Stage::Repairing => return false,
                Stage::Over => return true,
            }
        }
    }

    /// Takes an answer to a request of the walk or of a job.
    pub(crate) fn on_answer(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        purpose: Purpose,
        answer: Answer,
    ) {
        if let Purpose::Part(job) = purpose {
            return self.on_job(context, job, answer);
        }
        let Some(walk) = self.walk_mut() else {
            return;
        };
        if let Brought::Found { found, have } = walk.on_answer(context, from, answer) {
            self.hear(context, from, found, have);
        }
    }

    /// Learns that a request failed.
    pub(crate) fn on_failed(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        purpose: Purpose,
        failure: &RequestFailure,
    ) {
        if let Purpose::Part(job) = purpose {
            self.fail_job(job, reason_of(failure));
        } else if let Some(walk) = self.walk_mut() {
            walk.on_failed(context, from, failure);
        }
    }

    // The walk.

    fn fingerprint(&self) -> [u8; 32] {
        self.union.fingerprint(&self.union.place().ids())
    }

    /// Tells further nodes what is here already, so that they need not send it again.
    fn tell_held(&mut self) {
        if self.union.len() == 0 || self.union.len() > SMALL {
            return;
        }
        let fingerprint = self.fingerprint();
        let ids = self.union.place().ids();
        let hashes = self.union.hashes(&ids).collect();
        self.told.insert(fingerprint, hashes);
        if let Some(walk) = self.walk.as_mut() {
            walk.tell_held(fingerprint);
        }
    }

    fn hear(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        found: Found,
        have: Option<[u8; 32]>,
    ) {
        if found.oversize.is_some() && !found.same {
            // It has more than it gives away; the comparison will tell.
            return;
        }
        let heard = if found.same {
            match have {
                Some(have) => match self.told.get(&have) {
                    Some(told) => Heard::Exactly(told.clone()),
                    None => Heard::Fingerprint(have),
                },
                None => return,
            }
        } else {
            match (
                self.take_records(context, from, found.records),
                found.cursor,
            ) {
                (Err(reason), _) => {
                    self.liars.insert(*from.id(), reason);
                    return;
                }
                (Ok(_), Some(cursor)) => Heard::More(cursor),
                (Ok(taken), None) => Heard::Exactly(taken),
            }
        };
        self.heard.insert(*from.id(), heard);
        if let Until::First { least } = self.until
            && self
                .union
                .iter()
                .any(|(_, shown)| is_found(&shown.record, least))
            && let Some(walk) = self.walk.as_mut()
        {
            walk.finish();
        }
    }

    /// Takes records in and gives their ids and hashes.
    ///
    /// Fails with the reason of a lie; what is merely too old or too new is left out and counted.
    fn take_records(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        records: Vec<Record>,
    ) -> Result<Vec<(Key, [u8; 32])>, Reason> {
        let network = context.core.config.network;
        let clock = context
            .core
            .is_time_known(context.now)
            .then_some(context.now);
        let address = from.address(context.core.config.families);
        let address = address.map(|address| address.ip());
        let giver = (Source::Node(*from.id()), address);
        let mut taken = Vec::with_capacity(records.len());
        for record in records {
            let Record::Signed(record) = record else {
                context.core.refuse_answer(from, Reason::Malformed);
                return Err(Reason::Malformed);
            };
            let (id, hash) = (*record.id(), record.hash(&network));
            match self.union.take(record, giver, clock) {
                Ok(_) => taken.push((id, hash)),
                Err(reason) => {
                    context.core.refuse_answer(from, reason);
                    if is_lie(reason) || reason == Reason::Malformed {
                        return Err(reason);
                    }
                }
            }
        }
        taken.sort_unstable();
        Ok(taken)
    }

    fn end_walk(&mut self, context: &mut Context<'_>) {
        self.stage = Stage::Over;
        let Some(walk) = &self.walk else {
            return;
        };
        self.messages += walk.lookup().queries() + walk.asked_again();
        let mut closest = walk.closest();
        let place = *self.union.place();
        self.own_is_near = context.core.is_near(&place.slot, &closest);
        if self.own_is_near {
            leave_own_place(&place.slot, &mut closest, walk.lookup().reach());
        }
        for contact in closest {
            let heard = self.heard.get(contact.id()).cloned();
            let mut holder = Holder::new(contact, heard);
            holder.gone = self.liars.get(holder.contact.id()).copied();
            self.holders.push(holder);
        }
        if self.until != Until::Complete {
            return;
        }
        if !self.plan_pages() {
            return self.begin_round();
        }
        self.stage = Stage::Fetching;
    }

    /// Plans the pages behind those that came with the walk; false when there are none.
    fn plan_pages(&mut self) -> bool {
        let cursors = self.live().filter_map(|holder| match holder.heard {
            Some(Heard::More(cursor)) => Some(cursor),
            _ => None,
        });
        let Some(cursor) = cursors.min() else {
            return false;
        };
        let ids = self.union.place().ids();
        let Some(rest) = ranges::from(&ids, &cursor) else {
            return false;
        };
        // As many parts as there seem to be pages.
        let share = ranges::share_before(&ids, &cursor);
        let count = (1..PARTS_MAX).find(|count| share * f64::from(count + 1) >= 1.0);
        let parts = ranges::parts(&rest, count.unwrap_or(PARTS_MAX));
        self.pages
            .extend(parts.into_iter().map(|part| (None, part)));
        true
    }

    // Comparing.

    fn live(&self) -> impl Iterator<Item = &Holder> {
        self.holders.iter().filter(|holder| holder.gone.is_none())
    }

    fn enough_agree(&self) -> bool {
        let found = self.holders.len() + usize::from(self.own_is_near);
        found > 0 && self.agreeing() >= found.min(ENOUGH)
    }

    fn agreeing(&self) -> usize {
        let fingerprint = self.fingerprint();
        let own = self.own_is_near && self.own == Some(fingerprint);
        let others = self.live();
        let others = others.filter(|holder| holder.agrees(&self.union, &fingerprint));
        others.count() + usize::from(own)
    }

    /// Compares every holder of which it is not known what it has. All are compared, since a
    /// record may have only one holder left.
    fn begin_round(&mut self) {
        self.stage = Stage::Comparing;
        self.rounds += 1;
        if self.walk.is_none() {
            self.stage = Stage::Over;
            return;
        }
        let fingerprint = self.fingerprint();
        for holder in &mut self.holders {
            if holder.gone.is_none() && holder.is_to_be_asked(&self.union, &fingerprint) {
                holder.survey = Some(Survey::new(&self.union));
            }
        }
    }

    fn end_round(&mut self, context: &mut Context<'_>) {
        for holder in &mut self.holders {
            if holder.survey.as_ref().is_some_and(Survey::is_endless) {
                holder.gone.get_or_insert(Reason::Malformed);
            }
        }
        let fingerprint = self.fingerprint();
        let is_unknown = |holder: &Holder| holder.is_to_be_asked(&self.union, &fingerprint);
        let is_known = !self.live().any(is_unknown);
        if !is_known && self.rounds < ROUNDS_MAX {
            return self.begin_round();
        }
        self.stage = Stage::Over;
        self.keep_own(context);
        if self.enough_agree() {
            self.repair_in_passing(context);
        } else {
            self.stage = Stage::Repairing;
            self.repair(context);
        }
    }

    /// Keeps what this node lacks, when it is among those that should hold it and it is not much:
    /// the rest comes with the next comparison of the holders.
    fn keep_own(&mut self, context: &mut Context<'_>) {
        if !self.own_is_near || self.own == Some(self.fingerprint()) {
            return;
        }
        let shown = self.union.iter().map(|(_, shown)| shown);
        let lacking: Vec<_> = shown
            .filter(|shown| shown.source != Source::Local)
            .collect();
        if lacking.len() > jobs::REPAIRS_MAX {
            return;
        }
        for shown in lacking {
            let (record, giver) = (&shown.record, shown.address);
            if let Err(reason) = context.core.keep_replica(record, giver, context.now) {
                context.core.drops.count(reason);
                return;
            }
        }
        context.core.commit_unwatched();
        self.own = Some(self.fingerprint());
    }
}
