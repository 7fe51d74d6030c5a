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

pub(crate) const ENGINE: &str = "ENGINE";
const ENGINE_NEW: &str = "ENGINE.new";
const LOCK: &str = "lock";

/// A claimed folder. Dropping it lets others in.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    lock: File,
    format: u32,
}

/// What `ENGINE` says.
#[derive(Debug)]
pub(crate) struct Mark {
    pub(crate) engine: String,
    pub(crate) format: u32,
}

impl Folder {
    /// Takes the folder at `path` for `engine`, whose newest format is `newest`; makes it when it
    /// is missing or empty.
    pub(crate) fn claim(path: &Path, engine: &'static str, newest: u32) -> Result<Self, OpenError> {
        if !path.is_dir() {
            make(path)?;
        }
        let mark = read_mark(path)?;
        if let Some(mark) = &mark {
            mark.check(engine, newest)?;
        }
        let folder = Self {
            path: path.to_owned(),
            lock: lock(path)?,
            format: mark.as_ref().map_or(newest, |mark| mark.format),
        };
        if mark.is_none() {
            folder.mark(engine, newest)?;
        }
        Ok(folder)
    }

    /// The format of the folder when it was claimed.
    pub(crate) const fn format(&self) -> u32 {
        self.format
    }

    /// Writes down which engine keeps the folder, in which format.
    pub(crate) fn mark(&self, engine: &str, format: u32) -> io::Result<()> {
        let text = format!("{engine} {format}\n");
        replace(
            &self.path.join(ENGINE),
            &self.path.join(ENGINE_NEW),
            text.as_bytes(),
        )
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves what the engine keeps at `place` into the folder `quarantine`, which is made unless it
    /// is there and no store, and can be opened as a store of its own. This folder stays claimed.
    pub(crate) fn move_away(&self, place: &str, quarantine: &Path) -> io::Result<()> {
        let is_made = !quarantine.is_dir();
        if is_made {
            fs::create_dir(quarantine)?;
        } else if quarantine.join(ENGINE).exists() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let moved = fs::read(self.path.join(ENGINE))
            .and_then(|mark| {
                replace(
                    &quarantine.join(ENGINE),
                    &quarantine.join(ENGINE_NEW),
                    &mark,
                )
            })
            .and_then(|()| fs::rename(self.path.join(place), quarantine.join(place)));
        if moved.is_err() {
            // So that trying again does not leave a folder each time.
            let _ = fs::remove_file(quarantine.join(ENGINE));
            if is_made {
                let _ = fs::remove_dir(quarantine);
            }
        }
        moved?;
        sync_folder(quarantine)?;
        sync_parent(quarantine)?;
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
    Ok(sync_parent(path)?)
}

/// Makes the name of a file or folder survive the loss of power.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => sync_folder(Path::new(".")),
    }
}

/// The mark of a folder; none when it is missing, or holds nothing but what a claim that was cut
/// short leaves.
pub(crate) fn read_mark(path: &Path) -> Result<Option<Mark>, OpenError> {
    let not_a_store = || OpenError::NotAStore {
        path: path.to_owned(),
    };
    let text = match fs::read(path.join(ENGINE)) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if path.exists() && !is_unmarked(path)? {
                return Err(not_a_store());
            }
            return Ok(None);
        }
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::IsADirectory | ErrorKind::NotADirectory
            ) =>
        {
            return Err(not_a_store());
        }
        Err(error) => return Err(error.into()),
    };
    str::from_utf8(&text)
        .ok()
        .and_then(|text| text.strip_suffix('\n')?.split_once(' '))
        .and_then(|(name, version)| Some((name, version.parse::<u32>().ok()?)))
        .filter(|(name, version)| !name.is_empty() && *version > 0)
        .map(|(name, format)| {
            Some(Mark {
                engine: name.to_owned(),
                format,
            })
        })
        .ok_or_else(not_a_store)
}

fn is_unmarked(path: &Path) -> io::Result<bool> {
    for file in fs::read_dir(path)? {
        let name = file?.file_name();
        if name != LOCK && name != ENGINE_NEW {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Mark {
    /// Whether `engine` can open the folder, which it reads up to the format `newest`.
    fn check(&self, engine: &'static str, newest: u32) -> Result<(), OpenError> {
        if self.engine != engine {
            Err(OpenError::OtherEngine {
                found: self.engine.clone(),
                expected: engine,
            })
        } else if self.format > newest {
            Err(OpenError::TooNew {
                found: self.format,
                known: newest,
            })
        } else {
            Ok(())
        }
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
pub(crate) fn replace(file: &Path, temporary: &Path, content: &[u8]) -> io::Result<()> {
    let mut writer = File::create(temporary)?;
    writer.write_all(content)?;
    writer.sync_all()?;
    fs::rename(temporary, file)?;
    sync_parent(file)
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
