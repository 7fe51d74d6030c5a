//! The iterative lookup of the Kademlia paper (section 2.3), over one path or several that share
//! no node (S/Kademlia, section 4.4).
//!
//! The algorithm is one ordered map: every node heard of, by its distance to the target, with the
//! paths that heard of it. For a path a step reads the map from the near end. The nodes that
//! answered or are being asked are counted until there are k of them, and on to the reach that is
//! asked for; the first node before that point that nobody has asked yet is asked next; when there
//! is none and nothing is awaited, the path is over, and with the last path the lookup. Whom a node
//! names is heard of on the path alone that asked it.
//!
//! What must stay true: a path has at most its share of alpha nodes in [`State::Asked`], while
//! requests are slow up to twice that, and all that are left to ask, up to
//! [`LookupConfig::alpha_agreed`], once answers agree on who is nearest (`lookup/agreement.rs`); no node is asked twice; the own id is never in the map;
//! nodes that share addresses with nearer ones come after all others; and everything has a bound:
//! requests by [`LookupConfig::max_queries`] or by the budget of each path, the map by that plus
//! four times k, the trace by four steps a request. What a request is, and when it counts as slow
//! or failed, is the caller's business.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::vec::Vec;

use crate::config::{LookupConfig, PATHS_MAX, REACH_MAX};
use crate::contact::{Contact, NodeId};
use crate::distance::Distance;
use crate::diversity::{AddressGroups, GroupCount, GroupLimits};
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
    paths: [Path; PATHS_MAX],
    /// The path whose turn it is.
    turn: usize,
    /// Nodes that are taken for failed before anything was heard of them.
    excluded: Vec<Distance>,
    is_finished: bool,
}

/// What one path has under way.
#[derive(Clone, Copy, Debug, Default)]
struct Path {
    queries: usize,
    asked: usize,
    slow: usize,
    /// Whether the last answer named nearly those as the nearest that were known for it.
    is_agreed: bool,
}

/// What to do next for a lookup.
///
/// # Examples
///
/// ```
/// use qadom_routing::{Contact, Key, Lookup, LookupConfig, Moment, Next, NodeId, NodeKey};
///
/// let seed = Contact::at(NodeKey::new([9; 32])?, "192.0.2.1:7236".parse()?, true);
/// let (own, config) = (NodeId::from(Key::MAX), LookupConfig::default());
/// let mut lookup = Lookup::new(own, Key::ZERO, config, [seed], Moment::ORIGIN);
/// while let Next::Ask(contact) = lookup.next(Moment::ORIGIN) {
///     // A request goes to the contact here; this one answers that it knows nobody else.
///     lookup.on_answer(contact.id(), [], Moment::ORIGIN);
/// }
/// assert_eq!(lookup.answered().count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// # Examples
///
/// ```
/// use qadom_routing::{Contact, Key, Lookup, LookupConfig, Moment, NodeId, NodeKey, Noted};
///
/// let seed = Contact::at(NodeKey::new([9; 32])?, "192.0.2.1:7236".parse()?, true);
/// let (own, now) = (NodeId::from(Key::MAX), Moment::ORIGIN);
/// let mut lookup = Lookup::new(own, Key::ZERO, LookupConfig::default(), [seed.clone()], now);
/// assert_eq!(lookup.on_failure(seed.id(), now), Noted::Unknown);
/// lookup.next(now);
/// assert_eq!(lookup.on_slow(seed.id(), now), Noted::Accepted);
/// assert_eq!(lookup.on_answer(seed.id(), [], now), Noted::Late);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// # Examples
///
/// ```
/// use qadom_routing::{Contact, Key, Lookup, LookupConfig, Moment, NodeId, NodeKey, Step};
///
/// let seed = Contact::at(NodeKey::new([9; 32])?, "192.0.2.1:7236".parse()?, true);
/// let (own, now) = (NodeId::from(Key::MAX), Moment::ORIGIN);
/// let mut lookup = Lookup::new(own, Key::ZERO, LookupConfig::default(), [seed.clone()], now);
/// lookup.next(now);
/// let trace: &[Step] = lookup.trace();
/// assert_eq!((&trace[0].contact, trace[0].hop), (&seed, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// # Examples
///
/// ```
/// use qadom_routing::{Contact, Key, Lookup, LookupConfig, Moment, NodeId, NodeKey, StepEvent};
///
/// let seed = Contact::at(NodeKey::new([9; 32])?, "192.0.2.1:7236".parse()?, true);
/// let (own, now) = (NodeId::from(Key::MAX), Moment::ORIGIN);
/// let mut lookup = Lookup::new(own, Key::ZERO, LookupConfig::default(), [seed.clone()], now);
/// lookup.next(now);
/// lookup.on_answer(seed.id(), [], now);
/// let events: Vec<StepEvent> = lookup.trace().iter().map(|step| step.event).collect();
/// assert_eq!(events, [StepEvent::Asked, StepEvent::Answered { contacts: 0, nearer: 0 }]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    /// The paths that heard of it, a bit each.
    heard_on: u8,
    /// The path that asked it.
    asked_on: u8,
    /// None when no rule looks at its addresses.
    groups: Option<AddressGroups>,
}

/// Where a candidate stands. `Heard` → `Asked` → `Answered`, with `Slow` and `Failed` on the way
/// or as the end; nothing leads back to `Heard` and nothing leads out of `Answered`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Somebody named it; no request was sent. The only state in which it may be dropped, the
    /// farthest first, when the map is full.
    Heard,
    /// A request is under way and occupies one of the path's slots. It is taken for live: the
    /// lookup does not end before it has been decided, and asks nobody in its stead.
    Asked,
    /// A request is under way and occupies no slot. It is taken for dead: others are asked in its
    /// stead, and k nodes that answered end the lookup without it. With fewer, or by a patient
    /// lookup, it is waited for.
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
            config: config.checked(),
            candidates: BTreeMap::new(),
            trace: Vec::new(),
            now,
            paths: [Path::default(); PATHS_MAX],
            turn: 0,
            excluded: Vec::new(),
            is_finished: false,
        };
        for (place, seed) in seeds.into_iter().enumerate() {
            lookup.hear_of(seed, 1, place % lookup.config.paths);
        }
        lookup
    }

    /// Asks none of these nodes, since they have been asked before and did not have what is looked
    /// for. They do not count as found. To be called before the first [`next`](Self::next).
    pub fn exclude<'a>(&mut self, nodes: impl IntoIterator<Item = &'a NodeId>) {
        for node in nodes {
            let distance = self.distance(node);
            self.excluded.push(distance);
            if let Some(candidate) = self.candidates.get_mut(&distance) {
                candidate.state = State::Failed;
            }
        }
        self.excluded.sort_unstable();
    }

    /// Goes on with nodes that were heard of elsewhere, on every path, though the lookup may have
    /// said that it is done.
    pub fn widen(&mut self, contacts: impl IntoIterator<Item = Contact>) {
        if core::mem::take(&mut self.is_finished) {
            // Nobody who was still asked then was needed, and what came of it since was not noted: they
            // hold no slot any more, and a late answer counts.
            for candidate in self.candidates.values_mut() {
                if matches!(candidate.state, State::Asked | State::Slow) {
                    candidate.state = State::Failed;
                }
            }
            for path in &mut self.paths {
                (path.asked, path.slow) = (0, 0);
            }
        }
        for contact in contacts {
            for path in 0..self.config.paths {
                self.hear_of(contact.clone(), 1, path);
            }
        }
    }

    /// Until where nodes are all looked for, beside the k nearest.
    pub const fn reach(&self) -> Distance {
        self.config.reach
    }

    /// The key that is looked for.
    pub const fn target(&self) -> &Key {
        &self.target
    }

    /// Says what to do next. To be called until it no longer says [`Next::Ask`], at the start and
    /// after every input.
    pub fn next(&mut self, now: Moment) -> Next {
        self.now = now;
        let mut is_over = true;
        for _ in 0..self.config.paths {
            let path = self.turn;
            let Some(distance) = self.undecided(path) else {
                self.turn = (path + 1) % self.config.paths;
                continue;
            };
            is_over = false;
            self.turn = (path + 1) % self.config.paths;
            if let Some(contact) = self.ask(path, distance) {
                return Next::Ask(contact);
            }
        }
        if is_over {
            self.is_finished = true;
            return Next::Done;
        }
        Next::Waiting
    }

    /// Marks a node as asked, if it was not yet and the path has a slot for it.
    fn ask(&mut self, path: usize, distance: Distance) -> Option<Contact> {
        let share = self.config.alpha.div_ceil(self.config.paths);
        let under_way = self.paths.get_mut(path)?;
        let mut slots = share + under_way.slow.min(share);
        if under_way.is_agreed {
            slots = slots.max(self.config.alpha_agreed);
        }
        let candidate = self.candidates.get_mut(&distance)?;
        if candidate.state != State::Heard || under_way.asked >= slots {
            return None;
        }
        under_way.asked += 1;
        under_way.queries += 1;
        candidate.state = State::Asked;
        candidate.asked_on = u8::try_from(path).unwrap_or(0);
        let contact = candidate.contact.clone();
        self.record(distance, StepEvent::Asked);
        Some(contact)
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
        let asked = self.candidates.get(&distance);
        let (hop, path) = asked.map_or((1, 0), |asked| (asked.hop + 1, asked.asked_on));
        let contacts: Vec<Contact> = contacts.into_iter().collect();
        self.note_agreement(distance, &contacts, path.into());
        let nearest = self.candidates.keys().next().copied();
        let (mut named, mut nearer) = (0, 0);
        for contact in contacts {
            named += 1;
            let added = self.hear_of(contact, hop, path.into());
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
    pub fn queries(&self) -> u32 {
        let queries = self.paths.iter().map(|path| path.queries).sum::<usize>();
        u32::try_from(queries).unwrap_or(u32::MAX)
    }

    /// The nodes that answered, nearest first: the k nearest and all within the reach, up to
    /// [`REACH_MAX`].
    pub fn found(&self) -> impl Iterator<Item = &Contact> {
        let (k, reach) = (self.config.k, self.config.reach);
        let most = REACH_MAX.max(k);
        let answered = self.candidates.iter();
        let answered = answered.filter(|(_, candidate)| candidate.state == State::Answered);
        answered
            .enumerate()
            .take_while(move |(place, (distance, _))| {
                *place < k || (*place < most && **distance <= reach)
            })
            .map(|(_, (_, candidate))| &candidate.contact)
    }

    /// Whether the lookup would be over by now if it were not patient and wanted no more than the k
    /// nearest and those within the reach that are known: each of its paths has found them.
    pub fn has_found(&self) -> bool {
        (0..self.config.paths).all(|path| self.undecided_by(path, false).is_none())
    }

    /// Those of the nodes that answered which will be among the [`found`](Self::found) ones by all that
    /// is known so far, nearest first: they are within the reach, or the answers on every path have
    /// agreed on who is nearest and fewer than k others that may still answer are nearer.
    pub fn settled(&self) -> impl Iterator<Item = &Contact> {
        let (k, reach) = (self.config.k, self.config.reach);
        let mut paths = self.paths.iter().take(self.config.paths).enumerate();
        let is_agreed =
            paths.all(|(place, path)| path.is_agreed || self.undecided_by(place, false).is_none());
        let live = self.candidates.iter();
        live.filter(|(_, candidate)| candidate.state != State::Failed)
            .take(REACH_MAX.max(k))
            .enumerate()
            .take_while(move |(place, (distance, _))| {
                **distance <= reach || (is_agreed && *place < k)
            })
            .map(|(_, (_, candidate))| candidate)
            .filter(|candidate| candidate.state == State::Answered)
            .map(|candidate| &candidate.contact)
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

    /// The node that a path cannot end without: the nearest one to ask or, when there is none to
    /// ask, the nearest one to wait for. None when the path is over.
    fn undecided(&self, path: usize) -> Option<Distance> {
        self.undecided_by(path, self.config.is_patient)
    }

    fn undecided_by(&self, path: usize, is_patient: bool) -> Option<Distance> {
        if self.is_finished {
            return None;
        }
        let under_way = self.paths.get(path)?;
        let is_spent = under_way.queries >= self.config.path_budget();
        let (k, most) = (self.config.k, REACH_MAX.max(self.config.k));
        let mut live = 0;
        let mut near = GroupCount::new(GroupLimits::BUCKET);
        let (mut asked, mut slow, mut crowded) = (None, None, None);
        for (distance, candidate) in &self.candidates {
            if candidate.heard_on & (1 << path) == 0 {
                continue;
            }
            if live >= most || (live >= k && *distance > self.config.reach) {
                return asked;
            }
            match candidate.state {
                State::Heard if is_spent => {}
                State::Heard => match candidate.groups {
                    Some(groups) if !near.has_room(groups) => {
                        crowded.get_or_insert(*distance);
                    }
                    _ => return Some(*distance),
                },
                State::Asked => {
                    live += 1;
                    asked = Some(*distance);
                    candidate
                        .groups
                        .into_iter()
                        .for_each(|groups| near.take(groups));
                }
                State::Slow => {
                    slow = Some(*distance);
                    if is_patient {
                        asked = slow;
                    }
                }
                State::Failed => {}
                State::Answered => {
                    live += 1;
                    candidate
                        .groups
                        .into_iter()
                        .for_each(|groups| near.take(groups));
                }
            }
        }
        if live >= k {
            return asked;
        }
        crowded.or(asked).or(slow)
    }

    fn distance(&self, id: &NodeId) -> Distance {
        id.key().distance(&self.target)
    }

    fn in_state(&self, state: State) -> impl Iterator<Item = &Candidate> {
        self.candidates
            .values()
            .filter(move |candidate| candidate.state == state)
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
        let from = core::mem::replace(&mut candidate.state, to);
        if let Some(path) = self.paths.get_mut(usize::from(candidate.asked_on)) {
            match from {
                State::Asked => path.asked = path.asked.saturating_sub(1),
                State::Slow => path.slow = path.slow.saturating_sub(1),
                _ => {}
            }
            path.slow += usize::from(to == State::Slow);
        }
        noted
    }

    /// Adds a candidate on a path and gives its distance; none when it is known, unreachable, a
    /// client, the own node or too far to be kept.
    fn hear_of(&mut self, contact: Contact, hop: u32, path: usize) -> Option<Distance> {
        let is_reachable = contact.address(self.config.families).is_some();
        if contact.id() == &self.own || !is_reachable || !contact.is_storing() {
            return None;
        }
        let distance = self.distance(contact.id());
        let heard_on = 1_u8
            .checked_shl(u32::try_from(path).unwrap_or(0))
            .unwrap_or(1);
        let place = match self.candidates.entry(distance) {
            Entry::Vacant(place) => place,
            Entry::Occupied(mut known) => {
                known.get_mut().heard_on |= heard_on;
                return None;
            }
        };
        let is_excluded = self.excluded.binary_search(&distance).is_ok();
        place.insert(Candidate {
            groups: AddressGroups::of_contact(&contact, self.config.is_local),
            contact,
            hop,
            state: if is_excluded {
                State::Failed
            } else {
                State::Heard
            },
            heard_on,
            asked_on: 0,
        });
        let room = self.config.k.saturating_mul(4);
        let budget = self.config.path_budget().saturating_mul(self.config.paths);
        let is_over = self.candidates.len() > room.saturating_add(budget) + self.excluded.len();
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

mod agreement;
#[cfg(test)]
mod tests;
