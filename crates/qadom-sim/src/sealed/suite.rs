//! A suite without a curve, for thousands of endpoints in one thread.
//!
//! What must stay true: every message has the length that the real one has, a message that was
//! changed or is for another key does not open, and each handshake has keys of its own. Nothing is
//! secret: whoever sees the messages can compute everything. It is for simulations alone.

use qadom_transport::{
    DATA_HEADER, INITIATE_OVERHEAD, Opening, RESPOND_OVERHEAD, SecretKey, SessionKeys, Suite,
    is_node_key,
};

/// The length of a key and of a tag in bytes.
const KEY: usize = 32;
const TAG: usize = 16;

/// Handshakes and seals by hashes alone.
#[derive(Debug)]
pub struct SimSuite {
    own: [u8; KEY],
}

/// A side between its message and the other one's.
#[derive(Debug)]
pub struct Side {
    /// What both sides know after the first message.
    chain: [u8; KEY],
    /// The own ephemeral key.
    ephemeral: [u8; KEY],
}

fn hash(parts: &[&[u8]]) -> [u8; KEY] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

fn tag(key: &[u8; KEY], parts: &[&[u8]]) -> [u8; TAG] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in parts {
        hasher.update(part);
    }
    let mut tag = [0; TAG];
    hasher.finalize_xof().fill(&mut tag);
    tag
}

/// What stands in the place of an ephemeral key: it has to pass for a node key.
fn ephemeral_of(secret: &[u8; KEY]) -> [u8; KEY] {
    let mut key = hash(&[b"ephemeral", secret]);
    let [.., high] = &mut key;
    *high = 0x40;
    key
}

fn keys(chain: &[u8; KEY], ephemeral: &[u8; KEY]) -> [[u8; KEY]; 2] {
    let both = hash(&[chain, ephemeral]);
    [hash(&[&both, b"initiator"]), hash(&[&both, b"responder"])]
}

/// Splits a message into fixed parts.
fn parts<const N: usize>(message: &[u8], lengths: [usize; N]) -> Option<[&[u8]; N]> {
    let mut rest = message;
    let mut parts = [&[][..]; N];
    for (part, length) in parts.iter_mut().zip(lengths) {
        (*part, rest) = rest.split_at_checked(length)?;
    }
    rest.is_empty().then_some(parts)
}

/// Writes parts one behind the other, when they fill the message.
fn write(message: &mut [u8], parts: &[&[u8]]) -> Option<()> {
    let mut rest = message;
    for part in parts {
        let (place, after) = rest.split_at_mut_checked(part.len())?;
        place.copy_from_slice(part);
        rest = after;
    }
    rest.is_empty().then_some(())
}

fn copy(from: &[u8], to: &mut [u8]) -> Option<()> {
    (from.len() == to.len()).then(|| to.copy_from_slice(from))
}

impl Suite for SimSuite {
    type Initiator = Side;
    type Responder = Side;

    fn new(secret: SecretKey) -> Self {
        Self {
            own: secret.public(),
        }
    }

    fn initiate(
        &self,
        opening: Opening<'_>,
        responder: &[u8; KEY],
        payload: &[u8],
        message: &mut [u8],
    ) -> Option<Side> {
        if !is_node_key(responder) {
            return None;
        }
        let ephemeral = ephemeral_of(opening.ephemeral);
        let chain = hash(&[opening.prologue, responder, &ephemeral]);
        let own = tag(&chain, &[&self.own]);
        let whole = tag(&chain, &[&self.own, payload]);
        write(message, &[&ephemeral, &self.own, &own, payload, &whole])?;
        let chain = hash(&[&chain, &self.own]);
        Some(Side { chain, ephemeral })
    }

    fn accept(
        &self,
        opening: Opening<'_>,
        message: &[u8],
        payload: &mut [u8],
    ) -> Option<([u8; KEY], Side)> {
        let length = message.len().checked_sub(INITIATE_OVERHEAD)?;
        let [ephemeral, initiator, own, body, whole] =
            parts(message, [KEY, KEY, TAG, length, TAG])?;
        let chain = hash(&[opening.prologue, &self.own, ephemeral]);
        let key: [u8; KEY] = initiator.try_into().ok()?;
        let is_right = tag(&chain, &[initiator]) == own
            && tag(&chain, &[initiator, body]) == whole
            && is_node_key(&key);
        if !is_right {
            return None;
        }
        copy(body, payload)?;
        let side = Side {
            chain: hash(&[&chain, &key]),
            ephemeral: ephemeral_of(opening.ephemeral),
        };
        Some((key, side))
    }

    fn respond(&self, responder: Side, payload: &[u8], message: &mut [u8]) -> Option<SessionKeys> {
        let Side { chain, ephemeral } = responder;
        let tag = tag(&chain, &[&ephemeral, payload]);
        write(message, &[&ephemeral, payload, &tag])?;
        let [receive, send] = keys(&chain, &ephemeral);
        Some(SessionKeys { send, receive })
    }

    fn complete(
        &self,
        initiator: &mut Side,
        message: &[u8],
        payload: &mut [u8],
    ) -> Option<SessionKeys> {
        let length = message.len().checked_sub(RESPOND_OVERHEAD)?;
        let [ephemeral, body, sealed] = parts(message, [KEY, length, TAG])?;
        if tag(&initiator.chain, &[ephemeral, body]) != sealed {
            return None;
        }
        copy(body, payload)?;
        let [send, receive] = keys(&initiator.chain, ephemeral.try_into().ok()?);
        Some(SessionKeys { send, receive })
    }

    fn seal(
        key: &[u8; KEY],
        counter: u64,
        header: &[u8; DATA_HEADER],
        body: &mut [u8],
    ) -> Option<[u8; TAG]> {
        Some(tag(key, &[&counter.to_le_bytes(), header, body]))
    }

    fn open<'a>(
        key: &[u8; KEY],
        counter: u64,
        header: &[u8; DATA_HEADER],
        sealed: &'a mut [u8],
    ) -> Option<&'a mut [u8]> {
        let length = sealed.len().checked_sub(TAG)?;
        let (body, sealed_tag) = sealed.split_at_mut_checked(length)?;
        let expected = tag(key, &[&counter.to_le_bytes(), header, body]);
        (expected == *sealed_tag).then_some(body)
    }

    fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; TAG] {
        let mut padded = [0; KEY];
        for (place, byte) in padded.iter_mut().zip(key) {
            *place = *byte;
        }
        tag(&padded, parts)
    }

    fn mac_key(label: &[u8], node_key: &[u8; KEY]) -> [u8; KEY] {
        hash(&[label, node_key])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROLOGUE: &[u8] = b"a network";

    fn suite(number: u8) -> (SimSuite, [u8; KEY]) {
        let secret = SecretKey::from_bytes([number; KEY]);
        let key = secret.public();
        (SimSuite::new(secret), key)
    }

    fn opening(ephemeral: &[u8; KEY]) -> Opening<'_> {
        Opening {
            prologue: PROLOGUE,
            ephemeral,
        }
    }

    #[test]
    fn both_sides_come_to_the_same_keys_and_learn_the_payloads() {
        let ((one, one_key), (other, other_key)) = (suite(1), suite(2));
        let mut first = vec![0; 40 + INITIATE_OVERHEAD];
        let mut initiator = one
            .initiate(opening(&[3; KEY]), &other_key, &[7; 40], &mut first)
            .unwrap();
        let mut payload = [0; 40];
        let (key, responder) = other
            .accept(opening(&[4; KEY]), &first, &mut payload)
            .unwrap();
        assert_eq!((key, payload), (one_key, [7; 40]));
        let mut second = vec![0; 25 + RESPOND_OVERHEAD];
        let theirs = other.respond(responder, &[8; 25], &mut second).unwrap();
        let mut payload = [0; 25];
        let ours = one.complete(&mut initiator, &second, &mut payload).unwrap();
        assert_eq!(payload, [8; 25]);
        assert_eq!((ours.send, ours.receive), (theirs.receive, theirs.send));
        assert_ne!(ours.send, ours.receive);
    }

    #[test]
    fn what_was_changed_or_is_for_another_does_not_open() {
        let ((one, _), (other, other_key), (third, _)) = (suite(1), suite(2), suite(9));
        let mut first = vec![0; 10 + INITIATE_OVERHEAD];
        one.initiate(opening(&[3; KEY]), &other_key, &[7; 10], &mut first)
            .unwrap();
        let mut payload = [0; 10];
        assert!(
            third
                .accept(opening(&[4; KEY]), &first, &mut payload)
                .is_none()
        );
        for place in 0..first.len() {
            let mut changed = first.clone();
            changed[place] ^= 1;
            assert!(
                other
                    .accept(opening(&[4; KEY]), &changed, &mut payload)
                    .is_none(),
                "byte {place}"
            );
        }
    }

    #[test]
    fn a_seal_opens_under_its_key_counter_and_header_alone() {
        let (key, header) = ([5; KEY], [6; DATA_HEADER]);
        let mut body = b"a body".to_vec();
        let tag = SimSuite::seal(&key, 9, &header, &mut body).unwrap();
        body.extend_from_slice(&tag);
        assert!(SimSuite::open(&key, 8, &header, &mut body.clone()).is_none());
        assert!(SimSuite::open(&key, 9, &[0; DATA_HEADER], &mut body.clone()).is_none());
        assert!(SimSuite::open(&[0; KEY], 9, &header, &mut body.clone()).is_none());
        assert_eq!(
            SimSuite::open(&key, 9, &header, &mut body).unwrap(),
            b"a body"
        );
    }
}
