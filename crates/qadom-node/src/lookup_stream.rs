//! A lookup that is told step by step while it runs.
//!
//! What must stay true: a reader that does not read holds up nobody and costs no more than the lookup,
//! whose steps are bounded by whom it may ask.

use std::collections::VecDeque;
use std::time::Duration;

use qadom_engine::{Failure, LookupReport, Outcome};
use qadom_routing::{Moment, Step};

use crate::handover::{Feed, Queue, Reader};

/// What a lookup tells while it runs.
///
/// # Examples
///
/// ```
/// use qadom_node::{LookupEvent, Node};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// let mut steps = node.lookup_stream("name:x".parse()?).await?;
/// while let Some(event) = steps.next().await {
///     if let LookupEvent::End(report) = event {
///         assert_eq!(report.hops, 0); // no other node is known
///     }
/// }
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LookupEvent {
    /// Something happened with one node.
    Step {
        /// How long after the beginning of the lookup.
        after: Duration,
        /// What happened.
        step: Step,
    },
    /// It is over; the report repeats the steps.
    End(Box<LookupReport>),
    /// It broke off.
    Failed(Failure),
}

/// A lookup under way, from [`Node::lookup_stream`](crate::Node::lookup_stream). Dropping it gives the
/// lookup up.
///
/// # Examples
///
/// ```
/// use qadom_node::{LookupStream, Node};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// let mut steps: LookupStream = node.lookup_stream("name:x".parse()?).await?;
/// while let Some(event) = steps.next().await {
///     println!("{event:?}");
/// }
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct LookupStream(Reader<Steps>);

impl LookupStream {
    pub(crate) const fn new(reader: Reader<Steps>) -> Self {
        Self(reader)
    }

    /// Waits for the next event; none behind [`End`](LookupEvent::End) and
    /// [`Failed`](LookupEvent::Failed), and when the node has ended before.
    ///
    /// Nothing is lost when the wait is given up before it ends.
    pub async fn next(&mut self) -> Option<LookupEvent> {
        self.0.next().await
    }
}

/// What waits to be read: the steps of one lookup, then its end.
#[derive(Debug, Default)]
pub(crate) struct Steps(VecDeque<LookupEvent>);

impl Feed<Steps> {
    /// Adds what happened, in its order.
    pub(crate) fn push(&self, began: Moment, steps: Vec<Step>) {
        let events = steps.into_iter().map(|step| LookupEvent::Step {
            after: step.at.since(began),
            step,
        });
        self.change(|waiting| waiting.0.extend(events));
    }

    /// Tells how the lookup ended: the caller, when it had not begun, or else the reader.
    pub(crate) fn end(mut self, result: Result<Outcome, Failure>) {
        let end = match result {
            Ok(Outcome::Looked(report)) => {
                self.begin();
                LookupEvent::End(Box::new(report))
            }
            // A lookup ends as a lookup; without an end its reader learns of a defect.
            Ok(_) => return,
            Err(failure) => match self.refuse(failure) {
                Ok(()) => return,
                Err(failure) => LookupEvent::Failed(failure),
            },
        };
        self.change(|waiting| waiting.0.push_back(end));
    }
}

impl Queue for Steps {
    type Event = LookupEvent;

    fn pop(&mut self) -> Option<LookupEvent> {
        self.0.pop_front()
    }
}
