//! Fetching a file, or ranges of it, from plain HTTP servers.
//!
//! What must stay true: whoever writes a URL under a name cannot make this node ask a machine that only
//! this node reaches: every address that is connected to, also after a redirect, is a public one, but
//! in local mode. Nothing gets its name before all of it hashes to the id; where the hashes of the
//! chunks are known, the first has to verify before more is asked for. What nothing proves on the way is
//! taken up to a limit, whatever size anybody claims.

mod checked;

use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use qadom_files::{CHUNK_SIZE, FileId, Manifest, hash_reader};
use ureq::Agent;
use ureq::unversioned::transport::DefaultConnector;

use self::checked::Checked;

/// URLs that are tried for one file.
pub(super) const URLS_MAX: usize = 8;
/// Redirects that are followed, each checked again.
const REDIRECTS_MAX: u32 = 3;
/// How long a server may take to take the connection.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long a server may take for its next bytes.
const READ_TIME: Duration = Duration::from_secs(20);
/// Within so long a server brings at least [`TRICKLE_BYTES`].
const TRICKLE_TIME: Duration = Duration::from_secs(20);
/// What a server brings within [`TRICKLE_TIME`] at least: 1 KiB/s.
const TRICKLE_BYTES: u64 = 20 * 1024;
/// How often a transfer that broke off is gone on with.
const RESUMES_MAX: u32 = 3;
/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// What is to come from a URL.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// What it has to be; none where anything is taken.
    pub(super) id: Option<FileId>,
    /// The bytes that it has, where that is proven; others are not taken.
    pub(super) size: Option<u64>,
    /// The bytes that others say it has. That proves nothing: only when the server's end comes before, and
    /// what came is not the file, the rest is asked for.
    pub(super) claimed: Option<u64>,
    /// The most bytes that are taken where the size is not proven.
    pub(super) limit: u64,
    /// The hashes of its chunks, where they are known.
    pub(super) manifest: Option<Arc<Manifest>>,
}

/// Why nothing came from a URL. Another one may do.
#[derive(Debug, thiserror::Error)]
pub(super) enum UrlError {
    /// The server cannot be reached, may not be, or broke off.
    #[error("{0}")]
    Failed(#[from] Box<ureq::Error>),
    /// The server answers with something else than bytes of a file.
    #[error("the server answers with status {0}")]
    Status(u16),
    /// It sends other bytes.
    #[error("what the server sends is not the file")]
    Wrong,
    /// It has more than is taken unproven.
    #[error("it has {}", .0.map_or_else(|| "more than that".to_owned(), |has| format!("{has} bytes")))]
    TooLarge(Option<u64>),
    /// The transfer broke off again and again.
    #[error("the server breaks off: {0}")]
    Broken(io::Error),
    /// It sends so little that it would never end.
    #[error("the server sends hardly anything")]
    Trickles,
    /// The disk failed.
    #[error("{0}")]
    Disk(io::Error),
    /// Nobody waits for it any more.
    #[error("nobody waits for it any more")]
    Stopped,
}

/// Finds out servers that send a byte now and then, which would hold up those behind them for ever.
#[derive(Debug)]
pub(super) struct Pace {
    since: Duration,
    bytes: u64,
}

impl Pace {
    /// Begins now.
    pub(super) const fn new(now: Duration) -> Self {
        let (since, bytes) = (now, 0);
        Self { since, bytes }
    }

    /// So many bytes more came.
    pub(super) fn count(&mut self, now: Duration, bytes: u64) -> Result<(), UrlError> {
        self.bytes += bytes;
        if now.saturating_sub(self.since) >= TRICKLE_TIME {
            if self.bytes < TRICKLE_BYTES {
                return Err(UrlError::Trickles);
            }
            *self = Self::new(now);
        }
        Ok(())
    }
}

/// A client that keeps to the rules for addresses; `is_local` where all addresses are of this machine.
pub(super) fn agent(is_local: bool) -> Agent {
    let names = Checked::new(is_local);
    Agent::with_parts(config(), DefaultConnector::default(), names)
}

fn config() -> ureq::config::Config {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(REDIRECTS_MAX)
        .max_redirects_will_error(true)
        // A proxy would connect where it likes.
        .proxy(None)
        .user_agent("qadom")
        .accept_encoding("identity")
        .timeout_resolve(Some(CONNECT_TIME))
        .timeout_connect(Some(CONNECT_TIME))
        .timeout_recv_response(Some(READ_TIME))
        .timeout_per_read(Some(READ_TIME))
        .build()
}

/// Copies what a URL has into a file, and tells `seen` how much is there, which may end it. Gives the id of what came. Blocks.
pub(super) fn copy(
    agent: &Agent,
    url: &str,
    wanted: &Wanted,
    file: &mut File,
    seen: &mut dyn FnMut(u64) -> Result<(), UrlError>,
) -> Result<FileId, UrlError> {
    let mut copy = Copy {
        wanted,
        file,
        done: 0,
        chunk: Vec::new(),
        checked: 0,
    };
    copy.restart()?;
    if wanted.manifest.is_some() && wanted.size != Some(0) {
        let first = u64::from(CHUNK_SIZE).min(wanted.size.unwrap_or(0));
        copy.ask(agent, url, Some(first), seen)?;
    }
    let mut resumes = 0;
    while !copy.is_whole() {
        match copy.ask(agent, url, None, seen) {
            Ok(()) if copy.is_whole() => break,
            Ok(()) if wanted.size.is_none() && !copy.is_short()? => break,
            // The end came early, which is as good as an error.
            Ok(()) if resumes == RESUMES_MAX => {
                return Err(UrlError::Broken(io::ErrorKind::UnexpectedEof.into()));
            }
            Err(error) if !matches!(error, UrlError::Broken(_)) || resumes == RESUMES_MAX => {
                return Err(error);
            }
            Ok(()) | Err(_) => resumes += 1,
        }
    }
    copy.file.sync_all().map_err(UrlError::Disk)?;
    let id = copy.hash()?;
    match wanted.id {
        Some(wanted) if wanted != id => Err(UrlError::Wrong),
        _ => Ok(id),
    }
}

/// Reads a range of what a URL has, and tells `seen` of every piece that came, which may end it. A server that knows no ranges serves the first one alone. Blocks.
pub(super) fn range(
    agent: &Agent,
    url: &str,
    range: Range<u64>,
    seen: &mut dyn FnMut(usize) -> Result<(), UrlError>,
) -> Result<Vec<u8>, UrlError> {
    let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    if length == 0 {
        return Ok(Vec::new());
    }
    let asked = format!("bytes={}-{}", range.start, range.end - 1);
    let request = agent.get(url).header("range", asked);
    let mut response = request.call().map_err(Box::new)?;
    match response.status().as_u16() {
        206 if begins_at(&response, range.start) => {}
        206 => return Err(UrlError::Wrong),
        200 if range.start == 0 => {}
        status => return Err(UrlError::Status(status)),
    }
    let mut body = response.body_mut().as_reader();
    let mut bytes = vec![0; length.min(CHUNK_SIZE as usize)];
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let length = rest.len().min(PIECE);
        let piece = rest.get_mut(..length).unwrap_or_default();
        let length = body.read(piece).map_err(UrlError::Broken)?;
        if length == 0 {
            return Err(UrlError::Broken(io::ErrorKind::UnexpectedEof.into()));
        }
        done += length;
        seen(length)?;
    }
    Ok(bytes)
}

/// Whether an answer says that its bytes begin there.
fn begins_at(response: &ureq::http::Response<ureq::Body>, start: u64) -> bool {
    let place = response.headers().get("content-range");
    let place = place.and_then(|place| place.to_str().ok());
    place.is_some_and(|place| place.starts_with(&format!("bytes {start}-")))
}

/// A copy under way.
struct Copy<'a> {
    wanted: &'a Wanted,
    file: &'a mut File,
    /// Bytes in the file.
    done: u64,
    /// Bytes of the chunk that is not whole yet, where chunks are checked.
    chunk: Vec<u8>,
    /// Chunks that were checked.
    checked: u64,
}

impl Copy<'_> {
    fn is_whole(&self) -> bool {
        self.wanted.size == Some(self.done)
    }

    /// Whether what came is not the file, and there may be more of it.
    fn is_short(&mut self) -> Result<bool, UrlError> {
        let is_less = self.wanted.claimed.is_some_and(|size| self.done < size);
        Ok(is_less && self.wanted.id != Some(self.hash()?))
    }

    /// The id of what came.
    fn hash(&mut self) -> Result<FileId, UrlError> {
        io::Seek::rewind(self.file).map_err(UrlError::Disk)?;
        let hashed = hash_reader(&*self.file).map_err(UrlError::Disk)?;
        io::Seek::seek(self.file, io::SeekFrom::End(0)).map_err(UrlError::Disk)?;
        Ok(hashed.id)
    }

    /// Whether so many bytes are more than are taken unproven.
    fn is_too_large(&self, bytes: u64) -> bool {
        self.wanted.size.is_none() && bytes > self.wanted.limit
    }

    /// Begins anew.
    fn restart(&mut self) -> Result<(), UrlError> {
        self.file.set_len(0).map_err(UrlError::Disk)?;
        io::Seek::rewind(self.file).map_err(UrlError::Disk)?;
        (self.done, self.checked) = (0, 0);
        self.chunk.clear();
        Ok(())
    }

    /// Asks for what is missing, up to `end`, and takes it in as it comes.
    fn ask(
        &mut self,
        agent: &Agent,
        url: &str,
        end: Option<u64>,
        seen: &mut dyn FnMut(u64) -> Result<(), UrlError>,
    ) -> Result<(), UrlError> {
        let mut request = agent.get(url);
        if self.done > 0 || end.is_some() {
            let last = end.map(|end| end.saturating_sub(1).to_string());
            let range = format!("bytes={}-{}", self.done, last.unwrap_or_default());
            request = request.header("range", range);
        }
        let mut response = request.call().map_err(Box::new)?;
        match response.status().as_u16() {
            206 if begins_at(&response, self.done) => {}
            206 => return Err(UrlError::Wrong),
            // It knows no ranges and begins at the beginning.
            200 => self.restart()?,
            // There is no more than what came.
            416 if self.done > 0 => return Err(UrlError::Wrong),
            status => return Err(UrlError::Status(status)),
        }
        let announced = response.body().content_length();
        if let Some(has) = announced.map(|rest| self.done.saturating_add(rest))
            && self.is_too_large(has)
        {
            return Err(UrlError::TooLarge(Some(has)));
        }
        let mut body = response.body_mut().as_reader();
        let mut piece = vec![0; PIECE];
        loop {
            let length = body.read(&mut piece).map_err(UrlError::Broken)?;
            let Some(bytes) = piece.get(..length).filter(|bytes| !bytes.is_empty()) else {
                return Ok(());
            };
            self.take(bytes)?;
            seen(self.done)?;
        }
    }

    /// Takes bytes in, and checks each chunk that has become whole.
    fn take(&mut self, bytes: &[u8]) -> Result<(), UrlError> {
        self.done += bytes.len() as u64;
        if self.wanted.size.is_some_and(|size| self.done > size) {
            return Err(UrlError::Wrong);
        }
        if self.is_too_large(self.done) {
            return Err(UrlError::TooLarge(None));
        }
        if let Some(manifest) = &self.wanted.manifest {
            let mut rest = bytes;
            while !rest.is_empty() {
                let room = CHUNK_SIZE as usize - self.chunk.len();
                let (front, behind) = rest.split_at(room.min(rest.len()));
                self.chunk.extend_from_slice(front);
                rest = behind;
                let is_last = self.wanted.size == Some(self.done) && rest.is_empty();
                if self.chunk.len() == CHUNK_SIZE as usize || is_last {
                    let right = manifest.verify(self.checked, &self.chunk);
                    right.map_err(|_| UrlError::Wrong)?;
                    self.checked += 1;
                    self.chunk.clear();
                }
            }
        }
        self.file.write_all(bytes).map_err(UrlError::Disk)
    }
}

#[cfg(test)]
pub(super) mod tests;
