//! The secret that a node is known by, and the file it is kept in.
//!
//! `node.key`, 69 bytes, 0600: version 1 | secret 32 | reset secret 32 | CRC-32 of what precedes,
//! little-endian.
//!
//! What must stay true: a file that cannot be read is never overwritten, since the identity in it
//! would be lost. What an identity is used for is known to the transport.

use std::path::Path;

use qadom_routing::{NodeId, NodeKey};
use qadom_transport::SecretKey;
use zeroize::{Zeroize, Zeroizing};

use crate::error::StartError;
use crate::folder::{Folder, NODE_KEY};

const VERSION: u8 = 1;
const LENGTH: usize = 1 + 32 + 32 + 4;

/// Keys that are tried between two lines in the log.
const PROGRESS_EVERY: u64 = 16_384;

/// The secrets of one node.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) secret: SecretKey,
    pub(crate) key: NodeKey,
    /// Makes the reset tokens, so it has to survive a restart.
    pub(crate) reset_secret: ResetSecret,
}

/// Wiped when dropped, and never printed.
pub(crate) struct ResetSecret(pub(crate) [u8; 32]);

impl Drop for ResetSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for ResetSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ResetSecret(..)")
    }
}

impl Identity {
    /// Reads the identity of a folder, or makes one whose key solves the puzzle of the network:
    /// 2^`id_bits` tries of some 40 µs. `None` when `is_given_up` said so meanwhile.
    pub(crate) fn load_or_make(
        folder: &Folder,
        id_bits: u8,
        is_given_up: impl Fn() -> bool,
    ) -> Result<Option<Self>, StartError> {
        let path = || folder.path().join(NODE_KEY);
        if let Some(content) = folder.read(NODE_KEY)?.map(Zeroizing::new) {
            let identity = read(&content, &path())?;
            let bits = identity.key.puzzle_bits();
            if bits < u32::from(id_bits) {
                return Err(StartError::WeakKey {
                    path: path(),
                    bits,
                    needed: id_bits.into(),
                });
            }
            return Ok(Some(identity));
        }
        let Some(identity) = generate(id_bits, is_given_up) else {
            return Ok(None);
        };
        folder
            .replace(NODE_KEY, &encode(&identity))
            .map_err(|source| StartError::FolderUnusable {
                path: folder.path().to_owned(),
                source,
            })?;
        Ok(Some(identity))
    }
}

/// The node whose key a file with this content holds.
pub(crate) fn id_of(content: &[u8], path: &Path) -> Result<NodeId, StartError> {
    Ok(read(content, path)?.key.id())
}

fn read(content: &[u8], path: &Path) -> Result<Identity, StartError> {
    decode(content).map_err(|error| match error {
        Unreadable::TooNew(found) => StartError::VersionTooNew {
            path: path.to_owned(),
            found: found.into(),
            known: VERSION.into(),
        },
        Unreadable::Damaged => StartError::BadKeyFile {
            path: path.to_owned(),
        },
    })
}

fn generate(id_bits: u8, is_given_up: impl Fn() -> bool) -> Option<Identity> {
    let mut tries = 0_u64;
    loop {
        if tries.is_multiple_of(PROGRESS_EVERY) && tries > 0 {
            if is_given_up() {
                return None;
            }
            tracing::info!(
                tries,
                id_bits,
                "looking for a node key that solves the puzzle"
            );
        }
        tries += 1;
        let mut bytes = Zeroizing::new([0; 32]);
        rand::fill(bytes.as_mut_slice());
        let secret = SecretKey::from_bytes(*bytes);
        let Ok(key) = NodeKey::new(secret.public()) else {
            continue;
        };
        if id_bits == 0 || key.puzzle_bits() >= u32::from(id_bits) {
            let mut reset_secret = ResetSecret([0; 32]);
            rand::fill(&mut reset_secret.0);
            return Some(Identity {
                secret,
                key,
                reset_secret,
            });
        }
    }
}

/// Why a key file does not give an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unreadable {
    TooNew(u8),
    Damaged,
}

fn encode(identity: &Identity) -> Zeroizing<Vec<u8>> {
    let mut content = Zeroizing::new(Vec::with_capacity(LENGTH));
    content.push(VERSION);
    content.extend_from_slice(identity.secret.expose());
    content.extend_from_slice(&identity.reset_secret.0);
    let checksum = crc32fast::hash(&content);
    content.extend_from_slice(&checksum.to_le_bytes());
    content
}

fn decode(content: &[u8]) -> Result<Identity, Unreadable> {
    match content.first() {
        Some(&version) if version > VERSION => return Err(Unreadable::TooNew(version)),
        Some(&VERSION) if content.len() == LENGTH => {}
        _ => return Err(Unreadable::Damaged),
    }
    let (body, checksum) = content.split_last_chunk::<4>().ok_or(Unreadable::Damaged)?;
    if crc32fast::hash(body).to_le_bytes() != *checksum {
        return Err(Unreadable::Damaged);
    }
    let (body, reset_secret) = body.split_last_chunk::<32>().ok_or(Unreadable::Damaged)?;
    let (_, secret) = body.split_last_chunk::<32>().ok_or(Unreadable::Damaged)?;
    let secret = SecretKey::from_bytes(*secret);
    let key = NodeKey::new(secret.public()).map_err(|_| Unreadable::Damaged)?;
    Ok(Identity {
        secret,
        key,
        reset_secret: ResetSecret(*reset_secret),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn load(folder: &Folder, id_bits: u8) -> Result<Identity, StartError> {
        Identity::load_or_make(folder, id_bits, || false).map(Option::unwrap)
    }

    #[test]
    fn an_identity_is_made_once_and_is_for_its_owner_alone() {
        let folder = Folder::temporary().unwrap();
        let made = load(&folder, 6).unwrap();
        assert!(made.key.puzzle_bits() >= 6);
        let read = load(&folder, 6).unwrap();
        assert_eq!(read.key, made.key);
        assert_eq!(read.reset_secret.0, made.reset_secret.0);
        let file = std::fs::metadata(folder.path().join(NODE_KEY)).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_key_that_does_not_solve_the_puzzle_is_refused() {
        let folder = Folder::temporary().unwrap();
        let bits = load(&folder, 0).unwrap().key.puzzle_bits();
        let needed = u8::try_from(bits + 1).unwrap();
        assert!(matches!(
            load(&folder, needed),
            Err(StartError::WeakKey { .. })
        ));
    }

    #[test]
    fn a_search_that_nobody_waits_for_ends() {
        let folder = Folder::temporary().unwrap();
        let result = Identity::load_or_make(&folder, 255, || true).unwrap();
        assert!(result.is_none());
    }

    #[test]
    fn damage_and_newer_versions_are_told_apart_and_nothing_is_overwritten() {
        let folder = Folder::temporary().unwrap();
        load(&folder, 0).unwrap();
        let whole = folder.read(NODE_KEY).unwrap().unwrap();
        for place in 1..LENGTH {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            folder.replace(NODE_KEY, &damaged).unwrap();
            let refused = load(&folder, 0);
            assert!(
                matches!(refused, Err(StartError::BadKeyFile { .. })),
                "{place}"
            );
            assert_eq!(folder.read(NODE_KEY).unwrap().unwrap(), damaged);
        }
        for length in 0..LENGTH {
            folder.replace(NODE_KEY, &whole[..length]).unwrap();
            let refused = load(&folder, 0);
            assert!(
                matches!(refused, Err(StartError::BadKeyFile { .. })),
                "{length}"
            );
            assert_eq!(folder.read(NODE_KEY).unwrap().unwrap(), whole[..length]);
        }
        folder.replace(NODE_KEY, &[2, 0, 0]).unwrap();
        let refused = load(&folder, 0);
        assert!(matches!(
            refused,
            Err(StartError::VersionTooNew { found: 2, .. })
        ));
    }
}
