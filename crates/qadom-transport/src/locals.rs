//! The own addresses that datagrams come to, numbered, so that a session remembers its own in one
//! byte.
//!
//! What must stay true: number 0 stands for none; of more than 255 addresses the later ones are
//! not remembered, and the system chooses where their answers come from.

use std::net::IpAddr;

/// The number of an own address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LocalId(u8);

/// Own addresses, in the order in which they were first met.
#[derive(Debug, Default)]
pub(crate) struct Locals(Vec<IpAddr>);

impl Locals {
    pub(crate) fn number(&mut self, address: Option<IpAddr>) -> LocalId {
        let Some(address) = address else {
            return LocalId::default();
        };
        let known = self.0.iter().position(|known| *known == address);
        let place = known.unwrap_or(self.0.len());
        let Ok(number) = u8::try_from(place + 1) else {
            return LocalId::default();
        };
        if known.is_none() {
            self.0.push(address);
        }
        LocalId(number)
    }

    pub(crate) fn address(&self, id: LocalId) -> Option<IpAddr> {
        let place = usize::from(id.0).checked_sub(1)?;
        self.0.get(place).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_their_numbers_and_255_are_remembered() {
        let mut locals = Locals::default();
        let address = |low: u8, high: u8| Some(IpAddr::from([10, 0, high, low]));
        for (low, high) in (0..=255).map(|low| (low, 0)).chain([(0, 1), (0, 0)]) {
            let id = locals.number(address(low, high));
            let is_kept = (low, high) != (255, 0) && high == 0;
            assert_eq!(locals.address(id), address(low, high).filter(|_| is_kept));
        }
        assert_eq!(locals.number(None), LocalId::default());
        assert_eq!(locals.address(LocalId::default()), None);
    }
}
