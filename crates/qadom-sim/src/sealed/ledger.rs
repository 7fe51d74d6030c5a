//! Who was sent how much before it had proven its address.
//!
//! What must stay true: every datagram counts. One that a node sends of its own accord (the first of
//! a handshake, the question for a key) answers nothing and does not count.

use std::net::SocketAddr;

use crate::map::Map;

/// The types of datagrams that a node sends of its own accord: INIT and WHO.
const OWN_ACCORD: [u8; 2] = [0x04, 0x09];

/// What the datagrams of a whole network were, as far as amplification goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Datagrams that answered an address.
    pub replies: u64,
    /// Those of them with which an unproven address was sent more bytes than had come from there.
    pub over: u64,
}

/// One node's side of it.
#[derive(Debug, Default)]
pub(crate) struct Account {
    addresses: Map<SocketAddr, Balance>,
    pub(crate) ledger: Ledger,
}

#[derive(Clone, Copy, Debug, Default)]
struct Balance {
    received: u64,
    sent: u64,
    is_proven: bool,
}

impl Account {
    pub(crate) fn received(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.addresses.entry(from).or_default().received += bytes.len() as u64;
    }

    pub(crate) fn sent(&mut self, to: SocketAddr, bytes: &[u8]) {
        if bytes.first().is_some_and(|kind| OWN_ACCORD.contains(kind)) {
            return;
        }
        self.ledger.replies += 1;
        let balance = self.addresses.entry(to).or_default();
        if !balance.is_proven {
            balance.sent += bytes.len() as u64;
            self.ledger.over += u64::from(balance.sent > balance.received);
        }
    }

    pub(crate) fn proven(&mut self, address: SocketAddr) {
        self.addresses.entry(address).or_default().is_proven = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_to_unproven_addresses_count() {
        let mut account = Account::default();
        let address = SocketAddr::from(([192, 0, 2, 1], 1));
        account.sent(address, &[0x04; 1200]);
        account.received(address, &[0x04; 512]);
        account.sent(address, &[0x05; 512]);
        assert_eq!((account.ledger.replies, account.ledger.over), (1, 0));
        account.sent(address, &[0x08; 24]);
        assert_eq!(account.ledger.over, 1);
        account.proven(address);
        account.sent(address, &[0x07; 1200]);
        assert_eq!((account.ledger.replies, account.ledger.over), (3, 1));
    }
}
