//! Promising through the core: limits, seqs and expiries, and a journal that fails.

use std::time::Duration;

use qadom_routing::NodeKey;
use qadom_store::MemoryStore;
use qadom_wire::{Draft, Kind, MAX_TTL, Network, NetworkId, Value};

use super::*;
use crate::config::Config;

const TTL: Duration = Duration::from_hours(36);

fn network() -> NetworkId {
    Network::new(b"test", b"").unwrap().id()
}

fn at(seconds: u64) -> Time {
    Time {
        moment: Moment::ORIGIN + Duration::from_secs(seconds),
        utc_micros: (1_800_000_000 + seconds) * 1_000_000,
    }
}

fn core(configure: impl FnOnce(&mut Config)) -> Core {
    let mut config = Config::new(NodeKey::new([9; 32]).unwrap(), network());
    configure(&mut config);
    Core::new(config, Arc::new(MemoryStore::new()), [1; 32], at(0))
}

fn value(payload: &str) -> Promise {
    let value = Value::new(payload.to_owned().into()).unwrap();
    Promise::new(Promised::Value(value), TTL, at(0))
}

fn cell(seq: u64, now: Time) -> Promise {
    let expiry = now.utc_seconds() + TTL.as_secs();
    let draft = Draft::dict_cell(Key::ZERO, "cell".into(), seq, expiry);
    let record = Identity::from_seed([7; 32])
        .sign(&network(), draft)
        .unwrap();
    Promise::new(Promised::Signed(record.into_inner()), TTL, now)
}

fn tickets(core: &mut Core) -> Vec<u64> {
    let effects = std::iter::from_fn(|| core.poll_effect());
    let tickets = effects.filter_map(|effect| match effect {
        Effect::Journal { ticket, .. } => Some(ticket),
        _ => None,
    });
    tickets.collect()
}

#[test]
fn as_many_are_promised_as_the_limit_allows() {
    let mut core = core(|config| config.limits.publications = 2);
    let promised = ["a", "b", "c"].map(|payload| core.promise(None, value(payload), at(0)));
    assert_eq!(promised, [Ok(()), Ok(()), Err(Reason::Quota)]);
    // What is there already takes nobody's place.
    assert_eq!(core.promise(None, value("b"), at(0)), Ok(()));
    assert_eq!(tickets(&mut core), [1, 2, 3]);
}

#[test]
fn as_many_bytes_are_promised_as_the_limit_allows() {
    for (limit, last) in [(1025, Err(Reason::Quota)), (1026, Ok(())), (1027, Ok(()))] {
        let mut core = core(|config| config.limits.publication_bytes = limit);
        assert_eq!(core.promise(None, value("a"), at(0)), Ok(()));
        assert_eq!(core.promise(None, value("b"), at(0)), last, "{limit}");
    }
}

#[test]
fn a_journal_that_fails_leaves_what_was_promised_before() {
    let mut core = core(|_| {});
    let operation = Some(OperationId(1));
    // Ahead of the clock, so that only what is remembered counts.
    let (first, second) = (at(1000).utc_micros, at(1000).utc_micros + 1);
    core.promise(None, cell(first, at(0)), at(0)).unwrap();
    core.promises.journalling.end(1);
    core.promise(operation, cell(second, at(9)), at(9)).unwrap();
    core.promise(operation, value("lost"), at(9)).unwrap();
    assert_eq!(core.on_journal_lost(at(9), 3), [OperationId(1); 2]);
    let id = cell(first, at(0)).id();
    let left: Vec<_> = core.promises.book.iter().map(Promise::id).collect();
    assert_eq!(left, [id]);
    assert!(core.is_published(&id, first));
    // It is renewed all the same, and the seq that was signed is not signed again.
    assert!(core.promises.book.next_due().is_some());
    assert_eq!(core.next_seq(&id, 0, at(0)), second + 1);
    assert!(core.latest_expiry(&id, at(9)) >= at(9).utc_seconds() + TTL.as_secs());
}

#[test]
fn seqs_and_expiries_go_on_after_a_withdrawal() {
    let mut core = core(|_| {});
    let seq = core.next_seq(&cell(0, at(0)).id(), 0, at(0));
    let promise = cell(seq, at(0));
    let (id, expires_at) = (promise.id(), promise.expires_at);
    assert_eq!(id.kind, Kind::DictCell);
    core.promise(None, promise, at(0)).unwrap();
    assert_eq!(core.next_seq(&id, 0, at(0)), seq + 1);
    core.unpublish(None, &id, at(5));
    assert!(!core.is_published(&id, seq));
    // A renewal that the journal did not learn of may have been signed until now.
    assert_eq!(core.latest_expiry(&id, at(6)), expires_at + 5);
    assert_eq!(core.next_seq(&id, 0, at(0)), seq + 2);
}

#[test]
fn a_stream_that_the_journal_refuses_is_not_used() {
    let mut core = core(|_| {});
    let writer = Identity::from_seed([7; 32]).writer();
    let (first, is_opened) = core.next_event(None, writer, Key::ZERO, at(0));
    assert!(is_opened);
    core.on_journal_lost(at(0), 1);
    let (second, is_opened) = core.next_event(None, writer, Key::ZERO, at(0));
    assert!(is_opened && second.stream > first.stream);
    assert_eq!(second.seq, 1);
}

#[test]
fn what_is_replaced_leaves_its_room() {
    // Two values of one byte fit exactly.
    let mut core = core(|config| config.limits.publication_bytes = 1026);
    for payload in ["a", "b", "b", "a"] {
        assert_eq!(core.promise(None, value(payload), at(0)), Ok(()));
    }
    assert_eq!(core.promise(None, value("c"), at(0)), Err(Reason::Quota));
}

#[test]
fn what_a_clock_that_was_a_year_ahead_signed_does_not_bind_for_a_year() {
    const YEAR: u64 = 365 * 24 * 3600;
    let mut core = core(|_| {});
    let id = cell(0, at(0)).id();
    let ahead = core.next_seq(&id, 0, at(YEAR));
    core.promise(None, cell(ahead, at(YEAR)), at(YEAR)).unwrap();
    let longest = MAX_TTL.as_secs() + 3600;
    let expiry = |core: &Core| {
        let promise = core.promises.book.get(&id);
        promise.map(|promise| promise.latest_expiry(at(0)))
    };
    assert!(expiry(&core).unwrap() <= at(0).utc_seconds() + longest);
    core.unpublish(None, &id, at(YEAR));
    assert!(core.latest_expiry(&id, at(0)) <= at(0).utc_seconds() + longest);
    let seqs = [0; 2].map(|seen| core.next_seq(&id, seen, at(0)));
    assert_eq!(seqs, [at(0).utc_micros, at(0).utc_micros + 1]);
    // What somebody shows while the time is not known does not bind either.
    assert_eq!(core.next_seq(&id, u64::MAX - 1, at(9)), at(9).utc_micros);
    // Within the tolerance of the holders it does.
    let ahead = at(9 + 3600).utc_micros - 1;
    assert_eq!(core.next_seq(&id, ahead, at(9)), ahead + 1);
}
