//! The folder of a store on disk: who owns it, in which format, and that one process has it open.
//!
//! `ENGINE` holds the engine's name and the format version (`sled 1`), `lock` is held while the
//! store is open, the engine's files lie in a folder of their own.
//!
//! What must stay true: a folder that is not ours or is newer is left untouched, to the byte; a
//! small file is there whole or not at all, whenever the process or the machine dies. The engine's
//! files are not known here.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::{EngineFault, OpenError};

const ENGINE: &str = "ENGINE";
const ENGINE_NEW: &str = "ENGINE.new";
const LOCK: &str = "lock";

/// A claimed folder. Dropping it lets others in.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    lock: File,
}

impl Folder {
    /// Takes the folder at `path` for `engine`, whose newest format is `format`; makes it when it
    /// is missing or empty.
    pub(crate) fn claim(path: &Path, engine: &'static str, format: u32) -> Result<Self, OpenError> {
        if !path.is_dir() {
            make(path)?;
        }
        let is_marked = is_marked(path, engine, format)?;
        let lock = lock(path)?;
        if !is_marked {
            let text = format!("{engine} {format}\n");
            replace(&path.join(ENGINE), &path.join(ENGINE_NEW), text.as_bytes())?;
        }
        Ok(Self {
            path: path.to_owned(),
            lock,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves what the engine keeps at `place` into the new folder `quarantine`, which can be opened
    /// as a store of its own. This folder stays claimed.
    pub(crate) fn move_away(&self, place: &str, quarantine: &Path) -> io::Result<()> {
        fs::create_dir(quarantine)?;
        let moved = fs::copy(self.path.join(ENGINE), quarantine.join(ENGINE))
            .and_then(|_| fs::rename(self.path.join(place), quarantine.join(place)));
        if moved.is_err() {
            // So that trying again does not leave a folder each time.
            let _ = fs::remove_file(quarantine.join(ENGINE));
            let _ = fs::remove_dir(quarantine);
        }
        moved?;
        sync_folder(quarantine)?;
        sync_folder(&self.path)
    }
}

impl Drop for Folder {
    /// Closing the file would not do: while another thread of this process starts a program, the
    /// file is open there too, and with it locked. A failure leaves what closing does.
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

/// Makes the names in a folder survive the loss of power.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn make(path: &Path) -> Result<(), OpenError> {
    fs::create_dir_all(path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => OpenError::NotAStore {
            path: path.to_owned(),
        },
        _ => error.into(),
    })?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => Ok(sync_folder(parent)?),
        _ => Ok(sync_folder(Path::new("."))?),
    }
}

/// Whether the folder carries our mark; `false` when it holds nothing but what a claim that was
/// cut short leaves.
fn is_marked(path: &Path, engine: &'static str, format: u32) -> Result<bool, OpenError> {
    let not_a_store = || OpenError::NotAStore {
        path: path.to_owned(),
    };
    let text = match fs::read(path.join(ENGINE)) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            for file in fs::read_dir(path)? {
                let name = file?.file_name();
                if name != LOCK && name != ENGINE_NEW {
                    return Err(not_a_store());
                }
            }
            return Ok(false);
        }
        Err(error) if error.kind() == ErrorKind::IsADirectory => return Err(not_a_store()),
        Err(error) => return Err(error.into()),
    };
    let (name, version) = str::from_utf8(&text)
        .ok()
        .and_then(|text| text.strip_suffix('\n')?.split_once(' '))
        .and_then(|(name, version)| Some((name, version.parse::<u32>().ok()?)))
        .filter(|(name, version)| !name.is_empty() && *version > 0)
        .ok_or_else(not_a_store)?;
    if name != engine {
        Err(OpenError::OtherEngine {
            found: name.to_owned(),
            expected: engine,
        })
    } else if version > format {
        Err(OpenError::TooNew {
            found: version,
            known: format,
        })
    } else {
        Ok(true)
    }
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Puts `content` into `file`, by way of `temporary` in the same folder.
fn replace(file: &Path, temporary: &Path, content: &[u8]) -> io::Result<()> {
    let mut writer = File::create(temporary)?;
    writer.write_all(content)?;
    writer.sync_all()?;
    fs::rename(temporary, file)?;
    file.parent().map_or(Ok(()), sync_folder)
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        let source = EngineFault::new(&error.to_string());
        if is_full(error.kind()) {
            Self::DiskFull { source }
        } else {
            Self::Failed { source }
        }
    }
}

/// Whether the disk, a quota or a limit on file sizes is exhausted.
pub(crate) fn is_full(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
    )
}
