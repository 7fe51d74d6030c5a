//! How a node gets into its network after the start, and back into it when it lost everybody.
//!
//! What must stay true: it is tried until it worked once, with growing pauses, and again whenever
//! no neighbour answers any more; of the contacts known then, each gets its turn; each address that
//! does not help is logged each time. It works through the
//! same commands as every user of the node, and ends with the node.

use std::sync::Arc;
use std::time::Duration;

use qadom_engine::{Failure, JoinProblem, Outcome};
use qadom_routing::Contact;
use tokio::sync::{mpsc, oneshot};

use crate::address::JoinAddress;
use crate::command::{Bootstrapped, Command, Operation};
use crate::error::{StopReason, join_problem_text};
use crate::node::Facts;
use crate::resolve::Targets;

/// The pause after the first attempt that failed. It doubles with each further one.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause between two attempts, and between two looks whether a neighbour is left.
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// Known contacts that one attempt tries. The engine tries 64 contacts at once; what is left of
/// them is for the nodes that the addresses name.
const KNOWN_AT_ONCE: usize = 48;

/// Joins by the addresses of the start and the known contacts.
#[derive(Debug)]
pub(crate) struct Bootstrap {
    addresses: Vec<JoinAddress>,
    /// The saved contacts, and the neighbours as soon as there are any.
    known: Vec<Contact>,
    /// How many of the known contacts had their turn.
    tried: usize,
    /// Weak, so that the node ends when its last handle is dropped.
    commands: mpsc::WeakSender<Box<Command>>,
    facts: Arc<Facts>,
}

/// One attempt.
struct Attempt {
    ending: Ending,
    /// The addresses that do not help; this node's own is none of them, since one list may serve
    /// many nodes.
    problems: Vec<(JoinAddress, JoinProblem)>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Somebody answered.
    Joined,
    /// Nobody was named but this node itself: it is the first of its network.
    First,
    /// Nobody answered, and somebody may later.
    Failed,
    /// All that answer belong to other networks, and nobody else is known.
    Hopeless,
}

impl Bootstrap {
    pub(crate) fn new(
        addresses: Vec<JoinAddress>,
        known: Vec<Contact>,
        commands: mpsc::WeakSender<Box<Command>>,
        facts: &Arc<Facts>,
    ) -> Self {
        Self {
            addresses,
            known,
            tried: 0,
            commands,
            facts: Arc::clone(facts),
        }
    }

    /// Whether there is anybody to join by.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.addresses.is_empty() || !self.known.is_empty()
    }

    /// Runs until the node ends.
    pub(crate) async fn run(mut self) {
        let mut pause = PAUSE_MIN;
        while let Some(Attempt { ending, problems }) = self.attempt().await {
            let text = |(address, problem): &(JoinAddress, JoinProblem)| {
                format!("{address}: {}", join_problem_text(problem))
            };
            let texts: Vec<_> = problems.iter().map(text).collect();
            for text in &texts {
                tracing::warn!("an address does not lead into the network: {text}");
            }
            if ending == Ending::Hopeless {
                let reason = StopReason::WrongNetwork { problems };
                return self.send(Command::Stop(Box::new(reason))).await;
            }
            let news = Bootstrapped {
                is_first: ending == Ending::First,
                problems: texts,
            };
            self.send(Command::Bootstrapped(news)).await;
            match ending {
                Ending::Joined => {
                    self.wait_for_loneliness().await;
                    pause = PAUSE_MIN;
                }
                Ending::Failed => {
                    tokio::time::sleep(jittered(pause)).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Ending::First | Ending::Hopeless => return,
            }
        }
    }

    /// Tries everything once; `None` when the node has ended.
    async fn attempt(&mut self) -> Option<Attempt> {
        self.known = self.ask(Command::Neighbours).await?.known;
        let own = self.facts.address.key();
        let targets = Targets::resolve(&self.addresses, self.facts.families, own).await;
        let mut contacts = targets.contacts.clone();
        contacts.extend(self.next_known());
        let operation = Operation::Join(targets.addresses.clone(), contacts);
        let (is_joined, found) = match self.ask(|reply| Command::Begin(operation, reply)).await? {
            Ok(Outcome::Joined(joined)) => (true, joined.problems),
            Err(Failure::NotJoined { problems }) => (false, problems),
            _ => (false, Vec::new()),
        };
        let mut problems = targets.problems(&found);
        let has_all_failed = problems.len() == self.addresses.len() && self.known.is_empty();
        problems.retain(|(_, problem)| *problem != JoinProblem::Own);
        let is_foreign =
            |(_, problem): &(_, JoinProblem)| matches!(problem, JoinProblem::WrongNetwork(_));
        let ending = if is_joined {
            Ending::Joined
        } else if !has_all_failed {
            Ending::Failed
        } else if problems.is_empty() {
            Ending::First
        } else if problems.iter().all(is_foreign) {
            Ending::Hopeless
        } else {
            Ending::Failed
        };
        Some(Attempt { ending, problems })
    }

    /// The known contacts whose turn it is.
    fn next_known(&mut self) -> Vec<Contact> {
        let count = self.known.len().min(KNOWN_AT_ONCE);
        let first = self.tried.checked_rem(self.known.len()).unwrap_or(0);
        self.tried = first + count;
        let turns = self.known.iter().cycle().skip(first);
        turns.take(count).cloned().collect()
    }

    /// Waits until no neighbour answers any more, or the node has ended.
    async fn wait_for_loneliness(&self) {
        loop {
            tokio::time::sleep(jittered(PAUSE_MAX)).await;
            match self.ask(Command::Neighbours).await {
                Some(neighbours) if neighbours.live > 0 => {}
                _ => return,
            }
        }
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply)).await;
        answer.await.ok()
    }

    /// Waits for room in the queue. When the node has ended the command is lost.
    async fn send(&self, command: Command) {
        if let Some(commands) = self.commands.upgrade() {
            let _ = commands.send(Box::new(command)).await;
        }
    }
}

/// A fifth more or less, so that nodes that were started together do not come back together.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.8..1.2))
}

#[cfg(test)]
mod tests;
