//! The control API under TLS: who gets as far as a request, and whose name a certificate has.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::sync::Arc;

use qadom_http::{Server, TcpError, TcpSettings, Tls};
use qadom_node::Node;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Who signs certificates, and where they are written.
struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// A certificate and its key, as files.
struct Signed {
    certificate: PathBuf,
    key: PathBuf,
}

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let own = parameters.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("authority"), own.pem()).unwrap();
        Self {
            folder,
            issuer: Issuer::new(parameters, key),
            certificate: own.der().clone(),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("authority")
    }

    fn sign(&self, name: &str) -> Signed {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let signed = parameters.signed_by(&key, &self.issuer).unwrap();
        let place = |what: &str| self.folder.path().join(format!("{name}.{what}"));
        let files = Signed {
            certificate: place("pem"),
            key: place("key"),
        };
        std::fs::write(&files.certificate, signed.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }
}

/// A node that is served under TLS.
struct Daemon {
    node: Node,
    server: Server,
    address: std::net::SocketAddr,
    _folder: TempDir,
}

impl Daemon {
    async fn start(tls: Tls) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let node = Node::builder().memory(true).listen(listen);
        let node = node.start().await.unwrap();
        let path = folder.path().join("s");
        let mut server = Server::start(&path, node.clone()).await.unwrap();
        let settings = TcpSettings {
            address: listen,
            token: None,
            tls: Some(tls),
        };
        let address = server.listen(&settings).unwrap();
        Self {
            node,
            server,
            address,
            _folder: folder,
        }
    }

    /// The first line of the answer to a client who trusts an authority and may show a certificate;
    /// none when it did not get as far.
    async fn ask(&self, trusts: &Authority, shows: Option<&Signed>, host: &str) -> Option<String> {
        let mut roots = RootCertStore::empty();
        roots.add(trusts.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match shows {
            None => config.with_no_client_auth(),
            Some(signed) => {
                let chain = CertificateDer::from_pem_file(&signed.certificate).unwrap();
                let key = PrivateKeyDer::from_pem_file(&signed.key).unwrap();
                config.with_client_auth_cert(vec![chain], key).unwrap()
            }
        };
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("node.example").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(name, stream).await.ok()?;
        let request =
            format!("GET /v1/status HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        // Under TLS 1.3 a client learns of its refusal when it reads.
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        answer.lines().next().map(str::to_owned)
    }

    async fn stop(self) {
        self.node.shutdown().await;
        self.server.close().await;
    }
}

const OK: &str = "HTTP/1.1 200 OK";

#[tokio::test]
async fn a_client_that_trusts_the_certificate_is_answered_by_address_and_others_are_not() {
    let authority = Authority::new();
    let own = authority.sign("node.example");
    let daemon = Daemon::start(Tls::load(&own.certificate, &own.key, None).unwrap()).await;
    let asked = daemon.ask(&authority, None, "localhost").await;
    assert_eq!(asked.as_deref(), Some(OK));
    let rebound = daemon.ask(&authority, None, "node.example").await;
    assert_eq!(rebound.as_deref(), Some("HTTP/1.1 403 Forbidden"));
    assert_eq!(daemon.ask(&Authority::new(), None, "localhost").await, None);
    // Without TLS nothing is answered.
    let mut plain = TcpStream::connect(daemon.address).await.unwrap();
    plain
        .write_all(b"GET /v1/status HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    // The connection ends, whether with an alert or by force.
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"));
    daemon.stop().await;
}

#[tokio::test]
async fn with_an_authority_of_clients_only_those_who_show_its_certificate_are_answered() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (own, client) = (authority.sign("node.example"), authority.sign("client"));
    let file = authority.file();
    let tls = Tls::load(&own.certificate, &own.key, Some(&file)).unwrap();
    let open = TcpSettings {
        address: "0.0.0.0:0".parse().unwrap(),
        token: None,
        tls: Some(tls.clone()),
    };
    open.check().unwrap();
    let daemon = Daemon::start(tls).await;
    for host in ["localhost", "node.example"] {
        let asked = daemon.ask(&authority, Some(&client), host).await;
        assert_eq!(asked.as_deref(), Some(OK), "{host}");
        assert_eq!(daemon.ask(&authority, None, host).await, None);
        let other = stranger.sign("client");
        assert_eq!(daemon.ask(&authority, Some(&other), host).await, None);
    }
    daemon.stop().await;
}

#[test]
fn what_protects_nobody_and_what_does_not_belong_together_is_refused() {
    let authority = Authority::new();
    let (one, two) = (authority.sign("one"), authority.sign("two"));
    let refused = |certificate, key| Tls::load(certificate, key, None).unwrap_err();
    let error = refused(&one.certificate, &two.key);
    assert!(matches!(error, TcpError::Certificate { .. }), "{error}");
    let error = refused(&one.key, &one.key);
    assert!(matches!(error, TcpError::Pem { .. }), "{error}");
    let error = refused(&one.certificate, &PathBuf::from("/nowhere"));
    assert!(matches!(error, TcpError::Pem { .. }), "{error}");
    let tls = Tls::load(&one.certificate, &one.key, None).unwrap();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let settings = TcpSettings {
            address: address.parse().unwrap(),
            token: None,
            tls: Some(tls.clone()),
        };
        let error = settings.check().unwrap_err();
        assert!(matches!(error, TcpError::Open { .. }), "{error}");
    }
}
