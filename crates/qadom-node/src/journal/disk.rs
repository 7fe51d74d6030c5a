//! The file under a journal, as few operations as a journal needs, so that tests can let each of
//! them fail.
//!
//! What must stay true: after [`Disk::sync`] has returned, everything written before survives the
//! loss of power, under its name. What the bytes mean is known to `frame`.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::folder::{JOURNAL, JOURNAL_FRESH};

/// One file, and while it is compacted a fresh one that will take its place.
pub(super) trait Disk: Debug + Send {
    /// The length of the file in bytes; none when there is no file yet.
    fn length(&self) -> io::Result<Option<u64>>;

    /// Fills the buffer with what lies at `offset`.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Writes at `offset`. After a failure any part of the bytes may be there.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file.
    fn truncate(&mut self, length: u64) -> io::Result<()>;

    /// Waits until the file, and the name it got by [`adopt`](Self::adopt), are on the disk.
    fn sync(&mut self) -> io::Result<()>;

    /// Adds to the fresh file, which is begun when there is none.
    fn write_fresh(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Puts the fresh file, once it is on the disk, in the place of the file. After a failure the
    /// file is the one it was.
    fn adopt(&mut self) -> io::Result<()>;

    /// Gives the fresh file up.
    fn drop_fresh(&mut self);
}

/// The files `journal` and `journal.new` of a data folder, for the owner alone.
#[derive(Debug)]
pub(super) struct FolderDisk {
    folder: PathBuf,
    file: Option<File>,
    fresh: Option<File>,
    /// Whether the folder is on the disk as it is.
    is_named: bool,
}

impl FolderDisk {
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(folder.join(JOURNAL));
        let file = match file {
            Ok(file) => Some(file),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self {
            folder: folder.to_owned(),
            file,
            fresh: None,
            is_named: true,
        })
    }

    fn file(&self) -> io::Result<&File> {
        self.file.as_ref().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Disk for FolderDisk {
    fn length(&self) -> io::Result<Option<u64>> {
        self.file
            .as_ref()
            .map(|file| Ok(file.metadata()?.len()))
            .transpose()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file()?.read_exact_at(buffer, offset)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file()?.write_all_at(bytes, offset)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file()?.set_len(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file()?.sync_data()?;
        if !self.is_named {
            File::open(&self.folder)?.sync_all()?;
            self.is_named = true;
        }
        Ok(())
    }

    fn write_fresh(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut fresh = match self.fresh.take() {
            Some(fresh) => fresh,
            None => OpenOptions::new()
                .create(true)
                .truncate(true)
                .read(true)
                .write(true)
                .mode(0o600)
                .open(self.folder.join(JOURNAL_FRESH))?,
        };
        let result = fresh.write_all(bytes);
        self.fresh = Some(fresh);
        result
    }

    fn adopt(&mut self) -> io::Result<()> {
        let fresh = self.fresh.take().ok_or(ErrorKind::NotFound)?;
        fresh.sync_all()?;
        fs::rename(self.folder.join(JOURNAL_FRESH), self.folder.join(JOURNAL))?;
        self.file = Some(fresh);
        self.is_named = false;
        Ok(())
    }

    fn drop_fresh(&mut self) {
        self.fresh = None;
        // What is left is overwritten by the next fresh file.
        let _ = fs::remove_file(self.folder.join(JOURNAL_FRESH));
    }
}
