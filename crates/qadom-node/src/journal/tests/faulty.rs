//! A disk in memory that fails as it is told to, and forgets in a crash what was not synced.

use super::*;

/// What fails until the disk is healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Writing: half of the bytes reach the file.
    Write(ErrorKind),
    /// Syncing the file.
    Sync,
    /// Writing, and cutting what was written.
    WriteAndCut,
    /// Writing the fresh file.
    Fresh,
    /// Renaming the fresh file.
    Rename,
    /// Syncing the folder.
    Name,
}

/// Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(super) struct FaultyDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    fault: Option<Fault>,
    /// As every reader sees it.
    file: Option<Vec<u8>>,
    /// As it is on the disk, under its name.
    synced: Option<Vec<u8>>,
    /// The content of a file that has been given the name, as it was when that was done, until the
    /// name is on the disk.
    unnamed: bool,
    fresh: Option<Vec<u8>>,
}

impl FaultyDisk {
    pub(super) fn holding(content: &[u8]) -> Self {
        let state = State {
            file: Some(content.to_vec()),
            synced: Some(content.to_vec()),
            ..State::default()
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    pub(super) fn content(&self) -> Vec<u8> {
        self.state.lock().unwrap().file.clone().unwrap_or_default()
    }

    pub(super) fn fail(&self, fault: Fault) {
        self.state.lock().unwrap().fault = Some(fault);
    }

    pub(super) fn heal(&self) {
        self.state.lock().unwrap().fault = None;
    }

    /// Another disk with what the crash of this one leaves: what was synced, and behind it as many
    /// of the bytes that were not as `kept` of 255 says.
    pub(super) fn after_crash(&self, kept: u8) -> Self {
        let state = self.state.lock().unwrap();
        let mut left = state.synced.clone().unwrap_or_default();
        if let Some(file) = &state.file
            && !state.unnamed
            && let Some(more) = file.strip_prefix(&left[..])
        {
            let count = more.len() * usize::from(kept) / 255;
            left.extend_from_slice(&more[..count]);
        }
        Self::holding(&left)
    }
}

impl State {
    fn check(&self, faults: &[Fault], kind: ErrorKind) -> io::Result<()> {
        match self.fault {
            Some(fault) if faults.contains(&fault) => Err(kind.into()),
            _ => Ok(()),
        }
    }
}

impl Disk for FaultyDisk {
    fn length(&self) -> io::Result<Option<u64>> {
        let state = self.state.lock().unwrap();
        Ok(state.file.as_ref().map(|file| file.len() as u64))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let state = self.state.lock().unwrap();
        let file = state.file.as_ref().ok_or(ErrorKind::NotFound)?;
        let offset = usize::try_from(offset).unwrap();
        let read = file.get(offset..offset + buffer.len());
        buffer.copy_from_slice(read.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let failure = match state.fault {
            Some(Fault::Write(kind)) => Some(kind),
            Some(Fault::WriteAndCut) => Some(ErrorKind::Other),
            _ => None,
        };
        let taken = failure.map_or(bytes.len(), |_| bytes.len() / 2);
        let file = state.file.as_mut().ok_or(ErrorKind::NotFound)?;
        let offset = usize::try_from(offset).unwrap();
        assert!(offset <= file.len(), "a journal has no holes");
        file.resize(file.len().max(offset + taken), 0);
        file[offset..offset + taken].copy_from_slice(&bytes[..taken]);
        failure.map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.check(&[Fault::WriteAndCut], ErrorKind::Other)?;
        let file = state.file.as_mut().ok_or(ErrorKind::NotFound)?;
        file.truncate(usize::try_from(length).unwrap());
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.check(&[Fault::Sync], ErrorKind::Other)?;
        if state.unnamed {
            state.check(&[Fault::Name], ErrorKind::Other)?;
            state.unnamed = false;
        }
        state.synced = state.file.clone();
        Ok(())
    }

    fn write_fresh(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let result = state.check(&[Fault::Fresh], ErrorKind::StorageFull);
        let fresh = state.fresh.get_or_insert_default();
        fresh.extend_from_slice(bytes);
        result
    }

    fn adopt(&mut self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let fresh = state.fresh.take().ok_or(ErrorKind::NotFound)?;
        state.check(&[Fault::Rename, Fault::Sync], ErrorKind::Other)?;
        state.file = Some(fresh);
        state.unnamed = true;
        Ok(())
    }

    fn drop_fresh(&mut self) {
        self.state.lock().unwrap().fresh = None;
    }
}
