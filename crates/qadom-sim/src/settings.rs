//! What a simulated network is told at its start.

use std::ops::RangeInclusive;
use std::time::Duration;

use qadom_engine::Config;

use crate::scenario::Fidelity;
use crate::wide_area::WideArea;

/// The settings of a simulated network. The same settings and the same calls give the same run.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use qadom_sim::{Network, Settings};
///
/// let far = Duration::from_millis(80)..=Duration::from_millis(150);
/// let settings = Settings { nodes: 3, delay: far, loss: 0.02, ..Settings::default() };
/// assert_eq!(Network::new(settings).living().count(), 3);
/// ```
#[derive(Clone, Debug)]
pub struct Settings {
    /// Nodes that exist from the start, not yet joined to each other (20).
    pub nodes: usize,
    /// Decides everything that is left to chance (1).
    pub seed: u64,
    /// How long a message travels one way (10 to 90 ms). Each pair of nodes has a delay of its
    /// own, from which single messages differ a little.
    pub delay: RangeInclusive<Duration>,
    /// The delays of a network that spans the world, in place of `delay` (none).
    pub wide_area: Option<WideArea>,
    /// The probability that a message is lost, 0 to 1 (0).
    pub loss: f64,
    /// The probability that a message arrives twice, 0 to 1 (0).
    pub duplication: f64,
    /// The probability that a message takes up to the longest delay more than usual, so that later
    /// ones overtake it, 0 to 1 (0).
    pub overtaking: f64,
    /// How far the wall clock of each node is ahead or behind at the most (0).
    pub clock_error: Duration,
    /// The time between two nodes that begin to join in
    /// [`Network::join_all`](crate::Network::join_all) (100 ms).
    pub join_interval: Duration,
    /// How long a store takes to make its changes durable (0, as a store in memory does).
    pub commit_delay: Duration,
    /// The probability that a commit fails, 0 to 1 (0). What was to be committed is refused, but
    /// stays in the store, as after a failure whose extent is not known.
    pub commit_failure: f64,
    /// The most virtual time that an operation may take before
    /// [`Failure::Stalled`](crate::Failure::Stalled) (10 min).
    pub patience: Duration,
    /// How much of the real code runs (plain).
    pub fidelity: Fidelity,
    /// Changes the settings of each node's engine before it starts (leaves them as they are).
    pub configure: fn(&mut Config),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            nodes: 20,
            seed: 1,
            delay: Duration::from_millis(10)..=Duration::from_millis(90),
            wide_area: None,
            loss: 0.0,
            duplication: 0.0,
            overtaking: 0.0,
            clock_error: Duration::ZERO,
            join_interval: Duration::from_millis(100),
            commit_delay: Duration::ZERO,
            commit_failure: 0.0,
            patience: Duration::from_mins(10),
            fidelity: Fidelity::Plain,
            configure: |_| {},
        }
    }
}
