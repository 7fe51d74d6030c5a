//! The nodes that a download knows: called, here, gone, or barred.
//!
//! What must stay true: a node has one stream at a time, and one that is barred gets none again.

use qadom_files::{PEERS_MAX, PeerId};
use qadom_routing::Contact;

use super::super::frame::Frame;
use super::super::peer::meet;
use super::{Attempt, Known, Standing};

impl Attempt<'_> {
    /// Opens a stream to a node unless there is one, or it is barred.
    pub(super) fn call(&mut self, contact: Contact) {
        let id = *contact.id();
        let is_new = self
            .known
            .get(&id)
            .is_none_or(|known| matches!(known.state, Standing::Gone | Standing::Busy));
        let is_full = self.peers.len() >= PEERS_MAX;
        if id == self.node.id() || !is_new || is_full {
            return;
        }
        self.next_peer += 1;
        let peer = PeerId(self.next_peer);
        self.peers.insert(peer, id);
        let meeting = meet(
            self.shared.clone(),
            self.node.clone(),
            contact.clone(),
            peer,
        );
        self.known.insert(
            id,
            Known {
                contact,
                state: Standing::Called,
            },
        );
        self.service.spawn(meeting);
    }

    /// Notes how a node stands; one that is gone loses its number, and its word counts no more.
    pub(super) fn stand(&mut self, peer: PeerId, state: Standing) {
        if self.servers.remove(&peer).is_some() {
            // A server is asked by this download or not at all.
            return;
        }
        let Some(id) = self.peers.get(&peer).copied() else {
            return;
        };
        if matches!(state, Standing::Gone | Standing::Busy | Standing::Barred) {
            self.peers.remove(&peer);
            self.sizing.remove(peer);
        }
        if let Some(known) = self.known.get_mut(&id) {
            tracing::trace!(node = %known.contact.id(), ?state, "a holder");
            known.state = state;
        }
    }

    /// Ends what there is with a node, for good.
    pub(super) fn bar(&mut self, peer: PeerId) {
        self.stand(peer, Standing::Barred);
    }

    pub(super) fn say(&mut self, peer: PeerId, frame: Frame) {
        let known = self.peers.get(&peer).and_then(|id| self.known.get(id));
        let node = known.and_then(|known| match &known.state {
            Standing::Here(say) => Some(say),
            _ => None,
        });
        let Some(say) = self.servers.get(&peer).or(node) else {
            return;
        };
        if say.try_send(frame).is_err() {
            // It does not take even questions.
            let now = self.service.now();
            if let Some(download) = &mut self.download {
                download.remove_peer(now, peer);
            }
            self.stand(peer, Standing::Gone);
        }
    }
}
