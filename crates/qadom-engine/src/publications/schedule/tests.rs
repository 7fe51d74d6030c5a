//! Due times, regions and the pace, each for many seeds.

use proptest::prelude::*;
use qadom_wire::Value;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use super::*;
use crate::publications::promise::{Promised, PublicationState};

const TTL: Duration = Duration::from_hours(36);

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn at(hours: u64) -> Time {
    let span = Duration::from_hours(hours);
    Time {
        moment: Moment::ORIGIN + span,
        utc_micros: 1_800_000_000_000_000 + u64::try_from(span.as_micros()).unwrap(),
    }
}

fn promise(renewed: Time, ttl: Duration) -> Promise {
    Promise::new(
        Promised::Value(Value::new("x".into()).unwrap()),
        ttl,
        renewed,
    )
}

proptest! {
    #[test]
    fn a_third_of_the_life_passes_a_tenth_more_or_less(seed: u64, seconds in 60_u64..604_801) {
        let ttl = Duration::from_secs(seconds);
        let wait = next(ttl, at(5).moment, &mut rng(seed)).since(at(5).moment);
        prop_assert!(wait >= (ttl / 3).mul_f64(0.899) && wait <= (ttl / 3).mul_f64(1.101));
    }

    #[test]
    fn after_a_restart_nothing_is_later_than_without_one(
        seed: u64,
        renewed in 0_u64..100,
        now in 0_u64..200,
        seconds in 60_u64..604_801,
    ) {
        let ttl = Duration::from_secs(seconds);
        let promise = promise(at(renewed), ttl);
        let due = after_restart(&promise, at(now), &mut rng(seed));
        let wait = due.since(at(now).moment);
        prop_assert!(due >= at(now).moment);
        prop_assert!(wait <= (ttl / 3).mul_f64(1.101), "{wait:?}");
        // What still lives is renewed while it does.
        let life = Duration::from_secs(promise.expires_at.saturating_sub(at(now).utc_seconds()));
        prop_assert!(life.is_zero() || wait < life, "{wait:?} of {life:?}");
    }

    #[test]
    fn a_region_holds_what_shares_its_bits(key: [u8; 32], other: [u8; 32], bits in 0_u32..=256) {
        let (key, other) = (Key::from_bytes(key), Key::from_bytes(other));
        let (start, end) = region(&key, bits);
        prop_assert!(start <= key && key <= end);
        let is_inside = start <= other && other <= end;
        prop_assert_eq!(is_inside, key.distance(&other).shared_bits() >= bits);
    }

    #[test]
    fn a_region_has_enough_nodes_and_not_too_many(nodes in 1_f64..1e9) {
        let bits = region_bits(nodes);
        let inside = nodes / 2_f64.powi(i32::try_from(bits).unwrap());
        prop_assert!(bits == 0 || inside >= REGION_NODES, "{inside} nodes share {bits} bits");
        prop_assert!(inside < 2.0 * REGION_NODES, "{inside} nodes share {bits} bits");
    }

    #[test]
    fn the_pace_is_kept_in_every_stretch(
        messages in prop::collection::vec((0_usize..9000, 0_u64..300), 1..200),
        rate in 1_000_u64..1_000_000,
    ) {
        let mut pace = Pace::new(rate);
        let mut now = Moment::from_micros(10_000_000);
        let mut sent: Vec<(Moment, u128)> = Vec::new();
        let begin = (now, pace.paid(now));
        for (bytes, pause) in messages {
            let last = (now, pace.paid(now));
            now = (now + Duration::from_millis(pause)).max(pace.free_at());
            for (since, paid) in [begin, last] {
                let most = u128::from(rate) * now.since(since).as_micros() / 1_000_000;
                let paid = u128::from(pace.paid(now) - paid);
                prop_assert!(paid <= most + 1, "{paid} bytes were paid of {most}");
            }
            pace.spend(bytes, now);
            sent.push((now, bytes as u128));
        }
        let all: u128 = sent.iter().map(|(_, bytes)| bytes).sum();
        prop_assert_eq!(u128::from(pace.paid(now + Duration::from_hours(1))), all);
        for (first, (start, _)) in sent.iter().enumerate() {
            let mut total = 0;
            for (at, bytes) in &sent[first..] {
                let span = at.since(*start) + BURST;
                let allowed = u128::from(rate) * span.as_micros() / 1_000_000;
                prop_assert!(total <= allowed, "{total} bytes of {allowed}");
                total += bytes;
            }
        }
    }
}

#[test]
fn what_is_overdue_after_a_restart_comes_spread_over_a_quarter_of_an_interval() {
    // Down from the 2nd to the 20th hour: all is overdue, and lives for 16 h more.
    let promise = promise(at(0), TTL);
    let mut rng = rng(1);
    let mut minutes = vec![0_u32; 180];
    for _ in 0..18_000 {
        let due = after_restart(&promise, at(20), &mut rng);
        let minute = due.since(at(20).moment).as_secs() / 60;
        minutes[usize::try_from(minute).unwrap()] += 1;
    }
    let most = minutes.iter().max().unwrap();
    assert!(
        *most < 200,
        "{most} of 18000 in one minute of {}",
        minutes.len()
    );
}

#[test]
fn what_is_about_to_expire_or_has_expired_is_not_put_off() {
    let promise = promise(at(0), TTL);
    for (hour, longest) in [
        (35, Duration::from_mins(30)),
        (400, Duration::from_hours(3)),
    ] {
        for seed in 0..256 {
            let due = after_restart(&promise, at(hour), &mut rng(seed));
            assert!(due.since(at(hour).moment) <= longest, "hour {hour}");
        }
    }
    assert_eq!(promise.state, PublicationState::Active);
}
