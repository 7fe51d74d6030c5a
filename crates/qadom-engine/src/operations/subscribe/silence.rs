//! How long a slot may be silent before a holder is asked whether it still lives.
//!
//! What must stay true: a slot that was busy is asked about soon, one that is quiet seldom, and
//! never more often than every two seconds. Whom to ask is not known here.

use std::time::Duration;

use qadom_routing::Moment;

/// The shortest silence that says anything.
pub(super) const SHORTEST: Duration = Duration::from_secs(2);
/// The longest time for which no holder is heard of.
const LONGEST: Duration = Duration::from_secs(30);
/// So many times the usual pause between two batches are a silence.
const PAUSES: u32 = 4;
/// How much the last pause counts among the former ones: one part in this many.
const SMOOTHING: u32 = 4;

/// The pauses between what holders push.
#[derive(Debug)]
pub(super) struct Silence {
    pushed_at: Option<Moment>,
    /// The usual pause between two batches.
    pause: Duration,
    /// For how long silence is borne now.
    patience: Duration,
    ask_at: Moment,
}

impl Silence {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            pushed_at: None,
            pause: LONGEST,
            patience: LONGEST,
            ask_at: now + LONGEST,
        }
    }

    /// When a holder is to be asked.
    pub(super) const fn ask_at(&self) -> Moment {
        self.ask_at
    }

    /// Something new was pushed.
    pub(super) fn on_pushed(&mut self, now: Moment) {
        if let Some(before) = self.pushed_at.replace(now) {
            let pause = now.since(before).min(LONGEST);
            self.pause = (self.pause * (SMOOTHING - 1) + pause) / SMOOTHING;
        }
        self.patience = (self.pause * PAUSES).clamp(SHORTEST, LONGEST);
        self.ask_at = now + self.patience;
    }

    /// A holder is asked now; each time that it turns out to live silence is borne twice as long.
    pub(super) fn on_asked(&mut self, now: Moment) {
        self.patience = (self.patience * 2).min(LONGEST);
        self.ask_at = now + self.patience;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::ORIGIN + Duration::from_secs(seconds)
    }

    #[test]
    fn a_quiet_slot_is_asked_about_every_half_minute() {
        let mut silence = Silence::new(at(0));
        for round in 1..4 {
            assert_eq!(silence.ask_at(), at(30 * round));
            silence.on_asked(at(30 * round));
        }
    }

    #[test]
    fn a_busy_slot_that_falls_silent_is_asked_about_soon_and_then_less_and_less() {
        let mut silence = Silence::new(at(0));
        for quarter in 0..200 {
            silence.on_pushed(at(100) + Duration::from_millis(250 * quarter));
        }
        let last = at(100) + Duration::from_millis(250 * 199);
        assert_eq!(silence.ask_at(), last + SHORTEST);
        let mut waited = Vec::new();
        let mut now = silence.ask_at();
        for _ in 0..6 {
            silence.on_asked(now);
            waited.push(silence.ask_at().since(now).as_secs());
            now = silence.ask_at();
        }
        assert_eq!(waited, [4, 8, 16, 30, 30, 30]);
        silence.on_pushed(now);
        assert!(silence.ask_at() <= now + LONGEST);
    }
}
