//! What the kernel answers to a socket in tests, instead of what it would answer.
//!
//! What must stay true: this is compiled for tests alone, and a socket without faults behaves as
//! if it were not there.

use core::sync::atomic::{AtomicI32, Ordering};
use std::io;

use super::Socket;

/// The number of the error that each call ends in; 0 for none.
#[derive(Debug, Default)]
pub(super) struct Faults {
    send: AtomicI32,
    receive: AtomicI32,
}

impl Faults {
    pub(super) fn on_send(&self) -> io::Result<()> {
        fail(&self.send)
    }

    /// The kernel reports an error of receiving once.
    pub(super) fn on_receive(&self) -> io::Result<()> {
        let result = fail(&self.receive);
        self.receive.store(0, Ordering::SeqCst);
        result
    }
}

impl Socket {
    /// Lets every sending end in this error of the operating system from now on; `None` ends that.
    pub fn fail_sends(&self, error: Option<i32>) {
        let error = error.unwrap_or_default();
        self.faults.send.store(error, Ordering::SeqCst);
    }

    /// Lets the next receiving end in this error of the operating system.
    pub fn fail_receive(&self, error: i32) {
        self.faults.receive.store(error, Ordering::SeqCst);
    }
}

fn fail(error: &AtomicI32) -> io::Result<()> {
    match error.load(Ordering::SeqCst) {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
