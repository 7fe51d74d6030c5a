//! What nodes say of themselves: taking in the hellos of peers, with the addresses they advertise,
//! and telling peers when the own hello has changed.
//!
//! What must stay true: an advertised address enters the table only once the node has answered
//! there under its key, and nobody makes this node call more than one address of each family in ten
//! minutes; the contacts of the table are told one after the other, not all at once.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use qadom_routing::{Contact, Moment, NodeId, NodeKey, canonical};
use qadom_wire::{Hello, Ping, Reason, Request};

use crate::addresses::{Addresses, Voter, is_worth_trying};
use crate::config::Mode;
use crate::core::{Core, Purpose};
use crate::effect::Effect;
use crate::time::Time;

/// The time between two contacts that are told of a changed hello.
const TELL_EVERY: Duration = Duration::from_millis(50);
/// For how long an advertised address that was tried is not tried again.
const CHECK_EVERY: Duration = Duration::from_mins(10);
/// Advertised addresses that are remembered as tried.
const CHECKS: usize = 256;

/// The own hello, and what is under way about it and about those of others.
#[derive(Debug, Default)]
pub(crate) struct Hellos {
    own: Hello,
    /// Contacts that do not know the own hello yet.
    telling: VecDeque<NodeId>,
    tell_at: Moment,
    /// When a peer's advertised address was tried.
    checked: BTreeMap<(NodeKey, bool), Moment>,
    /// Who was confirmed last; its vote follows at once.
    confirmed: Option<(NodeKey, SocketAddr)>,
}

impl Hellos {
    /// When the next contact is to be told.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        (!self.telling.is_empty()).then_some(self.tell_at)
    }
}

impl Core {
    /// What this node says of itself now.
    pub(crate) fn hello(&self) -> Hello {
        let Addresses { v4, v6 } = self.addresses.told();
        Hello {
            storing: self.is_storing(),
            v4,
            v6,
        }
    }

    /// Notes the first hello, which the driver gives to the transport itself.
    pub(crate) fn begin_hello(&mut self) {
        self.hellos.own = self.hello();
    }

    /// Tells the transport and, one by one, the contacts of the table, if the hello has changed.
    pub(crate) fn renew_hello(&mut self, now: Time) {
        let hello = self.hello();
        if hello == self.hellos.own {
            return;
        }
        if Addresses::of(&hello) != Addresses::of(&self.hellos.own) {
            self.self_test.on_new_address(now, &mut self.rng);
        }
        self.hellos.own = hello;
        self.emit(Effect::Hello(hello));
        let nearest = self.table.closest(self.own.key(), usize::MAX);
        self.hellos.telling = nearest.into_iter().map(|contact| *contact.id()).collect();
        self.hellos.tell_at = now.moment;
    }

    /// Changes what this node does for others, and says so.
    pub(crate) fn change_mode(&mut self, now: Time, mode: Mode) {
        if self.config.mode == Mode::Storing && mode == Mode::Client {
            self.leave(None, now.moment);
        } else if mode == Mode::Storing {
            self.leaving = None;
        }
        self.config.mode = mode;
        self.renew_hello(now);
    }

    /// Tells the next contact that is to be told, when its time has come.
    pub(crate) fn tell_hello(&mut self, now: Time) {
        if now.moment < self.hellos.tell_at {
            return;
        }
        let Some(next) = self.hellos.telling.pop_front() else {
            self.hellos.telling = VecDeque::new();
            return;
        };
        self.hellos.tell_at = now.moment + TELL_EVERY;
        // Who has left the table meanwhile need not be told.
        if let Some(contact) = self.table.contact(&next).cloned() {
            let hello = Some(self.hellos.own);
            let ping = Request::Ping(Ping { hello });
            self.send(None, Purpose::Hello, &contact, &ping);
        }
    }

    /// Takes in what a peer says of itself over a session whose packets come from `address`.
    pub(crate) fn on_hello(&mut self, now: Time, key: NodeKey, address: SocketAddr, hello: &Hello) {
        let address = canonical(address);
        self.hellos.confirmed = Some((key, address));
        if !hello.storing {
            return self.forget(&key.id());
        }
        let told = Addresses::of(hello);
        let known = self.table.contact(&key.id());
        let mut reached = known.map(Addresses::of_contact).unwrap_or_default();
        // What the node advertises and has proven stays, wherever its packets come from.
        let is_proven =
            reached.like(address).is_some() && reached.like(address) == told.like(address);
        if !is_proven {
            reached.set(address);
        }
        let Some(contact) = Contact::new(key, reached.v4, reached.v6, true) else {
            return;
        };
        self.admit(contact, now);
        if self.table.contact(&key.id()).is_some() {
            for named in told
                .each()
                .filter(|&named| reached.like(named) != Some(named))
            {
                self.check(now, key, named, address);
            }
        }
    }

    /// Calls a peer at an address that it advertises.
    fn check(&mut self, now: Time, key: NodeKey, named: SocketAddr, from: SocketAddr) {
        let families = self.config.families;
        let contact = Contact::at(key, named, true);
        if contact.address(families).is_none() || !is_worth_trying(named, from, self.config.local) {
            return;
        }
        let checked = &mut self.hellos.checked;
        checked.retain(|_, at| now.moment.since(*at) < CHECK_EVERY);
        let place = (key, named.is_ipv4());
        if checked.contains_key(&place) {
            return;
        }
        if checked.len() >= CHECKS {
            return self.drops.count(Reason::RateLimited);
        }
        checked.insert(place, now.moment);
        self.probe(Purpose::Check, contact);
    }

    /// A peer answered at an address that it advertises: the address takes its place.
    pub(crate) fn on_checked(&mut self, now: Time, contact: &Contact) {
        let Some(known) = self.table.contact(contact.id()) else {
            return;
        };
        let reached = Addresses::of_contact(contact).or(Addresses::of_contact(known));
        if let Some(contact) = Contact::new(*contact.key(), reached.v4, reached.v6, true) {
            self.admit(contact, now);
        }
    }

    /// Counts the address that a peer sees this node at.
    pub(crate) fn on_observed(&mut self, now: Time, key: &NodeKey, observed: SocketAddr) {
        let confirmed = self.hellos.confirmed.filter(|(peer, _)| peer == key);
        let families = self.config.families;
        let known = || self.table.contact(&key.id())?.address(families);
        let Some(address) = confirmed.map(|(_, address)| address).or_else(known) else {
            return;
        };
        if self.table.contact(&key.id()).is_some() {
            self.seen_at.insert(key.id(), observed);
        }
        let voter = Voter::new(*key, address, self.config.local);
        self.addresses.vote(voter, observed);
        self.renew_hello(now);
    }
}
