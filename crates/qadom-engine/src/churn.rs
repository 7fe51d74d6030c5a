//! How long nodes stay, told by the contacts of the table that went, and how often what is held has
//! to be replicated for that.
//!
//! What must stay true: with nothing known the interval is an hour; it lies between a quarter of an
//! hour and half a day, whatever is measured.

use std::collections::VecDeque;
use std::time::Duration;

use qadom_routing::Moment;

/// What is assumed as long as nothing is known, in hours, and the departures that it stands for.
const ASSUMED_MEAN: f64 = 1.0 / PART;
const ASSUMED_DEPARTURES: f64 = 16.0;
/// After this time what was measured counts half.
const HALF_LIFE: Duration = Duration::from_hours(6);
/// The part of a mean session after which what is held is replicated: half of the holders are left.
/// Of twenty all are gone by then once in a million times.
const PART: f64 = std::f64::consts::LN_2;
/// The part of a mean session for which a contact may be silent.
const SILENT_PART: f64 = 0.25;
/// The bounds of the interval.
const SHORTEST: Duration = Duration::from_mins(15);
const LONGEST: Duration = Duration::from_hours(12);
/// The time over which departures count as sudden.
const SUDDEN: Duration = Duration::from_mins(10);
/// Departures that are remembered for that.
const REMEMBERED: usize = 256;
/// Departures in that time that are never a surprise, and how many times as many as usual are.
const USUAL: f64 = 2.0;
const TIMES: f64 = 3.0;

/// What is known of how long nodes stay.
#[derive(Debug)]
pub(crate) struct Churn {
    /// Hours for which contacts were seen alive.
    lived: f64,
    departures: f64,
    ticked_at: Moment,
    recent: VecDeque<Moment>,
}

impl Churn {
    pub(crate) const fn new(now: Moment) -> Self {
        Self {
            lived: 0.0,
            departures: 0.0,
            ticked_at: now,
            recent: VecDeque::new(),
        }
    }

    /// So many contacts lived since the last time.
    pub(crate) fn tick(&mut self, live: usize, now: Moment) {
        let span = now.since(self.ticked_at);
        self.ticked_at = now;
        // Plain arithmetic, so that every machine comes to the same.
        let kept = 1.0 / (1.0 + std::f64::consts::LN_2 * hours(span) / hours(HALF_LIFE));
        self.lived = self.lived * kept + number(live) * hours(span);
        self.departures *= kept;
        while self
            .recent
            .front()
            .is_some_and(|at| now.since(*at) > SUDDEN)
        {
            self.recent.pop_front();
        }
    }

    /// A contact went for good.
    pub(crate) fn on_departure(&mut self, now: Moment) {
        self.departures += 1.0;
        if self.recent.len() >= REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
    }

    /// How long nodes stay on average, in hours.
    fn mean(&self) -> f64 {
        (self.lived + ASSUMED_MEAN * ASSUMED_DEPARTURES) / (self.departures + ASSUMED_DEPARTURES)
    }

    /// How often what is held is to be replicated.
    pub(crate) fn replicate_every(&self) -> Duration {
        of_hours(self.mean() * PART).clamp(SHORTEST, LONGEST)
    }

    /// For how long a contact may be silent at the most before it is checked, so that about one of
    /// eight contacts is dead: less when nodes come and go fast, and least of all when more than
    /// usual went at once. `silent` of the `live` ones fell silent a moment ago.
    pub(crate) fn check_every(&self, live: usize, silent: usize) -> Duration {
        let usual = number(live) * hours(SUDDEN) / self.mean();
        let is_sudden = number(self.recent.len() + silent) > USUAL + TIMES * usual;
        if is_sudden {
            Duration::ZERO
        } else {
            of_hours(self.mean() * SILENT_PART)
        }
    }
}

fn hours(span: Duration) -> f64 {
    span.as_secs_f64() / 3600.0
}

fn of_hours(hours: f64) -> Duration {
    Duration::from_secs_f64((hours * 3600.0).clamp(0.0, 1e9))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a table holds far fewer than 2^53 contacts"
)]
const fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of 150 contacts that stay for so long on average, watched for a day.
    fn day(mean: Duration) -> Churn {
        let mut churn = Churn::new(Moment::ORIGIN);
        let mut owed = 0.0;
        for minute in 1..=24 * 60 {
            let now = Moment::ORIGIN + Duration::from_mins(minute);
            owed += 150.0 / 60.0 / hours(mean);
            while owed >= 1.0 {
                churn.on_departure(now);
                owed -= 1.0;
            }
            churn.tick(150, now);
        }
        churn
    }

    #[test]
    fn the_interval_follows_the_sessions() {
        let fresh = Churn::new(Moment::ORIGIN);
        assert_eq!(fresh.replicate_every().as_secs(), 3600);
        for (mean, expected) in [(10, 15), (60, 42), (174, 121), (600, 416), (6000, 720)] {
            let every = day(Duration::from_mins(mean)).replicate_every();
            let minutes = every.as_secs_f64() / 60.0;
            let ratio = minutes / f64::from(expected);
            assert!((0.85..1.15).contains(&ratio), "{mean}: {minutes}");
        }
    }

    #[test]
    fn checks_are_more_frequent_where_nodes_come_and_go() {
        let quiet = day(Duration::from_hours(1000));
        assert!(quiet.check_every(150, 0) > Duration::from_hours(1));
        let busy = day(Duration::from_mins(174));
        let minutes = busy.check_every(150, 8).as_secs_f64() / 60.0;
        assert!((36.0..52.0).contains(&minutes), "{minutes}");
    }

    #[test]
    fn sudden_departures_have_everybody_checked() {
        let mut churn = day(Duration::from_hours(1000));
        assert_eq!(churn.check_every(150, 4), Duration::ZERO);
        assert!(churn.check_every(150, 1) > Duration::ZERO);
        let day = Moment::ORIGIN + Duration::from_hours(24);
        churn.on_departure(day);
        churn.on_departure(day);
        assert_eq!(churn.check_every(150, 2), Duration::ZERO);
        churn.tick(150, day + Duration::from_mins(11));
        assert!(churn.check_every(150, 0) > Duration::ZERO);
    }
}
