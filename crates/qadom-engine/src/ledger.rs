//! What messages cost, by what they are for: the ledger of a node's own upkeep.
//!
//! What must stay true: every request that the engine sends, every answer to it, every request of a
//! peer and every answer to that is entered once. Handshakes, repeats and what the transport adds
//! of its own are not: the transport counts its datagrams itself.

use std::time::Duration;

use qadom_routing::Moment;

use crate::core::Purpose;

/// The sizes that datagrams inside a session are padded to, in bytes.
const SIZES: [usize; 5] = [64, 128, 256, 512, 1200];
/// What a datagram of a session takes up beside the message: header, length, frame type, tag.
const ENVELOPE: usize = 16 + 2 + 1 + 16;
/// What a message takes up beside its body: kind and id, and in an answer the time.
const REQUEST: usize = 9;
const ANSWER: usize = 17;
/// The part of a message that one datagram carries when it is cut into pieces.
const PIECE: usize = 1120;
/// The headers of UDP and IPv4.
const UDP_IP: usize = 28;
/// The time over which the present rate is measured.
const WINDOW: Duration = Duration::from_mins(10);

/// What a message is for.
///
/// # Examples
///
/// ```
/// use qadom_engine::Cause;
///
/// let words: Vec<_> = Cause::ALL.iter().map(|cause| cause.as_str()).collect();
/// assert!(words.contains(&"hand-over"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// What users of this node asked for.
    Users,
    /// Joining the network.
    Join,
    /// Lookups that fill the routing table.
    Refresh,
    /// Lookups that estimate the size of the network.
    Estimate,
    /// Signs of life of contacts.
    Revalidation,
    /// Comparing what is held with other holders.
    Replication,
    /// Bringing what is held to nodes that are nearer, or to others when this node leaves.
    HandOver,
    /// Keeping publications alive.
    Renewal,
    /// Leases, and what is pushed under them.
    Watch,
    /// Copies left on the path of a lookup.
    Caching,
    /// Telling peers of a changed address or mode, and calling theirs.
    Hello,
    /// Finding out whether this node is reached, and helping others to.
    Reachability,
    /// Questions of peers and the answers to them.
    Serving,
}

impl Cause {
    /// Every cause, in the order in which the status lists them.
    pub const ALL: [Self; 13] = [
        Self::Users,
        Self::Join,
        Self::Refresh,
        Self::Estimate,
        Self::Revalidation,
        Self::Replication,
        Self::HandOver,
        Self::Renewal,
        Self::Watch,
        Self::Caching,
        Self::Hello,
        Self::Reachability,
        Self::Serving,
    ];

    /// The name that users and scripts see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Join => "join",
            Self::Refresh => "refresh",
            Self::Estimate => "estimate",
            Self::Revalidation => "revalidation",
            Self::Replication => "replication",
            Self::HandOver => "hand-over",
            Self::Renewal => "renewal",
            Self::Watch => "watch",
            Self::Caching => "caching",
            Self::Hello => "hello",
            Self::Reachability => "reachability",
            Self::Serving => "serving",
        }
    }

    /// What a message that belongs to no operation is for.
    pub(crate) const fn of(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Revalidate => Self::Revalidation,
            Purpose::Cache => Self::Caching,
            Purpose::Hello | Purpose::Check => Self::Hello,
            Purpose::Notify | Purpose::Watch | Purpose::Unwatch | Purpose::Fill => Self::Watch,
            Purpose::SelfTest | Purpose::Pass | Purpose::Dial => Self::Reachability,
            _ => Self::Users,
        }
    }

    const fn index(self) -> usize {
        self as usize
    }
}

/// What messages for one cause cost, in datagrams of a session with their UDP and IP headers.
///
/// # Examples
///
/// ```
/// use qadom_engine::Cost;
///
#[doc = include_str!("examples/alone.txt")]
/// // Nobody was spoken to yet.
/// assert!(engine.status().costs.iter().all(|each| each.cost == Cost::default()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Messages sent.
    pub messages_out: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Messages received.
    pub messages_in: u64,
    /// Bytes received.
    pub bytes_in: u64,
}

impl Cost {
    const fn both_ways(&self) -> u64 {
        self.bytes_in + self.bytes_out
    }
}

/// One line of the ledger.
///
/// # Examples
///
/// ```
/// use qadom_engine::CauseCost;
///
#[doc = include_str!("examples/alone.txt")]
/// for CauseCost { cause, cost, bytes_per_second } in engine.status().costs {
///     println!("{}: {} bytes out, {bytes_per_second} a second", cause.as_str(), cost.bytes_out);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CauseCost {
    /// What it was for.
    pub cause: Cause,
    /// What it cost since the start.
    pub cost: Cost,
    /// Bytes per second both ways, over the last ten to twenty minutes.
    pub bytes_per_second: f64,
}

/// The lines of all causes.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    costs: [Cost; Cause::ALL.len()],
    /// When the window before the present one began, and what had been entered then.
    before: (Moment, [u64; Cause::ALL.len()]),
    /// The same of the present one.
    present: (Moment, [u64; Cause::ALL.len()]),
}

impl Ledger {
    pub(crate) fn new(now: Moment) -> Self {
        Self {
            before: (now, Default::default()),
            present: (now, Default::default()),
            ..Self::default()
        }
    }

    /// A request of this node was sent.
    pub(crate) fn asked(&mut self, cause: Cause, body: usize) {
        self.enter_out(cause, REQUEST + body);
    }

    /// The answer to a request of this node came.
    pub(crate) fn answered(&mut self, cause: Cause, body: usize) {
        self.enter_in(cause, ANSWER + body);
    }

    /// A peer asked something.
    pub(crate) fn was_asked(&mut self, body: usize) {
        self.enter_in(Cause::Serving, REQUEST + body);
    }

    /// A peer was answered.
    pub(crate) fn has_answered(&mut self, body: usize) {
        self.enter_out(Cause::Serving, ANSWER + body);
    }

    /// Begins another window when the present one is over.
    pub(crate) fn tick(&mut self, now: Moment) {
        if now.since(self.present.0) >= WINDOW {
            self.before = self.present;
            self.present = (now, self.costs.map(|cost| cost.both_ways()));
        }
    }

    pub(crate) fn lines(&self, now: Moment) -> Vec<CauseCost> {
        let (since, entered) = self.before;
        let seconds = now.since(since).as_secs_f64().max(1.0);
        let all = Cause::ALL.into_iter().zip(self.costs).zip(entered);
        let lines = all.map(|((cause, cost), entered)| {
            let bytes = cost.both_ways().saturating_sub(entered);
            #[expect(
                clippy::cast_precision_loss,
                reason = "a rate needs no more than 53 bits"
            )]
            let bytes_per_second = bytes as f64 / seconds;
            CauseCost {
                cause,
                cost,
                bytes_per_second,
            }
        });
        lines.collect()
    }

    fn enter_out(&mut self, cause: Cause, message: usize) {
        if let Some(cost) = self.costs.get_mut(cause.index()) {
            cost.messages_out += 1;
            cost.bytes_out += on_the_wire(message);
        }
    }

    fn enter_in(&mut self, cause: Cause, message: usize) {
        if let Some(cost) = self.costs.get_mut(cause.index()) {
            cost.messages_in += 1;
            cost.bytes_in += on_the_wire(message);
        }
    }
}

/// What a message takes up in datagrams, their UDP and IP headers counted.
fn on_the_wire(message: usize) -> u64 {
    let padded = |length: usize| {
        let fits = SIZES.into_iter().find(|size| ENVELOPE + length <= *size);
        fits.unwrap_or(1200) + UDP_IP
    };
    let bytes = if ENVELOPE + message <= 1200 {
        padded(message)
    } else {
        let whole = message / PIECE;
        let rest = message % PIECE;
        let last = if rest > 0 { padded(rest) } else { 0 };
        whole * (1200 + UDP_IP) + last
    };
    bytes as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(ledger: &Ledger, cause: Cause, now: Moment) -> CauseCost {
        let lines = ledger.lines(now);
        *lines.iter().find(|line| line.cause == cause).unwrap()
    }

    #[test]
    fn a_ping_costs_92_bytes_each_way() {
        let mut ledger = Ledger::new(Moment::ORIGIN);
        ledger.asked(Cause::Revalidation, 2);
        ledger.answered(Cause::Revalidation, 12);
        let cost = line(&ledger, Cause::Revalidation, Moment::ORIGIN).cost;
        let expected = Cost {
            messages_out: 1,
            bytes_out: 92,
            messages_in: 1,
            bytes_in: 92,
        };
        assert_eq!(cost, expected);
        assert_eq!(
            line(&ledger, Cause::Users, Moment::ORIGIN).cost,
            Cost::default()
        );
    }

    #[test]
    fn datagrams_are_padded_and_long_messages_cut() {
        for (message, bytes) in [(1, 92), (29, 92), (30, 156), (1165, 1228)] {
            assert_eq!(on_the_wire(message), bytes, "{message}");
        }
        assert_eq!(on_the_wire(1166), 1228 + 156);
        assert_eq!(on_the_wire(2240), 2 * 1228);
    }

    #[test]
    fn the_rate_is_that_of_the_last_minutes() {
        let mut ledger = Ledger::new(Moment::ORIGIN);
        let at = |minutes| Moment::ORIGIN + Duration::from_mins(minutes);
        for minute in 0..60 {
            if minute < 10 {
                ledger.asked(Cause::Refresh, 2);
            }
            ledger.tick(at(minute));
        }
        assert!(line(&ledger, Cause::Refresh, at(60)).bytes_per_second.abs() < f64::EPSILON);
        for _ in 0..60 {
            ledger.was_asked(2);
        }
        let rate = line(&ledger, Cause::Serving, at(60)).bytes_per_second;
        assert!((4.0..10.0).contains(&rate), "{rate}");
    }

    #[test]
    fn every_cause_has_a_line_and_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = Cause::ALL.map(Cause::as_str).into();
        assert_eq!(names.len(), Cause::ALL.len());
        for (place, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause.index(), place);
        }
    }
}
