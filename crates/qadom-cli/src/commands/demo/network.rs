//! The nodes of the demo.
//!
//! What must stay true: each node runs on a runtime of its own, as if in a process of its own, so
//! that it can vanish between two instructions without a word to its neighbours.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use qadom_node::{JoinAddress, Mode, Node};
use tokio::runtime::{self, Runtime};

use crate::error::Failure;

/// The nodes that are up, all but the last one storing.
#[derive(Debug)]
pub(super) struct Network {
    folder: PathBuf,
    members: Vec<Member>,
}

/// A node and its number, which it keeps when others are gone.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) number: usize,
    pub(super) node: Node,
    /// Where the node runs. It is dropped with the member, and the node stops where it stands.
    _place: Place,
}

/// A runtime that ends at once when it is dropped, also inside another runtime.
#[derive(Debug)]
struct Place(Option<Runtime>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Network {
    /// A network without nodes, whose folders will be in this one.
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            members: Vec::new(),
        }
    }

    /// The folder with the folders of the nodes.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts the nodes side by side, each with a port, a key and a folder of its own.
    pub(super) async fn start(&mut self, count: u16) -> anyhow::Result<()> {
        let count = usize::from(count);
        let mut starting = Vec::new();
        for number in 0..count {
            let is_last = number + 1 == count;
            let builder = Node::builder()
                .data_dir(self.folder.join(number.to_string()))
                .listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
                .mode(if is_last { Mode::Client } else { Mode::Storing });
            let runtime = runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()?;
            let started = runtime.spawn(builder.start());
            starting.push((number, started, Place(Some(runtime))));
        }
        for (number, started, place) in starting {
            let node = started.await?.map_err(Failure::from)?;
            self.members.push(Member {
                number,
                node,
                _place: place,
            });
        }
        Ok(())
    }

    /// Lets all nodes join by the first one; gives how many peers each of them knows.
    pub(super) async fn join(&self) -> anyhow::Result<Vec<u32>> {
        let first = JoinAddress::from(self.first()?.address());
        let mut peers = Vec::new();
        for member in self.members.iter().skip(1) {
            let joined = member.node.join(std::slice::from_ref(&first)).await;
            peers.push(joined.map_err(Failure::from)?.peers);
        }
        Ok(peers)
    }

    /// The first node.
    pub(super) fn first(&self) -> anyhow::Result<&Node> {
        Ok(&self
            .members
            .first()
            .context("the network has no nodes")?
            .node)
    }

    /// The client: the last node.
    pub(super) fn client(&self) -> anyhow::Result<&Member> {
        self.members.last().context("the network has no nodes")
    }

    /// The storing nodes that are up.
    pub(super) fn all_storing(&self) -> &[Member] {
        self.members
            .split_last()
            .map_or(&[], |(_, storing)| storing)
    }

    /// Some storing node: another one for each number as long as there are enough.
    pub(super) fn storing(&self, number: usize) -> anyhow::Result<&Member> {
        let storing = self.all_storing();
        let place = number
            .checked_rem(storing.len())
            .and_then(|place| storing.get(place));
        place.context("the network has no storing nodes")
    }

    /// Lets every third node vanish without a word to anybody; gives their numbers.
    pub(super) fn drop_a_third(&mut self) -> Vec<usize> {
        let last = self.members.len().saturating_sub(1);
        let is_chosen = |member: &mut Member| member.number % 3 == 2 && member.number != last;
        let dropped = self.members.extract_if(.., is_chosen);
        dropped.map(|member| member.number).collect()
    }

    /// Ends all nodes that are up.
    pub(super) async fn end(&self) {
        for member in &self.members {
            member.node.shutdown().await;
        }
    }
}
