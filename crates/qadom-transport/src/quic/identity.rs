//! The key of this start and the check of a peer's: TLS 1.3 with raw public keys (RFC 7250).
//!
//! What must stay true: a handshake succeeds only with the key whose fingerprint is asked for; no
//! session is resumed, no early data taken, no certificate read.

use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, EndpointConfig, IdleTimeout, ServerConfig, TransportConfig, VarInt};
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

/// What both sides must speak.
const ALPN: &[u8] = b"qadom-data/1";
/// What every Ed25519 key of 32 bytes begins with as `SubjectPublicKeyInfo` (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// Bytes of one stream, and of all streams of a connection, that a peer may send unread.
const STREAM_WINDOW: u32 = 8 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 32 * 1024 * 1024;
/// Bytes that a connection sends before it hears anything, paced over a round trip: a chunk of a file and
/// what goes with it, so that the first one takes one round trip and not five.
const FIRST_WINDOW: u64 = 288 * 1024;
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
        })
    }

    /// What a connection begins with to the peer with this fingerprint.
    pub(super) fn client(&self, peer: [u8; 32]) -> Result<ClientConfig, QuicError> {
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
        config.transport_config(transport());
        Ok(config)
    }

    /// What a connection of the peer with this fingerprint is answered with; without one, nobody
    /// gets in.
    pub(super) fn server(&self, peer: Option<[u8; 32]>) -> Result<ServerConfig, QuicError> {
        let keys = AlwaysResolvesServerRawPublicKeys::new(Arc::clone(&self.key));
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(|_| QuicError::Failed)?
            .with_client_cert_verifier(self.check(peer))
            .with_cert_resolver(Arc::new(keys));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        let config = QuicServerConfig::try_from(config).map_err(|_| QuicError::Failed)?;
        let mut config = ServerConfig::with_crypto(Arc::new(config));
        config
            .transport_config(transport())
            .migration(false)
            .max_incoming(INCOMING_MAX)
            .incoming_buffer_size(INCOMING_BYTES)
            .incoming_buffer_size_total(INCOMING_BYTES);
        Ok(config)
    }

    fn check(&self, peer: Option<[u8; 32]>) -> Arc<Check> {
        Arc::new(Check {
            peer,
            algorithms: self.provider.signature_verification_algorithms,
        })
    }
}

/// What holds for all connections: the first bit that tells QUIC from other datagrams stays set.
pub(super) fn endpoint() -> EndpointConfig {
    let mut config = EndpointConfig::default();
    config.grease_quic_bit(false);
    config
}

fn transport() -> Arc<TransportConfig> {
    let mut congestion = CubicConfig::default();
    congestion.initial_window(FIRST_WINDOW);
    let mut config = TransportConfig::default();
    config
        .congestion_controller_factory(Arc::new(congestion))
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
