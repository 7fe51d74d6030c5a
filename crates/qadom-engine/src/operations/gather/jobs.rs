//! The requests of a gathering beside its walk: pages, comparisons, repairs.
//!
//! What must stay true: each job ends by its answer or its failure; a page that a holder cannot
//! give is asked from another one, unless only that holder has it.

use qadom_routing::{Contact, Key, NodeId};
use qadom_wire::{
    Answer, Digest, DigestRange, Find, Found, IdRange, RangeDigest, Reason, Record, Request, Store,
    StoreClass, StoreItem, StoreResult,
};

use super::holder::{Heard, Holder};
use super::survey::Survey;
use super::{ENOUGH, Gather, ranges};
use crate::core::Purpose;
use crate::walk::Context;

/// Requests to one holder at once.
const PER_HOLDER: u32 = 2;
/// Messages after which nothing more is asked.
const MESSAGES_MAX: u32 = 32_768;
/// Records that one gathering brings to each holder.
pub(super) const REPAIRS_MAX: usize = 512;
/// Records that one gathering brings to holders without waiting for them.
const PASSING_MAX: usize = 64;

/// A request under way.
#[derive(Debug)]
pub(crate) struct Job {
    holder: NodeId,
    work: Work,
}

#[derive(Debug)]
enum Work {
    /// A page; only this holder has it if it is pinned.
    Page { range: IdRange, is_pinned: bool },
    /// A comparison of these ranges.
    Question(Vec<IdRange>),
    /// This many records for a holder that lacks them.
    Repair(usize),
}

impl Gather {
    fn begin_job(
        &mut self,
        context: &mut Context<'_>,
        contact: &Contact,
        work: Work,
        request: &Request,
    ) {
        self.last_job += 1;
        let job = self.last_job;
        let holder = *contact.id();
        let purpose = Purpose::Part(job);
        self.jobs.insert(job, Job { holder, work });
        self.count_under_way(&holder, 1);
        let operation = Some(context.operation);
        let sent = context.core.send(operation, purpose, contact, request);
        if sent.is_some() {
            self.messages += 1;
        } else {
            self.fail_job(job, Reason::Unreachable);
        }
    }

    fn count_under_way(&mut self, holder: &NodeId, change: i32) {
        if let Some(holder) = self.holder_mut(holder) {
            holder.under_way = holder.under_way.saturating_add_signed(change);
        }
    }

    fn holder_mut(&mut self, id: &NodeId) -> Option<&mut Holder> {
        let mut holders = self.holders.iter_mut();
        holders.find(|holder| holder.contact.id() == id)
    }

    fn drop_holder(&mut self, id: &NodeId, reason: Reason) {
        if let Some(holder) = self.holder_mut(id) {
            holder.gone.get_or_insert(reason);
        }
    }

    /// Sends as many pages as holders take at once; when nothing is under way afterwards, no page
    /// is left.
    pub(super) fn send_all_pages(&mut self, context: &mut Context<'_>) {
        self.send_pages(context);
        while self.jobs.is_empty() && !self.pages.is_empty() {
            self.send_pages(context);
        }
    }

    fn send_pages(&mut self, context: &mut Context<'_>) {
        let mut waiting = std::mem::take(&mut self.pages);
        while let Some((pinned, range)) = waiting.pop_front() {
            if self.messages >= MESSAGES_MAX || self.union.is_full() {
                break;
            }
            let holds = |holder: &&Holder| {
                holder.gone.is_none()
                    && match pinned {
                        Some(pinned) => *holder.contact.id() == pinned,
                        None => matches!(holder.heard, Some(Heard::More(_))),
                    }
            };
            let least = self
                .holders
                .iter()
                .filter(holds)
                .min_by_key(|holder| holder.under_way);
            let Some(holder) = least else {
                // Nobody is left who has it; the comparison finds what others have.
                continue;
            };
            if holder.under_way >= PER_HOLDER {
                self.pages.push_back((pinned, range));
                if pinned.is_none() {
                    break;
                }
                continue;
            }
            let contact = holder.contact.clone();
            let place = *self.union.place();
            let request = Request::Find(Find {
                slot: place.slot,
                kind: place.kind,
                range: Some(range),
                have: None,
                want: context.core.config.families,
            });
            let is_pinned = pinned.is_some();
            let work = Work::Page { range, is_pinned };
            self.begin_job(context, &contact, work, &request);
        }
        self.pages.extend(waiting);
        if self.messages >= MESSAGES_MAX || self.union.is_full() {
            self.pages.clear();
        }
    }

    /// Sends the next question of every survey.
    pub(super) fn send_questions(&mut self, context: &mut Context<'_>) {
        let place = *self.union.place();
        let mut questions = Vec::new();
        for holder in &mut self.holders {
            if holder.gone.is_some() || holder.under_way > 0 {
                continue;
            }
            let asked = holder.survey.as_mut().and_then(Survey::next);
            questions.extend(asked.map(|asked| (holder.contact.clone(), asked)));
        }
        for (contact, asked) in questions {
            let digest_range = |range: &IdRange| {
                let (start, end) = ranges::positions(&place.slot, range);
                let fingerprint = self.union.fingerprint(range);
                DigestRange {
                    start,
                    end,
                    fingerprint,
                }
            };
            let request = Request::Digest(Digest {
                kind: place.kind,
                ranges: asked.iter().map(digest_range).collect(),
            });
            self.begin_job(context, &contact, Work::Question(asked), &request);
        }
    }

    pub(super) fn on_job(&mut self, context: &mut Context<'_>, job: u32, answer: Answer) {
        let Some(Job { holder, work }) = self.jobs.remove(&job) else {
            return;
        };
        self.count_under_way(&holder, -1);
        match (work, answer) {
            (Work::Page { range, is_pinned }, Answer::Found(found)) => {
                self.on_page(context, &holder, (range, is_pinned), found);
            }
            (Work::Question(asked), Answer::Digested(digests)) => {
                self.on_digests(context, &holder, &asked, digests);
            }
            (Work::Repair(count), Answer::Stored(results)) => {
                self.on_repaired(&holder, count, &results);
            }
            (work, Answer::Refused(reason)) => self.give_up(&holder, &work, reason),
            (work, _) => self.give_up(&holder, &work, Reason::Malformed),
        }
    }

    pub(super) fn fail_job(&mut self, job: u32, reason: Reason) {
        if let Some(Job { holder, work }) = self.jobs.remove(&job) {
            self.count_under_way(&holder, -1);
            self.give_up(&holder, &work, reason);
        }
    }

    fn give_up(&mut self, holder: &NodeId, work: &Work, reason: Reason) {
        self.drop_holder(holder, reason);
        if let Work::Page {
            range,
            is_pinned: false,
        } = work
        {
            self.pages.push_front((None, *range));
        }
    }

    fn on_page(
        &mut self,
        context: &mut Context<'_>,
        holder: &NodeId,
        (range, is_pinned): (IdRange, bool),
        found: Found,
    ) {
        let Some(entry) = self.holder_mut(holder) else {
            return;
        };
        let contact = entry.contact.clone();
        let pinned = is_pinned.then_some(*holder);
        if found.oversize.is_some() && found.records.is_empty() {
            // The session is confirmed by now.
            if entry.retries == 0 {
                return self.drop_holder(holder, Reason::Malformed);
            }
            entry.retries -= 1;
            self.pages.push_front((pinned, range));
            return;
        }
        let is_empty = found.records.is_empty();
        let cursor = found.cursor;
        if let Err(reason) = self.take_records(context, &contact, found.records) {
            self.drop_holder(holder, reason);
            if pinned.is_none() {
                self.pages.push_front((None, range));
            }
            return;
        }
        let Some(cursor) = cursor else {
            return;
        };
        match ranges::from(&range, &cursor) {
            Some(rest) if !is_empty && cursor > *range.start() => {
                self.pages.push_front((pinned, rest));
            }
            _ => self.drop_holder(holder, Reason::Malformed),
        }
    }

    fn on_digests(
        &mut self,
        context: &mut Context<'_>,
        holder: &NodeId,
        asked: &[IdRange],
        digests: Vec<RangeDigest>,
    ) {
        let mut holders = self.holders.iter_mut();
        let found = holders.find(|entry| entry.contact.id() == holder);
        let Some(entry) = found else {
            return;
        };
        let Some(survey) = entry.survey.as_mut() else {
            return;
        };
        if let Err(reason) = survey.on_answer(asked, digests, &self.union) {
            // Nobody signs what a digest says, so it proves no lie; it is counted.
            context.core.refuse_answer(&entry.contact, reason);
            return self.drop_holder(holder, reason);
        }
        // What another holder was just asked for is compared again in the next round.
        let wanted = survey.take_wants();
        for range in wanted {
            if !self.is_asked_for(&range) {
                self.pages.push_back((Some(*holder), range));
            } else if let Some(survey) = self.holder_mut(holder).and_then(|h| h.survey.as_mut()) {
                survey.put_off();
            }
        }
    }

    fn is_asked_for(&self, wanted: &IdRange) -> bool {
        let under_way = self.jobs.values().filter_map(|job| match &job.work {
            Work::Page { range, .. } => Some(range),
            _ => None,
        });
        let waiting = self.pages.iter().map(|(_, range)| range);
        under_way.chain(waiting).any(|range| range == wanted)
    }

    // Repairs.

    /// Brings what they lack to as many of the nearest holders as are missing to a complete
    /// union, and waits for them.
    pub(super) fn repair(&mut self, context: &mut Context<'_>) {
        let found = self.holders.len() + usize::from(self.own_is_near);
        let missing = found.min(ENOUGH).saturating_sub(self.agreeing());
        let lacking: Vec<(Contact, Vec<Key>)> = self
            .lacking()
            .into_iter()
            .filter(|(_, lacks)| lacks.len() <= REPAIRS_MAX)
            .take(missing)
            .collect();
        for (contact, lacks) in lacking {
            for batch in self.batches(&lacks) {
                if let Some(holder) = self.holder_mut(contact.id()) {
                    holder.repairs += 1;
                }
                let work = Work::Repair(batch.items.len());
                self.begin_job(context, &contact, work, &Request::Store(batch));
            }
        }
    }

    /// Brings a little of what they lack to stale holders; nobody waits for it.
    pub(super) fn repair_in_passing(&self, context: &mut Context<'_>) {
        let mut left = PASSING_MAX;
        for (contact, lacks) in self.lacking() {
            if lacks.len() > left {
                continue;
            }
            left -= lacks.len();
            for batch in self.batches(&lacks) {
                let request = Request::Store(batch);
                context.core.send(None, Purpose::Repair, &contact, &request);
            }
        }
    }

    /// Holders that are known to lack something, and what.
    fn lacking(&self) -> Vec<(Contact, Vec<Key>)> {
        let lacking = self.live().filter_map(|holder| {
            let lacks = holder.lacks(&self.union)?;
            (!lacks.is_empty()).then(|| (holder.contact.clone(), lacks))
        });
        lacking.collect()
    }

    fn batches(&self, ids: &[Key]) -> Vec<Store> {
        let items = ids.iter().filter_map(|id| {
            let shown = self.union.get(id)?;
            Some(StoreItem {
                record: Record::Signed(shown.record.clone().into_inner()),
                class: StoreClass::Replica,
                ttl_seconds: 0,
                group: None,
                exclusive: false,
            })
        });
        Store::batches(items)
    }

    fn on_repaired(&mut self, holder: &NodeId, count: usize, results: &[StoreResult]) {
        let version = self.union.version();
        let is_kept = results.len() == count && results.iter().all(StoreResult::is_kept);
        if let Some(holder) = self.holder_mut(holder)
            && is_kept
        {
            holder.repairs = holder.repairs.saturating_sub(1);
            if holder.repairs == 0 {
                holder.repaired = Some(version);
            }
        }
    }
}
