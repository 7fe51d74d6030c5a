//! The operations of an engine: each a small state machine that sends requests through the shared
//! core and ends once.
//!
//! What must stay true: an operation that has nothing under way has ended. The engine tells it
//! everything that it sent for, exactly once.

pub(crate) mod directed;
pub(crate) mod distribution;
pub(crate) mod file;
pub(crate) mod gather;
pub(crate) mod get;
pub(crate) mod holders;
pub(crate) mod join;
pub(crate) mod lookup;
pub(crate) mod ping;
pub(crate) mod read;
pub(crate) mod refill;
pub(crate) mod renewal;
pub(crate) mod replication;
pub(crate) mod stream;
pub(crate) mod subscribe;
pub(crate) mod withdrawal;
pub(crate) mod write;

use std::fmt::Debug;
use std::net::SocketAddr;

use qadom_routing::{Contact, Moment, NodeKey};
use qadom_wire::{Answer, Notify, Reason};

use crate::core::{Core, Purpose};
use crate::effect::RequestFailure;
use crate::ledger::Cause;
use crate::operation::{Failure, OperationId, Outcome};
use crate::walk::{Context, Walk};

/// Whether an operation goes on.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Something is still under way.
    Going,
    /// What it was for is reached, and is told. What is left goes on by itself.
    Told(Box<Outcome>),
    /// It is over.
    Ended(Box<Result<Outcome, Failure>>),
    /// It is over, and was nobody's to wait for.
    Quiet,
}

impl Progress {
    pub(crate) fn done(outcome: Outcome) -> Self {
        Self::Ended(Box::new(Ok(outcome)))
    }

    pub(crate) fn failed(failure: Failure) -> Self {
        Self::Ended(Box::new(Err(failure)))
    }

    /// Over, because the one node that was to be asked cannot be asked.
    pub(crate) fn unsent(core: &Core, contact: &Contact) -> Self {
        let reason = core.way_to(contact).err().unwrap_or(Reason::Unreachable);
        Self::refused_by(contact, reason)
    }

    /// Over, because the one node that was asked refused or could not be asked.
    pub(crate) fn refused_by(contact: &Contact, reason: Reason) -> Self {
        let node = *contact.id();
        Self::failed(Failure::Peer { node, reason })
    }
}

/// A state machine of this engine.
pub(crate) trait Operation: Debug + Send {
    /// Sends the first requests.
    fn begin(&mut self, context: &mut Context<'_>) -> Progress {
        self.go_on(context)
    }

    /// What it is for, as the ledger enters it.
    fn cause(&self) -> Cause {
        Cause::Users
    }

    /// The lookup that is under way, if one is.
    fn walk(&mut self) -> Option<&mut Walk> {
        None
    }

    /// Does what can be done now, and ends when nothing is left.
    fn go_on(&mut self, _context: &mut Context<'_>) -> Progress {
        Progress::Going
    }

    /// Takes the answer to one of its requests.
    fn on_answer(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        purpose: Purpose,
        answer: Answer,
    ) -> Progress;

    /// Learns that one of its requests takes longer than its peer's round trips.
    fn on_slow(&mut self, context: &mut Context<'_>, from: &Contact) -> Progress {
        if let Some(walk) = self.walk() {
            walk.on_slow(from, context.now);
        }
        self.go_on(context)
    }

    /// Learns that one of its requests ended without an answer.
    fn on_failed(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        _purpose: Purpose,
        failure: &RequestFailure,
    ) -> Progress {
        if let Some(walk) = self.walk() {
            walk.on_failed(context, from, failure);
        }
        self.go_on(context)
    }

    /// Learns that its own copy is durable, or why it is not.
    fn on_own(&mut self, _context: &mut Context<'_>, _result: Result<(), Reason>) -> Progress {
        Progress::Going
    }

    /// Learns that its entries in the journal are durable, or why they are lost.
    fn on_journalled(
        &mut self,
        _context: &mut Context<'_>,
        _result: Result<(), Reason>,
    ) -> Progress {
        Progress::Going
    }

    /// Takes a batch that a holder pushes.
    fn on_pushed(
        &mut self,
        _context: &mut Context<'_>,
        _from: &NodeKey,
        _batch: Notify,
    ) -> Progress {
        Progress::Going
    }

    /// When it wants to be called, at the latest, if nothing comes before.
    fn next_deadline(&self) -> Option<Moment> {
        None
    }

    /// Lets go of what it has at others, since the user gave it up.
    fn on_cancel(&mut self, _core: &mut Core, _operation: OperationId) {}

    /// Learns who answers at an address that it asked about, or why nobody does.
    fn on_identified(
        &mut self,
        _context: &mut Context<'_>,
        _address: SocketAddr,
        _result: Result<NodeKey, RequestFailure>,
    ) -> Progress {
        Progress::Going
    }
}

/// The reason that stands for a failed request in receipts and errors.
pub(crate) const fn reason_of(failure: &RequestFailure) -> Reason {
    match failure {
        RequestFailure::Timeout => Reason::Timeout,
        RequestFailure::Busy { .. } | RequestFailure::Overloaded => Reason::Busy,
        RequestFailure::Unreachable | RequestFailure::WrongKey => Reason::Unreachable,
        RequestFailure::Mismatch(_) => Reason::WrongNetwork,
    }
}
