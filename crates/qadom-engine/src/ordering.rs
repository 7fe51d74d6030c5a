//! Bringing what several holders push back into the order of its writers.
//!
//! Each writer numbers its events inside a stream from 1 without holes, and its streams rise. What
//! must stay true, per writer: what is delivered rises strictly, nothing is delivered twice, and a
//! hole in front of something delivered was reported as a gap, or lies before the subscription.
//! What waits behind holes is bounded in number and bytes. Where holes are asked for is not known
//! here, and neither is the clock.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use qadom_routing::Moment;

/// For how long what is missing may still come, before it is passed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// For how long a live subscription waits before it takes the first event of a writer that it
/// knows nothing of for its beginning: holders may push in another order.
const SETTLE: Duration = Duration::from_millis(200);
/// Events that wait behind holes, a count.
pub(crate) const WAITING_MAX: usize = 1024;
/// Payload bytes that wait behind holes.
pub(crate) const WAITING_BYTES_MAX: usize = 1 << 20;
/// Writers whose place is remembered; above it the one heard longest ago is forgotten.
const WRITERS_MAX: usize = 4096;

/// Events that wait among which holes are asked for together with the first one.
const ASKED_AT_ONCE: usize = 32;

/// The first half of the hash of a writer's key, as item ids carry it.
pub(crate) type Tag = [u8; 16];

/// The place of an event among those of its writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) stream: u64,
    pub(crate) seq: u64,
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// With what is published from now on, this many microseconds of UTC.
    Now(u64),
    /// With the oldest that is held. What a stream lost before it is not missed, unless the stream
    /// was opened after this many microseconds of UTC.
    Oldest(u64),
    /// Where an earlier subscription ended: everything missed since then is reported.
    Resumed,
}

/// The next event of its writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ordered<T> {
    /// The first and the last seq of its stream that are missing in front of it, and are given up.
    pub(crate) missed: Option<(u64, u64)>,
    pub(crate) item: T,
}

/// Something that may be missing in front of an event that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) tag: Tag,
    /// The last that was delivered or passed; none when nothing was yet.
    pub(crate) after: Option<Place>,
    /// The first event that waits.
    pub(crate) before: Place,
    /// The event that waits behind the last hole nearby, so that all of them are asked for at once.
    pub(crate) until: Place,
    /// Whether something is known to be missing that has to be delivered or reported. When not,
    /// [`Ordering::clear`] ends the wait.
    pub(crate) is_certain: bool,
    /// Whether others are to be asked; when not, it only takes a moment.
    pub(crate) is_asked: bool,
    /// When it was noticed.
    pub(crate) noticed: Moment,
}

impl Hole {
    fn deadline(&self) -> Moment {
        self.noticed + if self.is_asked { PATIENCE } else { SETTLE }
    }
}

#[derive(Debug)]
struct Waiting<T> {
    item: T,
    size: usize,
    arrived: Moment,
}

/// The events of one writer.
#[derive(Debug)]
struct Line<T> {
    last: Option<Place>,
    waiting: BTreeMap<Place, Waiting<T>>,
    bytes: usize,
    /// Rises with each use of any line.
    used: u64,
}

impl<T> Line<T> {
    /// The hole in front of the first event that waits; none when it may be delivered.
    fn hole(&self, tag: Tag, beginning: Beginning) -> Option<Hole> {
        let (before, first) = self.waiting.first_key_value()?;
        let before = *before;
        let in_stream = self.last.filter(|last| last.stream == before.stream);
        let is_whole = before.seq.saturating_sub(1) <= in_stream.map_or(0, |last| last.seq);
        let (is_certain, is_asked) = match (self.last, beginning) {
            (Some(_), _) if in_stream.is_some() && is_whole => return None,
            (Some(_), _) | (None, Beginning::Resumed) => (!is_whole, true),
            (None, Beginning::Now(began) | Beginning::Oldest(began)) if before.stream >= began => {
                if is_whole {
                    return None;
                }
                (true, true)
            }
            (None, Beginning::Now(_)) => (false, false),
            (None, Beginning::Oldest(_)) => (false, true),
        };
        Some(Hole {
            tag,
            after: self.last,
            before,
            until: self.behind_holes(before),
            is_certain,
            is_asked,
            noticed: first.arrived,
        })
    }
}

impl<T> Line<T> {
    /// The event behind the last hole among the next ones that wait.
    fn behind_holes(&self, first: Place) -> Place {
        let next = self.waiting.keys().take(ASKED_AT_ONCE);
        let mut former = first;
        let mut until = first;
        for place in next.copied() {
            let is_hole = place.stream != former.stream || place.seq.saturating_sub(1) > former.seq;
            if place > former && is_hole {
                until = place;
            }
            former = place;
        }
        until
    }
}

/// The events of all writers of one slot.
#[derive(Debug)]
pub(crate) struct Ordering<T> {
    beginning: Beginning,
    lines: BTreeMap<Tag, Line<T>>,
    waiting: usize,
    bytes: usize,
    uses: u64,
    ready: VecDeque<Ordered<T>>,
}

impl<T> Ordering<T> {
    pub(crate) const fn new(beginning: Beginning) -> Self {
        Self {
            beginning,
            lines: BTreeMap::new(),
            waiting: 0,
            bytes: 0,
            uses: 0,
            ready: VecDeque::new(),
        }
    }

    /// Notes that a writer's events up to a place lie before the subscription, unless something of
    /// that writer has come already.
    pub(crate) fn skip_to(&mut self, tag: Tag, place: Place) {
        let line = self.line(tag);
        if line.waiting.is_empty() {
            line.last.get_or_insert(place);
        }
    }

    /// Whether an event is new: neither delivered, nor passed, nor waiting.
    pub(crate) fn wants(&self, tag: &Tag, place: Place) -> bool {
        self.lines
            .get(tag)
            .is_none_or(|line| line.last < Some(place) && !line.waiting.contains_key(&place))
    }

    /// Takes an event in. What may be delivered now is to be taken by [`next`](Self::next).
    pub(crate) fn take(&mut self, tag: Tag, place: Place, item: T, size: usize, now: Moment) {
        if !self.wants(&tag, place) {
            return;
        }
        let waiting = Waiting {
            item,
            size,
            arrived: now,
        };
        let line = self.line(tag);
        line.waiting.insert(place, waiting);
        line.bytes += size;
        self.waiting += 1;
        self.bytes += size;
        self.release(tag);
        while self.waiting > WAITING_MAX || self.bytes > WAITING_BYTES_MAX {
            let lines = self.lines.iter();
            let fullest = lines.max_by_key(|(_, line)| (line.bytes, line.waiting.len()));
            let Some(tag) = fullest.map(|(tag, _)| *tag) else {
                return;
            };
            self.pass(tag);
        }
    }

    /// Notes that nothing lies in a hole, as those who would know say. A hole in which something
    /// is known to be missing stays until its time is over.
    pub(crate) fn clear(&mut self, hole: &Hole) {
        let now = self.hole(hole.tag);
        if now.is_some_and(|now| !now.is_certain && now == *hole) {
            self.pass(hole.tag);
        }
    }

    /// Passes the holes whose time is over.
    pub(crate) fn expire(&mut self, now: Moment) {
        let due = self.holes().filter(|hole| hole.deadline() <= now);
        let due: Vec<Tag> = due.map(|hole| hole.tag).collect();
        for tag in due {
            // Behind a hole there may be another one of the same age.
            while self.hole(tag).is_some_and(|hole| hole.deadline() <= now) {
                self.pass(tag);
            }
        }
    }

    /// The first hole of each writer that has one.
    pub(crate) fn holes(&self) -> impl Iterator<Item = Hole> {
        let lines = self.lines.iter().filter(|_| self.waiting > 0);
        lines.filter_map(|(tag, line)| line.hole(*tag, self.beginning))
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        self.holes().map(|hole| hole.deadline()).min()
    }

    /// The next to deliver.
    pub(crate) fn next(&mut self) -> Option<Ordered<T>> {
        self.ready.pop_front()
    }

    fn hole(&self, tag: Tag) -> Option<Hole> {
        self.lines.get(&tag)?.hole(tag, self.beginning)
    }

    fn line(&mut self, tag: Tag) -> &mut Line<T> {
        if !self.lines.contains_key(&tag) && self.lines.len() >= WRITERS_MAX {
            let idle = self
                .lines
                .iter()
                .filter(|(_, line)| line.waiting.is_empty());
            if let Some((oldest, _)) = idle.min_by_key(|(_, line)| line.used) {
                let oldest = *oldest;
                self.lines.remove(&oldest);
            }
        }
        self.uses += 1;
        let line = self.lines.entry(tag).or_insert_with(|| Line {
            last: None,
            waiting: BTreeMap::new(),
            bytes: 0,
            used: 0,
        });
        line.used = self.uses;
        line
    }

    /// Gives up the hole in front of a writer's first event that waits.
    fn pass(&mut self, tag: Tag) {
        let hole = self.hole(tag).filter(|hole| hole.is_certain);
        let missed = hole.map(|Hole { after, before, .. }| {
            let last = after.filter(|after| after.stream == before.stream);
            let from = last.map_or(1, |last| last.seq.saturating_add(1));
            (from, before.seq.saturating_sub(1))
        });
        self.deliver_first(tag, missed);
        self.release(tag);
    }

    /// Delivers what no hole holds back.
    fn release(&mut self, tag: Tag) {
        let has_waiting = |line: &Line<T>| !line.waiting.is_empty();
        while self.lines.get(&tag).is_some_and(has_waiting) && self.hole(tag).is_none() {
            self.deliver_first(tag, None);
        }
    }

    fn deliver_first(&mut self, tag: Tag, missed: Option<(u64, u64)>) {
        let Some(line) = self.lines.get_mut(&tag) else {
            return;
        };
        if let Some((place, waiting)) = line.waiting.pop_first() {
            line.last = Some(place);
            line.bytes -= waiting.size;
            self.waiting -= 1;
            self.bytes -= waiting.size;
            let item = waiting.item;
            self.ready.push_back(Ordered { missed, item });
        }
    }
}

#[cfg(test)]
mod tests;
