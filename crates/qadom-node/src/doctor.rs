//! What is wrong with a node and what to do about it, judged on the network itself: it is used, not
//! only asked how it feels.
//!
//! What must stay true: an examination changes nothing, sends at most a few dozen requests and ends.
//! How the facts are judged is in `doctor/judge.rs`, without node and clock.

mod judge;

use qadom_engine::{Failure, Promise, Promised, PublicationState};
use qadom_routing::{Contact, Key};
use qadom_wire::Kind;
use rand::seq::IndexedRandom;

use crate::address::{NodeAddress, NodeName};
use crate::error::Error;
use crate::node::Node;
use crate::process::space;
use crate::status::Verdict;
use crate::views::ReadFrom;

pub use judge::Check;
use judge::{Facts, Published};

/// Publications that are read back.
const PUBLICATIONS: usize = 3;

/// Other nodes that each of them is read from at most.
const HOLDERS: usize = 3;

/// What an examination found.
///
/// # Examples
///
/// ```
/// use qadom_node::{Diagnosis, Node};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// let Diagnosis { verdict, checks } = node.doctor().await?;
/// println!("{}: {} checks", verdict.as_str(), checks.len());
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// How the node is doing, in one word.
    pub verdict: Verdict,
    /// Each thing that was looked at, what is wrong with it first.
    pub checks: Vec<Check>,
}

impl Node {
    /// Examines the node: looks up a random key, reads back some of what it keeps alive from other
    /// nodes, and judges addresses, clock, table, disk and losses. Takes a few round trips.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] and [`Error::Stopped`].
    ///
    /// # Examples
    ///
    /// ```
    /// use qadom_node::Node;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
    /// for check in node.doctor().await?.checks {
    ///     println!("{}: {}", check.name, check.detail);
    /// }
    /// # node.shutdown().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn doctor(&self) -> Result<Diagnosis, Error> {
        let lookup = self.lookup(Key::from_bytes(rand::random())).await?;
        let published = self.read_back().await?;
        let addresses = self.peers().await?;
        let addresses = addresses.iter().map(|peer| peer.address.host_port());
        let addresses = addresses.filter_map(|at| Some(at.socket_address()?.ip()));
        let status = self.status().await?;
        let facts = Facts {
            status: &status,
            answered: lookup.closest.len(),
            published,
            addresses: addresses.collect(),
            space: space(self.data_dir()),
        };
        let mut checks = facts.checks();
        checks.sort_by_key(|check| check.ok);
        Ok(Diagnosis {
            verdict: status.verdict,
            checks,
        })
    }

    /// Reads some publications from other nodes.
    async fn read_back(&self) -> Result<Published, Error> {
        let promises = self.publications().await?;
        let promises = promises.into_iter().filter(is_readable);
        let promises = promises.collect::<Vec<_>>();
        let sample = promises.sample(&mut rand::rng(), PUBLICATIONS);
        let sample = sample.collect::<Vec<_>>();
        let mut published = Published::default();
        for promise in sample {
            let holders = self.lookup(*slot(promise)).await?.closest;
            let others = holders.iter().filter(|holder| *holder.id() != self.id());
            published.read += 1;
            for holder in others.take(HOLDERS) {
                match self.read_from(promise, holder).await {
                    Ok(()) => {
                        published.found += 1;
                        break;
                    }
                    Err(Error::Failed(Failure::NotFound { .. } | Failure::Peer { .. })) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(published)
    }

    async fn read_from(&self, promise: &Promise, holder: &Contact) -> Result<(), Error> {
        let Some(at) = holder.address(self.inner.facts.families) else {
            return Ok(());
        };
        let node = NodeName::Address(NodeAddress::new(*holder.key(), at));
        match &promise.promised {
            Promised::Signed(record) => {
                let namespace = self.namespace().read_from(ReadFrom::Node(node));
                let key = Key::from_bytes(*record.label());
                namespace.get(*record.writer(), key).await.map(drop)
            }
            _ => self.get_from(*slot(promise), node).await.map(drop),
        }
    }
}

/// Whether a publication can be read by what is known of it: names of the dict are not.
fn is_readable(promise: &Promise) -> bool {
    let is_readable = match &promise.promised {
        Promised::Signed(record) => record.kind() == Kind::NamespaceEntry,
        Promised::Value(_) => true,
        _ => false,
    };
    is_readable && promise.state == PublicationState::Active
}

fn slot(promise: &Promise) -> &Key {
    match &promise.promised {
        Promised::Signed(record) => record.slot(),
        Promised::Value(value) => value.key(),
        _ => &Key::ZERO,
    }
}
