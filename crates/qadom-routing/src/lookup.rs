//! The iterative lookup of the Kademlia paper (section 2.3).
//!
//! The algorithm is one ordered map: every node heard of, by its distance to the target. A step
//! reads the map from the near end. The nodes that answered or are being asked are counted until
//! there are k of them; the first node before that point that nobody has asked yet is asked next;
//! when there is none and nothing is awaited, the k nearest live nodes have answered and the
//! lookup is done.
//!
//! What must stay true: at most alpha nodes are in [`State::Asked`], no node is asked twice, the
//! own id is never in the map, and everything has a bound: requests by
//! [`LookupConfig::max_queries`], the map by that plus four times k, the trace by four steps a
//! request. What a request is, and when it counts as slow or failed, is the caller's business.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::vec::Vec;

use crate::config::LookupConfig;
use crate::contact::{Contact, NodeId};
use crate::distance::Distance;
use crate::key::Key;
use crate::moment::Moment;

/// A lookup under way: four verbs, `next`, `on_answer`, `on_slow` and `on_failure`.
///
/// # Examples
///
/// ```
/// use qadom_routing::{Contact, Key, Lookup, LookupConfig, Moment, Next, NodeKey, Noted};
///
/// let contact = |byte| {
///     let key = NodeKey::new([byte; 32])?;
///     Ok::<_, qadom_routing::NodeKeyError>(Contact::at(key, ([192, 0, 2, byte], 4001).into(), true))
/// };
/// let (own, seed, other) = (contact(2)?, contact(3)?, contact(4)?);
/// let now = Moment::ORIGIN;
/// let config = LookupConfig::default();
/// let mut lookup = Lookup::new(*own.id(), Key::ZERO, config, [seed.clone()], now);
///
/// assert_eq!(lookup.next(now), Next::Ask(seed.clone()));
/// assert_eq!(lookup.next(now), Next::Waiting);
/// assert_eq!(lookup.on_answer(seed.id(), [other.clone(), own], now), Noted::Accepted);
/// assert_eq!(lookup.next(now), Next::Ask(other.clone()));
/// assert_eq!(lookup.on_failure(other.id(), now), Noted::Accepted);
/// assert_eq!(lookup.next(now), Next::Done);
/// assert_eq!(lookup.into_closest(), [seed]);
/// # Ok::<(), qadom_routing::NodeKeyError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Lookup {
    own: NodeId,
    target: Key,
    config: LookupConfig,
    candidates: BTreeMap<Distance, Candidate>,
    trace: Vec<Step>,
    /// The latest moment that an input told.
    now: Moment,
    queries: u32,
    is_finished: bool,
}

/// What to do next for a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send a request to this node, then ask again what is next. The node occupies a slot until it
    /// answers, is slow or fails.
    Ask(Contact),
    /// Nothing until a node that was asked answers, is slow or fails: all slots are taken, or the
    /// nodes that matter are all asked.
    Waiting,
    /// The lookup is over, for good: the k nearest live nodes answered, nobody is left to ask, or
    /// it was finished. Answers that come later change nothing.
    Done,
}

/// What became of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// The node was being asked within its slot; the input counts.
    Accepted,
    /// The node was slow or had failed; the input counts all the same.
    Late,
    /// Nothing changed: the node was never asked, nothing more was awaited from it, or the lookup
    /// is over.
    Unknown,
}

/// One event of a lookup's trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When it happened.
    pub at: Moment,
    /// The node it happened with.
    pub contact: Contact,
    /// The depth of that node: 1 for those that the lookup began with, n + 1 for those first named
    /// by a node of depth n.
    pub hop: u32,
    /// Leading bits that the node's id shares with the target, 0 to 256.
    pub shared_bits: u32,
    /// What happened.
    pub event: StepEvent,
}

/// What happened with a node of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepEvent {
    /// A request goes to it.
    Asked,
    /// Its answer came.
    Answered {
        /// Contacts in the answer.
        contacts: usize,
        /// Those of them that are nearer to the target than any node known before.
        nearer: usize,
    },
    /// It takes longer than usual; its slot is free again.
    Slow,
    /// It will not answer.
    Failed,
}

/// A node that the lookup has heard of.
#[derive(Clone, Debug)]
struct Candidate {
    contact: Contact,
    hop: u32,
    state: State,
}

/// Where a candidate stands. `Heard` → `Asked` → `Answered`, with `Slow` and `Failed` on the way
/// or as the end; nothing leads back to `Heard` and nothing leads out of `Answered`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Somebody named it; no request was sent. The only state in which it may be dropped, the
    /// farthest first, when the map is full.
    Heard,
    /// A request is under way and occupies one of the alpha slots. It is taken for live: the
    /// lookup does not end before it has been decided, and asks nobody in its stead.
    Asked,
    /// A request is under way and occupies no slot. It is taken for dead: others are asked in its
    /// stead, and k nodes that answered end the lookup without it. With fewer, it is waited for.
    Slow,
    /// The request failed. It is taken for dead and not waited for; a late answer still counts.
    Failed,
    /// It answered, whatever had happened before.
    Answered,
}

impl Lookup {
    /// Begins a lookup for `target` with the nodes that are known already.
    pub fn new(
        own: NodeId,
        target: Key,
        config: LookupConfig,
        seeds: impl IntoIterator<Item = Contact>,
        now: Moment,
    ) -> Self {
        let mut lookup = Self {
            own,
            target,
            config: LookupConfig {
                k: config.k.max(1),
                alpha: config.alpha.max(1),
                ..config
            },
            candidates: BTreeMap::new(),
            trace: Vec::new(),
            now,
            queries: 0,
            is_finished: false,
        };
        for seed in seeds {
            lookup.hear_of(seed, 1);
        }
        lookup
    }

    /// The key that is looked for.
    pub const fn target(&self) -> &Key {
        &self.target
    }

    /// Says what to do next. To be called until it no longer says [`Next::Ask`], at the start and
    /// after every input.
    pub fn next(&mut self, now: Moment) -> Next {
        self.now = now;
        let Some(distance) = self.undecided() else {
            self.is_finished = true;
            return Next::Done;
        };
        let is_slot_free = self.count(State::Asked) < self.config.alpha;
        match self.candidates.get_mut(&distance) {
            Some(candidate) if candidate.state == State::Heard && is_slot_free => {
                candidate.state = State::Asked;
                let contact = candidate.contact.clone();
                self.queries += 1;
                self.record(distance, StepEvent::Asked);
                Next::Ask(contact)
            }
            _ => Next::Waiting,
        }
    }

    /// Takes an answer in, with the contacts that it names. Those that cannot be reached are
    /// skipped, and so are the own one and those known already.
    pub fn on_answer(
        &mut self,
        from: &NodeId,
        contacts: impl IntoIterator<Item = Contact>,
        now: Moment,
    ) -> Noted {
        self.now = now;
        let distance = self.distance(from);
        let noted = self.turn(distance, State::Answered);
        if noted == Noted::Unknown {
            return noted;
        }
        let hop = self.hops_of(from).unwrap_or(0) + 1;
        let nearest = self.candidates.keys().next().copied();
        let (mut named, mut nearer) = (0, 0);
        for contact in contacts {
            named += 1;
            let added = self.hear_of(contact, hop);
            nearer += usize::from(added.is_some() && added < nearest);
        }
        let contacts = named;
        self.record(distance, StepEvent::Answered { contacts, nearer });
        noted
    }

    /// Frees the slot of a node that takes longer than usual. Its answer still counts.
    pub fn on_slow(&mut self, from: &NodeId, now: Moment) -> Noted {
        self.now = now;
        let distance = self.distance(from);
        let noted = self.turn(distance, State::Slow);
        if noted != Noted::Unknown {
            self.record(distance, StepEvent::Slow);
        }
        noted
    }

    /// Gives a node up whose request failed. Should an answer come all the same, it counts.
    pub fn on_failure(&mut self, from: &NodeId, now: Moment) -> Noted {
        self.now = now;
        let distance = self.distance(from);
        let noted = self.turn(distance, State::Failed);
        if noted != Noted::Unknown {
            self.record(distance, StepEvent::Failed);
        }
        noted
    }

    /// Ends the lookup before its time, since what it was for is reached.
    pub const fn finish(&mut self) {
        self.is_finished = true;
    }

    /// The nodes that answered, nearest first. While the lookup runs, there may be more than k.
    pub fn answered(&self) -> impl Iterator<Item = &Contact> {
        self.in_state(State::Answered)
            .map(|candidate| &candidate.contact)
    }

    /// The depth of the nearest node that answered, 0 when none did: how many requests one after
    /// the other led there.
    pub fn hops(&self) -> u32 {
        self.in_state(State::Answered)
            .next()
            .map_or(0, |candidate| candidate.hop)
    }

    /// The depth of a node that the lookup has heard of, see [`Step::hop`].
    pub fn hops_of(&self, id: &NodeId) -> Option<u32> {
        let candidate = self.candidates.get(&self.distance(id))?;
        Some(candidate.hop)
    }

    /// Requests so far.
    pub const fn queries(&self) -> u32 {
        self.queries
    }

    /// Everything that happened, in order.
    pub fn trace(&self) -> &[Step] {
        &self.trace
    }

    /// Ends the lookup with up to k nodes that answered, nearest first.
    pub fn into_closest(self) -> Vec<Contact> {
        self.candidates
            .into_values()
            .filter(|candidate| candidate.state == State::Answered)
            .map(|candidate| candidate.contact)
            .take(self.config.k)
            .collect()
    }

    /// The node that the lookup cannot end without: the nearest one to ask or, when there is none
    /// to ask, the nearest one to wait for. None when the lookup is over.
    fn undecided(&self) -> Option<Distance> {
        if self.is_finished {
            return None;
        }
        let is_spent =
            usize::try_from(self.queries).is_ok_and(|sent| sent >= self.config.max_queries);
        let mut live = 0;
        let (mut asked, mut slow) = (None, None);
        for (distance, candidate) in &self.candidates {
            match candidate.state {
                State::Heard if is_spent => {}
                State::Heard => return Some(*distance),
                State::Asked => {
                    live += 1;
                    asked = Some(*distance);
                }
                State::Slow => slow = Some(*distance),
                State::Failed => {}
                State::Answered => live += 1,
            }
            if live == self.config.k {
                return asked;
            }
        }
        asked.or(slow)
    }

    fn distance(&self, id: &NodeId) -> Distance {
        id.key().distance(&self.target)
    }

    fn in_state(&self, state: State) -> impl Iterator<Item = &Candidate> {
        self.candidates
            .values()
            .filter(move |candidate| candidate.state == state)
    }

    fn count(&self, state: State) -> usize {
        self.in_state(state).count()
    }

    /// Moves an asked candidate on, if the step from its state to the new one exists.
    fn turn(&mut self, distance: Distance, to: State) -> Noted {
        if self.is_finished {
            return Noted::Unknown;
        }
        let Some(candidate) = self.candidates.get_mut(&distance) else {
            return Noted::Unknown;
        };
        let noted = match (candidate.state, to) {
            (State::Asked, _) => Noted::Accepted,
            (State::Slow, State::Failed | State::Answered) | (State::Failed, State::Answered) => {
                Noted::Late
            }
            _ => return Noted::Unknown,
        };
        candidate.state = to;
        noted
    }

    /// Adds a candidate and gives its distance; none when it is known, unreachable, a client, the
    /// own node or too far to be kept.
    fn hear_of(&mut self, contact: Contact, hop: u32) -> Option<Distance> {
        let is_reachable = contact.address(self.config.families).is_some();
        if contact.id() == &self.own || !is_reachable || !contact.is_storing() {
            return None;
        }
        let distance = self.distance(contact.id());
        let Entry::Vacant(place) = self.candidates.entry(distance) else {
            return None;
        };
        place.insert(Candidate {
            contact,
            hop,
            state: State::Heard,
        });
        let room = self.config.k.saturating_mul(4);
        let is_over = self.candidates.len() > room.saturating_add(self.config.max_queries);
        let is_kept = !is_over || self.drop_farthest() != Some(distance);
        is_kept.then_some(distance)
    }

    /// Drops the farthest candidate that was not asked. There is one whenever the map is over its
    /// limit, since fewer than that can be asked.
    fn drop_farthest(&mut self) -> Option<Distance> {
        let mut from_far = self.candidates.iter().rev();
        let (farthest, _) = from_far.find(|(_, candidate)| candidate.state == State::Heard)?;
        let farthest = *farthest;
        self.candidates.remove(&farthest);
        Some(farthest)
    }

    fn record(&mut self, distance: Distance, event: StepEvent) {
        if let Some(candidate) = self.candidates.get(&distance) {
            self.trace.push(Step {
                at: self.now,
                contact: candidate.contact.clone(),
                hop: candidate.hop,
                shared_bits: distance.shared_bits(),
                event,
            });
        }
    }
}

#[cfg(test)]
mod tests;
