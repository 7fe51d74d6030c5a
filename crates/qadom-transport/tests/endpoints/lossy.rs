//! Loss, copies and disorder.

use std::time::Duration;

use proptest::prelude::*;
use qadom_transport::{Class, Event, FailReason};

use crate::wire::{CALM, End, INIT, Service, Weather, Wire, long};

fn stormy(loss: u32, copies: u32, jitter: u64) -> Weather {
    Weather {
        loss,
        copies,
        jitter: Duration::from_millis(jitter),
        ..CALM
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_request_ends_exactly_once(
        seed in any::<u64>(),
        loss in 0u32..60,
        copies in 0u32..30,
        jitter in 0u64..40,
        requests in prop::collection::vec((0usize..3, 0usize..3, 0usize..4, any::<bool>(), 0u64..300), 1..30),
    ) {
        let mut wire = Wire::new(seed, 3, stormy(loss, copies, jitter));
        wire.nodes[2].service = Service::Long(3000);
        for (token, &(from, to, size, first_ok, wait)) in requests.iter().enumerate() {
            let body = vec![token.to_le_bytes()[0]; [5, 300, 1100, 5000][size]];
            wire.request(from, wire.outgoing(to, token as u64, &body, first_ok));
            wire.run(Duration::from_millis(wait));
        }
        wire.run(Duration::from_mins(3));
        for (token, &(from, to, size, ..)) in requests.iter().enumerate() {
            // `end` checks that there is one.
            let end = wire.end(from, token as u64);
            prop_assert!(end.is_some(), "token {} has no end", token);
            if let Some(End::Answer(body)) = end {
                let asked = vec![token.to_le_bytes()[0]; [5, 300, 1100, 5000][size]];
                let answer = if to == 2 { long(&asked, 3000) } else { asked.into() };
                prop_assert!(answer.starts_with(&body), "token {} got another answer", token);
            }
            if loss == 0 && from != to {
                prop_assert!(matches!(wire.end(from, token as u64), Some(End::Answer(_))));
            }
        }
        for node in &wire.nodes {
            let usage = node.endpoint.usage();
            prop_assert_eq!((usage.in_flight, usage.queued, usage.attempts), (0, 0, 0));
            prop_assert_eq!((usage.pending, usage.assemblies), (0, 0));
        }
    }
}

#[test]
fn values_of_8192_bytes_go_both_ways_at_ten_percent_loss() {
    let mut wire = Wire::new(5, 2, stormy(10, 2, 5));
    wire.nodes[1].service = Service::Long(8192);
    let mut answered = 0;
    for token in 0..200u64 {
        let body = vec![token.to_le_bytes()[0]; if token % 2 == 0 { 10 } else { 8192 }];
        wire.request(0, wire.outgoing(1, token, &body, false));
        let end = wire.run_to_end(0, token, Duration::from_mins(1));
        if end == Some(End::Answer(long(&body, 8192))) {
            answered += 1;
        }
    }
    assert!(answered >= 199, "{answered} of 200");
}

#[test]
fn pieces_beyond_the_first_four_are_sent_when_asked_for() {
    let mut wire = Wire::new(1, 2, CALM);
    wire.nodes[1].service = Service::Long(8192);
    wire.ask(0, 1, 1, b"x");
    wire.run(Duration::from_secs(1));
    let (begin, before) = (wire.now, wire.sent.len());
    let end = wire.ask(0, 1, 2, b"x");
    assert_eq!(end, Some(End::Answer(long(b"x", 8192))));
    // Request; four pieces; need; four pieces.
    assert_eq!(wire.since(begin), Duration::from_millis(40));
    let sizes: Vec<_> = wire.sent[before..]
        .iter()
        .map(|sent| sent.bytes.len())
        .collect();
    assert_eq!(
        sizes,
        [64, 1200, 1200, 1200, 1200, 64, 1200, 1200, 1200, 512]
    );
}

#[test]
fn a_lost_init_is_sent_again_byte_for_byte_and_answered_once() {
    let mut wire = Wire::new(1, 2, CALM);
    let bob = wire.nodes[1].address;
    wire.silent.insert(bob);
    wire.request(0, wire.outgoing(1, 1, b"x", true));
    wire.run(Duration::from_millis(505));
    wire.silent.clear();
    let end = wire.run_to_end(0, 1, Duration::from_secs(9));
    assert!(matches!(end, Some(End::Answer(_))));
    assert_eq!(wire.sent[0].bytes, wire.sent[1].bytes);
    let times: Vec<_> = wire
        .sent
        .iter()
        .filter(|s| s.bytes[0] == INIT)
        .map(|s| s.at)
        .collect();
    assert_eq!(
        times[1].saturating_sub(times[0]),
        Duration::from_millis(500)
    );
    // Had the RESP been lost, the same INIT would bring the same RESP and no second request.
    let init = wire.sent[0].clone();
    let before = wire.sent.len();
    wire.inject(1, init.from, &init.bytes);
    assert_eq!(wire.sent.len(), before + 1);
    assert_eq!(wire.sent[before].bytes, wire.sent[2].bytes);
    assert_eq!(
        wire.nodes[1].count(|event| matches!(event, Event::Request { .. })),
        1
    );
}

#[test]
fn silence_fails_a_request_after_three_tries() {
    let mut wire = Wire::new(1, 1, CALM);
    let mut outgoing = wire.outgoing(0, 1, b"x", true);
    outgoing.key = qadom_transport::SecretKey::from_bytes([77; 32]).public();
    outgoing.address = "192.0.2.77:4001".parse().unwrap();
    let begin = wire.now;
    wire.request(0, outgoing);
    let end = wire.run_to_end(0, 1, Duration::from_mins(1));
    assert_eq!(end, Some(End::Failed(FailReason::Timeout)));
    assert_eq!(wire.since(begin), Duration::from_millis(500 + 1000 + 2000));
    assert_eq!(wire.kinds(), [INIT; 3]);
    assert_eq!(
        wire.nodes[0].count(|event| *event == Event::Slow { token: 1 }),
        1
    );
}

#[test]
fn a_slow_answer_still_counts() {
    let mut wire = Wire::new(1, 2, CALM);
    wire.ask(0, 1, 1, b"x");
    wire.nodes[1].service = Service::Hold;
    wire.request(0, wire.outgoing(1, 2, b"y", false));
    wire.run(Duration::from_millis(45));
    assert_eq!(
        wire.nodes[0].count(|event| *event == Event::Slow { token: 2 }),
        1
    );
    let (now, (inbound, body)) = (wire.time(), wire.nodes[1].asked[0].clone());
    wire.nodes[1].endpoint.answer(now, inbound, body.clone());
    wire.drain(1);
    assert_eq!(
        wire.run_to_end(0, 2, Duration::from_secs(9)),
        Some(End::Answer(body))
    );
}

#[test]
fn a_request_under_way_is_not_served_twice() {
    let mut wire = Wire::new(1, 2, CALM);
    wire.ask(0, 1, 1, b"x");
    wire.nodes[1].service = Service::Hold;
    wire.request(0, wire.outgoing(1, 2, b"y", false));
    wire.run_to_end(0, 2, Duration::from_mins(1));
    assert_eq!(wire.nodes[1].asked.len(), 1);
}

#[test]
fn a_peer_is_given_the_time_that_its_work_takes() {
    for (work_ms, is_answered) in [(100, true), (1900, true), (2100, false)] {
        let mut wire = Wire::new(11, 2, CALM);
        wire.ask(0, 1, 1, b"measure the round trip").unwrap();
        wire.run(Duration::from_secs(1));
        wire.nodes[1].service = Service::Hold;
        let mut outgoing = wire.outgoing(1, 2, b"write this to your disk", false);
        outgoing.patience = Duration::from_secs(2);
        wire.request(0, outgoing);
        wire.run(Duration::from_millis(work_ms));
        let (inbound, body) = wire.nodes[1].asked.pop().unwrap();
        assert!(wire.nodes[1].asked.is_empty(), "a copy was served");
        let now = wire.time();
        wire.nodes[1].endpoint.answer(now, inbound, body.clone());
        wire.drain(1);
        wire.run(Duration::from_secs(5));
        let end = if is_answered {
            End::Answer(body)
        } else {
            End::Failed(FailReason::Timeout)
        };
        assert_eq!(wire.end(0, 2), Some(end), "{work_ms} ms");
    }
}

/// Reads a value of 8192 bytes as a get does that knows its holders and has a session with none:
/// three are asked at once, the next one when one is slow or fails, and whoever answers that the
/// value is too long for a first datagram is asked again.
fn read_long(seed: u64, loss: u32) -> Option<Duration> {
    const HOLDERS: usize = 10;
    let weather = Weather {
        latency: Duration::from_millis(40),
        ..stormy(loss, 0, 20)
    };
    let mut wire = Wire::new(seed, HOLDERS + 1, weather);
    for holder in 1..=HOLDERS {
        wire.nodes[holder].service = Service::Long(8192);
    }
    let (began, mut next, mut taken) = (wire.now, 1, 0);
    let ask_next = |wire: &mut Wire, next: &mut usize| {
        if *next <= HOLDERS {
            let mut outgoing = wire.outgoing(*next, *next as u64, b"x", true);
            outgoing.class = Class::Long;
            wire.request(0, outgoing);
            *next += 1;
        }
    };
    (0..3).for_each(|_| ask_next(&mut wire, &mut next));
    while wire.since(began) < Duration::from_secs(5) {
        wire.run(Duration::from_millis(1));
        let fresh: Vec<Event> = wire.nodes[0].events[taken..].to_vec();
        taken += fresh.len();
        for event in fresh {
            match event {
                Event::Answer { body, .. } if body.len() == 8192 => {
                    return Some(wire.since(began));
                }
                Event::Answer { token, .. } => {
                    let holder = usize::try_from(token).unwrap();
                    wire.request(0, wire.outgoing(holder, 100 + token, b"x", true));
                }
                Event::Slow { .. } | Event::Failed { .. } => ask_next(&mut wire, &mut next),
                _ => {}
            }
        }
    }
    None
}

/// Goal 9 of the design: 99.9, 99.9 and 98 % within 5 s. `QADOM_READS` sets how many are tried.
#[test]
fn values_of_8192_bytes_are_read_within_five_seconds_at_any_loss() {
    let reads = std::env::var("QADOM_READS").map_or(150, |text| text.parse().unwrap());
    for (loss, of_1000) in [(5, 999), (10, 999), (30, 980)] {
        let mut spans: Vec<Duration> = (0..reads)
            .filter_map(|seed| read_long(seed, loss))
            .collect();
        spans.sort_unstable();
        let at = |percent: usize| spans[spans.len() * percent / 100];
        println!(
            "{loss} % loss: {} of {reads} within 5 s, p50 {:?}, p99 {:?}",
            spans.len(),
            at(50),
            at(99)
        );
        assert!(spans.len() as u64 * 1000 >= reads * of_1000);
    }
}
