//! The real suite: `Noise_IK_25519_ChaChaPoly_BLAKE2s` by snow over the curve of `x25519`, seals
//! by ring, macs by BLAKE2s.
//!
//! What must stay true: the node's own key is prepared once, not for each handshake, and this is
//! the one file that names snow and ring. The order of an INIT's checks is the endpoint's.

use core::fmt;
use std::sync::Arc;

use blake2s_simd::many::{HashManyJob, MAX_DEGREE, hash_many};
use blake2s_simd::{Hash as Blake2s, KEYBYTES, Params};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use snow::params::{CipherChoice, DHChoice, HashChoice, NoiseParams};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::x25519::KeyPair;
use super::{DATA_HEADER, Opening, SessionKeys, Suite};
use crate::key::SecretKey;

/// Noise IK by snow, ChaCha20-Poly1305 by ring, keyed BLAKE2s.
pub struct NoiseSuite {
    params: NoiseParams,
    own: Arc<Own>,
}

/// The node's own key, prepared once for all handshakes.
struct Own {
    secret: SecretKey,
    pair: KeyPair,
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
            own: Arc::clone(&self.own),
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
        reason = "the name is a constant, and a key pair needs no more than a little memory"
    )]
    fn new(secret: SecretKey) -> Self {
        let params = "Noise_IK_25519_ChaChaPoly_BLAKE2s"
            .parse()
            .expect("a Noise name");
        let pair = KeyPair::new(secret.expose()).expect("a key pair");
        Self {
            params,
            own: Arc::new(Own { secret, pair }),
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
        let mut mac = mac_parameters(key).to_state();
        for part in parts {
            mac.update(part);
        }
        mac_of(&mac.finalize())
    }

    fn macs(key: &[u8], messages: &[&[u8]], macs: &mut [[u8; 16]]) {
        let parameters = mac_parameters(key);
        for (messages, macs) in messages.chunks(MAX_DEGREE).zip(macs.chunks_mut(MAX_DEGREE)) {
            let mut jobs: [HashManyJob<'_>; MAX_DEGREE] = core::array::from_fn(|index| {
                let message = messages.get(index).copied().unwrap_or_default();
                HashManyJob::new(&parameters, message)
            });
            hash_many(jobs.iter_mut().take(messages.len()));
            for (mac, job) in macs.iter_mut().zip(jobs.iter().take(messages.len())) {
                *mac = mac_of(&job.to_hash());
            }
        }
    }

    fn mac_key(label: &[u8], node_key: &[u8; 32]) -> [u8; 32] {
        let mut hash = Params::new().to_state();
        hash.update(label).update(node_key);
        *hash.finalize().as_array()
    }
}

/// The mac's function under a key of at most 32 bytes: all keys of this crate are of 16 or 32.
fn mac_parameters(key: &[u8]) -> Params {
    let mut parameters = Params::new();
    parameters
        .hash_length(16)
        .key(key.get(..KEYBYTES).unwrap_or(key));
    parameters
}

fn mac_of(hash: &Blake2s) -> [u8; 16] {
    hash.as_bytes().try_into().unwrap_or_default()
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

/// Gives snow its primitives: its own cipher and hash, our ephemeral secret as its chance, and the
/// curve of `x25519`.
struct Resolver {
    ephemeral: Zeroizing<[u8; 32]>,
    own: Arc<Own>,
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Ephemeral(Some(self.ephemeral.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| {
            Box::new(Curve {
                own: Arc::clone(&self.own),
                key: Key::None,
            }) as Box<dyn Dh>
        })
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

/// One of the two keys of a handshake's side, as snow asks for it.
struct Curve {
    own: Arc<Own>,
    key: Key,
}

/// Which key that is.
enum Key {
    /// None yet: an ephemeral key is drawn when it is needed.
    None,
    /// The node's own.
    Own,
    /// An ephemeral one, with its secret.
    Fresh(Zeroizing<[u8; 32]>, KeyPair),
}

impl Curve {
    fn pair(&self) -> Option<&KeyPair> {
        match &self.key {
            Key::None => None,
            Key::Own => Some(&self.own.pair),
            Key::Fresh(_, pair) => Some(pair),
        }
    }

    fn take(&mut self, secret: Zeroizing<[u8; 32]>) {
        self.key = KeyPair::new(&secret).map_or(Key::None, |pair| Key::Fresh(secret, pair));
    }
}

impl Dh for Curve {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, secret: &[u8]) {
        if secret.ct_eq(self.own.secret.expose()).into() {
            self.key = Key::Own;
        } else if let Some(secret) = secret.first_chunk::<32>() {
            self.take(Zeroizing::new(*secret));
        }
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        let mut secret = Zeroizing::new([0; 32]);
        rng.try_fill_bytes(&mut *secret)?;
        self.take(secret);
        self.pair().map(|_| ()).ok_or(snow::Error::Dh)
    }

    fn pubkey(&self) -> &[u8] {
        self.pair().map_or(&[0; 32], |pair| pair.public())
    }

    fn privkey(&self) -> &[u8] {
        match &self.key {
            Key::None => &[0; 32],
            Key::Own => self.own.secret.expose(),
            Key::Fresh(secret, _) => &**secret,
        }
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        // snow hands over a buffer that is longer than a key.
        let key = public.first_chunk::<32>().ok_or(snow::Error::Dh)?;
        self.pair()
            .and_then(|pair| pair.agree(key, out))
            .ok_or(snow::Error::Dh)
    }
}
