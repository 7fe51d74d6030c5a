//! Nodes that do not keep to the rules, one behaviour a file.
//!
//! What must stay true: beneath each of them runs a real engine, which joins, pings and stands in the
//! tables of others like any other; the behaviour only takes requests out of its hands. What it says
//! is encoded as every answer is, so that it fails, if it does, where a true attacker would.

mod collude;
mod drop;
mod lie;
mod replay;

use std::fmt;

use bytes::Bytes;
use qadom_engine::Inbound;
use qadom_routing::{Contact, Key, NodeId};
use qadom_wire::{Answer, Request, StoreResult};

use super::super::Network;
use super::OwnKey;
use crate::lean::Lean;
use crate::node::NodeIndex;

use collude::Collude;
use drop::Drop;
use lie::Lie;
use replay::Replay;

/// Keys that are tried to find one that stands near a point; 2^24 take some seconds.
const GRINDING_MOST: u32 = 1 << 24;

/// What a node does instead of what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adversary {
    /// Names to everybody the same colluders, those nearest to what is looked for, holds back what it
    /// has and only pretends to store.
    SameNames,
    /// The same, but each names others of the colluders near to what is looked for, so that a lookup
    /// never comes to an end of them.
    DifferentNames,
    /// Answers pings alone.
    Drop,
    /// Gives out values that are not those of their keys, and nonsense for signed records.
    Lie,
    /// Gives out the first version that it saw of every record, for ever, and pretends to store the
    /// later ones.
    Replay,
}

/// What an adversary does with requests.
pub(crate) trait Behaviour: fmt::Debug {
    /// What becomes of a request that reached the node.
    fn on_request(&mut self, request: &Request, colluders: &Colluders<'_>) -> Reaction;
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Reaction {
    /// The engine answers.
    Honest,
    /// Nobody answers.
    Silence,
    /// This goes back.
    Answer(Box<Answer>),
    /// These bytes go back.
    Bytes(Bytes),
}

/// The other adversaries, as one of them sees them.
pub(crate) struct Colluders<'a> {
    pub(crate) own: &'a NodeId,
    all: &'a [Contact],
    /// The population that they belong to, in place of the list.
    lean: Option<&'a Lean>,
}

impl Colluders<'_> {
    /// Those nearest to a point, nearest first, the asked one left out.
    pub(crate) fn nearest(&self, target: &Key, count: usize) -> Vec<Contact> {
        if let Some(lean) = self.lean {
            let is_colluder = |number| lean.adversary(number).is_some();
            let nearest = lean.nearest(target, count, is_colluder);
            return nearest
                .into_iter()
                .map(|number| lean.contact(number))
                .collect();
        }
        let others = self.all.iter().filter(|other| other.id() != self.own);
        let nearest = qadom_routing::closest(others, target, count);
        nearest.into_iter().cloned().collect()
    }
}

impl Adversary {
    pub(crate) fn behaviour(self) -> Box<dyn Behaviour> {
        match self {
            Self::SameNames => Box::new(Collude { is_varied: false }),
            Self::DifferentNames => Box::new(Collude { is_varied: true }),
            Self::Drop => Box::new(Drop),
            Self::Lie => Box::new(Lie),
            Self::Replay => Box::new(Replay::default()),
        }
    }
}

/// Says that everything was stored.
fn pretend(request: &Request) -> Option<Answer> {
    let Request::Store(store) = request else {
        return None;
    };
    let stored = StoreResult::Stored {
        committed: true,
        conflict: false,
    };
    Some(Answer::Stored(vec![stored; store.items.len()]))
}

impl Network {
    /// Adds a node that behaves so; let it [`join`](Self::join) like any other. It does not count
    /// among the members, so that no operation of [`random_node`](Self::random_node) begins there.
    pub fn add_adversary(&mut self, kind: Adversary) -> NodeIndex {
        let key = self.draw_key();
        self.add_adversary_with(kind, key)
    }

    /// Adds a node that behaves so and has ground its key until its id shares at least `bits` leading
    /// bits with a point, 24 at the most.
    pub fn add_adversary_near(&mut self, kind: Adversary, point: &Key, bits: u32) -> NodeIndex {
        let key = self.grind(point, bits.min(24));
        self.add_adversary_with(kind, key)
    }

    /// How many adversaries live.
    pub fn adversaries(&self) -> usize {
        self.colluders.len()
    }

    fn add_adversary_with(&mut self, kind: Adversary, key: OwnKey) -> NodeIndex {
        let node = self.add_of_key(key);
        self.leave_members(node);
        if let Some(owner) = self.nodes.get_mut(node.as_usize()) {
            owner.behaviour = Some(kind.behaviour());
        }
        self.colluders.extend(self.contact(node));
        node
    }

    /// Draws keys until one stands near a point; the nearest one tried when none does.
    fn grind(&mut self, point: &Key, bits: u32) -> OwnKey {
        let mut best = self.draw_key();
        let shared = |(key, _): &OwnKey| key.id().key().distance(point).shared_bits();
        for _ in 0..GRINDING_MOST {
            if shared(&best) >= bits {
                break;
            }
            let drawn = self.draw_key();
            if shared(&drawn) > shared(&best) {
                best = drawn;
            }
        }
        best
    }

    /// Lets the behaviour of an adversary decide about a request; false when the engine shall answer.
    pub(in crate::network) fn misbehave(&mut self, node: NodeIndex, inbound: &Inbound) -> bool {
        let Some(owner) = self.nodes.get_mut(node.as_usize()) else {
            return false;
        };
        let Some(behaviour) = owner.behaviour.as_mut() else {
            return false;
        };
        let Ok(request) = Request::decode(inbound.body.clone()) else {
            return false;
        };
        let colluders = Colluders {
            own: &owner.id,
            all: &self.colluders,
            lean: self.lean.as_deref(),
        };
        let body = match behaviour.on_request(&request, &colluders) {
            Reaction::Honest => return false,
            Reaction::Silence => return true,
            Reaction::Answer(answer) => answer.encode_within(inbound.answer_max).ok(),
            Reaction::Bytes(bytes) => Some(bytes),
        };
        if let Some(body) = body {
            self.answer(node, inbound.id, body);
        }
        true
    }
}
