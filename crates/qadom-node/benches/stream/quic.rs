//! Endpoints of QUIC as the library runs it, with the windows that nodes have.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Endpoint, EndpointConfig, MtuDiscoveryConfig, ServerConfig, TokioRuntime,
    TransportConfig, VarInt,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring as provider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

/// An Ed25519 key as PKCS #8: the prefix of RFC 8410 and any 32 bytes.
const KEY_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// The buffers in bytes that nodes ask the kernel for.
const BUFFER: usize = 4 * 1024 * 1024;

/// The longest datagrams that are tried.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Datagrams {
    /// As long as the library's own sockets carry them, ten in one call; nodes near each other try longer
    /// ones.
    Long,
    /// As long as the library makes them by itself: for Ethernet.
    OfEthernet,
}

impl Datagrams {
    const fn longest(self) -> u16 {
        match self {
            Self::Long => 6_500,
            Self::OfEthernet => 1_452,
        }
    }
}

/// An endpoint on a socket of its own, that takes datagrams as long as nodes do.
pub(crate) fn endpoint(server: Option<ServerConfig>) -> Endpoint {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let socket = std::net::UdpSocket::bind(any).unwrap();
    let buffers = socket2::SockRef::from(&socket);
    buffers.set_recv_buffer_size(BUFFER).unwrap();
    buffers.set_send_buffer_size(BUFFER).unwrap();
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(65_527).unwrap();
    Endpoint::new(config, server, socket, Arc::new(TokioRuntime)).unwrap()
}

/// The windows that nodes have.
fn transport(has_gso: bool, datagrams: Datagrams) -> Arc<TransportConfig> {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(datagrams.longest());
    let mut config = TransportConfig::default();
    config
        .mtu_discovery_config(Some(discovery))
        .stream_receive_window(VarInt::from_u32(8 * 1024 * 1024))
        .receive_window(VarInt::from_u32(32 * 1024 * 1024))
        .send_window(8 * 1024 * 1024)
        .enable_segmentation_offload(has_gso);
    Arc::new(config)
}

/// What answers.
pub(crate) fn server(has_gso: bool, datagrams: Datagrams) -> ServerConfig {
    let secret = PrivatePkcs8KeyDer::from([&KEY_PREFIX[..], &[5; 32]].concat());
    let key = provider::sign::any_eddsa_type(&secret).unwrap();
    let public = CertificateDer::from(key.public_key().unwrap().to_vec());
    let keys =
        AlwaysResolvesServerRawPublicKeys::new(Arc::new(CertifiedKey::new(vec![public], key)));
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(keys));
    let config = QuicServerConfig::try_from(config).unwrap();
    let mut config = ServerConfig::with_crypto(Arc::new(config));
    config.transport_config(transport(has_gso, datagrams));
    config
}

/// What calls.
pub(crate) fn client(has_gso: bool, datagrams: Datagrams) -> ClientConfig {
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_no_client_auth();
    let config = QuicClientConfig::try_from(config).unwrap();
    let mut config = ClientConfig::new(Arc::new(config));
    config.transport_config(transport(has_gso, datagrams));
    config
}

/// Checks nothing: only the speed of the data is measured.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _key: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _key: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _key: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
