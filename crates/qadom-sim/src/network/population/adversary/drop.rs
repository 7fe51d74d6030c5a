//! Nodes that answer pings and nothing else, so that they stay in tables and serve nobody.

use qadom_wire::Request;

use super::{Behaviour, Colluders, Reaction};

/// Swallows every request but pings.
#[derive(Debug)]
pub(super) struct Drop;

impl Behaviour for Drop {
    fn on_request(&mut self, request: &Request, _: &Colluders<'_>) -> Reaction {
        match request {
            Request::Ping(_) => Reaction::Honest,
            _ => Reaction::Silence,
        }
    }
}
