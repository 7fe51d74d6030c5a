//! A file system on which every promise is only what it says: an fsync of a file makes its content
//! durable, one of a folder the names in it, and nothing else does.
//!
//! What must stay true: of the writes to a file that are not synced a cut of the power leaves any,
//! and of each any sectors; of the changes to the names of a folder it leaves the first few, because
//! file systems journal them in order. Who wrote is not known here.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use crate::tape::{Act, Step};

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;
const ROOT: usize = 0;

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    SetLength(usize),
}

#[derive(Clone, Debug)]
enum Naming {
    Put(OsString, usize),
    Remove(OsString),
    Rename(OsString, OsString),
}

type Names = BTreeMap<OsString, usize>;

/// A change with the line at which it ended.
type Pending<T> = Vec<(usize, T)>;

#[derive(Clone, Debug)]
enum Node {
    File {
        durable: Vec<u8>,
        pending: Pending<Change>,
    },
    Folder {
        durable: Names,
        pending: Pending<Naming>,
        now: Names,
    },
}

/// The files below a root.
#[derive(Debug)]
pub(crate) struct Disk {
    root: PathBuf,
    nodes: Vec<Node>,
}

impl Disk {
    /// An empty folder that is durable itself.
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            nodes: vec![Node::folder()],
        }
    }

    /// Does one thing.
    pub(crate) fn take(&mut self, step: &Step) {
        match &step.act {
            Act::Create(path) => {
                if self.find(path).is_none() {
                    self.put(step, path, Node::file());
                }
            }
            Act::MakeFolder(path) => self.put(step, path, Node::folder()),
            Act::Remove(path) => {
                let (folder, name) = self.parent(path);
                self.name(step, folder, Naming::Remove(name));
            }
            Act::Rename(from, to) => {
                let ((folder, old), (other, new)) = (self.parent(from), self.parent(to));
                assert_eq!(
                    folder, other,
                    "a file that changes its folder is not played"
                );
                self.name(step, folder, Naming::Rename(old, new));
            }
            Act::Write(path, offset, bytes) => {
                self.change(step, path, Change::Write(*offset, bytes.clone()));
            }
            Act::SetLength(path, length) => self.change(step, path, Change::SetLength(*length)),
            Act::Sync(path) => {
                let node = self.find(path).unwrap();
                self.nodes[node].sync(step.began);
            }
            Act::Acknowledge(_) => {}
        }
    }

    fn find(&self, path: &Path) -> Option<usize> {
        let inner = path.strip_prefix(&self.root).unwrap();
        inner
            .iter()
            .try_fold(ROOT, |node, name| match &self.nodes[node] {
                Node::Folder { now, .. } => now.get(name).copied(),
                Node::File { .. } => None,
            })
    }

    fn parent(&self, path: &Path) -> (usize, OsString) {
        let folder = self.find(path.parent().unwrap()).unwrap();
        (folder, path.file_name().unwrap().to_owned())
    }

    fn put(&mut self, step: &Step, path: &Path, node: Node) {
        let (folder, name) = self.parent(path);
        self.nodes.push(node);
        let number = self.nodes.len() - 1;
        self.name(step, folder, Naming::Put(name, number));
    }

    fn name(&mut self, step: &Step, folder: usize, naming: Naming) {
        match &mut self.nodes[folder] {
            Node::Folder { pending, now, .. } => {
                naming.apply(now);
                pending.push((step.ended, naming));
            }
            Node::File { .. } => panic!("a file has no names in it"),
        }
    }

    fn change(&mut self, step: &Step, path: &Path, change: Change) {
        let node = self.find(path).unwrap();
        match &mut self.nodes[node] {
            Node::File { pending, .. } => pending.push((step.ended, change)),
            Node::Folder { .. } => panic!("a folder has no bytes"),
        }
    }

    /// How many changes a cut could undo.
    pub(crate) fn in_doubt(&self) -> usize {
        let sizes = self.nodes.iter().map(|node| match node {
            Node::File { pending, .. } => pending.len(),
            Node::Folder { pending, .. } => pending.len(),
        });
        sizes.sum()
    }

    /// Writes into `place` what a cut now leaves.
    pub(crate) fn cut(&self, place: &Path, left: Left, chance: &mut ChaCha8Rng) {
        let mut fate = Fate {
            left,
            chance,
            number: 0,
        };
        self.leave(ROOT, place, &mut fate);
    }

    fn leave(&self, node: usize, place: &Path, fate: &mut Fate<'_>) {
        match &self.nodes[node] {
            Node::File { durable, pending } => {
                let mut bytes = durable.clone();
                for (_, change) in pending {
                    fate.apply(change, &mut bytes);
                }
                fs::write(place, bytes).unwrap();
            }
            Node::Folder {
                durable, pending, ..
            } => {
                let mut names = durable.clone();
                for (_, naming) in &pending[..fate.kept_of(pending.len())] {
                    naming.apply(&mut names);
                }
                fs::create_dir_all(place).unwrap();
                for (name, node) in names {
                    self.leave(node, &place.join(name), fate);
                }
            }
        }
    }
}

/// How much of what is in doubt a cut leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Left {
    Nothing,
    All,
    /// All but this one; of the names in a folder, all that came before it.
    Without(usize),
    /// By chance.
    Some,
}

/// Decides what becomes of each change that is in doubt.
struct Fate<'a> {
    left: Left,
    chance: &'a mut ChaCha8Rng,
    /// Changes that were decided.
    number: usize,
}

impl Fate<'_> {
    /// How many of so many changes to the names of a folder are left.
    fn kept_of(&mut self, count: usize) -> usize {
        let first = self.number;
        self.number += count;
        match self.left {
            Left::Nothing => 0,
            Left::All => count,
            Left::Without(one) => one.checked_sub(first).map_or(count, |kept| kept.min(count)),
            Left::Some => below(self.chance, count + 1),
        }
    }

    fn apply(&mut self, change: &Change, bytes: &mut Vec<u8>) {
        let number = self.number;
        self.number += 1;
        match self.left {
            Left::Nothing => {}
            Left::Without(one) if one == number => {}
            Left::All | Left::Without(_) => change.apply(bytes),
            Left::Some => match (below(self.chance, 5), change) {
                (0 | 1, _) => change.apply(bytes),
                (2, Change::Write(offset, data)) => {
                    for (number, sector) in data.chunks(SECTOR).enumerate() {
                        if below(self.chance, 2) == 0 {
                            write(bytes, offset + number * SECTOR, sector);
                        }
                    }
                }
                _ => {}
            },
        }
    }
}

impl Node {
    const fn file() -> Self {
        Self::File {
            durable: Vec::new(),
            pending: Vec::new(),
        }
    }

    const fn folder() -> Self {
        Self::Folder {
            durable: Names::new(),
            pending: Vec::new(),
            now: Names::new(),
        }
    }

    /// Makes durable what ended before line `began`.
    fn sync(&mut self, began: usize) {
        match self {
            Self::File { durable, pending } => {
                pending.retain(|(ended, change)| {
                    let is_synced = *ended < began;
                    if is_synced {
                        change.apply(durable);
                    }
                    !is_synced
                });
            }
            Self::Folder {
                durable, pending, ..
            } => pending.retain(|(ended, naming)| {
                let is_synced = *ended < began;
                if is_synced {
                    naming.apply(durable);
                }
                !is_synced
            }),
        }
    }
}

impl Naming {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Put(name, node) => drop(names.insert(name.clone(), *node)),
            Self::Remove(name) => drop(names.remove(name)),
            Self::Rename(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
        }
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => write(bytes, *offset, data),
            Self::SetLength(length) => bytes.resize(*length, 0),
        }
    }
}

fn write(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

fn below(chance: &mut ChaCha8Rng, limit: usize) -> usize {
    usize::try_from(chance.next_u64() % limit as u64).unwrap()
}
