//! The holders at which a subscription has its leases.
//!
//! What must stay true: three of the nodes near the slot are asked, those that this watcher ranks
//! highest and that live, so that watchers spread; whoever fails is replaced by the next, and when
//! one has failed the others are asked at once; and a node without a lease may push nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use qadom_routing::{Contact, Key, Moment, NodeId, NodeKey};
use qadom_wire::{Answer, Cursor, Reason, Request, Unwatch, Watch, Watched};

use super::silence::{SHORTEST, Silence};
use crate::core::{Core, Purpose};
use crate::effect::RequestFailure;
use crate::operation::OperationId;
use crate::walk::Context;
use crate::watch::WatchSlot;

/// Leases that a subscription has at once.
const WANTED: usize = 3;
/// How often a lease is renewed. The three of a subscription take turns.
const RENEW_EVERY: Duration = Duration::from_mins(5);
/// How long a holder may be silent about what another one pushed, before it is asked.
const DOUBT_AFTER: Duration = Duration::from_secs(5);
/// A holder that was asked so recently is not doubted.
const TRUSTED_FOR: Duration = Duration::from_secs(30);
/// For how long a node is left alone that did not answer, has no room, or refused.
const SILENT_FOR: Duration = Duration::from_mins(2);
const BUSY_FOR: Duration = Duration::from_mins(1);
const REFUSED_FOR: Duration = Duration::from_mins(10);

/// A node near the slot.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) key: NodeKey,
    /// Where it is reached; none when it is this node.
    pub(super) contact: Option<Contact>,
}

/// A lease, or the question for one.
#[derive(Debug)]
struct Lease {
    candidate: Candidate,
    /// Whether the holder has granted it.
    is_held: bool,
    /// Whether a question is under way.
    is_asked: bool,
    /// Whether the last question was for what comes from now on.
    is_live: bool,
    renew_at: Moment,
    /// When the holder granted or renewed it, or pushed something.
    heard_at: Moment,
    /// When the holder is asked, unless it pushes something before.
    doubted_at: Option<Moment>,
    /// Since when it is being asked for a sign of life.
    pinged_at: Option<Moment>,
}

/// Where a subscription has its leases.
#[derive(Debug)]
pub(super) struct Holders {
    slot: WatchSlot,
    /// Nodes near the slot, best first.
    near: Vec<Candidate>,
    leases: BTreeMap<NodeKey, Lease>,
    /// Nodes that are left alone for a while, and whether that is because they were silent.
    avoided: BTreeMap<NodeKey, (Moment, bool)>,
    silence: Silence,
}

impl Holders {
    pub(super) fn new(slot: WatchSlot, now: Moment) -> Self {
        Self {
            slot,
            near: Vec::new(),
            leases: BTreeMap::new(),
            avoided: BTreeMap::new(),
            silence: Silence::new(now),
        }
    }

    /// How many leases there should be now.
    pub(super) fn wanted(&self) -> usize {
        self.usable().take(WANTED).count()
    }

    /// Takes the nodes that are near now, in the order in which this watcher prefers them.
    pub(super) fn set_near(&mut self, mut near: Vec<Candidate>, watcher: &NodeId) {
        let slot = self.slot.slot;
        near.sort_by_cached_key(|candidate| rank(&slot, watcher, &candidate.key.id()));
        near.reverse();
        // Who answered the lookup is not silent any more.
        let is_heard = |key: &NodeKey| near.iter().any(|candidate| candidate.key == *key);
        self.avoided
            .retain(|key, (_, is_silent)| !(*is_silent && is_heard(key)));
        self.near = near;
    }

    /// Whether nodes are missing that a new lookup may find.
    pub(super) fn is_short(&self) -> bool {
        let usable = self.usable().count();
        self.near.is_empty() || usable < WANTED.min(self.near.len())
    }

    fn usable(&self) -> impl Iterator<Item = &Candidate> {
        let is_usable = |candidate: &&Candidate| !self.avoided.contains_key(&candidate.key);
        self.near.iter().filter(is_usable)
    }

    /// Asks for the leases that are missing or due, and ends those that are too many. Gives what
    /// this node has, if it gave itself a lease for what comes from now on.
    pub(super) fn tend(
        &mut self,
        context: &mut Context<'_>,
        since: Option<&Cursor>,
    ) -> Option<(NodeKey, Cursor)> {
        let now = context.now.moment;
        self.avoided.retain(|_, (until, _)| *until > now);
        let wanted: Vec<Candidate> = self.usable().take(WANTED).cloned().collect();
        for candidate in &wanted {
            self.leases.entry(candidate.key).or_insert_with(|| Lease {
                candidate: candidate.clone(),
                is_held: false,
                is_asked: false,
                is_live: false,
                renew_at: now,
                heard_at: now,
                doubted_at: None,
                pinged_at: None,
            });
        }
        let is_wanted = |key: &NodeKey| wanted.iter().any(|candidate| candidate.key == *key);
        let held = self
            .leases
            .iter()
            .filter(|(key, lease)| lease.is_held && is_wanted(key));
        if !wanted.is_empty() && held.count() == wanted.len() {
            let surplus = self.leases.keys().filter(|key| !is_wanted(key));
            for key in surplus.copied().collect::<Vec<_>>() {
                self.give_up(context.core, context.operation, &key);
            }
        }
        let due = self.leases.iter().filter(|(_, lease)| {
            let is_doubted = lease.doubted_at.is_some_and(|at| at <= now);
            !lease.is_asked && (lease.renew_at <= now || is_doubted)
        });
        let due: Vec<NodeKey> = due.map(|(key, _)| *key).collect();
        let mut granted = None;
        for key in due {
            let had = self.ask(context, &key, since);
            granted = had.map(|had| (key, had)).or(granted);
        }
        self.break_silence(context);
        granted
    }

    /// Asks the holder that was silent longest for a sign of life, when all of them have been silent
    /// for longer than usual: those that died would not be missed before their leases are due.
    fn break_silence(&mut self, context: &mut Context<'_>) {
        let now = context.now.moment;
        if now < self.silence.ask_at() {
            return;
        }
        self.silence.on_asked(now);
        let leases = self.leases.values_mut();
        let askable =
            leases.filter(|lease| lease.is_held && !lease.is_asked && lease.pinged_at.is_none());
        let askable = askable.filter_map(|lease| Some((lease.candidate.contact.clone()?, lease)));
        if let Some((contact, lease)) = askable.min_by_key(|(_, lease)| lease.heard_at) {
            let is_sent = context.core.ping(Some(context.operation), &contact);
            lease.pinged_at = is_sent.then_some(now);
        }
    }

    /// A holder answered the question for a sign of life.
    pub(super) fn on_pong(&mut self, from: &NodeKey, now: Moment) {
        if let Some(lease) = self.leases.get_mut(from) {
            lease.pinged_at = None;
            lease.heard_at = now;
        }
    }

    fn ask(
        &mut self,
        context: &mut Context<'_>,
        key: &NodeKey,
        since: Option<&Cursor>,
    ) -> Option<Cursor> {
        let lease = self.leases.get_mut(key)?;
        lease.doubted_at = None;
        lease.is_live = since.is_none();
        let (operation, slot) = (context.operation, self.slot);
        context.core.subscriptions.expect(&slot, operation, *key);
        let since = since.cloned();
        let Some(contact) = lease.candidate.contact.clone() else {
            let granted = context.core.lease(context.now, (slot, *key), None, since);
            let Ok(watched) = granted else {
                self.avoid(context, key, BUSY_FOR);
                return None;
            };
            return self.on_granted(context, key, watched);
        };
        let WatchSlot { slot, kind } = slot;
        let request = Request::Watch(Watch { slot, kind, since });
        let sent = context
            .core
            .send(Some(operation), Purpose::Watch, &contact, &request);
        lease.is_asked = sent.is_some();
        if sent.is_none() {
            self.avoid(context, key, REFUSED_FOR);
        }
        None
    }

    /// A holder answered the question for a lease. Gives what it has, if the lease is for what comes
    /// from now on.
    pub(super) fn on_answer(
        &mut self,
        context: &mut Context<'_>,
        from: &NodeKey,
        answer: Answer,
    ) -> Option<Cursor> {
        let spell = match answer {
            Answer::Watched(watched) => return self.on_granted(context, from, watched),
            Answer::Refused(Reason::Busy) => BUSY_FOR,
            _ => REFUSED_FOR,
        };
        self.avoid(context, from, spell);
        None
    }

    fn on_granted(
        &mut self,
        context: &Context<'_>,
        from: &NodeKey,
        watched: Watched,
    ) -> Option<Cursor> {
        let now = context.now.moment;
        let others = self.leases.iter();
        let others = others.filter(|(key, lease)| *key != from && lease.is_held);
        let turn = u32::try_from(others.count() % WANTED).unwrap_or(0);
        let lease = self.leases.get_mut(from)?;
        let is_first = !lease.is_held;
        lease.is_held = true;
        lease.is_asked = false;
        lease.renew_at = now + RENEW_EVERY;
        if is_first {
            // From then on they stay apart.
            lease.renew_at = lease.renew_at - RENEW_EVERY * turn / 3;
        }
        lease.heard_at = now;
        lease.doubted_at = None;
        lease.is_live.then_some(watched.cursor)
    }

    /// A node did not answer a question, for a lease or for what is missing.
    pub(super) fn on_failed(
        &mut self,
        context: &mut Context<'_>,
        from: &NodeKey,
        failure: &RequestFailure,
    ) {
        let now = context.now.moment;
        let lease = self.leases.get_mut(from);
        let held = lease.filter(|lease| lease.is_held);
        let pause = match failure {
            RequestFailure::Busy { retry_after } => Some(*retry_after),
            RequestFailure::Overloaded => Some(Duration::ZERO),
            _ => None,
        };
        match (pause, held) {
            (Some(pause), Some(lease)) => {
                lease.is_asked = false;
                lease.pinged_at = None;
                // However long it wants to be left alone: its lease would run out.
                lease.renew_at = now + pause.clamp(Duration::from_secs(1), BUSY_FOR);
            }
            (Some(_), None) => self.avoid(context, from, BUSY_FOR),
            (None, held) => {
                let was_held = held.is_some();
                self.avoid(context, from, SILENT_FOR);
                // What took one of them may have taken the others.
                for lease in self.leases.values_mut().filter(|_| was_held) {
                    if lease.is_held && now.since(lease.heard_at) >= SHORTEST {
                        lease.doubted_at = Some(now);
                    }
                }
            }
        }
    }

    /// A holder pushed a batch, in which something was new or not. The others are to push what is
    /// new soon too.
    pub(super) fn on_pushed(&mut self, from: &NodeKey, is_new: bool, now: Moment) {
        if is_new {
            self.silence.on_pushed(now);
        }
        for (key, lease) in &mut self.leases {
            if key == from {
                lease.heard_at = now;
                lease.doubted_at = None;
            } else if is_new && lease.is_held && now.since(lease.heard_at) >= TRUSTED_FOR {
                lease.doubted_at.get_or_insert(now + DOUBT_AFTER);
            }
        }
    }

    /// A holder lied: it has no lease any more.
    pub(super) fn on_lie(&mut self, context: &mut Context<'_>, from: &NodeKey) {
        self.avoid(context, from, REFUSED_FOR);
    }

    /// Whom to ask for what is missing, other than this node: holders first, then others nearby.
    pub(super) fn others(&self) -> Vec<Contact> {
        let is_held = |candidate: &&Candidate| {
            let lease = self.leases.get(&candidate.key);
            lease.is_some_and(|lease| lease.is_held)
        };
        let held = self.usable().filter(is_held);
        let others = self.usable().filter(|candidate| !is_held(candidate));
        held.chain(others)
            .filter_map(|candidate| candidate.contact.clone())
            .collect()
    }

    /// Where a holder is reached; none when it is this node.
    pub(super) fn contact(&self, key: &NodeKey) -> Option<Contact> {
        self.leases.get(key)?.candidate.contact.clone()
    }

    /// The holders, this node left out.
    pub(super) fn held(&self) -> impl Iterator<Item = NodeKey> {
        let held = self.leases.iter().filter(|(_, lease)| lease.is_held);
        let others = held.filter(|(_, lease)| lease.candidate.contact.is_some());
        others.map(|(key, _)| *key)
    }

    pub(super) fn next_deadline(&self) -> Option<Moment> {
        let waiting = self.leases.values().filter(|lease| !lease.is_asked);
        let due = waiting.flat_map(|lease| [Some(lease.renew_at), lease.doubted_at]);
        let has_others = self.held().next().is_some();
        let ask_at = has_others.then_some(self.silence.ask_at());
        due.flatten()
            .chain(self.avoided.values().map(|(until, _)| *until))
            .chain(ask_at)
            .min()
    }

    /// Ends every lease.
    pub(super) fn end(&mut self, core: &mut Core, operation: OperationId) {
        for key in self.leases.keys().copied().collect::<Vec<_>>() {
            self.give_up(core, operation, &key);
        }
    }

    fn avoid(&mut self, context: &mut Context<'_>, key: &NodeKey, spell: Duration) {
        self.leases.remove(key);
        let until = context.now.moment + spell;
        self.avoided.insert(*key, (until, spell == SILENT_FOR));
        let (operation, slot) = (context.operation, &self.slot);
        context.core.subscriptions.release(slot, operation, key);
    }

    /// Ends a lease that is not needed any more, and says so, unless another subscription of this
    /// node needs it.
    fn give_up(&mut self, core: &mut Core, operation: OperationId, key: &NodeKey) {
        let Some(lease) = self.leases.remove(key) else {
            return;
        };
        let slot = self.slot;
        if !core.subscriptions.release(&slot, operation, key) {
            return;
        }
        let Some(contact) = lease.candidate.contact else {
            return core.watchers.end(&(slot, *key));
        };
        let WatchSlot { slot, kind } = slot;
        let request = Request::Unwatch(Unwatch { slot, kind });
        core.send(None, Purpose::Unwatch, &contact, &request);
    }
}

/// How much a watcher prefers a holder.
fn rank(slot: &Key, watcher: &NodeId, holder: &NodeId) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for part in [slot, watcher.key(), holder.key()] {
        hasher.update(part.as_bytes());
    }
    hasher.finalize().into()
}
