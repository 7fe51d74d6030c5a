//! How much a connection sends before it has heard what the way to its peer carries.
//!
//! What must stay true: whatever is lost of the first window is laid to its size: the connection goes on
//! from what has arrived, and the next connections begin with half as much, down to what RFC 9002 (7.2)
//! recommends; only a first window that was made use of and arrived whole lets it grow again. Behind the
//! first window everything is the library's Cubic.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn_proto::RttEstimator;

/// What the RFC recommends.
const FIRST_MIN: u64 = 14_720;
/// Bytes that a connection begins with as long as nothing speaks against it, paced over a round trip: a
/// chunk of a file and what goes with it, so that it takes one round trip and not five.
const FIRST_MAX: u64 = 288 * 1024;

/// What the next connection begins with.
#[derive(Debug)]
pub(super) struct FirstWindow(AtomicU64);

impl Default for FirstWindow {
    fn default() -> Self {
        Self(AtomicU64::new(FIRST_MAX))
    }
}

impl FirstWindow {
    fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// A connection that began with this much lost some of it.
    fn failed(&self, window: u64) {
        let half = (window / 2).max(FIRST_MIN);
        self.0.fetch_min(half, Ordering::Relaxed);
    }

    /// A connection that began with this much lost none of it.
    fn held(&self, window: u64) {
        let double = window.saturating_mul(2).min(FIRST_MAX);
        // Unless another one has failed meanwhile.
        let _ = (self.0).compare_exchange(window, double, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// How the first window of a connection fares.
#[derive(Clone, Debug)]
struct Trial {
    window: u64,
    sent: u64,
    arrived: u64,
    /// The most bytes that were on their way at a time.
    peak: u64,
}

impl Trial {
    const fn new(window: u64) -> Self {
        Self {
            window,
            sent: 0,
            arrived: 0,
            peak: 0,
        }
    }

    fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
        self.peak = self.peak.max(self.sent.saturating_sub(self.arrived));
    }

    /// Bytes arrived; whether that was all of the window.
    fn arrived(&mut self, bytes: u64) -> bool {
        self.arrived += bytes;
        self.arrived >= self.window
    }

    /// Whether so much was on its way at a time that it says something of the window.
    const fn is_telling(&self) -> bool {
        self.peak > FIRST_MIN && self.peak >= self.window / 2
    }

    /// What to go on with after a loss.
    fn proven(&self) -> u64 {
        self.arrived.clamp(FIRST_MIN, self.window)
    }
}

/// Makes the controllers of connections that begin with the same window.
#[derive(Debug)]
pub(super) struct Careful(pub(super) Arc<FirstWindow>);

impl ControllerFactory for Careful {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        let window = self.0.bytes();
        Box::new(Begun {
            cubic: cubic(window, now, mtu),
            mtu,
            trial: Some(Trial::new(window)),
            first: Arc::clone(&self.0),
        })
    }
}

fn cubic(window: u64, now: Instant, mtu: u16) -> Box<dyn Controller> {
    let mut config = CubicConfig::default();
    config.initial_window(window);
    Arc::new(config).build(now, mtu)
}

/// The controller of one connection.
struct Begun {
    cubic: Box<dyn Controller>,
    mtu: u16,
    /// None once the first window is over.
    trial: Option<Trial>,
    first: Arc<FirstWindow>,
}

impl Controller for Begun {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        if let Some(trial) = &mut self.trial {
            trial.sent(bytes);
        }
        self.cubic.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        if let Some(trial) = self.trial.take_if(|trial| trial.arrived(bytes))
            && trial.is_telling()
        {
            self.first.held(trial.window);
        }
        self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.cubic
            .on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        if let Some(trial) = self.trial.take() {
            self.cubic = cubic(trial.proven(), now, self.mtu);
            if trial.is_telling() {
                self.first.failed(trial.window);
            }
        }
        self.cubic
            .on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = new_mtu;
        self.cubic.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.cubic.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        self.cubic.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            cubic: self.cubic.clone_box(),
            mtu: self.mtu,
            trial: self.trial.clone(),
            first: Arc::clone(&self.first),
        })
    }

    fn initial_window(&self) -> u64 {
        self.cubic.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(first: &Arc<FirstWindow>) -> Box<dyn Controller> {
        Arc::new(Careful(Arc::clone(first))).build(Instant::now(), 1200)
    }

    /// All of the window is sent, this much arrives, the rest is lost; gives the window afterwards.
    fn lose(first: &Arc<FirstWindow>, arrives: u64) -> u64 {
        let mut begun = Begun {
            cubic: cubic(first.bytes(), Instant::now(), 1200),
            mtu: 1200,
            trial: Some(Trial::new(first.bytes())),
            first: Arc::clone(first),
        };
        let window = begun.window();
        begun.on_sent(Instant::now(), window, 0);
        assert!(!begun.trial.as_mut().unwrap().arrived(arrives));
        let now = Instant::now();
        begun.on_congestion_event(now, now, false, window - arrives);
        assert!(begun.trial.is_none());
        begun.window()
    }

    #[test]
    fn what_is_lost_of_the_first_window_makes_it_and_the_next_ones_smaller() {
        let first = Arc::<FirstWindow>::default();
        assert_eq!(begin(&first).window(), FIRST_MAX);
        // Cubic goes on with seven tenths of what arrived.
        assert_eq!(lose(&first, 100_000), 70_000);
        assert_eq!(begin(&first).window(), FIRST_MAX / 2);
        assert_eq!(lose(&first, 0), FIRST_MIN * 7 / 10);
        for _ in 0..10 {
            lose(&first, 1_000);
        }
        assert_eq!(begin(&first).window(), FIRST_MIN);
    }

    #[test]
    fn what_arrives_whole_lets_it_grow_again_if_it_was_made_use_of() {
        let first = FirstWindow::default();
        first.failed(FIRST_MAX);
        first.failed(FIRST_MAX / 2);
        let window = first.bytes();
        assert_eq!(window, FIRST_MAX / 4);
        let mut trial = Trial::new(window);
        for _ in 0..window / 1200 {
            trial.sent(1200);
            assert!(!trial.arrived(1200));
        }
        trial.sent(1200);
        assert!(trial.arrived(1200) && !trial.is_telling(), "one at a time");
        let mut trial = Trial::new(window);
        trial.sent(window);
        assert!(trial.arrived(window) && trial.is_telling());
        first.held(window);
        assert_eq!(first.bytes(), FIRST_MAX / 2);
        // What another one has found out meanwhile counts.
        first.failed(FIRST_MAX / 2);
        first.held(FIRST_MAX / 2);
        assert_eq!(first.bytes(), FIRST_MAX / 4);
        for _ in 0..3 {
            first.held(first.bytes());
        }
        assert_eq!(first.bytes(), FIRST_MAX);
    }

    #[test]
    fn a_loss_among_a_few_packets_says_nothing_of_the_window() {
        let mut trial = Trial::new(FIRST_MAX);
        trial.sent(FIRST_MIN);
        assert!(!trial.is_telling());
        assert_eq!(trial.proven(), FIRST_MIN);
    }
}
