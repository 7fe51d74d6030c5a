//! A dump that becomes the store of a folder, whole or not at all.
//!
//! The new store lies in `FOLDER.new` while it is filled, and in `FOLDER.whole` from when it has all
//! until it takes the place of the old one.
//!
//! What must stay true: the folder holds what it held until a store with everything of the dump is
//! on the disk; whenever a crash comes, [`settle_import`] leaves the old store or the new one in its place,
//! whole. The bytes of a dump are not known here.

use std::fs;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use super::{Dumped, ImportError, import};
use crate::folder::sync_parent;
use crate::{OpenError, Options, Quarantine, StoreEngine, open};

/// What becomes of a store that is there already and keeps entries.
///
/// # Examples
///
/// ```
/// use std::io::Cursor;
///
/// use qadom_store::{MemoryStore, Options, Replaced, export, import_folder};
///
/// let mut dump = Vec::new();
/// export(&MemoryStore::new(), &mut dump)?;
/// let place = tempfile::tempdir()?;
/// let folder = place.path().join("store");
/// import_folder(&folder, Options::default(), &mut Cursor::new(&dump), Replaced::Refuse)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Replaced<'a> {
    /// Nothing: the import is refused.
    Refuse,
    /// It is set aside in the quarantine, at this time in seconds UTC.
    SetAside(&'a Quarantine, u64),
}

/// Makes the store in `folder` from a dump, with the engine of `options`, else the one that keeps
/// the folder. The store must not be open. Entries are first put into a new store beside it, so that
/// a crash or a failure leaves the old one as it was.
///
/// # Errors
///
/// [`ImportError`]; the folder is as it was.
pub fn import_folder<R: Read + Seek>(
    folder: &Path,
    options: Options,
    input: &mut R,
    replaced: Replaced<'_>,
) -> Result<Dumped, ImportError> {
    let open_failed = |source| ImportError::Open { source };
    settle_import(folder).map_err(open_failed)?;
    let old = StoreEngine::of(folder).map_err(open_failed)?;
    let fresh = beside(folder, FRESH);
    remove(&fresh).map_err(open_failed)?;
    if old.is_some() {
        // Also learns whether it is in use.
        let any = Options {
            engine: None,
            ..options
        };
        let records = match open(folder, any) {
            Ok(store) => store.stats().records,
            // What does not open is set aside, or refused below like one that is full.
            Err(OpenError::Corrupt { .. } | OpenError::NotBuiltIn { .. })
                if matches!(replaced, Replaced::SetAside(..)) =>
            {
                1
            }
            Err(source) => return Err(open_failed(source)),
        };
        if records > 0 && matches!(replaced, Replaced::Refuse) {
            return Err(ImportError::NotEmpty { records });
        }
    }
    let wanted = Options {
        engine: options.engine.or(old),
        ..options
    };
    let store = open(&fresh, wanted).map_err(open_failed)?;
    let imported = import(&*store, input);
    drop(store);
    let dumped = match imported {
        Ok(dumped) => dumped,
        Err(error) => {
            remove(&fresh).map_err(open_failed)?;
            return Err(error);
        }
    };
    put_in_place(folder, &fresh, replaced).map_err(open_failed)?;
    Ok(dumped)
}

/// Lets a whole store take the place of the old one.
fn put_in_place(folder: &Path, fresh: &Path, replaced: Replaced<'_>) -> Result<(), OpenError> {
    let whole = beside(folder, WHOLE);
    rename(fresh, &whole)?;
    if folder.exists() {
        match replaced {
            Replaced::SetAside(quarantine, at) => {
                quarantine.set_aside(folder, "it was replaced by an import", at)?;
            }
            // What it holds is nothing; in one step all the same.
            Replaced::Refuse => rename(folder, fresh)?,
        }
    }
    rename(&whole, folder)?;
    remove(fresh)
}

/// Brings an import to its end that a crash cut short: once its store is whole and the old one is
/// out of the way, it is put in place, and before that it is given up. Nobody else may use the folder
/// meanwhile.
///
/// # Errors
///
/// [`OpenError`]; trying again goes on.
pub fn settle_import(folder: &Path) -> Result<(), OpenError> {
    let whole = beside(folder, WHOLE);
    if !whole.exists() {
        return Ok(());
    }
    if folder.exists() {
        remove(&whole)
    } else {
        rename(&whole, folder)
    }
}
fn rename(from: &Path, to: &Path) -> Result<(), OpenError> {
    fs::rename(from, to)?;
    Ok(sync_parent(to)?)
}

const FRESH: &str = ".new";
const WHOLE: &str = ".whole";

/// Where a new store lies until it is in place.
fn beside(folder: &Path, suffix: &str) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    folder.with_file_name(name)
}

fn remove(folder: &Path) -> Result<(), OpenError> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    Ok(())
}
