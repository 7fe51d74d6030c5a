//! What goes wrong in the library in tests, at the places where it calls this node's code.
//!
//! What must stay true: this is compiled for tests alone, and each fault happens once.

use std::io;
use std::sync::Mutex;

use super::lock;

/// What goes wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The task that takes datagrams in ends.
    ErrorInReceive,
    /// Whoever sends panics.
    PanicInSend,
    /// The library panics at a first packet.
    PanicInFirstPacket,
}

#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Option<Fault>>);

impl Faults {
    pub(super) fn set(&self, fault: Fault) {
        *lock(&self.0) = Some(fault);
    }

    pub(super) fn on_receive(&self) -> io::Result<()> {
        if self.take(Fault::ErrorInReceive) {
            return Err(io::Error::other("a fault"));
        }
        Ok(())
    }

    pub(super) fn on_send(&self) {
        if self.take(Fault::PanicInSend) {
            std::panic::resume_unwind(Box::new("a fault"));
        }
    }

    pub(super) fn on_first_packet(&self) {
        if self.take(Fault::PanicInFirstPacket) {
            std::panic::resume_unwind(Box::new("a fault"));
        }
    }

    pub(super) fn is_pending(&self) -> bool {
        lock(&self.0).is_some()
    }

    fn take(&self, fault: Fault) -> bool {
        lock(&self.0).take_if(|next| *next == fault).is_some()
    }
}
