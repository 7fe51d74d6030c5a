//! X25519 by aws-lc: key pairs whose object is prepared once, and agreement with checked keys.
//!
//! What must stay true: no curve operation runs on 32 bytes that are no node key, a shared secret
//! of zeros is refused, and secrets are wiped when dropped (aws-lc wipes what it frees). This is
//! the one file that names aws-lc.

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};

use crate::key::is_node_key;

/// A secret, prepared for agreements, with its public key.
pub(crate) struct KeyPair {
    secret: PrivateKey,
    public: [u8; 32],
}

impl KeyPair {
    /// Prepares a secret; clamping is the curve's business. `None` only when there is no memory.
    pub(crate) fn new(secret: &[u8; 32]) -> Option<Self> {
        let secret = PrivateKey::from_private_key(&X25519, secret).ok()?;
        let public = secret.compute_public_key().ok()?;
        let public = public.as_ref().try_into().ok()?;
        Some(Self { secret, public })
    }

    pub(crate) const fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// Writes the secret that is shared with the holder of `theirs` to the front of `out`. `None`
    /// when `theirs` is no node key or the shared secret is zero.
    pub(crate) fn agree(&self, theirs: &[u8; 32], out: &mut [u8]) -> Option<()> {
        if !is_node_key(theirs) {
            return None;
        }
        agree(
            &self.secret,
            UnparsedPublicKey::new(&X25519, theirs),
            (),
            |shared| {
                out.get_mut(..shared.len())
                    .ok_or(())
                    .map(|out| out.copy_from_slice(shared))
            },
        )
        .ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use snow::params::DHChoice;
    use snow::resolvers::{CryptoResolver, DefaultResolver};

    use super::*;

    fn shared(secret: [u8; 32], theirs: &[u8; 32]) -> Option<[u8; 32]> {
        let mut out = [0; 32];
        KeyPair::new(&secret)?.agree(theirs, &mut out)?;
        Some(out)
    }

    /// The vector of RFC 7748, section 5.2, whose point is canonical.
    #[test]
    fn rfc_7748() {
        let hex = |text: &str| -> [u8; 32] {
            let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
            bytes.try_into().unwrap()
        };
        let scalar = hex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4");
        let point = hex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
        let expected = hex("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
        assert_eq!(shared(scalar, &point), Some(expected));
    }

    #[test]
    fn keys_of_small_order_are_refused_here_and_by_the_curve() {
        let p_less_one = {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (0xec, 0x7f);
            bytes
        };
        for refused in [[0; 32], p_less_one] {
            assert_eq!(shared([7; 32], &refused), None);
            let pair = KeyPair::new(&[7; 32]).unwrap();
            let peer = UnparsedPublicKey::new(&X25519, refused);
            assert!(agree(&pair.secret, peer, (), |_| Ok::<_, ()>(())).is_err());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn agrees_with_the_other_implementation(secret: [u8; 32], theirs: [u8; 32]) {
            let mut other = DefaultResolver.resolve_dh(&DHChoice::Curve25519).unwrap();
            other.set(&secret);
            let pair = KeyPair::new(&secret).unwrap();
            prop_assert_eq!(&pair.public()[..], other.pubkey());
            let theirs = *KeyPair::new(&theirs).unwrap().public();
            let (mut ours, mut others) = ([0; 32], [0; 32]);
            pair.agree(&theirs, &mut ours).unwrap();
            other.dh(&theirs, &mut others).unwrap();
            prop_assert_eq!(ours, others);
        }
    }
}
