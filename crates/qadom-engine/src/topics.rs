//! Who holds the topics that this node publishes to, so that an event after the first goes out at
//! once.
//!
//! What must stay true: a bounded number of topics is remembered; a holder that failed is not used
//! again before the holders were looked up anew.

use std::collections::BTreeMap;
use std::time::Duration;

use qadom_routing::{Contact, Key, Moment, NodeId};

/// Topics that are remembered.
const TOPICS_MAX: usize = 256;
/// How long holders count as the closest ones.
const FRESH: Duration = Duration::from_mins(5);

#[derive(Debug)]
struct Topic {
    holders: Vec<Contact>,
    found_at: Moment,
    used_at: Moment,
    has_failed: bool,
    is_looked_up: bool,
}

/// The holders of each topic.
#[derive(Debug, Default)]
pub(crate) struct Topics(BTreeMap<Key, Topic>);

impl Topics {
    /// The holders of a topic, nearest first, as far as they are known.
    pub(crate) fn holders(&mut self, slot: &Key, now: Moment) -> Option<Vec<Contact>> {
        let topic = self.0.get_mut(slot)?;
        topic.used_at = now;
        (!topic.holders.is_empty()).then(|| topic.holders.clone())
    }

    /// Notes the holders that a lookup found.
    pub(crate) fn note(&mut self, slot: &Key, holders: Vec<Contact>, now: Moment) {
        let topic = Topic {
            holders,
            found_at: now,
            used_at: now,
            has_failed: false,
            is_looked_up: false,
        };
        self.0.insert(*slot, topic);
        if self.0.len() > TOPICS_MAX {
            let oldest = self.0.iter().min_by_key(|(_, topic)| topic.used_at);
            let oldest = oldest.map(|(slot, _)| *slot);
            oldest.map(|slot| self.0.remove(&slot));
        }
    }

    /// A holder did not take an event.
    pub(crate) fn on_failed(&mut self, slot: &Key, holder: &NodeId) {
        if let Some(topic) = self.0.get_mut(slot) {
            topic.holders.retain(|contact| contact.id() != holder);
            topic.has_failed = true;
        }
    }

    /// Whether the holders of a topic are to be looked up anew. Says so once, until they are.
    pub(crate) fn take_stale(&mut self, slot: &Key, now: Moment) -> bool {
        let Some(topic) = self.0.get_mut(slot) else {
            return false;
        };
        let is_old = now.since(topic.found_at) >= FRESH;
        let is_stale = (is_old || topic.has_failed) && !topic.is_looked_up;
        topic.is_looked_up |= is_stale;
        is_stale
    }
}

#[cfg(test)]
mod tests {
    use qadom_routing::NodeKey;

    use super::*;

    fn holder(number: u8) -> Contact {
        let mut key = [0; 32];
        key[0] = 9;
        key[1] = number;
        let key = NodeKey::new(key).expect("a key");
        Contact::at(key, ([10, 0, 0, number], 1).into(), true)
    }

    #[test]
    fn holders_are_looked_up_again_after_five_minutes_or_a_failure() {
        let (slot, start) = (Key::ZERO, Moment::ORIGIN);
        let mut topics = Topics::default();
        assert!(topics.holders(&slot, start).is_none());
        topics.note(&slot, vec![holder(1), holder(2)], start);
        let last = start + FRESH.saturating_sub(Duration::from_micros(1));
        assert!(!topics.take_stale(&slot, last));
        assert!(topics.take_stale(&slot, start + FRESH));
        assert!(!topics.take_stale(&slot, start + FRESH));
        topics.note(&slot, vec![holder(1), holder(2)], start);
        topics.on_failed(&slot, holder(1).id());
        assert_eq!(topics.holders(&slot, start), Some(vec![holder(2)]));
        assert!(topics.take_stale(&slot, start));
    }

    #[test]
    fn the_topic_written_longest_ago_makes_room() {
        let mut topics = Topics::default();
        let slot = |number: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            Key::from_bytes(bytes)
        };
        let at = |number: u64| Moment::ORIGIN + Duration::from_secs(number);
        for number in 0..TOPICS_MAX {
            topics.note(&slot(number), vec![holder(1)], at(number as u64));
        }
        assert!(topics.holders(&slot(0), at(1000)).is_some());
        topics.note(&slot(TOPICS_MAX), vec![holder(1)], at(1001));
        assert!(topics.holders(&slot(0), at(1002)).is_some());
        assert!(topics.holders(&slot(1), at(1002)).is_none());
    }
}
