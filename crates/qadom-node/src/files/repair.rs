//! Looking after what was pushed: by whoever pushed it while it lives, and by the holders among
//! themselves.
//!
//! What must stay true: of the live holders of a chunk the nearest alone brings it to others, so that
//! a lost copy is replaced once; nothing is kept longer than whoever pushed it asked for.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use qadom_files::{ChunkIndex, FileId, Layout, chunk_address};
use qadom_routing::{Contact, Key, NodeId};
use qadom_wire::{HELD_BYTES_MAX, Held, MAX_TTL};

use super::error::FileError;
use super::push::{PUSH_COPIES, Spread, Wanting, parts};
use super::service::{Service, lock};
use crate::error::{Error, StartError};
use crate::folder::{Folder, PUSHES, replace_file};
use crate::node::Node;

/// The first line of the file that says what this node has pushed, without its version.
const PUSHES_KIND: &str = "qadom-pushes-";
/// The version of that file.
const PUSHES_VERSION: u32 = 1;
/// Files that a node looks after at most.
const PUSHES_MAX: usize = 4096;
/// Chunks of one file that are looked after at once, the others behind them.
const CHUNKS_AT_ONCE: usize = 4096;
/// Chunks in one answer about what a node holds.
const PAGE: u64 = HELD_BYTES_MAX as u64 * 8;

impl Service {
    /// Notes that this node looks after the copies of a file.
    ///
    /// # Errors
    ///
    /// When the list is full, cannot be read or does not reach the disk. It stays as it was.
    pub(super) async fn note_push(&self, file: FileId, copies: u32) -> Result<(), FileError> {
        self.change_pushes(move |pushes| {
            if pushes.len() >= PUSHES_MAX && !pushes.contains_key(&file) {
                let full = format!("it names {PUSHES_MAX} files already, remove one");
                return Err(io::Error::new(ErrorKind::QuotaExceeded, full));
            }
            pushes.insert(file, copies);
            Ok(())
        })
        .await
    }

    /// Notes that this node looks after the copies of a file no longer.
    ///
    /// # Errors
    ///
    /// When the list cannot be read or does not reach the disk. It stays as it was.
    pub(super) async fn forget_push(&self, file: FileId) -> Result<(), FileError> {
        self.change_pushes(move |pushes| {
            pushes.remove(&file);
            Ok(())
        })
        .await
    }

    /// Changes the list, one change at a time, and has it on the disk when this returns.
    async fn change_pushes(
        &self,
        change: impl FnOnce(&mut BTreeMap<FileId, u32>) -> io::Result<()> + Send + 'static,
    ) -> Result<(), FileError> {
        let _one_at_a_time = self.pushing.lock().await;
        let path = self.pushes_path();
        let changed = self.blocking(move |_| {
            let before = read_pushes(&path)?;
            let mut pushes = before.clone();
            change(&mut pushes)?;
            if pushes == before {
                return Ok(());
            }
            let mut text = format!("{PUSHES_KIND}{PUSHES_VERSION}\n");
            for (file, copies) in pushes {
                // Writing into a string cannot fail.
                let _ = writeln!(text, "{file} {copies}");
            }
            let folder = path.parent().unwrap_or(Path::new("."));
            replace_file(folder, PUSHES, text.as_bytes())
        });
        changed
            .await?
            .map_err(|error| FileError::of_io(&self.pushes_path(), &error))
    }

    fn pushes_path(&self) -> PathBuf {
        self.path.with_file_name(PUSHES)
    }

    pub(super) async fn pushes(&self) -> BTreeMap<FileId, u32> {
        let path = self.pushes_path();
        match self.blocking(move |_| read_pushes(&path)).await {
            Ok(Ok(pushes)) => pushes,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the list of what was pushed cannot be read");
                BTreeMap::new()
            }
            Err(_) => BTreeMap::new(),
        }
    }
}

fn version(first_line: Option<&str>) -> Option<u32> {
    first_line?.strip_prefix(PUSHES_KIND)?.parse().ok()
}

/// Refuses to start with a list of what was pushed that a newer program wrote.
pub(crate) fn check_pushes(folder: &Folder) -> Result<(), StartError> {
    let content = folder.read(PUSHES)?.unwrap_or_default();
    let first_line = content.split(|byte| *byte == b'\n').next();
    let first_line = first_line.and_then(|line| std::str::from_utf8(line).ok());
    match version(first_line) {
        Some(found) if found > PUSHES_VERSION => Err(StartError::VersionTooNew {
            path: folder.path().join(PUSHES),
            found,
            known: PUSHES_VERSION,
        }),
        _ => Ok(()),
    }
}

/// What this node has pushed; lines that say nothing are passed over.
fn read_pushes(path: &Path) -> io::Result<BTreeMap<FileId, u32>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let mut lines = text.lines();
    if version(lines.next()) != Some(PUSHES_VERSION) {
        let unknown = "it is not in the form of this program; a newer one may have written it";
        return Err(io::Error::new(ErrorKind::InvalidData, unknown));
    }
    let pushes = lines.filter_map(|line| {
        let (file, copies) = line.split_once(' ')?;
        Some((file.parse().ok()?, copies.parse().ok()?))
    });
    Ok(pushes.take(PUSHES_MAX).collect())
}

/// Looks once after everything that this node has pushed or holds for others.
pub(super) async fn round(service: &Arc<Service>) {
    let Some(node) = service.node() else {
        return;
    };
    let now = service.utc_seconds();
    let pushes = service.pushes().await;
    for (file, copies) in pushes {
        let holdings = service.blocking(move |folder| folder.holdings(&file)).await;
        let Ok(Some(holdings)) = holdings else {
            continue;
        };
        let is_here = |wire: &u64| match holdings.layout.index(*wire) {
            Some(ChunkIndex::Data(chunk)) => holdings.chunks.contains(chunk),
            Some(ChunkIndex::List(piece)) => holdings.list_pieces.contains(piece),
            None => false,
        };
        let chunks = parts(holdings.layout).filter(is_here).collect();
        let task = Repair::new(service, &node, (file, holdings.layout), copies);
        if let Err(error) = task.run(chunks, now + MAX_TTL.as_secs(), true).await {
            tracing::debug!(%file, %error, "a pushed file is not looked after");
        }
    }
    let held = service.blocking(|folder| folder.held().list());
    // By the size, too, under which it was pushed: it need not be the true one, and verifies all the
    // same.
    let mut files: BTreeMap<(FileId, u64), (Layout, u64, Vec<u64>)> = BTreeMap::new();
    for chunk in held.await.unwrap_or_default() {
        if chunk.is_passing {
            continue;
        }
        let Ok(layout) = Layout::new(chunk.size) else {
            continue;
        };
        let entry = (layout, chunk.expires_at, Vec::new());
        let file = files.entry((chunk.id, chunk.size)).or_insert(entry);
        file.1 = file.1.min(chunk.expires_at);
        file.2.push(chunk.index);
    }
    for ((file, _), (layout, expiry, chunks)) in files {
        if expiry <= now {
            continue;
        }
        let copies = lock(&service.offers).copies(&file).unwrap_or(PUSH_COPIES);
        let task = Repair::new(service, &node, (file, layout), copies);
        if let Err(error) = task.run(chunks, expiry, false).await {
            tracing::debug!(%file, %error, "a held file is not looked after");
        }
    }
}

/// One file that is looked after.
struct Repair {
    spread: Spread,
    /// What each node says that it holds, by page.
    answers: HashMap<(NodeId, u64), Option<Held>>,
}

impl Repair {
    fn new(
        service: &Arc<Service>,
        node: &Node,
        (file, layout): (FileId, Layout),
        copies: u32,
    ) -> Self {
        Self {
            spread: Spread {
                service: Arc::clone(service),
                node: node.clone(),
                file,
                layout,
                copies,
                expiry: 0,
                reporter: None,
            },
            answers: HashMap::new(),
        }
    }

    /// Brings chunks with too few copies to other nodes. Whoever pushed the file asks its holders to
    /// keep it longer, too; holders leave a chunk to a nearer one of them.
    async fn run(mut self, chunks: Vec<u64>, expiry: u64, is_pusher: bool) -> Result<(), Error> {
        self.spread.expiry = expiry;
        for some in chunks.chunks(CHUNKS_AT_ONCE) {
            self.look_after(some.to_vec(), is_pusher).await?;
        }
        Ok(())
    }

    async fn look_after(&mut self, chunks: Vec<u64>, is_pusher: bool) -> Result<(), Error> {
        let mut wanting = self.spread.near(chunks).await?;
        if !is_pusher {
            let mut left = Vec::new();
            for chunk in wanting {
                if let Some(chunk) = self.of_holder(chunk).await {
                    left.push(chunk);
                }
            }
            wanting = left;
        }
        if !wanting.is_empty() {
            self.spread.place(wanting).await;
        }
        Ok(())
    }

    /// What there is to do for a chunk that this node holds; nothing when enough others have it, or a
    /// nearer one does.
    async fn of_holder(&mut self, chunk: Wanting) -> Option<Wanting> {
        let file = self.spread.file;
        let part = self.spread.layout.index(chunk.index)?;
        let address = Key::from_bytes(chunk_address(&file, part));
        let own = self.spread.node.id().key().distance(&address);
        let mut left = Wanting {
            index: chunk.index,
            // The own copy counts for those who hold it.
            have: 1,
            candidates: std::collections::VecDeque::new(),
        };
        for contact in chunk.candidates {
            if self.holds(&contact, chunk.index).await {
                if contact.id().key().distance(&address) < own {
                    return None;
                }
                left.have += 1;
            } else {
                left.candidates.push_back(contact);
            }
        }
        (left.have < self.spread.copies).then_some(left)
    }

    /// Whether a node says that it holds a chunk. One that does not answer holds nothing.
    async fn holds(&mut self, contact: &Contact, index: u64) -> bool {
        let first = match self.spread.layout.index(index) {
            Some(ChunkIndex::List(_)) => index & !7,
            _ => index / PAGE * PAGE,
        };
        let key = (*contact.id(), first);
        if !self.answers.contains_key(&key) {
            let (node, file) = (&self.spread.node, &self.spread.file);
            let held = node.ask_held(contact.clone(), file, first).await.ok();
            self.answers.insert(key, held);
        }
        let held = self.answers.get(&key).and_then(Option::as_ref);
        let offset = usize::try_from(index - first).unwrap_or(usize::MAX);
        held.is_some_and(|held| held.has(offset))
    }
}

/// How long until the next round: about as long as is set, so that nodes do not move in step.
pub(super) fn pause(every: Duration) -> Duration {
    every.mul_f64(0.9 + 0.2 * rand::random::<f64>())
}
