//! Who a node can write as: named secrets, each in a file of its own in the folder `identities`.
//!
//! `identities/NAME`, 0600, one line of text: `qadom-identity-1:` | seed of the Ed25519 key in 64
//! hexadecimal digits | `:` | CRC-32 of what precedes in 8 hexadecimal digits. What is exported and
//! imported is this line.
//!
//! What must stay true: a name is given to one secret for good, no file is ever overwritten, and no
//! secret is printed or left in memory. What is signed is the engine's business.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::HEXLOWER;
use qadom_wire::{Identity, Reason, Writer};
use zeroize::Zeroizing;

use crate::command::Command;
use crate::error::Error;
use crate::folder::{IDENTITIES, sync_folder};
use crate::node::Node;

/// Who signs unless another name is given; made on its first use.
pub const DEFAULT_IDENTITY: &str = "default";

/// Identities that a node has at most.
pub const IDENTITIES_MAX: usize = 1024;

/// The longest name of an identity in bytes.
pub const IDENTITY_NAME_MAX: usize = 64;

const PREFIX: &str = "qadom-identity-";
const VERSION: u32 = 1;
/// No file that is longer holds an identity.
const FILE_MAX: u64 = 256;

/// Why an identity cannot be had. Nothing was changed.
///
/// # Examples
///
/// ```
/// use qadom_node::{Error, IdentityError, Node};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// let error = node.create_identity("not/a/name").await.unwrap_err();
/// assert!(matches!(error, Error::Identity(IdentityError::BadName { .. })));
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The name has a form that no identity has. The caller is at fault.
    #[error(
        "an identity is named by 1 to {IDENTITY_NAME_MAX} letters, digits, dots, underscores and \
         dashes, and begins with no dot: {name:?}"
    )]
    BadName {
        /// The name.
        name: String,
    },
    /// There is an identity of this name. It stays as it is.
    #[error("there is an identity named {name} already")]
    Exists {
        /// The name.
        name: String,
    },
    /// There is no identity of this name.
    #[error("there is no identity named {name}")]
    Unknown {
        /// The name.
        name: String,
    },
    /// As many identities exist as may. The caller is at fault.
    #[error("a node has at most {limit} identities")]
    TooMany {
        /// The most that a node has.
        limit: usize,
    },
    /// The file or the text holds no identity, or is damaged. It stays as it is.
    #[error("{origin} holds no whole identity")]
    Damaged {
        /// The file, or `the text`.
        origin: String,
    },
    /// A newer program wrote the file or the text. It stays as it is.
    #[error("{origin} has version {found}, this program knows up to {known}")]
    TooNew {
        /// The file, or `the text`.
        origin: String,
        /// Its version.
        found: u32,
        /// The newest version that can be read.
        known: u32,
    },
    /// The disk refused.
    #[error("{} cannot be used: {source}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
}

impl IdentityError {
    /// The reason, one of the list that all of qadom shares.
    pub fn reason(&self) -> Reason {
        match self {
            Self::BadName { .. } => Reason::Usage,
            Self::Exists { .. } => Reason::Conflict,
            Self::Unknown { .. } => Reason::NotFound,
            Self::TooMany { .. } => Reason::Quota,
            Self::Damaged { .. } => Reason::Malformed,
            Self::TooNew { .. } => Reason::VersionTooNew,
            Self::Disk { source, .. } => match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Reason::DiskFull,
                _ => Reason::FolderUnusable,
            },
        }
    }
}

impl Node {
    /// Who this node can write as: every identity by name, with the public key by which all others
    /// know it.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] when the folder, or the file of any of them, cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// use qadom_node::Node;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
    /// let writer = node.create_identity("work").await?;
    /// let secret = node.export_identity("work").await?;
    ///
    /// let other = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
    /// assert_eq!(other.import_identity("from-home", &secret).await?, writer);
    /// assert_eq!(other.identities().await?, [("from-home".to_owned(), writer)]);
    /// # node.shutdown().await;
    /// # other.shutdown().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn identities(&self) -> Result<Vec<(String, Writer)>, Error> {
        let folder = Arc::clone(&self.inner.identities);
        let listed = tokio::task::spawn_blocking(move || folder.list());
        Ok(listed.await.map_err(|_| Error::Internal)??)
    }

    /// Makes an identity of a name that is free, and gives its public key. A name has 1 to 64 of
    /// the characters `A-Z a-z 0-9 . _ -` and begins with no dot.
    ///
    /// # Errors
    ///
    /// [`IdentityError`], [`Error::Busy`] and [`Error::Stopped`].
    pub async fn create_identity(&self, name: &str) -> Result<Writer, Error> {
        let made = self.on_disk(name, |folder, name| folder.create(name, &drawn()));
        self.sign_as(name, made.await?).await
    }

    /// The secret of an identity as the line of text that [`import_identity`] takes. Whoever reads
    /// it can write as this identity.
    ///
    /// # Errors
    ///
    /// [`IdentityError`].
    ///
    /// [`import_identity`]: Self::import_identity
    pub async fn export_identity(&self, name: &str) -> Result<String, Error> {
        let identity = self.on_disk(name, IdentityFolder::load).await?;
        Ok(std::mem::take(&mut *encode(identity.seed())))
    }

    /// Takes an identity that was exported, under a name that is free here, and gives its public
    /// key.
    ///
    /// # Errors
    ///
    /// [`IdentityError`]; nothing is taken then. [`Error::Busy`] and [`Error::Stopped`].
    pub async fn import_identity(&self, name: &str, secret: &str) -> Result<Writer, Error> {
        let seed = decode(secret, || "the text".to_owned())?;
        let made = self.on_disk(name, move |folder, name| folder.create(name, &seed));
        self.sign_as(name, made.await?).await
    }

    /// The public key of an identity. [`DEFAULT_IDENTITY`] is made when it is not there.
    ///
    /// # Errors
    ///
    /// [`IdentityError`], [`Error::Busy`] and [`Error::Stopped`].
    pub async fn writer(&self, name: &str) -> Result<Writer, Error> {
        if let Some(writer) = self.inner.identities.known(name) {
            return Ok(writer);
        }
        let found = self.on_disk(name, |folder, name| match folder.load(name) {
            Err(IdentityError::Unknown { .. }) if name == DEFAULT_IDENTITY => {
                folder.create(name, &drawn()).or_else(|error| match error {
                    // Somebody else was faster.
                    IdentityError::Exists { .. } => folder.load(name),
                    error => Err(error),
                })
            }
            result => result,
        });
        self.sign_as(name, found.await?).await
    }

    /// What this node calls a writer, if it can write as it.
    pub fn identity_name(&self, writer: &Writer) -> Option<String> {
        self.inner.identities.name_of(writer)
    }

    async fn on_disk(
        &self,
        name: &str,
        work: impl FnOnce(&IdentityFolder, &str) -> Result<Identity, IdentityError> + Send + 'static,
    ) -> Result<Identity, Error> {
        let name = name.to_owned();
        if !is_name(&name) {
            return Err(IdentityError::BadName { name }.into());
        }
        let folder = Arc::clone(&self.inner.identities);
        let done = tokio::task::spawn_blocking(move || work(&folder, &name));
        Ok(done.await.map_err(|_| Error::Internal)??)
    }

    /// Lets the engine sign as an identity.
    async fn sign_as(&self, name: &str, identity: Identity) -> Result<Writer, Error> {
        let writer = identity.writer();
        let identity = Arc::new(identity);
        self.ask(|reply| Command::Identity(identity, reply)).await?;
        self.inner.identities.note(name, writer);
        Ok(writer)
    }
}

/// The folder of the identities. It is made with the first of them.
#[derive(Debug)]
pub(crate) struct IdentityFolder {
    path: PathBuf,
    /// Those that the engine knows.
    known: Mutex<BTreeMap<String, Writer>>,
}

impl IdentityFolder {
    /// The identities of a data folder, and their secrets for the engine. One that cannot be read
    /// is left out: what it promised is not renewed, and every use of it says why.
    pub(crate) fn open(data_dir: &Path) -> (Self, Vec<Arc<Identity>>) {
        let folder = Self::at(data_dir);
        let mut identities = Vec::new();
        let names = folder.names().unwrap_or_else(|error| {
            tracing::error!(%error, "the identities cannot be read");
            Vec::new()
        });
        for name in names {
            match folder.load(&name) {
                Ok(identity) => {
                    folder.note(&name, identity.writer());
                    identities.push(Arc::new(identity));
                }
                Err(error) => tracing::error!(%error, "an identity cannot be used"),
            }
        }
        (folder, identities)
    }

    /// The identities of a data folder, none of which is read yet.
    pub(crate) fn at(data_dir: &Path) -> Self {
        Self {
            path: data_dir.join(IDENTITIES),
            known: Mutex::default(),
        }
    }

    fn list(&self) -> Result<Vec<(String, Writer)>, IdentityError> {
        let names = self.names()?.into_iter();
        names
            .map(|name| {
                let writer = self.load(&name)?.writer();
                Ok((name, writer))
            })
            .collect()
    }

    fn name_of(&self, writer: &Writer) -> Option<String> {
        let known = self.lock();
        let named = known.iter().find(|(_, known)| *known == writer);
        named.map(|(name, _)| name.clone())
    }

    fn known(&self, name: &str) -> Option<Writer> {
        self.lock().get(name).copied()
    }

    fn note(&self, name: &str, writer: Writer) {
        self.lock().insert(name.to_owned(), writer);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Writer>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn names(&self) -> Result<Vec<String>, IdentityError> {
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(disk(&self.path))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(disk(&self.path))?.file_name();
            names.extend(
                name.to_str()
                    .filter(|name| is_name(name))
                    .map(str::to_owned),
            );
        }
        names.sort_unstable();
        Ok(names)
    }

    pub(crate) fn load(&self, name: &str) -> Result<Identity, IdentityError> {
        let path = self.path.join(name);
        let origin = || path.display().to_string();
        let length = match fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let name = name.to_owned();
                return Err(IdentityError::Unknown { name });
            }
            metadata => metadata.map_err(disk(&path))?.len(),
        };
        if length > FILE_MAX {
            return Err(IdentityError::Damaged { origin: origin() });
        }
        let content = Zeroizing::new(fs::read(&path).map_err(disk(&path))?);
        let text = str::from_utf8(&content);
        let text = text.map_err(|_| IdentityError::Damaged { origin: origin() })?;
        decode(text, origin).map(|seed| Identity::from_seed(*seed))
    }

    /// Writes a secret under a name that has none.
    pub(crate) fn create(&self, name: &str, seed: &[u8; 32]) -> Result<Identity, IdentityError> {
        let path = self.path.join(name);
        if self.names()?.len() >= IDENTITIES_MAX {
            let limit = IDENTITIES_MAX;
            return Err(IdentityError::TooMany { limit });
        }
        let write = || {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.path)?;
            // Hidden, so that what a crash leaves of it is no identity; readable by its owner alone.
            let mut file = tempfile::Builder::new()
                .prefix(".")
                .tempfile_in(&self.path)?;
            file.write_all(encode(seed).as_bytes())?;
            file.as_file().sync_all()?;
            file.persist_noclobber(&path).map_err(|error| error.error)?;
            sync_folder(&self.path)?;
            sync_folder(self.path.parent().unwrap_or(&self.path))
        };
        write().map_err(|error: io::Error| match error.kind() {
            ErrorKind::AlreadyExists => IdentityError::Exists {
                name: name.to_owned(),
            },
            _ => disk(&path)(error),
        })?;
        Ok(Identity::from_seed(*seed))
    }
}

fn drawn() -> Zeroizing<[u8; 32]> {
    let mut seed = Zeroizing::new([0; 32]);
    rand::fill(seed.as_mut_slice());
    seed
}

pub(crate) fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=IDENTITY_NAME_MAX).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(is_allowed)
}

fn disk(path: &Path) -> impl Fn(io::Error) -> IdentityError {
    move |source| IdentityError::Disk {
        path: path.to_owned(),
        source: Arc::new(source),
    }
}

fn encode(seed: &[u8; 32]) -> Zeroizing<String> {
    let digits = Zeroizing::new(HEXLOWER.encode(seed));
    // Long enough from the start, so that no part of the secret is left behind by growing.
    let mut text = Zeroizing::new(String::with_capacity(
        usize::try_from(FILE_MAX).unwrap_or(256),
    ));
    text.push_str(PREFIX);
    text.push_str(&VERSION.to_string());
    text.push(':');
    text.push_str(&digits);
    let checksum = crc32fast::hash(text.as_bytes());
    text.push(':');
    text.push_str(&HEXLOWER.encode(&checksum.to_be_bytes()));
    text.push('\n');
    text
}

fn decode(text: &str, origin: impl Fn() -> String) -> Result<Zeroizing<[u8; 32]>, IdentityError> {
    let damaged = || IdentityError::Damaged { origin: origin() };
    let text = text.trim_end();
    let numbered = text.strip_prefix(PREFIX).ok_or_else(damaged)?;
    let (version, _) = numbered.split_once(':').ok_or_else(damaged)?;
    let found = version.parse().map_err(|_| damaged())?;
    if found > VERSION {
        return Err(IdentityError::TooNew {
            origin: origin(),
            found,
            known: VERSION,
        });
    }
    let (body, checksum) = text.rsplit_once(':').ok_or_else(damaged)?;
    let expected = HEXLOWER.encode(&crc32fast::hash(body.as_bytes()).to_be_bytes());
    if found != VERSION || checksum != expected {
        return Err(damaged());
    }
    let (_, digits) = body.split_once(':').ok_or_else(damaged)?;
    let bytes = HEXLOWER.decode(digits.as_bytes()).map_err(|_| damaged())?;
    let bytes = Zeroizing::new(bytes);
    let seed = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| damaged())?;
    Ok(Zeroizing::new(seed))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder() -> (tempfile::TempDir, IdentityFolder) {
        let place = tempfile::tempdir().unwrap();
        let (folder, identities) = IdentityFolder::open(place.path());
        assert!(identities.is_empty());
        (place, folder)
    }

    #[test]
    fn an_identity_is_made_once_for_its_owner_alone_and_comes_back() {
        let (place, folder) = folder();
        let made = folder.create("work", &[7; 32]).unwrap();
        let again = folder.create("work", &[8; 32]);
        assert!(matches!(again, Err(IdentityError::Exists { .. })));
        assert_eq!(folder.load("work").unwrap().writer(), made.writer());
        let path = place.path().join(IDENTITIES);
        let access = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(access(&path.join("work")), 0o600);
        assert_eq!(access(&path), 0o700);
        let (folder, identities) = IdentityFolder::open(place.path());
        assert_eq!(identities.len(), 1);
        assert_eq!(folder.known("work"), Some(made.writer()));
        assert_eq!(folder.name_of(&made.writer()).as_deref(), Some("work"));
        let unknown = folder.load("play");
        assert!(matches!(unknown, Err(IdentityError::Unknown { .. })));
    }

    #[test]
    fn names_lead_nowhere_else_and_have_their_limits() {
        let longest = "x".repeat(IDENTITY_NAME_MAX);
        let shorter = "x".repeat(IDENTITY_NAME_MAX - 1);
        for name in ["default", "a.b_c-D9", "-", "_", &longest, &shorter] {
            assert!(is_name(name), "{name}");
        }
        let too_long = "x".repeat(IDENTITY_NAME_MAX + 1);
        let bad = [
            "", ".", "..", ".new", "a/b", "a\\b", "ä", "a b", "a\0", "a\n", &too_long,
        ];
        for name in bad {
            assert!(!is_name(name), "{name:?}");
        }
    }

    #[test]
    fn every_damage_is_found_and_newer_versions_are_told_apart() {
        let text = encode(&[0xab; 32]);
        assert_eq!(*decode(&text, String::new).unwrap(), [0xab; 32]);
        let line = text.trim_end();
        for place in 0..line.len() {
            assert!(decode(&line[..place], String::new).is_err(), "{place}");
            let mut torn = line.as_bytes().to_vec();
            torn[place] ^= 1;
            let torn = String::from_utf8(torn).unwrap();
            assert!(decode(&torn, String::new).is_err(), "{torn}");
        }
        let newer = decode("qadom-identity-2:whatever", String::new);
        assert!(matches!(newer, Err(IdentityError::TooNew { found: 2, .. })));
    }

    #[test]
    fn what_cannot_be_read_is_left_out_and_stays() {
        let (place, folder) = folder();
        folder.create("good", &[7; 32]).unwrap();
        let bad = place.path().join(IDENTITIES).join("bad");
        fs::write(&bad, "x".repeat(300)).unwrap();
        let (folder, identities) = IdentityFolder::open(place.path());
        assert_eq!(identities.len(), 1);
        let refused = folder.load("bad");
        assert!(matches!(refused, Err(IdentityError::Damaged { .. })));
        let taken = folder.create("bad", &[9; 32]);
        assert!(matches!(taken, Err(IdentityError::Exists { .. })));
        assert_eq!(fs::read(&bad).unwrap().len(), 300);
    }

    #[test]
    fn there_are_no_more_than_the_limit() {
        let (place, folder) = folder();
        folder.create("first", &[7; 32]).unwrap();
        for number in 1..IDENTITIES_MAX - 1 {
            let path = place.path().join(IDENTITIES).join(number.to_string());
            fs::write(path, "").unwrap();
        }
        folder.create("last", &[7; 32]).unwrap();
        let refused = folder.create("further", &[7; 32]);
        assert!(matches!(
            refused,
            Err(IdentityError::TooMany { limit: 1024 })
        ));
    }
}
