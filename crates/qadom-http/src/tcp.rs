//! The control API on TCP: where it listens, under which certificate, and who may ask.
//!
//! What must stay true: what is not a loopback address is served only to those who prove who they
//! are, by a token or by a certificate. How requests are checked is in `guard.rs`.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpSocket};
use zeroize::Zeroizing;

/// The fewest characters of a token.
pub const TOKEN_MIN: usize = 16;

/// The most characters of a token.
pub const TOKEN_MAX: usize = 1024;

/// Connections that wait for being accepted, at most.
const BACKLOG: u32 = 128;

/// How the control API is served on TCP.
#[derive(Clone, Debug)]
pub struct TcpSettings {
    /// Where to listen; port 0 lets the operating system choose.
    pub address: SocketAddr,
    /// What requests have to show as `Authorization: Bearer TOKEN`; none lets everybody ask, which
    /// is for loopback addresses alone.
    pub token: Option<Token>,
    /// The certificate; none speaks plain HTTP.
    pub tls: Option<Tls>,
}

impl TcpSettings {
    /// Whether only clients with a certificate get as far as a request.
    pub(crate) fn asks_client(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.asks_client)
    }

    /// Looks whether the settings protect the node: what is reached from elsewhere asks for a proof.
    ///
    /// # Errors
    ///
    /// [`TcpError::Open`].
    pub fn check(&self) -> Result<(), TcpError> {
        let has_proof = self.token.is_some() || self.asks_client();
        if has_proof || self.address.ip().to_canonical().is_loopback() {
            Ok(())
        } else {
            Err(TcpError::Open {
                address: self.address,
            })
        }
    }

    /// Listens, when the settings protect the node.
    ///
    /// # Errors
    ///
    /// [`TcpError::Open`], [`TcpError::InUse`] and [`TcpError::Refused`].
    pub(crate) fn listen(&self) -> Result<TcpListener, TcpError> {
        self.check()?;
        let address = self.address;
        let listener = || {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            // A daemon that was just stopped leaves connections behind that block nobody.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        };
        listener().map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => TcpError::InUse { address },
            _ => TcpError::Refused { address, source },
        })
    }
}

/// A secret that requests have to show.
#[derive(Clone)]
pub struct Token(pub(crate) Arc<Zeroizing<String>>);

impl Token {
    /// Takes a token of 16 to 1024 characters, none of which is a space or a control character.
    ///
    /// # Errors
    ///
    /// [`TcpError::Token`] for any other text.
    pub fn new(text: &str) -> Result<Self, TcpError> {
        let is_fit = (TOKEN_MIN..=TOKEN_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_fit {
            Ok(Self(Arc::new(Zeroizing::new(text.to_owned()))))
        } else {
            Err(TcpError::Token)
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(..)")
    }
}

/// A certificate with its key, for TLS 1.3.
#[derive(Clone)]
pub struct Tls {
    pub(crate) config: Arc<ServerConfig>,
    asks_client: bool,
}

impl Tls {
    /// Reads a chain of certificates and the key of the first from PEM files. With `client_ca` only
    /// clients that show a certificate of one of these authorities may connect.
    ///
    /// # Errors
    ///
    /// [`TcpError::Pem`] and [`TcpError::Certificate`].
    pub fn load(
        certificates: &Path,
        key: &Path,
        client_ca: Option<&Path>,
    ) -> Result<Self, TcpError> {
        let chain = certificates_of(certificates)?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|source| pem(key, source))?;
        let wrong = |error: &dyn fmt::Display| TcpError::Certificate {
            path: certificates.to_owned(),
            detail: error.to_string(),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(&error))?;
        let builder = match client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for root in certificates_of(path)? {
                    roots.add(root).map_err(|error| wrong(&error))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| wrong(&error))?)
            }
        };
        let config = builder
            .with_single_cert(chain, key)
            .map_err(|error| wrong(&error))?;
        Ok(Self {
            config: Arc::new(config),
            asks_client: client_ca.is_some(),
        })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Tls")
            .field("asks_client", &self.asks_client)
            .finish_non_exhaustive()
    }
}

fn certificates_of(path: &Path) -> Result<Vec<CertificateDer<'static>>, TcpError> {
    let chain = CertificateDer::pem_file_iter(path).map_err(|source| pem(path, source))?;
    let chain = chain.collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|source| pem(path, source))?;
    if chain.is_empty() {
        return Err(pem(path, PemError::NoItemsFound));
    }
    Ok(chain)
}

fn pem(path: &Path, source: PemError) -> TcpError {
    TcpError::Pem {
        path: path.to_owned(),
        source,
    }
}

/// Why the control API is not served on TCP. In all cases nothing listens there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TcpError {
    /// Everybody who reaches the address could command the node. Whoever chose it is at fault.
    #[error("{address} is reached from elsewhere, and nothing asks who commands the node")]
    Open {
        /// The address.
        address: SocketAddr,
    },
    /// Another process listens there.
    #[error("another process listens on {address}")]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// The operating system refuses.
    #[error("cannot listen on {address}: {source}")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// The token is too short, too long, or has spaces in it.
    #[error("a token has {TOKEN_MIN} to {TOKEN_MAX} visible ASCII characters and no space")]
    Token,
    /// A file is no PEM file of what it should hold, or cannot be read.
    #[error("cannot use {}: {source}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: PemError,
    },
    /// The certificate cannot be used, or is not that of the key.
    #[error("cannot use the certificate in {}: {detail}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
}

impl TcpError {
    /// What whoever started the daemon can do about it.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Open { .. } => {
                "listen on a loopback address, or give --http-token-file or --http-client-ca"
            }
            Self::InUse { .. } => "give another port to --http; port 0 is any that is free",
            Self::Refused { .. } => "give an address of this machine to --http",
            Self::Token => "make one with: openssl rand -hex 32",
            Self::Pem { .. } => "give a PEM file, readable for the user of the daemon",
            Self::Certificate { .. } => {
                "give the chain of certificates, own one first, and the key of that one"
            }
        }
    }
}
