//! Sybils that name only each other: the eclipse of a key.

use qadom_routing::{Contact, Key};
use qadom_wire::{Answer, Found, K, Request};

use super::{Behaviour, Colluders, Reaction, pretend};

/// Of how many of the nearest colluders each names some, when they vary.
const VARIED_AMONG: usize = 20 * K;

/// Leads every lookup to colluders, and holds everything back.
#[derive(Debug)]
pub(super) struct Collude {
    /// Whether each names others.
    pub(super) is_varied: bool,
}

impl Collude {
    fn names(&self, target: &Key, colluders: &Colluders<'_>) -> Vec<Contact> {
        if !self.is_varied {
            return colluders.nearest(target, K);
        }
        // A choice of its own for each adversary and target, the nearest of it first.
        let own = colluders.own.key();
        let mut near = colluders.nearest(target, VARIED_AMONG);
        let rank = |contact: &Contact| own.distance(&mixed(contact.id().key(), target));
        near.sort_unstable_by_key(rank);
        near.truncate(K);
        near.sort_unstable_by_key(|contact| contact.id().key().distance(target));
        near
    }
}

/// A point that depends on two others.
fn mixed(one: &Key, other: &Key) -> Key {
    let mut hasher = blake3::Hasher::new();
    hasher.update(one.as_bytes()).update(other.as_bytes());
    Key::from_bytes(hasher.finalize().into())
}

impl Behaviour for Collude {
    fn on_request(&mut self, request: &Request, colluders: &Colluders<'_>) -> Reaction {
        let answer = match request {
            Request::FindNode(find) => Answer::Contacts(self.names(&find.target, colluders)),
            Request::Find(find) => Answer::Found(Found {
                contacts: self.names(&find.slot, colluders),
                ..Found::default()
            }),
            _ => match pretend(request) {
                Some(answer) => answer,
                None => return Reaction::Honest,
            },
        };
        Reaction::Answer(Box::new(answer))
    }
}
