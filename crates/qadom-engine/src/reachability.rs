//! Whether others reach this node, found out through a third one, and the mode that follows.
//!
//! What must stay true: only two different peers that agree, one after the other, make a node a
//! client, only a node that was asked to store and whose mode was not fixed, and the first success
//! makes it storing again. A test that says nothing changes nothing.
//!
//! Not here: how others' tests are served (`dial_back`). Not done: a node that becomes a client
//! keeps what it holds and goes on replicating it, but hands nothing over.

use std::net::SocketAddr;
use std::time::Duration;

use qadom_routing::{Contact, Moment, is_exempt};
use qadom_wire::{Answer, DialBack, Request};
use rand_core::Rng;

use crate::addresses::{Group, Voter};
use crate::config::{Config, Mode};
use crate::core::{Core, Purpose};
use crate::effect::RequestId;
use crate::time::{Time, jittered};

/// When the first test is made, and one after the address has changed.
const FIRST_AFTER: Duration = Duration::from_secs(30);
const CHANGED_AFTER: Duration = Duration::from_secs(5);
/// When a test that said nothing is made again, doubling; and one that found a node unreachable
/// for the first time. No peer serves more than one test in a minute.
const AGAIN_AFTER: Duration = Duration::from_secs(70);
/// Peers below which nothing can be said.
const PEERS: usize = 3;

/// Whether others reach this node.
///
/// # Examples
///
/// ```
/// use qadom_engine::Reachability;
///
#[doc = include_str!("examples/alone.txt")]
/// // Nobody is there who could tell.
/// assert_eq!(engine.status().reachability, Reachability::Unknown);
/// assert_eq!(Reachability::Reachable.as_str(), "reachable");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reachability {
    /// No test has told yet, since the start or since the address changed, or fewer than three
    /// peers are known.
    #[default]
    Unknown,
    /// A node that this one had not called reached it.
    Reachable,
    /// A node that this one had not called did not reach it.
    Unreachable,
}

impl Reachability {
    /// The word that users and scripts see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Reachable => "reachable",
            Self::Unreachable => "unreachable",
        }
    }
}

/// The self-test of a node.
#[derive(Debug)]
pub(crate) struct SelfTest {
    /// What the last test said.
    pub(crate) found: Reachability,
    /// When it said so.
    pub(crate) found_at: Option<Moment>,
    /// The mode that the node was asked to have.
    asked: Mode,
    /// Through whom this node was last found unreachable, since it was last found reachable.
    doubter: Option<(Contact, SocketAddr)>,
    under_way: Option<RequestId>,
    test_at: Moment,
    /// Tests in a row that said nothing.
    silent: u32,
}

impl SelfTest {
    pub(crate) fn new(config: &Config, rng: &mut impl Rng, now: Time) -> Self {
        Self {
            found: Reachability::Unknown,
            found_at: None,
            asked: config.mode,
            doubter: None,
            under_way: None,
            test_at: now.moment + jittered(FIRST_AFTER, rng),
            silent: 0,
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        self.under_way.is_none().then_some(self.test_at)
    }

    /// What was found about the old address says nothing about the new one.
    pub(crate) fn on_new_address(&mut self, now: Time, rng: &mut impl Rng) {
        self.found = Reachability::Unknown;
        self.found_at = None;
        self.doubter = None;
        self.under_way = None;
        self.silent = 0;
        let soon = now.moment + jittered(CHANGED_AFTER, rng);
        self.test_at = self.test_at.min(soon);
    }

    fn note(&mut self, found: Reachability, now: Time) {
        self.found = found;
        self.found_at = Some(now.moment);
    }
}

impl Core {
    /// Changes what the node was asked to do for others. From now on tests do not change it.
    pub(crate) fn fix_mode(&mut self, now: Time, mode: Mode) {
        self.config.mode_is_fixed = true;
        self.self_test.asked = mode;
        self.change_mode(now, mode);
    }

    /// Begins a test when one is due.
    pub(crate) fn test_reachability(&mut self, now: Time) {
        let is_due = |due: Moment| due <= now.moment;
        if !self.self_test.next_deadline().is_some_and(is_due) {
            return;
        }
        if self.table.len() < PEERS {
            self.self_test.note(Reachability::Unknown, now);
            return self.test_again(now);
        }
        let mut helpers: Vec<(Contact, SocketAddr)> = self
            .table
            .entries()
            .filter_map(|entry| Some((entry.contact.clone(), self.helped_by(entry.contact)?)))
            .collect();
        if helpers.is_empty() {
            return self.test_again(now);
        }
        let choice = self.rng.next_u64() % helpers.len() as u64;
        let (helper, address) = helpers.swap_remove(usize::try_from(choice).unwrap_or_default());
        let key = self.config.key;
        let request = Request::DialBack(DialBack { address, key });
        self.self_test.under_way = self.send(None, Purpose::SelfTest, &helper, &request);
        if self.self_test.under_way.is_none() {
            self.test_again(now);
        }
    }

    /// The address that a contact is to have tested; none when it is not to be asked.
    fn helped_by(&self, contact: &Contact) -> Option<SocketAddr> {
        let at = contact.address(self.config.families)?;
        if let Some((doubter, doubter_at)) = &self.self_test.doubter {
            let is_same_group =
                !is_exempt(at.ip(), self.config.local) && Group::of(*doubter_at) == Group::of(at);
            if doubter.id() == contact.id() || is_same_group {
                return None;
            }
        }
        let voter = Voter::new(*contact.key(), at, self.config.local);
        self.addresses.towards(voter, at)
    }

    /// Takes what a helper says; `None` when it did not answer.
    pub(crate) fn on_self_test(
        &mut self,
        now: Time,
        id: RequestId,
        helper: &Contact,
        answer: Option<&Answer>,
    ) {
        if self.self_test.under_way != Some(id) {
            return;
        }
        self.self_test.under_way = None;
        let Some(Answer::DialedBack { reached }) = answer else {
            return self.test_again(now);
        };
        let test = &mut self.self_test;
        test.silent = 0;
        let mut wait = self.config.test_every;
        if *reached {
            test.note(Reachability::Reachable, now);
            test.doubter = None;
        } else {
            test.note(Reachability::Unreachable, now);
            let at = helper.address(self.config.families);
            let is_first = test.doubter.is_none();
            test.doubter = at.map(|at| (helper.clone(), at));
            if is_first {
                wait = AGAIN_AFTER;
            } else if !self.config.mode_is_fixed {
                self.change_mode(now, Mode::Client);
            }
        }
        if *reached && !self.config.mode_is_fixed {
            self.change_mode(now, self.self_test.asked);
        }
        self.self_test.test_at = now.moment + jittered(wait, &mut self.rng);
    }

    /// Plans the test after one that said nothing.
    fn test_again(&mut self, now: Time) {
        let test = &mut self.self_test;
        let wait = AGAIN_AFTER.saturating_mul(1 << test.silent.min(8));
        test.silent = test.silent.saturating_add(1);
        let wait = wait.min(self.config.test_every);
        test.test_at = now.moment + jittered(wait, &mut self.rng);
    }
}
