//! Contacts that fell silent and left the routing table, asked now and then whether they are back.
//!
//! When a network is cut in two, each side takes the other for dead within the hour, and fills its
//! tables with its own. These contacts are all that is left of the other side: the first that
//! answers after the cut has healed is joined by, as at a start.
//!
//! What must stay true: only contacts that stood in the table get here; their number is bounded, one
//! is asked at a time, and each at growing pauses.

use std::time::Duration;

use qadom_routing::{Contact, Moment, NodeId};

/// Contacts that are remembered at most. A further one takes the place of the one that was asked
/// in vain the longest.
pub const LOST_MAX: usize = 32;

/// The first pause before a contact is asked; it doubles each time.
const PAUSE_MIN: Duration = Duration::from_mins(1);

/// The longest pause between two questions to one contact.
const PAUSE_MAX: Duration = Duration::from_mins(32);

/// A contact that was silent for this long is given up.
const GIVEN_UP_AFTER: Duration = Duration::from_hours(24);

/// The contacts that were lost.
#[derive(Debug, Default)]
pub(crate) struct Lost(Vec<Missing>);

#[derive(Debug)]
struct Missing {
    contact: Contact,
    since: Moment,
    ask_at: Moment,
    pause: Duration,
}

impl Lost {
    /// A contact has left the table because it was silent.
    pub(crate) fn note(&mut self, contact: Contact, now: Moment) {
        self.take(contact.id());
        if self.0.len() >= LOST_MAX {
            let oldest = self.0.iter().enumerate().min_by_key(|(_, one)| one.since);
            if let Some((place, _)) = oldest {
                self.0.swap_remove(place);
            }
        }
        self.0.push(Missing {
            contact,
            since: now,
            ask_at: now + PAUSE_MIN,
            pause: PAUSE_MIN,
        });
    }

    /// A node was heard from, or has nothing to do with this one any more: the contact, if it was
    /// lost.
    pub(crate) fn take(&mut self, id: &NodeId) -> Option<Contact> {
        let place = self.0.iter().position(|one| one.contact.id() == id)?;
        Some(self.0.swap_remove(place).contact)
    }

    /// The contact that is to be asked now, if any: the one that is the most overdue.
    pub(crate) fn next_due(&mut self, now: Moment) -> Option<Contact> {
        self.0.retain(|one| now.since(one.since) < GIVEN_UP_AFTER);
        let due = self.0.iter_mut().filter(|one| one.ask_at <= now);
        let one = due.min_by_key(|one| one.ask_at)?;
        one.pause = (one.pause * 2).min(PAUSE_MAX);
        one.ask_at = now + one.pause;
        Some(one.contact.clone())
    }

    /// How many are remembered.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use qadom_routing::NodeKey;

    use super::*;

    fn contact(number: u8) -> Contact {
        let mut key = [number; 32];
        key[31] = 0;
        Contact::at(
            NodeKey::new(key).unwrap(),
            ([192, 0, 2, number], 1).into(),
            true,
        )
    }

    fn minute(number: u64) -> Moment {
        Moment::ORIGIN + Duration::from_mins(number)
    }

    #[test]
    fn a_lost_contact_is_asked_at_growing_pauses_and_given_up_after_a_day() {
        let mut lost = Lost::default();
        lost.note(contact(9), minute(0));
        let asked = (0..=1500).filter(|at| lost.next_due(minute(*at)).is_some());
        let asked: Vec<u64> = asked.collect();
        assert_eq!(asked[..8], [1, 3, 7, 15, 31, 63, 95, 127]);
        assert!(asked.last().unwrap() < &(24 * 60));
        assert_eq!(lost.len(), 0);
    }

    #[test]
    fn who_is_heard_from_is_asked_no_more() {
        let mut lost = Lost::default();
        lost.note(contact(9), minute(0));
        assert_eq!(lost.take(contact(9).id()), Some(contact(9)));
        assert_eq!(lost.next_due(minute(60)), None);
    }

    #[test]
    fn one_is_asked_at_a_time_the_most_overdue_first() {
        let mut lost = Lost::default();
        lost.note(contact(9), minute(0));
        lost.note(contact(10), minute(1));
        assert_eq!(lost.next_due(minute(5)), Some(contact(9)));
        assert_eq!(lost.next_due(minute(5)), Some(contact(10)));
        assert_eq!(lost.next_due(minute(5)), None);
    }

    #[test]
    fn one_too_many_takes_the_place_of_the_oldest() {
        let mut lost = Lost::default();
        for number in 0..=u8::try_from(LOST_MAX).unwrap() {
            lost.note(contact(9 + number), minute(u64::from(number)));
        }
        assert_eq!(lost.len(), LOST_MAX);
        let mut asked = std::iter::from_fn(|| lost.next_due(minute(100)));
        assert!(asked.all(|one| one != contact(9)));
        // One that is lost again is there once.
        lost.note(contact(10), minute(101));
        assert_eq!(lost.len(), LOST_MAX);
    }
}
