//! Testing for others whether they are reached: this node passes the question of the node itself on
//! to a third one, and as the third one calls the node and reports.
//!
//! What must stay true: nobody is called at an IP address that the asker's packets did not come
//! from, neither through this node nor, as far as the peer between is honest, by it; one node is
//! tested at most once a minute; who was heard from in the last ten minutes is not called (local
//! mode excepted), since its answer would say nothing.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use qadom_routing::{Contact, Families, Moment, NodeId, NodeKey, canonical, is_exempt};
use qadom_wire::{Answer, DialBack, Reason, Request};
use rand_core::Rng;

use crate::addresses::{Group, is_worth_trying};
use crate::core::{Core, Purpose};
use crate::effect::{Effect, Inbound, InboundId, RequestFailure, RequestId};
use crate::serve::encode;
use crate::time::Time;

/// The time between two tests of one node.
const TEST_EVERY: Duration = Duration::from_mins(1);
/// Tests for others in that time.
const TESTS: usize = 64;
/// Third nodes that are asked, one after the other, until one is willing.
const THIRDS: usize = 3;
/// For how long somebody must not have been heard from.
const SILENCE: Duration = Duration::from_mins(10);
/// Nodes heard from that are remembered; when more were heard from in that time, the count begins
/// anew.
const HEARD: usize = 2048;

/// The tests that this node makes for others.
#[derive(Debug)]
pub(crate) struct DialBacks {
    /// When a node was last tested, and where.
    tested: BTreeMap<NodeKey, (Moment, IpAddr)>,
    under_way: BTreeMap<RequestId, Test>,
    heard: Heard,
}

/// A test under way, and who waits for it.
#[derive(Debug)]
struct Test {
    asker: InboundId,
    answer_max: usize,
    dial: DialBack,
    /// Third nodes that were asked to call; none when this node calls itself.
    thirds: Vec<NodeId>,
}

impl DialBacks {
    pub(crate) fn new(now: Time) -> Self {
        Self {
            tested: BTreeMap::new(),
            under_way: BTreeMap::new(),
            heard: Heard::new(now),
        }
    }

    pub(crate) fn on_heard(&mut self, key: &NodeKey, now: Time) {
        self.heard.note(key, now);
    }

    /// Notes a test, unless the node was tested a moment ago, or its IP address when `ip` counts.
    fn may_test(&mut self, dial: &DialBack, by_ip: bool, now: Time) -> bool {
        let ip = dial.address.ip().to_canonical();
        self.tested
            .retain(|_, (at, _)| now.moment.since(*at) < TEST_EVERY);
        let is_known = self.tested.contains_key(&dial.key)
            || (by_ip && self.tested.values().any(|(_, other)| *other == ip));
        let may_test = !is_known && self.tested.len() < TESTS;
        if may_test {
            self.tested.insert(dial.key, (now.moment, ip));
        }
        may_test
    }
}

/// Who was heard from, and when last.
#[derive(Debug)]
struct Heard {
    /// By the first bytes of their keys. Who makes up a key with the bytes of another gains nothing.
    last: BTreeMap<u64, Moment>,
    /// Since when nobody is missing.
    since: Moment,
}

impl Heard {
    fn new(now: Time) -> Self {
        Self {
            last: BTreeMap::new(),
            since: now.moment,
        }
    }

    fn note(&mut self, key: &NodeKey, now: Time) {
        if self.last.len() >= HEARD {
            self.last.retain(|_, at| now.moment.since(*at) < SILENCE);
        }
        if self.last.len() >= HEARD {
            self.last.clear();
            self.since = now.moment;
        }
        self.last.insert(short(key), now.moment);
    }

    /// Whether somebody was silent for ten minutes for certain.
    fn is_silent(&self, key: &NodeKey, now: Time) -> bool {
        let last = self.last.get(&short(key)).copied();
        now.moment.since(last.unwrap_or(self.since)) >= SILENCE
    }
}

fn short(key: &NodeKey) -> u64 {
    let first = key.as_bytes().first_chunk().copied();
    u64::from_le_bytes(first.unwrap_or_default())
}

impl Core {
    /// Serves a question about an address.
    pub(crate) fn serve_dial_back(&mut self, now: Time, inbound: &Inbound, dial: DialBack) {
        let address = canonical(dial.address);
        let test = Test {
            asker: inbound.id,
            answer_max: inbound.answer_max,
            dial: DialBack { address, ..dial },
            thirds: Vec::new(),
        };
        if let Err(reason) = self.may_dial_back(now, inbound, &test.dial) {
            self.drops.count(reason);
            self.end_test(&test, &Answer::Refused(reason));
        } else if dial.key == inbound.key {
            self.pass_on(test);
        } else {
            let contact = Contact::at(dial.key, address, false);
            match self.probe(Purpose::Dial, contact) {
                Some(id) => drop(self.dial_backs.under_way.insert(id, test)),
                None => self.end_test(&test, &Answer::Refused(Reason::Unreachable)),
            }
        }
    }

    fn may_dial_back(
        &mut self,
        now: Time,
        inbound: &Inbound,
        dial: &DialBack,
    ) -> Result<(), Reason> {
        let is_local = self.config.local;
        let from = canonical(inbound.address);
        let is_own = dial.key == inbound.key;
        let refuse_if = |is_refused: bool, reason| if is_refused { Err(reason) } else { Ok(()) };
        refuse_if(!inbound.confirmed, Reason::NotConfirmed)?;
        refuse_if(dial.key == self.config.key, Reason::Malformed)?;
        refuse_if(is_own && dial.address.ip() != from.ip(), Reason::NotYours)?;
        let is_sound = is_worth_trying(dial.address, from, is_local);
        refuse_if(!is_sound, Reason::Malformed)?;
        if !is_own {
            let is_silent = is_local || self.dial_backs.heard.is_silent(&dial.key, now);
            refuse_if(!is_silent, Reason::Busy)?;
        }
        let by_ip = !is_own && !is_local;
        let may_test = self.dial_backs.may_test(dial, by_ip, now);
        refuse_if(!may_test, Reason::RateLimited)
    }

    /// Asks the next third node to call; refuses when there is none.
    fn pass_on(&mut self, mut test: Test) {
        let mut thirds = self.thirds(&test);
        if thirds.is_empty() || test.thirds.len() >= THIRDS {
            return self.end_test(&test, &Answer::Refused(Reason::Busy));
        }
        let choice = self.rng.next_u64() % thirds.len() as u64;
        let third = thirds.swap_remove(usize::try_from(choice).unwrap_or_default());
        test.thirds.push(*third.id());
        let request = Request::DialBack(test.dial);
        match self.send(None, Purpose::Pass, &third, &request) {
            Some(id) => {
                self.dial_backs.under_way.insert(id, test);
            }
            None => self.pass_on(test),
        }
    }

    /// The contacts that can call: they reach the address, and stand elsewhere than the asker.
    fn thirds(&self, test: &Test) -> Vec<Contact> {
        let is_v4 = test.dial.address.is_ipv4();
        let family = Families {
            v4: is_v4,
            v6: !is_v4,
        };
        let group = Group::of(test.dial.address);
        let is_elsewhere = |address: SocketAddr| {
            is_exempt(address.ip(), self.config.local) || Group::of(address) != group
        };
        let is_third = |contact: &Contact| {
            *contact.key() != test.dial.key
                && !test.thirds.contains(contact.id())
                && contact.address(self.config.families).is_some()
                && contact.address(family).is_some_and(is_elsewhere)
        };
        let contacts = self.table.entries().map(|entry| entry.contact);
        contacts
            .filter(|contact| is_third(contact))
            .cloned()
            .collect()
    }

    /// The third node has answered, or has not: what it found is reported, another one is asked
    /// when it was not willing.
    pub(crate) fn on_passed(&mut self, id: RequestId, answer: Option<&Answer>) {
        let Some(test) = self.dial_backs.under_way.remove(&id) else {
            return;
        };
        match answer {
            Some(Answer::DialedBack { reached }) => {
                let reached = *reached;
                self.end_test(&test, &Answer::DialedBack { reached });
            }
            Some(_) => self.pass_on(test),
            None => self.end_test(&test, &Answer::Refused(Reason::Timeout)),
        }
    }

    /// The node that was called has answered, or has not.
    pub(crate) fn on_dialed(&mut self, id: RequestId, result: Result<(), &RequestFailure>) {
        let Some(test) = self.dial_backs.under_way.remove(&id) else {
            return;
        };
        let answer = match result {
            // A node that is busy has answered.
            Ok(()) | Err(RequestFailure::Busy { .. }) => Answer::DialedBack { reached: true },
            Err(RequestFailure::Overloaded) => Answer::Refused(Reason::Busy),
            Err(_) => Answer::DialedBack { reached: false },
        };
        self.end_test(&test, &answer);
    }

    fn end_test(&mut self, test: &Test, answer: &Answer) {
        let body = encode(answer, test.answer_max);
        let inbound = test.asker;
        self.emit(Effect::Answer { inbound, body });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        let utc_micros = 1_800_000_000_000_000;
        let moment = Moment::ORIGIN + Duration::from_secs(seconds);
        Time { moment, utc_micros }
    }

    fn key(number: u8) -> NodeKey {
        let mut bytes = [9; 32];
        bytes[0] = number;
        NodeKey::new(bytes).unwrap()
    }

    #[test]
    fn silence_is_known_after_ten_minutes_and_ends_with_a_packet() {
        let mut heard = Heard::new(at(0));
        assert!(!heard.is_silent(&key(1), at(599)));
        assert!(heard.is_silent(&key(1), at(600)));
        heard.note(&key(1), at(700));
        assert!(!heard.is_silent(&key(1), at(1299)));
        assert!(heard.is_silent(&key(1), at(1300)));
        assert!(heard.is_silent(&key(2), at(701)));
    }

    #[test]
    fn a_crowd_is_never_taken_for_silence() {
        let mut heard = Heard::new(at(0));
        heard.note(&key(1), at(700));
        for number in 0..HEARD as u64 {
            let mut bytes = [9; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            heard.note(&NodeKey::new(bytes).unwrap(), at(710));
        }
        assert!(heard.last.len() <= HEARD);
        assert!(!heard.is_silent(&key(1), at(711)));
        assert!(!heard.is_silent(&key(77), at(1309)));
        assert!(heard.is_silent(&key(77), at(1310)));
    }
}
