//! The limits of leases, and what waits for each.

use qadom_wire::{Draft, Identity, Network, NetworkId};

use super::*;

const NOW: Moment = Moment::ORIGIN;

fn network() -> NetworkId {
    Network::new(b"qadom", b"").unwrap().id()
}

fn slot(number: u8) -> WatchSlot {
    WatchSlot {
        slot: Key::from_bytes([number; 32]),
        kind: Kind::Event,
    }
}

fn node(number: u16) -> NodeKey {
    let mut bytes = [9; 32];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    bytes[31] = 0;
    NodeKey::new(bytes).unwrap()
}

fn contact(number: u16) -> Contact {
    Contact::at(node(number), ([10, 0, 0, 1], 7236).into(), false)
}

fn event(seq: u64) -> SignedRecord {
    let identity = Identity::from_seed([3; 32]);
    let draft = Draft::event(slot(1).slot, 1, seq, "event".into(), 2_000_000_000);
    identity.sign(&network(), draft).unwrap().into_inner()
}

/// Everything that was written up to an event.
fn up_to(seq: u64) -> Cursor {
    let mut cursor = Cursor::new();
    cursor.note(event(seq).writer(), 1, seq);
    cursor
}

struct Table(Watchers);

impl Table {
    fn new() -> Self {
        Self(Watchers::new(4096, NOW))
    }

    fn grant(&mut self, number: u8, watcher: u16) -> Result<(), Reason> {
        self.grant_since(number, watcher, None)
    }

    fn grant_since(
        &mut self,
        number: u8,
        watcher: u16,
        since: Option<Cursor>,
    ) -> Result<(), Reason> {
        let id = (slot(number), node(watcher));
        let heads = up_to(5);
        self.0.grant(id, Some(contact(watcher)), since, heads, NOW)
    }

    fn lease(&mut self) -> &mut Lease {
        self.0.lease_mut(&(slot(1), node(1))).unwrap()
    }

    /// Lets the lease's batch be under way.
    fn send(&mut self, request: u64) {
        let (id, request) = ((slot(1), node(1)), RequestId::from(request));
        self.0.requests.insert(request, id);
        self.lease().under_way = Some(request);
    }
}

#[test]
fn a_slot_has_so_many_watchers_and_no_more() {
    let mut table = Table::new();
    for watcher in 0..1024 {
        assert_eq!(table.grant(1, watcher), Ok(()));
    }
    assert_eq!(table.grant(1, 1024), Err(Reason::Busy));
    assert_eq!(table.grant(2, 1024), Ok(()));
    assert_eq!(table.grant(1, 1023), Ok(()), "a renewal takes no room");
    table.0.end(&(slot(1), node(0)));
    assert_eq!(table.grant(1, 1024), Ok(()));
    assert_eq!(table.0.len(), 1025);
}

#[test]
fn a_node_has_so_many_leases_and_no_more() {
    let mut table = Table::new();
    for number in 0..4 {
        for watcher in 0..1024 {
            assert_eq!(table.grant(number, watcher), Ok(()));
        }
    }
    assert_eq!((table.0.len(), table.0.slots()), (4096, 4));
    assert_eq!(table.grant(4, 0), Err(Reason::Busy));
    table.0.end(&(slot(0), node(0)));
    assert_eq!(table.grant(4, 0), Ok(()));
}

#[test]
fn a_watcher_has_so_many_slots_and_no_more() {
    let mut table = Table::new();
    for number in 0..64 {
        assert_eq!(table.grant(number, 1), Ok(()));
    }
    assert_eq!(table.grant(64, 1), Err(Reason::Busy));
    assert_eq!(table.grant(64, 2), Ok(()));
    table.0.end(&(slot(0), node(1)));
    assert_eq!(table.grant(64, 1), Ok(()));
}

#[test]
fn a_lease_ends_after_ten_minutes_unless_it_is_renewed() {
    let mut table = Table::new();
    table.grant(1, 1).unwrap();
    table.0.expire(NOW + LEASE - Duration::from_micros(1));
    assert_eq!(table.0.len(), 1);
    table.0.expire(NOW + LEASE);
    assert_eq!((table.0.len(), table.0.slots()), (0, 0));
    assert!(table.0.watching.is_empty() && table.0.ready.is_empty());
    assert_eq!(table.0.next_deadline(), None);
}

#[test]
fn only_a_cursor_that_lacks_something_has_a_backlog() {
    let mut table = Table::new();
    table.grant(1, 1).unwrap();
    assert!(table.lease().backlog.is_none());
    table.grant_since(1, 1, Some(up_to(5))).unwrap();
    assert!(table.lease().backlog.is_none());
    table.grant_since(1, 1, Some(up_to(4))).unwrap();
    assert!(table.lease().backlog.is_some());
    // Another program of that node has seen more; the first one still waits.
    table.grant_since(1, 1, Some(up_to(5))).unwrap();
    assert_eq!(table.lease().backlog.as_ref().unwrap().since, up_to(4));
    table.grant_since(1, 1, Some(Cursor::new())).unwrap();
    assert_eq!(table.lease().backlog.as_ref().unwrap().since, Cursor::new());
}

#[test]
fn what_the_backlog_comes_to_is_not_queued_too() {
    let mut table = Table::new();
    table.grant_since(1, 1, Some(up_to(2))).unwrap();
    table.0.on_kept(&event(6));
    assert!(table.lease().queue.is_empty());
    table.lease().backlog.as_mut().unwrap().next = *event(7).id();
    table.0.on_kept(&event(6));
    assert_eq!(table.lease().queue, [*event(6).id()]);
}

#[test]
fn the_queue_drops_the_oldest_above_its_limit_and_counts_them() {
    let mut table = Table::new();
    table.grant(1, 1).unwrap();
    for seq in 1..=1024 {
        table.0.on_kept(&event(seq));
    }
    assert_eq!(
        (table.lease().queue.len(), table.lease().skipped),
        (1024, 0)
    );
    table.0.on_kept(&event(1025));
    assert_eq!(
        (table.lease().queue.len(), table.lease().skipped),
        (1024, 1)
    );
    assert_eq!(table.lease().queue.front(), Some(event(2).id()));
}

#[test]
fn a_batch_that_fails_three_times_in_a_row_ends_the_lease() {
    let mut table = Table::new();
    table.grant(1, 1).unwrap();
    table.0.on_kept(&event(1));
    let fail = |table: &mut Table, request| {
        table.send(request);
        table.0.on_lost(request.into(), NOW + RETRY_AFTER, true);
    };
    fail(&mut table, 1);
    fail(&mut table, 2);
    table.send(3);
    table.0.on_received(3.into());
    fail(&mut table, 4);
    fail(&mut table, 5);
    assert_eq!(table.0.len(), 1);
    fail(&mut table, 6);
    assert_eq!(table.0.len(), 0);
    assert!(table.0.later.is_empty() && table.0.requests.is_empty());
}

#[test]
fn a_lease_that_waits_is_not_ready_before_its_time() {
    let mut table = Table::new();
    table.grant(1, 1).unwrap();
    table.0.on_kept(&event(1));
    assert_eq!(table.0.next_ready(NOW), Some((slot(1), node(1))));
    table.send(1);
    table.0.on_kept(&event(2));
    assert_eq!(table.0.next_ready(NOW), None, "one batch at a time");
    table.0.on_lost(1.into(), NOW + RETRY_AFTER, false);
    table.0.on_kept(&event(3));
    assert_eq!(table.0.next_ready(NOW), None);
    assert_eq!(table.0.next_deadline(), Some(NOW + RETRY_AFTER));
    assert!(table.0.next_ready(NOW + RETRY_AFTER).is_some());
}

#[test]
fn an_answer_to_an_ended_lease_says_nothing_about_the_next_one() {
    let mut table = Table::new();
    table.grant(1, 1).unwrap();
    table.send(1);
    table.0.end(&(slot(1), node(1)));
    table.grant(1, 1).unwrap();
    table.send(2);
    table.0.on_refused(1.into());
    table.0.on_received(1.into());
    assert_eq!(table.lease().under_way, Some(2.into()));
}
