//! No address is sent more than it sent before it has proven itself: counted over every datagram when
//! the real transport runs.

use super::{Check, Checker, check};
use crate::network::Network;

/// Asks the network for its ledger of datagrams.
#[derive(Debug)]
pub(super) struct Amplification;

impl Checker for Amplification {
    fn verdict(&self, network: &Network) -> Check {
        const NAME: &str = "nothing is amplified";
        match network.amplification() {
            None => check(
                NAME,
                true,
                "not counted: in plain there are no datagrams".to_owned(),
            ),
            Some(ledger) => check(
                NAME,
                ledger.over == 0,
                format!(
                    "{} datagrams in answer to addresses, {} above what had come from there",
                    ledger.replies, ledger.over
                ),
            ),
        }
    }
}
