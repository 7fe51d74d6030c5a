//! Cookies: how a node under load makes strangers prove their address before any curve work, and
//! how it knows that it is under load.
//!
//! What must stay true: a cookie depends on nothing but an own secret, which is renewed every two
//! minutes, and the address it was sent to, so nothing is remembered of strangers; it travels
//! sealed to the one INIT that it answers. Those that peers gave this node are kept for two minutes
//! and in limited number. Load is counted in handshakes asked for, not in time
//! spent: nothing here reads a clock.

use core::time::Duration;
use std::collections::HashMap;
use std::net::SocketAddr;

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use rand_core::Rng;
use zeroize::Zeroizing;

use crate::address::pack_observed;
use crate::packet::CookiePacket;
use crate::rate::Bucket;
use crate::slack::Slack;
use crate::suite::Suite;

/// Names the key that cookies to the holder's INITs are sealed under.
pub(crate) const COOKIE_LABEL: &[u8] = b"qadom 1 cookie";
/// How long a secret makes cookies; as long again it still checks them.
const SECRET_FOR: Duration = Duration::from_mins(2);
/// Cookies of peers that are kept.
const KEPT: usize = 1024;
/// How long load is felt after the last handshake too many.
const FELT_FOR: Duration = Duration::from_secs(1);

/// The secrets that this node's cookies are made with.
#[derive(Debug)]
pub(crate) struct CookieSecrets {
    current: Zeroizing<[u8; 32]>,
    previous: Option<Zeroizing<[u8; 32]>>,
    drawn: Option<Duration>,
}

impl CookieSecrets {
    pub(crate) fn new() -> Self {
        Self {
            current: Zeroizing::new([0; 32]),
            previous: None,
            drawn: None,
        }
    }

    /// The cookie of an address now.
    pub(crate) fn cookie<S: Suite>(
        &mut self,
        address: SocketAddr,
        now: Duration,
        random: &mut impl Rng,
    ) -> Zeroizing<[u8; 16]> {
        self.renew(now, random);
        cookie::<S>(&self.current, address)
    }

    /// The cookies that an address may have been given.
    pub(crate) fn accepted<S: Suite>(
        &mut self,
        address: SocketAddr,
        now: Duration,
        random: &mut impl Rng,
    ) -> impl Iterator<Item = Zeroizing<[u8; 16]>> {
        self.renew(now, random);
        let secrets = [Some(&self.current), self.previous.as_ref()];
        secrets
            .into_iter()
            .flatten()
            .map(move |secret| cookie::<S>(secret, address))
    }

    fn renew(&mut self, now: Duration, random: &mut impl Rng) {
        let age = self.drawn.map(|drawn| now.saturating_sub(drawn));
        if age.is_some_and(|age| age < SECRET_FOR) {
            return;
        }
        self.previous = age
            .is_some_and(|age| age < SECRET_FOR * 2)
            .then(|| self.current.clone());
        random.fill_bytes(&mut *self.current);
        self.drawn = Some(now);
    }
}

fn cookie<S: Suite>(secret: &[u8; 32], address: SocketAddr) -> Zeroizing<[u8; 16]> {
    Zeroizing::new(S::mac(secret, &[&pack_observed(address)]))
}

/// Seals a cookie for the INIT with this sender index and mac1.
pub(crate) fn seal(
    key: &[u8; 32],
    nonce: [u8; 24],
    (receiver, mac1): (u32, &[u8; 16]),
    cookie: &[u8; 16],
) -> Option<CookiePacket> {
    let mut sealed = [0; 32];
    let (body, tag) = sealed.split_at_mut(16);
    body.copy_from_slice(cookie);
    let made = XChaCha20Poly1305::new(key.into())
        .encrypt_in_place_detached(&nonce.into(), mac1, body)
        .ok()?;
    tag.copy_from_slice(&made);
    Some(CookiePacket {
        receiver,
        nonce,
        sealed,
    })
}

/// Opens the cookie that answers an INIT with this mac1.
pub(crate) fn open(
    key: &[u8; 32],
    mac1: &[u8; 16],
    packet: &CookiePacket,
) -> Option<Zeroizing<[u8; 16]>> {
    let (cookie, tag) = packet.sealed.split_first_chunk::<16>()?;
    let tag: &[u8; 16] = tag.try_into().ok()?;
    let mut cookie = Zeroizing::new(*cookie);
    XChaCha20Poly1305::new(key.into())
        .decrypt_in_place_detached(&packet.nonce.into(), mac1, &mut *cookie, tag.into())
        .ok()?;
    Some(cookie)
}

/// Who gave a cookie: a key, and the address at which it was asked; at another one it may see us
/// under another address.
pub(crate) type Giver = ([u8; 32], SocketAddr);

/// Cookies that peers gave this node, for further handshakes with them.
#[derive(Debug, Default)]
pub(crate) struct KeptCookies(HashMap<Giver, (Zeroizing<[u8; 16]>, Duration)>);

impl KeptCookies {
    /// Keeps a cookie for as long as its giver surely accepts it; not beyond the limit.
    pub(crate) fn keep(&mut self, giver: Giver, cookie: Zeroizing<[u8; 16]>, now: Duration) {
        self.0.retain(|_, (_, until)| *until > now);
        self.0.release();
        if self.0.len() < KEPT || self.0.contains_key(&giver) {
            self.0.insert(giver, (cookie, now + SECRET_FOR));
        }
    }

    /// The cookie of this giver, if it is still good.
    pub(crate) fn of(&self, giver: &Giver, now: Duration) -> Option<&[u8; 16]> {
        let (cookie, until) = self.0.get(giver)?;
        (*until > now).then_some(cookie)
    }
}

/// Whether more handshakes are asked for than half of what this node can do.
#[derive(Debug)]
pub(crate) struct Load {
    bucket: Bucket,
    felt_until: Duration,
}

impl Load {
    /// No load yet, on a node that answers `capacity` handshakes in a second.
    pub(crate) fn new(now: Duration, capacity: u32) -> Self {
        let (rate, burst) = bearable(capacity);
        Self {
            bucket: Bucket::full(now, rate, burst),
            felt_until: Duration::ZERO,
        }
    }

    /// Notes that one more handshake is asked for; whether that is too many.
    pub(crate) fn note(&mut self, now: Duration, capacity: u32) -> bool {
        let (rate, burst) = bearable(capacity);
        if !self.bucket.take(now, rate, burst) {
            self.felt_until = now + FELT_FOR;
        }
        now < self.felt_until
    }
}

/// Half the capacity, and an eighth of a second's worth at once.
fn bearable(capacity: u32) -> (u32, u32) {
    (capacity.div_ceil(2), capacity.div_ceil(8))
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::*;
    use crate::suite::NoiseSuite;

    #[test]
    fn a_cookie_is_accepted_until_its_secret_was_renewed_twice() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut secrets = CookieSecrets::new();
        let [here, there] = [1, 2].map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
        let start = Duration::from_secs(77);
        let given = secrets.cookie::<NoiseSuite>(here, start, &mut random);
        let mut is_accepted = |address, seconds| {
            secrets
                .accepted::<NoiseSuite>(address, start + Duration::from_secs(seconds), &mut random)
                .any(|cookie| cookie == given)
        };
        assert!(is_accepted(here, 119));
        assert!(!is_accepted(there, 119));
        assert!(is_accepted(here, 120));
        assert!(is_accepted(here, 239));
        assert!(!is_accepted(here, 240));
    }

    #[test]
    fn cookies_of_peers_are_kept_for_two_minutes_and_in_limited_number() {
        let mut kept = KeptCookies::default();
        let giver = |number: u16| ([7; 32], SocketAddr::from(([192, 0, 2, 1], number)));
        let cookie = |byte| Zeroizing::new([byte; 16]);
        let end = Duration::from_mins(2);
        for number in 0..1024 {
            kept.keep(giver(number), cookie(1), Duration::ZERO);
        }
        kept.keep(giver(5), cookie(2), Duration::ZERO);
        kept.keep(giver(2000), cookie(3), Duration::ZERO);
        let before = end.saturating_sub(Duration::from_nanos(1));
        assert_eq!(kept.of(&giver(5), before), Some(&[2; 16]));
        assert_eq!(kept.of(&giver(5), end), None);
        assert_eq!(kept.of(&giver(2000), Duration::ZERO), None);
        kept.keep(giver(2000), cookie(3), end);
        assert_eq!(kept.of(&giver(2000), end), Some(&[3; 16]));
        assert_eq!(kept.0.len(), 1);
    }

    #[test]
    fn a_secret_that_was_not_used_for_long_is_not_kept() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut secrets = CookieSecrets::new();
        let here = SocketAddr::from(([192, 0, 2, 1], 1));
        let given = secrets.cookie::<NoiseSuite>(here, Duration::ZERO, &mut random);
        let late = Duration::from_mins(4);
        let mut accepted = secrets.accepted::<NoiseSuite>(here, late, &mut random);
        assert!(accepted.all(|cookie| cookie != given));
    }

    #[test]
    fn load_is_felt_above_half_the_capacity_and_for_a_second_more() {
        let mut load = Load::new(Duration::ZERO, 4000);
        let mut second = |from: u64, count: u64| {
            (0..count)
                .filter(|at| {
                    let into = Duration::from_nanos(at * 1_000_000_000 / count);
                    let now = Duration::from_secs(from) + into;
                    load.note(now, 4000)
                })
                .count()
        };
        assert_eq!(second(0, 2000), 0);
        assert!(second(1, 8000) > 7000);
        // The second after it is still felt, the one after that is not.
        assert!(second(2, 1000) > 900);
        assert_eq!(second(3, 1000), 0);
    }
}
