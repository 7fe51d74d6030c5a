//! The real suite: `Noise_IK_25519_ChaChaPoly_BLAKE2s` by snow, seals by ring, macs by BLAKE2s.
//!
//! What must stay true: no curve operation runs on 32 bytes that are no node key, and this is the
//! one file that names snow's handshake and ring. The order of an INIT's checks is the endpoint's.

use core::fmt;
use std::sync::Arc;

use blake2::digest::consts::U16;
use blake2::digest::{Digest, FixedOutput, KeyInit, Update};
use blake2::{Blake2s256, Blake2sMac};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use snow::params::{CipherChoice, DHChoice, HashChoice, NoiseParams};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{DATA_HEADER, Opening, SessionKeys, Suite};
use crate::key::{SecretKey, is_node_key};

/// Noise IK by snow, ChaCha20-Poly1305 by ring, keyed BLAKE2s.
pub struct NoiseSuite {
    params: NoiseParams,
    own: Own,
}

/// The node's own key, with the public part computed once for all handshakes.
#[derive(Clone)]
struct Own {
    secret: Arc<SecretKey>,
    curve: Arc<dyn Dh>,
}

impl fmt::Debug for NoiseSuite {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NoiseSuite").finish_non_exhaustive()
    }
}

/// snow's state of one handshake.
pub struct Handshake(HandshakeState);

impl fmt::Debug for Handshake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Handshake(..)")
    }
}

impl NoiseSuite {
    fn builder<'a>(&'a self, opening: Opening<'a>) -> Option<Builder<'a>> {
        let resolver = Resolver {
            ephemeral: Zeroizing::new(*opening.ephemeral),
            own: self.own.clone(),
        };
        Builder::with_resolver(self.params.clone(), Box::new(resolver))
            .local_private_key(self.own.secret.expose())
            .and_then(|builder| builder.prologue(opening.prologue))
            .ok()
    }
}

impl Suite for NoiseSuite {
    type Initiator = Handshake;
    type Responder = Handshake;

    #[expect(
        clippy::expect_used,
        reason = "the name is a constant, and snow is built with its parts"
    )]
    fn new(secret: SecretKey) -> Self {
        let params = "Noise_IK_25519_ChaChaPoly_BLAKE2s"
            .parse()
            .expect("a Noise name");
        let mut curve = DefaultResolver
            .resolve_dh(&DHChoice::Curve25519)
            .expect("snow has X25519");
        curve.set(secret.expose());
        Self {
            params,
            own: Own {
                secret: Arc::new(secret),
                curve: Arc::from(curve),
            },
        }
    }

    fn initiate(
        &self,
        opening: Opening<'_>,
        responder: &[u8; 32],
        payload: &[u8],
        message: &mut [u8],
    ) -> Option<Handshake> {
        let builder = self.builder(opening)?.remote_public_key(responder).ok()?;
        let mut state = builder.build_initiator().ok()?;
        let written = state.write_message(payload, message).ok()?;
        (written == message.len()).then_some(Handshake(state))
    }

    fn accept(
        &self,
        opening: Opening<'_>,
        message: &[u8],
        payload: &mut [u8],
    ) -> Option<([u8; 32], Handshake)> {
        let mut state = self.builder(opening)?.build_responder().ok()?;
        state.read_message(message, payload).ok()?;
        let key = state.get_remote_static()?.try_into().ok()?;
        Some((key, Handshake(state)))
    }

    fn respond(
        &self,
        responder: Handshake,
        payload: &[u8],
        message: &mut [u8],
    ) -> Option<SessionKeys> {
        let mut state = responder.0;
        let written = state.write_message(payload, message).ok()?;
        let (receive, send) = state.dangerously_get_raw_split();
        (written == message.len()).then_some(SessionKeys { send, receive })
    }

    fn complete(
        &self,
        initiator: &mut Handshake,
        message: &[u8],
        payload: &mut [u8],
    ) -> Option<SessionKeys> {
        initiator.0.read_message(message, payload).ok()?;
        let (send, receive) = initiator.0.dangerously_get_raw_split();
        Some(SessionKeys { send, receive })
    }

    fn seal(
        key: &[u8; 32],
        counter: u64,
        header: &[u8; DATA_HEADER],
        body: &mut [u8],
    ) -> Option<[u8; 16]> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).ok()?;
        let tag = LessSafeKey::new(key)
            .seal_in_place_separate_tag(nonce(counter), Aad::from(header), body)
            .ok()?;
        tag.as_ref().try_into().ok()
    }

    fn open<'a>(
        key: &[u8; 32],
        counter: u64,
        header: &[u8; DATA_HEADER],
        sealed: &'a mut [u8],
    ) -> Option<&'a mut [u8]> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).ok()?;
        LessSafeKey::new(key)
            .open_in_place(nonce(counter), Aad::from(header), sealed)
            .ok()
    }

    fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 16] {
        // The key lengths of this crate, 16 and 32, always fit BLAKE2s.
        let Ok(mut mac) = <Blake2sMac<U16> as KeyInit>::new_from_slice(key) else {
            return [0; 16];
        };
        for part in parts {
            Update::update(&mut mac, part);
        }
        mac.finalize_fixed().into()
    }

    fn mac_key(label: &[u8], node_key: &[u8; 32]) -> [u8; 32] {
        let mut hash = Blake2s256::new();
        Digest::update(&mut hash, label);
        Digest::update(&mut hash, node_key);
        hash.finalize().into()
    }
}

fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes
        .iter_mut()
        .skip(4)
        .zip(counter.to_le_bytes())
        .for_each(|(to, from)| *to = from);
    Nonce::assume_unique_for_key(bytes)
}

/// Gives snow its primitives: the default ones, with our ephemeral secret as its chance and with
/// checked curve work.
struct Resolver {
    ephemeral: Zeroizing<[u8; 32]>,
    own: Own,
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Ephemeral(Some(self.ephemeral.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        let fresh = DefaultResolver.resolve_dh(choice)?;
        Some(Box::new(CheckedDh {
            own: self.own.clone(),
            fresh,
            is_own: false,
        }))
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

/// The one draw of chance that a handshake makes.
struct Ephemeral(Option<Zeroizing<[u8; 32]>>);

impl Random for Ephemeral {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), snow::Error> {
        let drawn = self.0.take().ok_or(snow::Error::Rng)?;
        let out: &mut [u8; 32] = out.try_into().map_err(|_| snow::Error::Rng)?;
        *out = *drawn;
        Ok(())
    }
}

/// X25519 that refuses what is no node key, and that does not compute the node's own public key
/// anew for each handshake.
struct CheckedDh {
    own: Own,
    fresh: Box<dyn Dh>,
    is_own: bool,
}

impl CheckedDh {
    fn curve(&self) -> &dyn Dh {
        if self.is_own {
            &*self.own.curve
        } else {
            &*self.fresh
        }
    }
}

impl Dh for CheckedDh {
    fn name(&self) -> &'static str {
        self.fresh.name()
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, secret: &[u8]) {
        self.is_own = secret.ct_eq(self.own.secret.expose()).into();
        if !self.is_own {
            self.fresh.set(secret);
        }
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        self.is_own = false;
        self.fresh.generate(rng)
    }

    fn pubkey(&self) -> &[u8] {
        self.curve().pubkey()
    }

    fn privkey(&self) -> &[u8] {
        self.curve().privkey()
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        // snow hands over a buffer that is longer than a key.
        let key = public.first_chunk::<32>().ok_or(snow::Error::Dh)?;
        if !is_node_key(key) {
            return Err(snow::Error::Dh);
        }
        self.curve().dh(key, out)
    }
}
