//! The unix socket of the control API: its path, its permissions, its replacement.
//!
//! What must stay true: nobody but the owner can ever connect (the permissions are set before the
//! socket listens), and nothing but a dead socket is ever removed.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixSocket, UnixStream};

/// The longest path of a unix socket in bytes: the address of the kernel holds 108 with the
/// terminator.
pub const SOCKET_PATH_MAX: usize = 107;

/// Connections that wait for being accepted, at most.
const BACKLOG: u32 = 128;

/// Why there is no control socket. In all cases nothing was changed on the disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// The kernel has no room for a path of this length. Whoever chose the folder is at fault.
    #[error("the path of the control socket has {length} bytes, more than {SOCKET_PATH_MAX}: {}", path.display())]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// Another process answers on this socket. Whoever started two daemons on it is at fault.
    #[error("another daemon listens on {}", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// Something that is no socket stands there; it is left alone.
    #[error("{} exists and is no socket", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The operating system refuses.
    #[error("cannot listen on {}: {source}", path.display())]
    Refused {
        /// The path.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

impl SocketError {
    /// What whoever started the daemon can do about it.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::PathTooLong { .. } => "give a shorter path with --socket",
            Self::InUse { .. } => "stop the other daemon, or give another path with --socket",
            Self::NotASocket { .. } => "remove the file, or give another path with --socket",
            Self::Refused { .. } => {
                "check that the folder exists and is yours, or give another path with --socket"
            }
        }
    }
}

/// Checks the length of a socket's path.
///
/// # Errors
///
/// [`SocketError::PathTooLong`] above [`SOCKET_PATH_MAX`].
pub(crate) fn check_path(path: &Path) -> Result<(), SocketError> {
    let length = path.as_os_str().len();
    if length > SOCKET_PATH_MAX {
        return Err(SocketError::PathTooLong {
            path: path.to_owned(),
            length,
        });
    }
    Ok(())
}

/// Listens on a path with permissions 0600; what a dead daemon left there is replaced.
///
/// # Errors
///
/// Each variant of [`SocketError`].
pub(crate) async fn listen(path: &Path) -> Result<UnixListener, SocketError> {
    check_path(path)?;
    let refused = |source| SocketError::Refused {
        path: path.to_owned(),
        source,
    };
    let in_use = || SocketError::InUse {
        path: path.to_owned(),
    };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(refused(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(SocketError::NotASocket {
                path: path.to_owned(),
            });
        }
        Ok(_) => match UnixStream::connect(path).await {
            // Nobody listens, which is how a dead daemon leaves its socket.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(refused)?;
            }
            // Somebody listens, be it with as many waiting as the kernel lets wait.
            Ok(_) => return Err(in_use()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(in_use()),
            Err(error) => return Err(refused(error)),
        },
    }
    let socket = UnixSocket::new_stream().map_err(refused)?;
    socket.bind(path).map_err(refused)?;
    let listener = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .and_then(|()| socket.listen(BACKLOG));
    listener.map_err(|source| {
        // Best effort: a file that stays behind is replaced at the next start.
        let _ = std::fs::remove_file(path);
        refused(source)
    })
}
