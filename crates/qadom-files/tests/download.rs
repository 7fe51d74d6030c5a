//! The scheduler against virtual peers, honest and not.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "download/world.rs"]
mod world;

use core::time::Duration;
use std::collections::BTreeSet;

use proptest::prelude::*;
use qadom_files::{
    Availability, CHUNK_SIZE, ChunkSet, Download, Effect, Joined, Layout, LossReason, PEERS_MAX,
    PeerId, REQUESTS_MAX, Refused,
};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use world::{Conduct, Outcome, World};

const MIB: u64 = 1 << 20;

fn layout(size: u64) -> Layout {
    Layout::new(size).expect("it is small")
}

/// Gives every chunk to `copies` of `peers` holders by chance.
fn scatter(chunks: u64, peers: usize, copies: usize, random: &mut ChaCha8Rng) -> Vec<ChunkSet> {
    let mut sets = vec![ChunkSet::new(chunks); peers];
    for chunk in 0..chunks {
        let mut left = copies;
        while left > 0 {
            let at = usize::try_from(random.next_u64() % peers as u64).expect("it is small");
            left -= usize::from(sets[at].insert(chunk));
        }
    }
    sets
}

/// Bytes that came beyond the file's, in percent of it.
fn surplus(world: &World, layout: Layout) -> f64 {
    let progress = world.download.progress();
    let more = progress.received.saturating_sub(layout.size());
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let percent = 100.0 * more as f64 / layout.size() as f64;
    percent
}

/// A file of so many MiB from 8 holders, each chunk on a random 4 of them, with so many liars and stallers
/// among them.
fn eight_holders(mib: u64, seed: u64, (liars, stallers): (usize, usize)) -> (World, f64) {
    let layout = layout(mib * MIB + 1000);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let sets = scatter(layout.chunks(), 8, 4, &mut random);
    let mut world = World::new(layout, seed);
    for (at, set) in sets.into_iter().enumerate() {
        let conduct = if at < liars {
            Conduct::Garbage
        } else if at < liars + stallers {
            Conduct::Stalls { after: MIB }
        } else {
            Conduct::Honest
        };
        // Lines of 2 to 30 MiB/s, 1 to 100 ms away.
        let bandwidth = (2 + random.next_u64() % 29) * MIB;
        let latency = Duration::from_millis(1 + random.next_u64() % 100);
        world.join(conduct, Availability::Some(set), bandwidth, latency);
    }
    let outcome = world.run();
    assert_eq!(outcome, Outcome::Done, "seed {seed}");
    let surplus = surplus(&world, layout);
    (world, surplus)
}

/// `cargo test -p qadom-files --test download eight -- --nocapture` prints the figures;
/// `QADOM_SEEDS=1000` and `--release` in front of them for more.
#[test]
fn from_eight_holders_each_chunk_comes_once() {
    let seeds = std::env::var("QADOM_SEEDS").map_or(10, |text| text.parse().expect("a number"));
    for mib in [256, 16, 13] {
        for (bad, limit) in [((0, 0), 2.0), ((1, 1), 5.0)] {
            let mut worst = (0.0, 0);
            for seed in 0..seeds {
                let (world, surplus) = eight_holders(mib, seed, bad);
                let twice = usize::try_from(mib * 4 / 100).expect("it is small").max(1);
                assert!(world.fetched_twice() <= twice, "seed {seed}");
                if surplus >= worst.0 {
                    worst = (surplus, seed);
                }
            }
            println!(
                "{mib} MiB from 8 holders, {} sending garbage, {} stalling, {seeds} seeds: at most \
                 {:.2} % more bytes than the file (seed {}), goal {limit} %",
                bad.0, bad.1, worst.0, worst.1,
            );
            assert!(worst.0 <= limit, "{worst:?}");
        }
    }
}

#[test]
fn a_garbage_sender_is_out_after_its_first_chunk() {
    let (world, _) = eight_holders(256, 3, (1, 0));
    assert_eq!(world.lost, [(PeerId(0), LossReason::BadData)]);
}

#[test]
fn a_staller_loses_its_work_and_in_the_end_its_place() {
    let layout = layout(4000 * MIB);
    let mut world = World::new(layout, 1);
    let chunks = ChunkSet::full(layout.chunks());
    let near = Duration::from_millis(5);
    let all = Availability::Some(chunks);
    world.join(Conduct::Stalls { after: 0 }, all.clone(), MIB, near);
    world.join(Conduct::Honest, all, 50 * MIB, near);
    assert_eq!(world.run(), Outcome::Done);
    assert_eq!(world.lost, [(PeerId(0), LossReason::Stalled)]);
    // What it was asked for meanwhile came from the other one.
    assert_eq!(world.download.progress().received, layout.size());
}

#[test]
fn a_staller_does_not_use_up_what_there_is_against_the_slow() {
    let mut download = Download::new(layout(MIB / 4), ChunkSet::new(1), 1);
    // When somebody was asked for the one chunk, of which one may be asked twice.
    let mut asked = Vec::new();
    for tenth in 0..50 {
        let now = Duration::from_millis(100 * tenth);
        match tenth {
            0 => download.add_peer(now, PeerId(1), Availability::All, None),
            10 => download.add_peer(now, PeerId(2), Availability::All, None),
            30 => download.add_peer(now, PeerId(3), Availability::All, None),
            _ => Joined::Taken,
        };
        download.on_deadline(now);
        while let Some(effect) = download.next_effect() {
            if let Effect::Request { peer, .. } = effect {
                asked.push((tenth, peer.0));
            }
        }
    }
    // The first one is late, the second one too, and the first one has lost its work by then.
    let [(0, 1), (21, 2), (late, again)] = asked[..] else {
        panic!("{asked:?}");
    };
    assert!((42..50).contains(&late) && again != 2, "{asked:?}");
}

#[test]
fn one_byte_a_second_is_not_enough() {
    let layout = layout(1000 * MIB);
    let mut world = World::new(layout, 1);
    let near = Duration::from_millis(5);
    world.join(Conduct::Trickles, Availability::All, MIB, near);
    world.join(Conduct::Honest, Availability::All, 40 * MIB, near);
    assert_eq!(world.run(), Outcome::Done);
    assert_eq!(world.lost, [(PeerId(0), LossReason::Slow)]);
}

#[test]
fn the_fast_do_more_and_the_slow_do_not_hold_up_the_end() {
    let layout = layout(100 * MIB);
    let mut world = World::new(layout, 1);
    let near = Duration::from_millis(5);
    world.join(Conduct::Honest, Availability::All, MIB / 10, near);
    world.join(Conduct::Honest, Availability::All, 50 * MIB, near);
    assert_eq!(world.run(), Outcome::Done);
    // Two seconds for the fast one alone; the slow one alone would need five for its first two chunks.
    assert!(world.now < Duration::from_secs(3), "{:?}", world.now);
    assert!(surplus(&world, layout) <= 2.0);
}

#[test]
fn a_fast_peer_far_away_is_kept_busy() {
    let layout = layout(200 * MIB);
    let mut world = World::new(layout, 1);
    let far = Duration::from_millis(150);
    world.join(Conduct::Honest, Availability::All, 20 * MIB, far);
    assert_eq!(world.run(), Outcome::Done);
    // Ten seconds of bytes; one chunk at a time would need two minutes of round trips.
    assert!(world.now < Duration::from_secs(12), "{:?}", world.now);
}

#[test]
fn the_rare_come_before_the_common() {
    let layout = layout(64 * MIB);
    let chunks = layout.chunks();
    let mut world = World::new(layout, 5);
    let near = Duration::from_millis(5);
    let mut rare = ChunkSet::full(chunks);
    world.join(
        Conduct::Vanishes { after: 20 * MIB },
        Availability::Some(rare.clone()),
        10 * MIB,
        near,
    );
    for chunk in 100..150 {
        rare.remove(chunk);
    }
    for _ in 0..3 {
        world.join(
            Conduct::Honest,
            Availability::Some(rare.clone()),
            10 * MIB,
            near,
        );
    }
    // The only holder of 50 chunks goes when it has sent 80: the 50 have to be among them.
    assert_eq!(world.run(), Outcome::Done);
}

#[test]
fn nobody_left_is_said_once_and_resumed() {
    let layout = layout(20 * MIB);
    let mut world = World::new(layout, 1);
    let near = Duration::from_millis(5);
    world.join(
        Conduct::Vanishes { after: 10 * MIB },
        Availability::All,
        10 * MIB,
        near,
    );
    assert_eq!(world.run(), Outcome::Starved);
    assert_eq!(world.starved, 1);
    assert!(world.download.is_starved());
    let missing = world.download.progress().missing;
    assert!(missing > 0 && missing < layout.chunks());
    world.join(Conduct::Honest, Availability::All, 10 * MIB, near);
    assert_eq!(world.run(), Outcome::Done);
    assert_eq!(world.fetched_twice(), 0);
}

#[test]
fn what_is_there_already_is_not_asked_for() {
    let layout = layout(10 * MIB);
    let mut have = ChunkSet::full(layout.chunks());
    have.remove(17);
    let mut download = Download::new(layout, have, 1);
    let peer = PeerId(1);
    download.add_peer(Duration::ZERO, peer, Availability::All, None);
    assert_eq!(
        download.next_effect(),
        Some(Effect::Request { peer, chunk: 17 })
    );
    assert_eq!(download.next_effect(), None);
    assert_eq!(
        download.progress().verified,
        10 * MIB - u64::from(CHUNK_SIZE)
    );
    download.on_verified(Duration::ZERO, peer, 17);
    assert_eq!(download.next_effect(), Some(Effect::Done));
    assert_eq!(download.next_effect(), None);
    assert_eq!(download.next_deadline(Duration::ZERO), None);
}

#[test]
fn a_download_of_all_that_is_there_is_done() {
    let layout = layout(10 * MIB);
    let mut download = Download::new(layout, ChunkSet::full(layout.chunks()), 1);
    assert_eq!(download.next_effect(), Some(Effect::Done));
    assert_eq!(download.progress().verified, 10 * MIB);
}

#[test]
fn the_last_chunk_comes_first_because_it_proves_the_size() {
    let layout = layout(10 * MIB);
    let mut download = Download::new(layout, ChunkSet::new(layout.chunks()), 1);
    let peer = PeerId(1);
    download.add_peer(Duration::ZERO, peer, Availability::All, None);
    let last = layout.last();
    assert_eq!(
        download.next_effect(),
        Some(Effect::Request { peer, chunk: last })
    );
    assert_eq!(
        download.next_effect(),
        Some(Effect::Request { peer, chunk: 0 })
    );
}

#[test]
fn a_petabyte_of_lies_costs_little_and_a_liar_its_place() {
    let layout = layout(1 << 50);
    let mut download = Download::new(layout, ChunkSet::new(layout.chunks()), 1);
    for peer in 0..8 {
        let joined = download.add_peer(Duration::ZERO, PeerId(peer), Availability::All, None);
        assert_eq!(joined, Joined::Taken);
    }
    assert_eq!(download.progress().requests, 16);
    let peer = PeerId(0);
    download.on_bad(Duration::ZERO, peer, layout.last());
    assert_eq!(
        download.add_peer(Duration::ZERO, peer, Availability::All, None),
        Joined::Lost(LossReason::BadData),
    );
}

#[test]
fn a_reader_gets_its_place_in_order_first() {
    let layout = layout(1000 * MIB);
    let mut world = World::new(layout, 1);
    let near = Duration::from_millis(5);
    for _ in 0..3 {
        world.join(Conduct::Honest, Availability::All, 10 * MIB, near);
    }
    world.run_until(Duration::from_millis(100));
    let start = 700 * MIB;
    let reader = world
        .download
        .open_reader(world.now, start..start + 100 * MIB, 4 * MIB);
    let reader = reader.expect("there is room");
    for step in 0..50 {
        // Reads 2 MiB as soon as they are there, at 20 MiB/s at most.
        let offset = start + step * 2 * MIB;
        world.download.seek(world.now, reader, offset);
        world.run_until(world.now + Duration::from_millis(100));
        let have = world.download.have();
        let first = layout.chunk_at(offset);
        let missing = have.first_missing(first..first + 8);
        assert!(
            step < 3 || missing.is_none(),
            "step {step} lacks {missing:?}"
        );
    }
    // Meanwhile the rest came, too.
    assert!(world.download.have().len() > 500);
    world.download.close_reader(reader);
    assert_eq!(world.run(), Outcome::Done);
}

#[test]
fn a_reader_does_not_wait_for_a_slow_peer() {
    let layout = layout(1000 * MIB);
    let mut world = World::new(layout, 1);
    let near = Duration::from_millis(5);
    world.join(Conduct::Honest, Availability::All, 50_000, near);
    let place = 500 * MIB;
    let reader = world
        .download
        .open_reader(world.now, place..place + MIB, MIB);
    reader.expect("there is room");
    // The last chunk and the first one are with the slow peer, and so is where the reader stands.
    world.join(Conduct::Honest, Availability::All, 20 * MIB, near);
    world.run_until(Duration::from_secs(3));
    let first = layout.chunk_at(place);
    let missing = world.download.have().first_missing(first..first + 4);
    assert_eq!(
        missing, None,
        "it takes ten seconds from the slow one alone"
    );
}

#[test]
fn without_the_whole_only_what_readers_want_is_fetched() {
    let layout = layout(100 * MIB);
    let mut world = World::new(layout, 1);
    world.download.want_whole(Duration::ZERO, false);
    world.join(
        Conduct::Honest,
        Availability::All,
        10 * MIB,
        Duration::from_millis(5),
    );
    let range = 10 * MIB..20 * MIB;
    let reader = world
        .download
        .open_reader(world.now, range, MIB)
        .expect("there is room");
    world.run_until(Duration::from_secs(5));
    let ahead: Vec<u64> = world.download.have().iter().collect();
    assert_eq!(ahead, [40, 41, 42, 43]);
    // A reader that pauses with all that it may have ahead wants nothing, also of nobody.
    world.run_until(Duration::from_hours(1));
    assert!(!world.download.is_starved());
    world.download.remove_peer(world.now, PeerId(0));
    assert!(!world.download.is_starved());
    let seek = world.download.progress().verified + 10 * MIB;
    world.download.seek(world.now, reader, seek);
    assert!(world.download.is_starved());
    assert_eq!(world.run(), Outcome::Starved);
    world.join(
        Conduct::Honest,
        Availability::All,
        10 * MIB,
        Duration::from_millis(5),
    );
    world.download.close_reader(reader);
    world.download.want_whole(world.now, true);
    assert_eq!(world.run(), Outcome::Done);
}

#[test]
fn busy_is_waited_for_and_lies_about_chunks_cost_the_place() {
    let layout = layout(100 * MIB);
    let mut download = Download::new(layout, ChunkSet::new(layout.chunks()), 1);
    let (peer, now) = (PeerId(1), Duration::ZERO);
    download.add_peer(now, peer, Availability::All, None);
    let Some(Effect::Request { chunk, .. }) = download.next_effect() else {
        panic!("nothing was asked for");
    };
    let _ = download.next_effect();
    let second = Duration::from_secs(1);
    download.on_refused(now, peer, chunk, Refused::Busy(second));
    assert_eq!(download.next_effect(), None);
    assert_eq!(download.next_deadline(now), Some(second));
    download.on_deadline(second);
    let mut lost = None;
    while let Some(effect) = download.next_effect() {
        match effect {
            Effect::Request { chunk, .. } => {
                download.on_refused(second, peer, chunk, Refused::Missing);
            }
            Effect::Lost { reason, .. } => lost = Some(reason),
            _ => {}
        }
    }
    assert_eq!(lost, Some(LossReason::FalseClaims));
}

#[test]
fn peers_and_requests_have_limits() {
    let layout = layout(1000 * MIB);
    let mut download = Download::new(layout, ChunkSet::new(layout.chunks()), 1);
    for peer in 0..PEERS_MAX as u64 {
        let joined = download.add_peer(Duration::ZERO, PeerId(peer), Availability::All, None);
        assert_eq!(joined, Joined::Taken);
    }
    let one_more = PeerId(PEERS_MAX as u64);
    let joined = download.add_peer(Duration::ZERO, one_more, Availability::All, None);
    assert_eq!(joined, Joined::Full);
    assert_eq!(download.progress().requests, REQUESTS_MAX);
}

fn conduct() -> impl Strategy<Value = Conduct> {
    prop_oneof![
        4 => Just(Conduct::Honest),
        1 => Just(Conduct::Garbage),
        1 => (0..4 * MIB).prop_map(|after| Conduct::Stalls { after }),
        1 => (0..4 * MIB).prop_map(|after| Conduct::Vanishes { after }),
        1 => Just(Conduct::Trickles),
        1 => Just(Conduct::Refuses),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever peers do, it ends: done when an honest peer has each chunk, else having said that
    /// nobody has the rest.
    #[test]
    fn it_ends(
        seed in any::<u64>(),
        size in 0..40 * MIB,
        copies in 1..4_usize,
        peers in prop::collection::vec((conduct(), 50_000..50 * MIB, 1..300_u64), 4..10),
    ) {
        let layout = layout(size);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let sets = scatter(layout.chunks(), peers.len(), copies, &mut random);
        let mut world = World::new(layout, seed);
        let mut honest = ChunkSet::new(layout.chunks());
        for ((conduct, bandwidth, latency), set) in peers.into_iter().zip(sets) {
            if conduct == Conduct::Honest {
                honest.union_with(&set);
            }
            let latency = Duration::from_millis(latency);
            world.join(conduct, Availability::Some(set), bandwidth, latency);
        }
        let outcome = world.run();
        if honest.is_full() {
            prop_assert_eq!(outcome, Outcome::Done);
        }
        if outcome == Outcome::Done {
            prop_assert!(world.download.have().is_full());
            prop_assert_eq!(world.download.progress().verified, size);
        } else {
            // Nobody who is left has what is missing.
            let missing: BTreeSet<u64> =
                (0..layout.chunks()).filter(|chunk| !world.download.have().contains(*chunk)).collect();
            prop_assert!(!missing.is_empty());
            prop_assert!(missing.iter().all(|chunk| !honest.contains(*chunk)));
        }
        prop_assert_eq!(world.download.progress().requests, 0);
    }

    /// No order of calls, right or wrong, breaks it.
    #[test]
    fn no_calls_break_it(
        size in 0..20 * MIB,
        calls in prop::collection::vec((0..11_u8, 0..5_u64, 0..90_u64, 0..3000_u64), 0..200),
    ) {
        let layout = layout(size);
        let mut download = Download::new(layout, ChunkSet::new(layout.chunks()), 1);
        let mut now = Duration::ZERO;
        let mut readers = Vec::new();
        for (call, peer, chunk, step) in calls {
            now += Duration::from_millis(step);
            let peer = PeerId(peer);
            match call {
                0 | 1 => {
                    let mut set = ChunkSet::full(layout.chunks());
                    set.remove(chunk);
                    download.add_peer(now, peer, Availability::Some(set), None);
                }
                2 => download.remove_peer(now, peer),
                3 => download.on_received(now, peer, chunk, step),
                4 => download.on_verified(now, peer, chunk % layout.chunks()),
                5 => download.on_bad(now, peer, chunk),
                6 => download.on_refused(now, peer, chunk, Refused::Missing),
                7 => download.on_failed(now, peer, chunk),
                8 => download.on_gone(now, chunk),
                9 => readers.extend(download.open_reader(now, chunk * MIB..step * MIB, step)),
                _ => {
                    if let Some(reader) = readers.get(usize::try_from(peer.0).unwrap_or(0)) {
                        download.seek(now, *reader, chunk * MIB / 4);
                    }
                    download.on_deadline(now);
                }
            }
            let progress = download.progress();
            prop_assert!(progress.requests <= REQUESTS_MAX);
            prop_assert_eq!(progress.missing, layout.chunks() - download.have().len());
            prop_assert!(progress.verified <= size);
            while download.next_effect().is_some() {}
        }
    }
}
