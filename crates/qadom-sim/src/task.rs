//! Operations that were started and are collected later.
//!
//! What must stay true: each task ends once, with its outcome, its failure, or the death of its
//! node.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use qadom_engine::{
    Fetched, Joined, Listed, LookupReport, OperationId, Outcome, PingReport, Receipt, SignedRead,
    Withdrawn, Written,
};

use crate::failure::Failure;
use crate::node::NodeIndex;

/// An operation that was started; [`Network::finish`](crate::Network::finish) gives its result.
#[derive(Debug)]
#[must_use = "what became of the operation is known only to who finishes it"]
pub struct Task<T> {
    pub(crate) number: u64,
    ending: PhantomData<T>,
}

/// What operations end in; the type of a [`Task`].
pub trait Ending: Sized {
    /// The ending as this type; none when it is of another kind.
    fn from_outcome(outcome: Outcome) -> Option<Self>;
}

/// Makes a kind of outcome the ending of its tasks.
macro_rules! endings {
    ($($variant:ident => $ending:ty),+ $(,)?) => {
        $(impl Ending for $ending {
            fn from_outcome(outcome: Outcome) -> Option<Self> {
                match outcome {
                    Outcome::$variant(ending) => Some(ending),
                    _ => None,
                }
            }
        })+
    };
}

endings! {
    Stored => Receipt,
    Fetched => Fetched,
    Looked => LookupReport,
    Joined => Joined,
    Pong => PingReport,
    Written => Written,
    Entry => SignedRead,
    Listed => Listed,
    Withdrawn => Withdrawn,
}

/// Every task of a network that was not collected yet.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    running: BTreeMap<(NodeIndex, OperationId), u64>,
    ended: BTreeMap<u64, Result<Outcome, Failure>>,
    last: u64,
}

impl Tasks {
    pub(crate) fn begin<T>(&mut self, node: NodeIndex, operation: OperationId) -> Task<T> {
        let task = self.next();
        self.running.insert((node, operation), task.number);
        task
    }

    /// A task that failed before it began.
    pub(crate) fn failed<T>(&mut self, failure: Failure) -> Task<T> {
        let task = self.next();
        self.ended.insert(task.number, Err(failure));
        task
    }

    pub(crate) fn end(
        &mut self,
        node: NodeIndex,
        operation: OperationId,
        result: Result<Outcome, Failure>,
    ) {
        if let Some(number) = self.running.remove(&(node, operation)) {
            self.ended.insert(number, result);
        }
    }

    /// Ends everything that a node had under way, since it died.
    pub(crate) fn end_all_of(&mut self, node: NodeIndex) {
        let dead = self.running.extract_if(.., |(owner, _), _| *owner == node);
        self.ended
            .extend(dead.map(|(_, number)| (number, Err(Failure::Dead { node }))));
    }

    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    pub(crate) fn has_ended<T>(&self, task: &Task<T>) -> bool {
        self.ended.contains_key(&task.number)
    }

    /// How a task ended, once; none while it is under way.
    pub(crate) fn take<T>(&mut self, task: &Task<T>) -> Option<Result<Outcome, Failure>> {
        self.ended.remove(&task.number)
    }

    fn next<T>(&mut self) -> Task<T> {
        self.last += 1;
        Task {
            number: self.last,
            ending: PhantomData,
        }
    }
}
