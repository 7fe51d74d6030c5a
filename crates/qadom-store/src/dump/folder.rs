//! A dump that becomes the store of a folder, whole or not at all.
//!
//! What must stay true: the folder holds what it held until a store with everything of the dump is
//! on the disk. The bytes of a dump are not known here.

use std::fs;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use super::{Dumped, ImportError, import};
use crate::folder::sync_parent;
use crate::{OpenError, Options, Quarantine, StoreEngine, open};

/// What becomes of a store that is there already and keeps entries.
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
    let old = StoreEngine::of(folder).map_err(open_failed)?;
    let fresh = beside(folder);
    remove(&fresh)?;
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
            remove(&fresh)?;
            return Err(error);
        }
    };
    if folder.exists() {
        match replaced {
            Replaced::SetAside(quarantine, at) => {
                let moved = quarantine.set_aside(folder, "it was replaced by an import", at);
                drop(moved.map_err(|error| open_failed(error.into()))?);
            }
            Replaced::Refuse => remove(folder)?,
        }
    }
    fs::rename(&fresh, folder)
        .and_then(|()| sync_parent(folder))
        .map_err(|error| open_failed(error.into()))?;
    Ok(dumped)
}

/// Where the new store lies until it is whole.
fn beside(folder: &Path) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    folder.with_file_name(name)
}

fn remove(folder: &Path) -> Result<(), ImportError> {
    if !folder.exists() {
        return Ok(());
    }
    fs::remove_dir_all(folder).map_err(|error| ImportError::Open {
        source: error.into(),
    })
}
