//! Bytes under a passphrase: Argon2id makes the key, XChaCha20-Poly1305 in the STREAM construction
//! seals one segment after the other.
//!
//! Header, 61 bytes: `qadom backup\n` | version 1 | memory in KiB 4 | passes 4 | lanes 4 | salt 16 |
//! nonce 19. Then an empty segment, by which a wrong passphrase is told from damage, and segments of
//! 65 536 bytes; each has a tag of 16. The last one may be shorter and is told apart by its nonce. The
//! header is authenticated with each of them. Numbers are little-endian.
//!
//! What must stay true: nothing is given out that the passphrase does not vouch for, what was cut
//! off or moved is noticed, and a header asks for no more memory or time than the limits here. What
//! the bytes are is known to `archive`.

use std::io::{self, Read, Write};

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::stream::{DecryptorBE32, EncryptorBE32};
use zeroize::Zeroizing;

/// The newest version that can be opened, and the one that is written.
pub(super) const VERSION: u8 = 1;

const MAGIC: &[u8] = b"qadom backup\n";
const SALT: usize = 16;
const NONCE: usize = 19;
const HEADER: usize = MAGIC.len() + 1 + 3 * 4 + SALT + NONCE;
const SEGMENT: usize = 65_536;
const TAG: usize = 16;

/// The most memory that a header may ask for, in KiB: 1 GiB.
const MEMORY_MAX: u32 = 1 << 20;
/// The most passes and lanes that a header may ask for.
const WORK_MAX: u32 = 16;

/// What trying one passphrase costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    /// KiB of memory.
    pub(super) memory: u32,
    /// Passes over it.
    pub(super) passes: u32,
    /// Parts of it that may be worked on side by side.
    pub(super) lanes: u32,
}

impl Cost {
    /// The second choice of RFC 9106, for machines that do not have 2 GiB to spare.
    pub(super) const USUAL: Self = Self {
        memory: 65_536,
        passes: 3,
        lanes: 4,
    };

    fn key(self, passphrase: &[u8], salt: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
        let is_allowed =
            self.memory <= MEMORY_MAX && self.passes <= WORK_MAX && self.lanes <= WORK_MAX;
        let params = Params::new(self.memory, self.passes, self.lanes, Some(32)).ok()?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut key = Zeroizing::new([0; 32]);
        (is_allowed
            && argon
                .hash_password_into(passphrase, salt, &mut *key)
                .is_ok())
        .then_some(key)
    }
}

/// Why nothing, or nothing more, can be opened.
#[derive(Debug)]
pub(super) enum Sealed {
    /// The bytes do not begin as a backup does.
    Foreign,
    /// A newer program sealed them.
    TooNew(u8),
    /// The passphrase does not open what it was sealed with, or that is damaged.
    WrongPassphrase,
    /// A segment does not open, or the bytes end too early.
    Damaged,
    /// They cannot be read.
    Disk(io::Error),
}

/// Seals what is written to it.
pub(super) struct Sealer<W> {
    to: W,
    header: Vec<u8>,
    encryptor: EncryptorBE32<XChaCha20Poly1305>,
    segment: Zeroizing<Vec<u8>>,
}

impl<W: Write> Sealer<W> {
    /// Writes the header, with a salt and a nonce that were drawn for it alone.
    pub(super) fn new(mut to: W, passphrase: &[u8], cost: Cost) -> io::Result<Self> {
        let mut drawn = [0; SALT + NONCE];
        rand::fill(&mut drawn);
        let mut header = MAGIC.to_vec();
        header.push(VERSION);
        for number in [cost.memory, cost.passes, cost.lanes] {
            header.extend_from_slice(&number.to_le_bytes());
        }
        header.extend_from_slice(&drawn);
        let (salt, nonce) = drawn.split_at(SALT);
        let key = cost
            .key(passphrase, salt)
            .ok_or(io::ErrorKind::OutOfMemory)?;
        let mut encryptor = EncryptorBE32::new((&*key).into(), nonce.into());
        let mut proof = Vec::new();
        encryptor
            .encrypt_next_in_place(&header, &mut proof)
            .map_err(|_| too_long())?;
        to.write_all(&header)?;
        to.write_all(&proof)?;
        Ok(Self {
            to,
            header,
            encryptor,
            segment: Zeroizing::new(Vec::with_capacity(SEGMENT + TAG)),
        })
    }

    /// Seals the last segment; without it the rest does not open.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.encryptor
            .encrypt_last_in_place(&self.header, &mut *self.segment)
            .map_err(|_| too_long())?;
        self.to.write_all(&self.segment)?;
        Ok(self.to)
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A segment that is full is only sealed when another one follows: the last is marked.
        if self.segment.len() == SEGMENT && !bytes.is_empty() {
            self.encryptor
                .encrypt_next_in_place(&self.header, &mut *self.segment)
                .map_err(|_| too_long())?;
            self.to.write_all(&self.segment)?;
            self.segment.clear();
        }
        let taken = bytes.len().min(SEGMENT - self.segment.len());
        self.segment
            .extend_from_slice(bytes.get(..taken).unwrap_or_default());
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn too_long() -> io::Error {
    io::ErrorKind::FileTooLarge.into()
}

/// Opens what was sealed.
pub(super) struct Opener<R> {
    from: R,
    header: [u8; HEADER],
    /// None behind the last segment.
    decryptor: Option<DecryptorBE32<XChaCha20Poly1305>>,
    /// The next segment as it was read, to know whether the one before is the last.
    ahead: Vec<u8>,
    segment: Zeroizing<Vec<u8>>,
    /// Bytes of the segment that were given out.
    given: usize,
}

impl<R: Read> Opener<R> {
    /// Reads the header, and whether the passphrase is the one.
    pub(super) fn open(mut from: R, passphrase: &[u8]) -> Result<Self, Sealed> {
        let begin = read(&mut from, HEADER)?;
        let shown = begin.get(..MAGIC.len()).ok_or(Sealed::Foreign)?;
        if shown != MAGIC {
            return Err(Sealed::Foreign);
        }
        match begin.get(MAGIC.len()) {
            Some(&VERSION) => {}
            Some(&version) if version > VERSION => return Err(Sealed::TooNew(version)),
            _ => return Err(Sealed::Damaged),
        }
        let header = <[u8; HEADER]>::try_from(begin.as_slice()).map_err(|_| Sealed::Damaged)?;
        let (cost, salt, nonce) = parts(&header).ok_or(Sealed::Damaged)?;
        let key = cost.key(passphrase, salt).ok_or(Sealed::Damaged)?;
        let mut decryptor = DecryptorBE32::new((&*key).into(), nonce.into());
        let mut proof = read(&mut from, TAG)?;
        decryptor
            .decrypt_next_in_place(&header, &mut proof)
            .map_err(|_| Sealed::WrongPassphrase)?;
        let ahead = read(&mut from, SEGMENT + TAG)?;
        Ok(Self {
            from,
            header,
            decryptor: Some(decryptor),
            ahead,
            segment: Zeroizing::default(),
            given: 0,
        })
    }

    /// Fills the buffer.
    pub(super) fn fill(&mut self, mut buffer: &mut [u8]) -> Result<(), Sealed> {
        while !buffer.is_empty() {
            let left = self.segment.get(self.given..).unwrap_or_default();
            if left.is_empty() {
                self.next()?;
                continue;
            }
            let count = left.len().min(buffer.len());
            let (now, later) = buffer.split_at_mut(count);
            now.copy_from_slice(left.get(..count).unwrap_or_default());
            self.given += count;
            buffer = later;
        }
        Ok(())
    }

    /// Whether everything was given out, and nothing lies behind it.
    pub(super) fn is_at_end(&mut self) -> Result<bool, Sealed> {
        while self.given == self.segment.len() && self.decryptor.is_some() {
            self.next()?;
        }
        Ok(self.given == self.segment.len())
    }

    fn next(&mut self) -> Result<(), Sealed> {
        let mut decryptor = self.decryptor.take().ok_or(Sealed::Damaged)?;
        let after = read(&mut self.from, SEGMENT + TAG)?;
        let mut segment = Zeroizing::new(std::mem::replace(&mut self.ahead, after));
        let opened = if self.ahead.is_empty() {
            decryptor.decrypt_last_in_place(&self.header, &mut *segment)
        } else {
            let opened = decryptor.decrypt_next_in_place(&self.header, &mut *segment);
            self.decryptor = Some(decryptor);
            opened
        };
        opened.map_err(|_| Sealed::Damaged)?;
        self.segment = segment;
        self.given = 0;
        Ok(())
    }
}

fn parts(header: &[u8; HEADER]) -> Option<(Cost, &[u8], &[u8])> {
    let numbers = header.get(MAGIC.len() + 1..)?;
    let (memory, numbers) = numbers.split_first_chunk()?;
    let (passes, numbers) = numbers.split_first_chunk()?;
    let (lanes, drawn) = numbers.split_first_chunk()?;
    let cost = Cost {
        memory: u32::from_le_bytes(*memory),
        passes: u32::from_le_bytes(*passes),
        lanes: u32::from_le_bytes(*lanes),
    };
    let (salt, nonce) = drawn.split_at_checked(SALT)?;
    Some((cost, salt, nonce))
}

/// Up to `count` bytes; fewer at the end.
fn read(from: &mut impl Read, count: usize) -> Result<Vec<u8>, Sealed> {
    let mut bytes = Vec::with_capacity(count);
    from.take(count as u64)
        .read_to_end(&mut bytes)
        .map_err(Sealed::Disk)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost {
        memory: 8,
        passes: 1,
        lanes: 1,
    };

    fn seal(content: &[u8]) -> Vec<u8> {
        let mut sealer = Sealer::new(Vec::new(), b"secret", CHEAP).unwrap();
        sealer.write_all(content).unwrap();
        sealer.finish().unwrap()
    }

    fn open(sealed: &[u8], length: usize) -> Result<Vec<u8>, Sealed> {
        let mut opener = Opener::open(sealed, b"secret")?;
        let mut content = vec![0; length];
        opener.fill(&mut content)?;
        assert!(opener.is_at_end()?);
        assert!(matches!(opener.fill(&mut [0]), Err(Sealed::Damaged)));
        Ok(content)
    }

    #[test]
    fn what_is_sealed_opens_whatever_its_length() {
        for length in [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT] {
            let content: Vec<u8> = (0..=250).cycle().take(length).collect();
            let sealed = seal(&content);
            assert_eq!(open(&sealed, length).unwrap(), content, "{length}");
            let segments = length.div_ceil(SEGMENT).max(1);
            assert_eq!(sealed.len(), HEADER + length + (1 + segments) * TAG);
        }
    }

    #[test]
    fn nothing_is_given_out_for_another_passphrase() {
        let sealed = seal(b"content");
        let refused = Opener::open(&sealed[..], b"Secret");
        assert!(matches!(refused, Err(Sealed::WrongPassphrase)));
    }

    #[test]
    fn every_byte_that_changes_and_every_cut_is_noticed() {
        let content = vec![7; 10];
        let sealed = seal(&content);
        for place in 0..sealed.len() {
            // Memory, passes and lanes of a forged header are tried below.
            if (MAGIC.len() + 1..MAGIC.len() + 13).contains(&place) {
                continue;
            }
            let mut damaged = sealed.clone();
            damaged[place] ^= 1;
            assert!(open(&damaged, 10).is_err(), "{place}");
        }
        for length in 0..sealed.len() {
            assert!(open(&sealed[..length], 10).is_err(), "{length}");
        }
    }

    #[test]
    fn whole_segments_that_are_missing_or_moved_are_noticed() {
        let content: Vec<u8> = (0..=250).cycle().take(3 * SEGMENT).collect();
        let sealed = seal(&content);
        let cut = &sealed[..HEADER + TAG + 2 * (SEGMENT + TAG)];
        assert!(matches!(open(cut, 2 * SEGMENT), Err(Sealed::Damaged)));
        let mut swapped = sealed.clone();
        let (first, second) = swapped[HEADER + TAG..].split_at_mut(SEGMENT + TAG);
        first.swap_with_slice(&mut second[..SEGMENT + TAG]);
        assert!(open(&swapped, 3 * SEGMENT).is_err());
        let mut longer = sealed;
        longer.push(0);
        assert!(open(&longer, 3 * SEGMENT).is_err());
    }

    #[test]
    fn a_header_that_asks_for_too_much_is_refused_at_once() {
        let numbers = MAGIC.len() + 1;
        for (place, number) in [
            (numbers, MEMORY_MAX + 1),
            (numbers, u32::MAX),
            (numbers, 0),
            (numbers + 4, WORK_MAX + 1),
            (numbers + 8, WORK_MAX + 1),
            (numbers + 8, 0),
        ] {
            let mut forged = seal(b"content");
            forged[place..place + 4].copy_from_slice(&number.to_le_bytes());
            let refused = Opener::open(&forged[..], b"secret");
            assert!(matches!(refused, Err(Sealed::Damaged)), "{number}");
        }
    }

    #[test]
    fn newer_and_foreign_bytes_are_told_apart() {
        let mut newer = seal(b"content");
        newer[MAGIC.len()] = VERSION + 1;
        let refused = Opener::open(&newer[..], b"secret");
        assert!(matches!(refused, Err(Sealed::TooNew(2))));
        for foreign in [
            &b""[..],
            b"qadom",
            b"something else altogether, long enough",
        ] {
            let refused = Opener::open(foreign, b"secret");
            assert!(matches!(refused, Err(Sealed::Foreign)));
        }
    }
}
