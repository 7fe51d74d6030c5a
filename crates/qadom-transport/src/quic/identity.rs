//! The key of this start and the check of a peer's: TLS 1.3 with raw public keys (RFC 7250).
//!
//! What must stay true: a handshake succeeds only with the key whose fingerprint is asked for; no
//! session is resumed, no early data taken, no certificate read.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig, TransportConfig,
    VarInt,
};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring as provider,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{
    CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible,
    SignatureScheme,
};

use super::QuicError;
use super::congestion::{Careful, FirstWindow};

/// What both sides must speak.
const ALPN: &[u8] = b"qadom-data/1";
/// What every Ed25519 key of 32 bytes begins with as `SubjectPublicKeyInfo` (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// Bytes of one stream, and of all streams of a connection, that a peer may send unread.
const STREAM_WINDOW: u32 = 8 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 32 * 1024 * 1024;
/// The longest datagram that is taken: all that UDP carries over IPv6. The paths decide what comes.
const DATAGRAM_MAX: u16 = 65_527;
/// The longest datagram that is tried on the way to a peer on this machine or a local network, which may
/// carry frames longer than Ethernet's: jumbo frames of 9000 bytes, with the headers of IPv6. Each size
/// that turns out to be too long costs three probes and a few round trips, which is nothing there.
const TRIED_NEAR: u16 = 8_952;
/// The same across the Internet, which carries Ethernet's 1500 bytes and hardly ever more.
const TRIED_ACROSS: u16 = 1_452;
/// Streams that a peer may have open at a time.
const STREAMS_MAX: u32 = 64;
/// A connection on which nothing moves for this long ends.
const IDLE: Duration = Duration::from_secs(30);
/// Handshakes of others that wait to be looked at.
const INCOMING_MAX: usize = 64;
/// What comes behind a first packet before the connection is there: nothing, since it would be taken
/// in where a panic ends the process. It is sent again.
const INCOMING_BYTES: u64 = 0;

/// An Ed25519 key that was drawn for this start.
#[derive(Debug)]
pub(super) struct Identity {
    /// The SHA-256 of the raw public key.
    pub(super) fingerprint: [u8; 32],
    key: Arc<CertifiedKey>,
    provider: Arc<CryptoProvider>,
    /// What connections to peers near this node begin with, and those across the Internet.
    near: Arc<FirstWindow>,
    across: Arc<FirstWindow>,
}

impl Identity {
    pub(super) fn draw() -> Result<Self, QuicError> {
        let failed = |_| QuicError::Failed;
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(failed)?;
        let secret = PrivatePkcs8KeyDer::from(document.as_ref());
        let key = provider::sign::any_eddsa_type(&secret).map_err(|_| QuicError::Failed)?;
        let public = key.public_key().ok_or(QuicError::Failed)?.to_vec();
        Ok(Self {
            fingerprint: fingerprint_of(&public).ok_or(QuicError::Failed)?,
            key: Arc::new(CertifiedKey::new(vec![CertificateDer::from(public)], key)),
            provider: Arc::new(provider::default_provider()),
            near: Arc::default(),
            across: Arc::default(),
        })
    }

    /// What a connection begins with to the peer with this fingerprint, at this address.
    pub(super) fn client(
        &self,
        peer: [u8; 32],
        address: SocketAddr,
    ) -> Result<ClientConfig, QuicError> {
        let keys = AlwaysResolvesClientRawPublicKeys::new(Arc::clone(&self.key));
        let mut config = rustls::ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(|_| QuicError::Failed)?
            .dangerous()
            .with_custom_certificate_verifier(self.check(Some(peer)))
            .with_client_cert_resolver(Arc::new(keys));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.enable_sni = false;
        config.resumption = Resumption::disabled();
        let config = QuicClientConfig::try_from(config).map_err(|_| QuicError::Failed)?;
        let mut config = ClientConfig::new(Arc::new(config));
        config.transport_config(self.transport(Some(address)));
        Ok(config)
    }

    /// What a connection of the peer with this fingerprint at this address is answered with; without
    /// one, nobody gets in.
    pub(super) fn server(
        &self,
        peer: Option<([u8; 32], SocketAddr)>,
    ) -> Result<ServerConfig, QuicError> {
        let keys = AlwaysResolvesServerRawPublicKeys::new(Arc::clone(&self.key));
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(|_| QuicError::Failed)?
            .with_client_cert_verifier(self.check(peer.map(|(peer, _)| peer)))
            .with_cert_resolver(Arc::new(keys));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        let config = QuicServerConfig::try_from(config).map_err(|_| QuicError::Failed)?;
        let mut config = ServerConfig::with_crypto(Arc::new(config));
        config
            .transport_config(self.transport(peer.map(|(_, address)| address)))
            .migration(false)
            .max_incoming(INCOMING_MAX)
            .incoming_buffer_size(INCOMING_BYTES)
            .incoming_buffer_size_total(INCOMING_BYTES);
        Ok(config)
    }

    /// How data goes to a peer at this address.
    fn transport(&self, address: Option<SocketAddr>) -> Arc<TransportConfig> {
        let is_near = address.is_some_and(is_near);
        let first = if is_near { &self.near } else { &self.across };
        transport(is_near, first)
    }

    fn check(&self, peer: Option<[u8; 32]>) -> Arc<Check> {
        Arc::new(Check {
            peer,
            algorithms: self.provider.signature_verification_algorithms,
        })
    }
}

/// What holds for all connections: the first bit that tells QUIC from other datagrams stays set.
pub(super) fn endpoint() -> Result<EndpointConfig, QuicError> {
    let mut config = EndpointConfig::default();
    config
        .grease_quic_bit(false)
        .max_udp_payload_size(DATAGRAM_MAX)
        .map_err(|_| QuicError::Failed)?;
    Ok(config)
}

/// Whether an address is of this machine or a local network.
fn is_near(address: SocketAddr) -> bool {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// How data goes to a peer, near or across the Internet. What its path does not carry costs a few probes;
/// when it carries less than before, the library finds out and goes on with the shortest datagrams.
fn transport(is_near: bool, first: &Arc<FirstWindow>) -> Arc<TransportConfig> {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(if is_near { TRIED_NEAR } else { TRIED_ACROSS });
    let mut config = TransportConfig::default();
    config
        .mtu_discovery_config(Some(discovery))
        .congestion_controller_factory(Arc::new(Careful(Arc::clone(first))))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(STREAM_WINDOW.into())
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(IdleTimeout::try_from(IDLE).ok());
    Arc::new(config)
}

/// The fingerprint of an Ed25519 key in its one encoding; nothing of anything else.
fn fingerprint_of(spki: &[u8]) -> Option<[u8; 32]> {
    let key = spki.strip_prefix(&SPKI_PREFIX)?;
    let is_whole = key.len() == 32;
    is_whole
        .then(|| digest(&SHA256, key).as_ref().try_into().ok())
        .flatten()
}

/// Checks that a peer has the key that it named.
#[derive(Debug)]
struct Check {
    peer: Option<[u8; 32]>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Check {
    fn key(&self, key: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), Error> {
        let is_peer = self.peer.is_some() && fingerprint_of(key) == self.peer;
        if is_peer && others.is_empty() {
            Ok(())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }
}

/// How either side checks signatures: the library asks both by methods of the same names.
macro_rules! signature_checks {
    () => {
        // The older protocol is not spoken, so this is never asked.
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _key: &CertificateDer<'_>,
            _signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(PeerIncompatible::ServerDoesNotSupportTls12Or13.into())
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            key: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let key = SubjectPublicKeyInfoDer::from(key.as_ref());
            verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ED25519]
        }

        fn requires_raw_public_keys(&self) -> bool {
            true
        }
    };
}

impl ServerCertVerifier for Check {
    fn verify_server_cert(
        &self,
        key: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.key(key, others)
            .map(|()| ServerCertVerified::assertion())
    }

    signature_checks!();
}

impl ClientCertVerifier for Check {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        key: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.key(key, others)
            .map(|()| ClientCertVerified::assertion())
    }

    signature_checks!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_that_of_the_raw_key_alone() {
        let identity = Identity::draw().unwrap();
        let spki = identity.key.end_entity_cert().unwrap();
        assert_eq!(spki.len(), 44);
        assert_eq!(&identity.fingerprint, digest(&SHA256, &spki[12..]).as_ref());
        assert_ne!(identity.fingerprint, Identity::draw().unwrap().fingerprint);
        assert_eq!(fingerprint_of(&spki[..43]), None);
        assert_eq!(fingerprint_of(&[&spki[..], &[0]].concat()), None);
        assert_eq!(fingerprint_of(&spki[12..]), None);
    }
}
