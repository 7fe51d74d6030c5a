//! Which chunks of a partial download are verified and on disk, and where its bytes lie.
//!
//! What must stay true: a chunk is believed only if its bytes were written before its mark, and the
//! system has not gone down since unless they were synced before it did. All other marks are hints
//! about what to hash again; none is forgotten, none is trusted.
//!
//! Format 1: a header of 8192 bytes (`qadom partial 1\n`, id 32, size u64, length of the path u16,
//! path of the data, zeros, BLAKE3 of the rest at 8160), then a slot of 2048 bytes for every 4096
//! chunks: BLAKE3 of slot number and body 32, body: boot id 16, bitfield of synced chunks 512,
//! bitfield of written chunks 512; zeros. Integers are little-endian. A slot lies in one page of
//! memory, so kill -9 never tears it; what a loss of power tore fails its hash.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::Durability;
use super::disk::{self, DiskError};
use crate::chunk_set::PAGE_CHUNKS;
use crate::{ChunkSet, FileId, Layout};

/// Opens every file of this kind; the digit is the version.
const MAGIC: &[u8; 16] = b"qadom partial 1\n";

/// How the magic of every version begins.
const KIND: &[u8] = b"qadom partial ";

/// Bytes in front of the first slot.
const HEADER: usize = 8192;

/// Where the header's own hash begins.
const HEADER_HASH: usize = HEADER - 32;

/// The longest path of data.
const PATH_MAX: usize = 4096;

/// Bytes from slot to slot.
const SLOT: u64 = 2048;

/// Bytes of a bitfield in a slot.
const BITS: usize = 512;

/// Bytes of a slot behind its hash.
const BODY: usize = 16 + 2 * BITS;

/// What stands in the header.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) id: FileId,
    pub(super) layout: Layout,
    pub(super) data: PathBuf,
}

/// What became of opening one.
pub(super) enum Opened {
    /// It can go on.
    Ready(Box<HaveFile>),
    /// It is damaged, or of another kind.
    Damaged,
    /// A later version of qadom wrote it.
    TooNew,
}

/// The marks of one partial download.
#[derive(Debug)]
pub(super) struct HaveFile {
    path: PathBuf,
    file: File,
    boot: [u8; 16],
    pub(super) header: Header,
    /// Verified, written, and believed.
    have: ChunkSet,
    /// Of these, what was synced.
    synced: ChunkSet,
    /// Marked, but to be hashed again before it is believed.
    pub(super) doubtful: ChunkSet,
}

impl HaveFile {
    /// Begins without any chunk.
    pub(super) fn create(
        path: &Path,
        header: Header,
        durability: Durability,
    ) -> Result<Self, DiskError> {
        let too_long = || io::Error::from(io::ErrorKind::InvalidFilename);
        let bytes = encode(&header).ok_or_else(too_long);
        let bytes = bytes.map_err(DiskError::at(path))?;
        disk::replace(path, &bytes, durability)?;
        let file = File::options().read(true).write(true).open(path);
        let chunks = header.layout.chunks();
        Ok(Self {
            path: path.to_owned(),
            file: file.map_err(DiskError::at(path))?,
            boot: boot_id(),
            header,
            have: ChunkSet::new(chunks),
            synced: ChunkSet::new(chunks),
            doubtful: ChunkSet::new(chunks),
        })
    }

    /// Opens what an earlier process left.
    pub(super) fn open(path: &Path) -> Result<Opened, DiskError> {
        let file = File::options().read(true).write(true).open(path);
        let file = file.map_err(DiskError::at(path))?;
        let mut bytes = vec![0; HEADER];
        match file.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(Opened::Damaged);
            }
            read => read.map_err(DiskError::at(path))?,
        }
        if !bytes.starts_with(MAGIC) && bytes.starts_with(KIND) {
            return Ok(Opened::TooNew);
        }
        let Some(header) = decode(&bytes) else {
            return Ok(Opened::Damaged);
        };
        let chunks = header.layout.chunks();
        let mut have = Self {
            path: path.to_owned(),
            file,
            boot: boot_id(),
            header,
            have: ChunkSet::new(chunks),
            synced: ChunkSet::new(chunks),
            doubtful: ChunkSet::new(chunks),
        };
        have.load()?;
        Ok(Opened::Ready(Box::new(have)))
    }

    /// Reads all slots.
    fn load(&mut self) -> Result<(), DiskError> {
        let length = self
            .file
            .metadata()
            .map_err(DiskError::at(&self.path))?
            .len();
        let slots = length.saturating_sub(HEADER as u64).div_ceil(SLOT);
        let pages = self.header.layout.chunks().div_ceil(PAGE_CHUNKS);
        let mut slot = [0; 32 + BODY];
        for page in 0..slots.min(pages) {
            match self.file.read_exact_at(&mut slot, Self::offset(page)) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                read => read.map_err(DiskError::at(&self.path))?,
            }
            if slot.iter().any(|byte| *byte != 0) {
                self.load_slot(page, &slot);
            }
        }
        Ok(())
    }

    fn load_slot(&mut self, page: u64, slot: &[u8; 32 + BODY]) {
        let (hash, body) = slot.split_at(32);
        let (boot, bits) = body.split_at(16);
        let (synced, written) = bits.split_at(BITS);
        let first = page * PAGE_CHUNKS;
        // Bits beyond the last chunk come from damage; the hash tells, and nothing is believed.
        let is_whole = hash == slot_hash(page, body);
        let is_same_boot = boot == self.boot && self.boot != [0; 16];
        let believed = match (is_whole, is_same_boot) {
            (true, true) => written,
            (true, false) => synced,
            (false, _) => &[],
        };
        let _ = self.have.insert_bytes(first, believed);
        if is_whole {
            let _ = self.synced.insert_bytes(first, synced);
        }
        let marked: Vec<u8> = synced.iter().zip(written).map(|(a, b)| a | b).collect();
        let last = self.header.layout.chunks().min(first + PAGE_CHUNKS);
        for (chunk, at) in (first..last).zip(0..) {
            let is_marked = marked
                .get(at / 8)
                .is_some_and(|byte| byte >> (at % 8) & 1 == 1);
            if is_marked && !self.have.contains(chunk) {
                self.doubtful.insert(chunk);
            }
        }
    }

    /// The verified chunks.
    pub(super) const fn have(&self) -> &ChunkSet {
        &self.have
    }

    /// Marks a chunk whose bytes are written.
    pub(super) fn mark(&mut self, chunk: u64) -> Result<(), DiskError> {
        self.have.insert(chunk);
        self.write_slot(chunk / PAGE_CHUNKS)
    }

    /// Forgets a chunk whose bytes turned out to be wrong.
    pub(super) fn unmark(&mut self, chunk: u64) -> Result<(), DiskError> {
        self.have.remove(chunk);
        self.synced.remove(chunk);
        self.write_slot(chunk / PAGE_CHUNKS)
    }

    /// Ends all doubt: of the doubtful chunks these are right. Until here the file is as it was found,
    /// so a crash during the hashing loses no hint.
    pub(super) fn settle(&mut self, right: &ChunkSet) -> Result<(), DiskError> {
        let doubtful = std::mem::replace(&mut self.doubtful, ChunkSet::new(right.chunks()));
        self.have.union_with(right);
        let mut next = 0;
        while let Some(chunk) = doubtful.first_in(next..u64::MAX) {
            let page = chunk / PAGE_CHUNKS;
            self.write_slot(page)?;
            next = (page + 1) * PAGE_CHUNKS;
        }
        Ok(())
    }

    /// Notes that the bytes of these chunks will outlive a loss of power.
    pub(super) fn mark_synced(&mut self, chunks: &ChunkSet) -> Result<(), DiskError> {
        let mut next = 0;
        while let Some(chunk) = self.first_unsynced(next, chunks) {
            let page = chunk / PAGE_CHUNKS;
            for chunk in page * PAGE_CHUNKS..(page + 1) * PAGE_CHUNKS {
                if chunks.contains(chunk) && self.have.contains(chunk) {
                    self.synced.insert(chunk);
                }
            }
            self.write_slot(page)?;
            next = (page + 1) * PAGE_CHUNKS;
        }
        self.file.sync_data().map_err(DiskError::at(&self.path))
    }

    /// The first chunk from `next` on that is had, named, and not synced.
    fn first_unsynced(&self, mut next: u64, chunks: &ChunkSet) -> Option<u64> {
        loop {
            let chunk = self.synced.first_missing(next..u64::MAX)?;
            let named = chunks.first_in(chunk..u64::MAX)?;
            if named == chunk && self.have.contains(chunk) {
                return Some(chunk);
            }
            next = named.max(chunk + 1);
        }
    }

    fn write_slot(&self, page: u64) -> Result<(), DiskError> {
        let first = page * PAGE_CHUNKS;
        let mut body = vec![0; BODY];
        let fields = self.boot.into_iter();
        // A short last page leaves zeros behind its bits.
        let mut synced = self.synced.to_bytes(first, BITS);
        synced.resize(BITS, 0);
        let fields = fields.chain(synced).chain(self.have.to_bytes(first, BITS));
        for (byte, field) in body.iter_mut().zip(fields) {
            *byte = field;
        }
        let mut slot = slot_hash(page, &body).to_vec();
        slot.extend_from_slice(&body);
        let written = self.file.write_all_at(&slot, Self::offset(page));
        written.map_err(DiskError::at(&self.path))
    }

    fn offset(page: u64) -> u64 {
        HEADER as u64 + page * SLOT
    }
}

fn slot_hash(page: u64, body: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&page.to_le_bytes()).update(body);
    *hasher.finalize().as_bytes()
}

fn encode(header: &Header) -> Option<Vec<u8>> {
    let path = header.data.as_os_str().as_bytes();
    if path.len() > PATH_MAX {
        return None;
    }
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(header.id.as_bytes());
    bytes.extend_from_slice(&header.layout.size().to_le_bytes());
    bytes.extend_from_slice(&u16::try_from(path.len()).ok()?.to_le_bytes());
    bytes.extend_from_slice(path);
    bytes.resize(HEADER_HASH, 0);
    let hash = blake3::hash(&bytes);
    bytes.extend_from_slice(hash.as_bytes());
    Some(bytes)
}

fn decode(bytes: &[u8]) -> Option<Header> {
    let (fields, hash) = bytes.split_at_checked(HEADER_HASH)?;
    if blake3::hash(fields).as_bytes() != hash {
        return None;
    }
    let fields = fields.strip_prefix(MAGIC)?;
    let (id, fields) = fields.split_first_chunk::<32>()?;
    let (size, fields) = fields.split_first_chunk::<8>()?;
    let (length, fields) = fields.split_first_chunk::<2>()?;
    let path = fields.get(..usize::from(u16::from_le_bytes(*length)))?;
    Some(Header {
        id: FileId::from_bytes(*id),
        layout: Layout::new(u64::from_le_bytes(*size)).ok()?,
        data: PathBuf::from(OsStr::from_bytes(path)),
    })
}

/// What tells one run of the operating system from the next; zeros where none is known, and then no
/// run is the same.
fn boot_id() -> [u8; 16] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes());
    bytes
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .unwrap_or_default()
}
