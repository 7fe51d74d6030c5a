//! Chunks of others' files, held for them within a quota.
//!
//! What must stay true: only verified chunks are kept, each with its proof, so a damaged one is found
//! out when it is read and never served. The quota bounds what is on disk. Own files and downloads
//! are not here and never give way. The size that a pusher claims binds nobody: a chunk that has
//! verified is the file's whatever its size, and a piece of the list, which is not, is kept only beside
//! the last chunk, which proves the size.
//!
//! Format 1 of a chunk's file, `held/ID/INDEX` (both hexadecimal): `qadom chunk 1\n` and zeros to 16,
//! id 32, size u64, index u64, expiry u64 (seconds UTC), group 8, owner 32, hashes of the proof u8,
//! zeros to 128, BLAKE3 of these 128 bytes 32, the proof, the bytes. Integers are little-endian.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use super::Durability;
use super::disk::{self, DiskError};
use super::shares::{Charge, Group, Name, Owner, Shares};
use crate::proof::Proof;
use crate::{CHUNK_SIZE, ChunkIndex, ChunkSet, FileId, Layout, VerifyError, verify};

/// The most chunks that are held, however small: each costs memory and a file.
pub const HELD_CHUNKS_MAX: usize = 65_536;

/// Charged for each chunk beside its bytes: what its file costs.
const FILE_CHARGE: u64 = 4096;

/// The group of chunks that only pass through: no address group begins with this byte.
const PASSING: Group = *b"passing\0";

/// The share of the quota that chunks which pass through may take from what others have pushed: one
/// part in so many. What is free they may take, too.
const PASSING_SHARE: u64 = 16;

/// Opens every chunk's file.
const MAGIC: &[u8; 16] = b"qadom chunk 1\n\0\0";

/// Bytes of the header without its hash.
const HEADER: usize = 128;

/// A chunk that somebody wants to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The file.
    pub id: FileId,
    /// Its size in bytes, as the pusher says.
    pub size: u64,
    /// The number of the chunk or list piece, as it is on the wire.
    pub index: u64,
    /// The pusher's address group.
    pub group: Group,
    /// The pusher's key.
    pub owner: Owner,
    /// Until when it shall be held, in seconds UTC.
    pub expires_at: u64,
}

/// What becomes of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// Bring it.
    Wanted,
    /// It is held, now until the later of both times.
    Held,
    /// It is not taken.
    Refused(Refusal),
}

/// Why a chunk is not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No room that is the pusher's share.
    #[error("there is no room left for chunks of others")]
    Quota,
    /// A file of that size does not exist, or has no such chunk.
    #[error("a file of that size has no such chunk")]
    Malformed,
    /// What is held of the file shows that it has another size.
    #[error("the file has another size")]
    OtherSize,
    /// A piece of the list of chunks says nothing before the last chunk is held, which proves the size.
    #[error("the last chunk, which proves the size of the file, is not held")]
    Unproven,
}

/// Why a chunk was not kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HoldError {
    /// The bytes are not the chunk: the sender's doing.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// It is not taken, whatever its bytes.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The disk is full or failed. Nothing was kept.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// A chunk that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldChunk {
    /// The file.
    pub id: FileId,
    /// The size of the file in bytes, as its pusher said.
    pub size: u64,
    /// The number of the chunk or list piece, as it is on the wire.
    pub index: u64,
    /// Until when it is held, in seconds UTC.
    pub expires_at: u64,
    /// Whether nobody has pushed it: it only passes through to somebody who reads it.
    pub is_passing: bool,
}

/// What holding costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes, with what each chunk's file costs.
    pub bytes: u64,
    /// The most bytes.
    pub quota: u64,
    /// Chunks.
    pub chunks: usize,
    /// Chunks that gave way to others since the folder was opened.
    pub evicted: u64,
}

/// The chunks held for others.
#[derive(Debug)]
pub struct Held {
    folder: PathBuf,
    quota: u64,
    durability: Durability,
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    chunks: BTreeMap<Name, (Layout, Charge)>,
    shares: Shares,
    evicted: u64,
}

impl Index {
    /// What is held of a file.
    fn of(&self, id: &FileId) -> impl Iterator<Item = (&Name, &(Layout, Charge))> {
        self.chunks.range((*id, 0)..=(*id, u64::MAX))
    }

    /// The shape of a file of which something is held: the proven one; before there is any the largest
    /// that somebody claims, which has every chunk that is held.
    fn layout(&self, id: &FileId) -> Option<Layout> {
        let proves = |(_, wire): &Name, layout: Layout| match layout.index(*wire) {
            Some(ChunkIndex::Data(chunk)) => chunk == layout.last(),
            Some(ChunkIndex::List(_)) => true,
            None => false,
        };
        let claims = self.of(id).map(|(name, (layout, _))| {
            let is_proven = proves(name, *layout);
            (is_proven, layout.size(), *layout)
        });
        let best = claims.max_by_key(|(is_proven, size, _)| (*is_proven, *size))?;
        Some(best.2)
    }

    /// Whether what is held proves that a file has this shape.
    fn is_proven(&self, id: &FileId, layout: Layout) -> bool {
        let last = (*id, ChunkIndex::Data(layout.last()).wire());
        let last = self.chunks.get(&last);
        last.is_some_and(|(known, _)| *known == layout)
    }

    /// What gives way to a pushed chunk: what only passes through, then what a group has beyond its
    /// share.
    fn victim_of(&self, group: Group, bytes: u64) -> Option<Name> {
        let passing = self.shares.first_of(PASSING);
        passing.or_else(|| self.shares.victim(group, bytes))
    }
}

impl Held {
    /// Reads what is held. What is damaged is removed: it came from others, who have it still.
    pub(super) fn open(
        folder: PathBuf,
        quota: u64,
        durability: Durability,
    ) -> Result<Self, DiskError> {
        disk::make(&folder)?;
        let mut index = Index::default();
        for name in disk::names(&folder)? {
            let inner = folder.join(&name);
            for chunk in disk::names(&inner)? {
                let path = inner.join(&chunk);
                match read_header(&path)? {
                    Found::Header(layout, name, charge) if path == path_of(&folder, name) => {
                        index.shares.add(name, &charge);
                        index.chunks.insert(name, (layout, charge));
                    }
                    Found::TooNew => {}
                    _ => disk::remove(&path)?,
                }
            }
        }
        Ok(Self {
            folder,
            quota,
            durability,
            index: Mutex::new(index),
        })
    }

    /// What becomes of an offer. One that is held already is held until the later of both times.
    ///
    /// # Errors
    ///
    /// [`DiskError`] when the later time cannot be noted.
    pub fn offer(&self, offer: &Offer) -> Result<Offered, DiskError> {
        let Some((layout, index)) = shape(offer) else {
            return Ok(Offered::Refused(Refusal::Malformed));
        };
        let name = (offer.id, offer.index);
        let mut held = self.index();
        let known = held.chunks.get(&name).copied();
        // What only passes through is nobody's promise.
        if let Some((known, charge)) = known.filter(|(_, charge)| charge.group != PASSING) {
            // What is held has verified, so whoever places it elsewhere is wrong.
            if !known.agrees(layout, index) {
                return Ok(Offered::Refused(Refusal::OtherSize));
            }
            if offer.expires_at > charge.expires_at {
                let expires_at = offer.expires_at;
                let renewed = Charge {
                    expires_at,
                    ..charge
                };
                self.renew(layout, name, &renewed)?;
                held.shares.remove(name, &charge);
                held.shares.add(name, &renewed);
                held.chunks.insert(name, (layout, renewed));
            }
            return Ok(Offered::Held);
        }
        let charge = u64::from(layout.length(index)) + FILE_CHARGE;
        let is_room = self.fits(&held, charge) || held.victim_of(offer.group, charge).is_some();
        Ok(if is_room && charge <= self.quota {
            Offered::Wanted
        } else {
            Offered::Refused(Refusal::Quota)
        })
    }

    /// Verifies a chunk and keeps it; on return it survives kill -9.
    ///
    /// # Errors
    ///
    /// [`HoldError`] says whether the sender, the quota or the disk is in the way.
    pub fn put(&self, offer: &Offer, bytes: &[u8], proof: &Proof) -> Result<(), HoldError> {
        let (layout, index) = shape(offer).ok_or(Refusal::Malformed)?;
        verify(&offer.id, layout, index, bytes, proof)?;
        let name = (offer.id, offer.index);
        let charge = Charge {
            group: offer.group,
            owner: offer.owner,
            expires_at: offer.expires_at,
            bytes: u64::from(layout.length(index)) + FILE_CHARGE,
        };
        // Held across the write, so that two that come at once do not share the last room.
        let mut held = self.index();
        if matches!(index, ChunkIndex::List(_)) && !held.is_proven(&offer.id, layout) {
            return Err(Refusal::Unproven.into());
        }
        let known = held.chunks.get(&name).map(|(_, charge)| charge.group);
        if known.is_some_and(|group| group != PASSING) {
            drop(held);
            self.offer(offer)?;
            return Ok(());
        }
        self.make_room(&mut held, offer.group, charge.bytes)?;
        self.write(
            &mut held,
            (layout, name, charge),
            (bytes, proof),
            self.durability,
        )?;
        Ok(())
    }

    /// Writes what was verified, and counts it.
    fn write(
        &self,
        held: &mut Index,
        (layout, name, charge): (Layout, Name, Charge),
        (bytes, proof): (&[u8], &Proof),
        durability: Durability,
    ) -> Result<(), DiskError> {
        let mut file = header(layout, name, &charge, proof.len());
        file.extend_from_slice(&proof.to_bytes());
        file.extend_from_slice(bytes);
        let path = path_of(&self.folder, name);
        if let Some(parent) = path.parent() {
            disk::make(parent)?;
        }
        disk::replace(&path, &file, durability)?;
        // It may take the place of one under another size.
        if let Some((_, old)) = held.chunks.insert(name, (layout, charge)) {
            held.shares.remove(name, &old);
        }
        held.shares.add(name, &charge);
        Ok(())
    }

    /// Verifies a chunk and keeps it for those who read it now, as long as there is room. It takes what
    /// is free and a sixteenth of the quota; beyond that the oldest of its kind gives way, and so it
    /// does to whatever is pushed. It need not outlive the process.
    ///
    /// # Errors
    ///
    /// [`HoldError`] says whether the sender, the quota or the disk is in the way.
    pub fn pass(
        &self,
        (id, layout, chunk): (&FileId, Layout, u64),
        expires_at: u64,
        bytes: &[u8],
        proof: &Proof,
    ) -> Result<(), HoldError> {
        let index = ChunkIndex::Data(chunk);
        verify(id, layout, index, bytes, proof)?;
        let name = (*id, index.wire());
        let charge = Charge {
            group: PASSING,
            owner: [0; 32],
            expires_at,
            bytes: u64::from(layout.length(index)) + FILE_CHARGE,
        };
        let mut held = self.index();
        if held
            .chunks
            .get(&name)
            .is_some_and(|(known, _)| known.agrees(layout, index))
        {
            return Ok(());
        }
        while !self.fits(&held, charge.bytes) {
            let own = held.shares.bytes_of(PASSING) + charge.bytes;
            let other = held.shares.victim(PASSING, charge.bytes);
            let other = other.filter(|_| own <= self.quota / PASSING_SHARE);
            let victim = other.or_else(|| held.shares.first_of(PASSING));
            self.drop_chunk(&mut held, victim.ok_or(Refusal::Quota)?)?;
            held.evicted += 1;
        }
        self.write(
            &mut held,
            (layout, name, charge),
            (bytes, proof),
            Durability::Process,
        )?;
        Ok(())
    }

    /// Whether a chunk or list piece is held, by its number on the wire.
    pub fn contains(&self, id: &FileId, index: u64) -> bool {
        self.index().chunks.contains_key(&(*id, index))
    }

    /// A held chunk with its siblings; `None` when it is not held, or was damaged and is not any more.
    ///
    /// # Errors
    ///
    /// [`DiskError`] when the disk cannot be read.
    pub fn read(
        &self,
        id: &FileId,
        index: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<Option<Proof>, DiskError> {
        let name = (*id, index);
        let Some((layout, _)) = self.index().chunks.get(&name).copied() else {
            return Ok(None);
        };
        let path = path_of(&self.folder, name);
        let proof = match read_chunk(&path, layout, name, bytes) {
            Err(error) if error.is_missing() => None,
            read => read?,
        };
        if proof.is_none() {
            self.drop_chunk(&mut self.index(), name)?;
        }
        Ok(proof)
    }

    /// The shape of a file of which some chunk is held, proven or claimed, and which data chunks and
    /// list pieces are.
    pub fn of(&self, id: &FileId) -> Option<(Layout, ChunkSet, ChunkSet)> {
        let held = self.index();
        let layout = held.layout(id)?;
        let mut chunks = ChunkSet::new(layout.chunks());
        let mut pieces = ChunkSet::new(layout.list_pieces());
        for ((_, wire), _) in held.of(id) {
            match layout.index(*wire) {
                Some(ChunkIndex::Data(chunk)) => chunks.insert(chunk),
                Some(ChunkIndex::List(piece)) => pieces.insert(piece),
                None => false,
            };
        }
        Some((layout, chunks, pieces))
    }

    /// All that is held, by file and number.
    pub fn list(&self) -> Vec<HeldChunk> {
        let held = self.index();
        let chunk = |(name, (layout, charge)): (&Name, &(Layout, Charge))| HeldChunk {
            id: name.0,
            size: layout.size(),
            index: name.1,
            expires_at: charge.expires_at,
            is_passing: charge.group == PASSING,
        };
        held.chunks.iter().map(chunk).collect()
    }

    /// Removes at most `limit` chunks whose time is over at `now`, in seconds UTC; how many.
    ///
    /// # Errors
    ///
    /// [`DiskError`] when a file cannot be removed.
    pub fn expire(&self, now: u64, limit: usize) -> Result<usize, DiskError> {
        let mut held = self.index();
        for removed in 0..limit {
            let Some(name) = held.shares.expired(now) else {
                return Ok(removed);
            };
            self.drop_chunk(&mut held, name)?;
        }
        Ok(limit)
    }

    /// Removes all chunks of a file; how many.
    ///
    /// # Errors
    ///
    /// [`DiskError`] when a file cannot be removed.
    pub fn remove(&self, id: &FileId) -> Result<usize, DiskError> {
        let mut held = self.index();
        let names: Vec<Name> = held.of(id).map(|(name, _)| *name).collect();
        for name in &names {
            self.drop_chunk(&mut held, *name)?;
        }
        Ok(names.len())
    }

    /// What holding costs.
    pub fn usage(&self) -> Usage {
        self.usage_of(&self.index())
    }

    /// What holding costs; `None` while a chunk is being written, which nobody is made to wait for here.
    pub fn usage_at_once(&self) -> Option<Usage> {
        match self.index.try_lock() {
            Ok(held) => Some(self.usage_of(&held)),
            Err(TryLockError::Poisoned(held)) => Some(self.usage_of(&held.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn usage_of(&self, held: &Index) -> Usage {
        Usage {
            bytes: held.shares.bytes(),
            quota: self.quota,
            chunks: held.shares.chunks(),
            evicted: held.evicted,
        }
    }

    fn fits(&self, held: &Index, bytes: u64) -> bool {
        held.shares.bytes().saturating_add(bytes) <= self.quota
            && held.shares.chunks() < HELD_CHUNKS_MAX
    }

    fn make_room(&self, held: &mut Index, group: Group, bytes: u64) -> Result<(), HoldError> {
        while !self.fits(held, bytes) {
            let victim = held.victim_of(group, bytes).ok_or(Refusal::Quota)?;
            self.drop_chunk(held, victim)?;
            held.evicted += 1;
        }
        Ok(())
    }

    fn drop_chunk(&self, held: &mut Index, name: Name) -> Result<(), DiskError> {
        let path = path_of(&self.folder, name);
        disk::remove(&path)?;
        if let Some(parent) = path.parent() {
            // It stays while other chunks of the file are in it.
            let _ = fs::remove_dir(parent);
        }
        if let Some((_, charge)) = held.chunks.remove(&name) {
            held.shares.remove(name, &charge);
        }
        Ok(())
    }

    /// Writes a new header over the old one: both lie in one page of memory.
    fn renew(&self, layout: Layout, name: Name, charge: &Charge) -> Result<(), DiskError> {
        let path = path_of(&self.folder, name);
        let index = layout.index(name.1).unwrap_or(ChunkIndex::Data(0));
        let header = header(layout, name, charge, layout.proof_hashes(index));
        let renew = || {
            File::options()
                .write(true)
                .open(&path)?
                .write_all_at(&header, 0)
        };
        renew().map_err(DiskError::at(&path))
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        // Every change of the index is made after the disk's and whole.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The shape and place that an offer speaks of.
fn shape(offer: &Offer) -> Option<(Layout, ChunkIndex)> {
    let layout = Layout::new(offer.size).ok()?;
    Some((layout, layout.index(offer.index)?))
}

fn path_of(folder: &Path, (id, index): Name) -> PathBuf {
    folder.join(id.to_string()).join(format!("{index:016x}"))
}

fn header(layout: Layout, (id, index): Name, charge: &Charge, hashes: usize) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(id.as_bytes());
    bytes.extend_from_slice(&layout.size().to_le_bytes());
    bytes.extend_from_slice(&index.to_le_bytes());
    bytes.extend_from_slice(&charge.expires_at.to_le_bytes());
    bytes.extend_from_slice(&charge.group);
    bytes.extend_from_slice(&charge.owner);
    bytes.push(u8::try_from(hashes).unwrap_or(u8::MAX));
    bytes.resize(HEADER, 0);
    let hash = blake3::hash(&bytes);
    bytes.extend_from_slice(hash.as_bytes());
    bytes
}

/// What a file of this folder turned out to be.
enum Found {
    Header(Layout, Name, Charge),
    TooNew,
    Damaged,
}

fn read_header(path: &Path) -> Result<Found, DiskError> {
    let mut bytes = [0; HEADER + 32];
    let file = File::open(path).map_err(DiskError::at(path))?;
    match file.read_exact_at(&mut bytes, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Found::Damaged),
        read => read.map_err(DiskError::at(path))?,
    }
    if bytes.starts_with(b"qadom chunk ") && !bytes.starts_with(MAGIC) {
        return Ok(Found::TooNew);
    }
    Ok(decode(&bytes).unwrap_or(Found::Damaged))
}

fn decode(bytes: &[u8]) -> Option<Found> {
    let (fields, hash) = bytes.split_at_checked(HEADER)?;
    if blake3::hash(fields).as_bytes() != hash {
        return None;
    }
    let (id, fields) = fields.strip_prefix(MAGIC)?.split_first_chunk::<32>()?;
    let (size, fields) = fields.split_first_chunk::<8>()?;
    let (index, fields) = fields.split_first_chunk::<8>()?;
    let (expires_at, fields) = fields.split_first_chunk::<8>()?;
    let (group, fields) = fields.split_first_chunk::<8>()?;
    let (owner, _) = fields.split_first_chunk::<32>()?;
    let layout = Layout::new(u64::from_le_bytes(*size)).ok()?;
    let wire = u64::from_le_bytes(*index);
    let charge = Charge {
        group: *group,
        owner: *owner,
        expires_at: u64::from_le_bytes(*expires_at),
        bytes: u64::from(layout.length(layout.index(wire)?)) + FILE_CHARGE,
    };
    Some(Found::Header(
        layout,
        (FileId::from_bytes(*id), wire),
        charge,
    ))
}

/// Reads and verifies; `None` for what is not, or no longer, the chunk.
fn read_chunk(
    path: &Path,
    layout: Layout,
    (id, wire): Name,
    bytes: &mut Vec<u8>,
) -> Result<Option<Proof>, DiskError> {
    let Some(index) = layout.index(wire) else {
        return Ok(None);
    };
    let mut hashes = vec![0; 32 * layout.proof_hashes(index)];
    bytes.clear();
    let mut read = || {
        let mut file = File::open(path)?;
        let mut header = [0; HEADER + 32];
        file.read_exact(&mut header)?;
        file.read_exact(&mut hashes)?;
        // One byte more than a chunk shows a file that is too long.
        file.take(u64::from(CHUNK_SIZE) + 1).read_to_end(bytes)
    };
    match read() {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read.map_err(DiskError::at(path))?,
    };
    let Some(proof) = Proof::from_bytes(&hashes) else {
        return Ok(None);
    };
    let verified = verify(&id, layout, index, bytes, &proof);
    Ok(verified.is_ok().then_some(proof))
}
