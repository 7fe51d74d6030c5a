//! Scenarios: what a simulated network is and what happens to it, as text.
//!
//! A scenario is a TOML file. What it does not name has a default; what it names wrongly is refused
//! with its line. What must stay true: a scenario and a seed together decide everything.
//!
//! `values.rs` has the kinds of values in it, `builtin.rs` the scenarios that come with the crate.

mod builtin;
mod values;

use std::time::Duration;

use serde::Deserialize;

pub use builtin::BUILT_IN;
pub use values::{Share, Span};

use crate::lean::Population;
use crate::lengths::Lengths;
use crate::network::{Adversary, Sessions};

/// A simulated network and what happens to it.
///
/// # Examples
///
/// ```
/// use qadom_sim::Scenario;
///
/// let scenario: Scenario = "name = 'mine'\n[network]\nnodes = 30".parse()?;
/// assert_eq!(scenario.network.nodes, 30);
/// let typo = "name = 'mine'\n[network]\nnoodles = 30".parse::<Scenario>().unwrap_err();
/// assert!(typo.to_string().contains("line 3"), "{typo}");
/// # Ok::<(), qadom_sim::ScenarioError>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// What it shows, in a sentence.
    #[serde(default)]
    pub about: String,
    /// Decides what is left to chance, unless another seed is given (1).
    #[serde(default = "one")]
    pub seed: u64,
    /// How long it goes on once everybody has joined and the first records are written (10 min).
    #[serde(default = "ten_minutes")]
    pub duration: Span,
    /// How often the network is counted for the plots (1 min).
    #[serde(default = "a_minute")]
    pub sample_every: Span,
    /// For how long the second run goes on that has to agree with the first (1 min); 0 for none.
    #[serde(default = "a_minute")]
    pub repeat: Span,
    /// The share of the acknowledged records that may be missing in the end (0): some attacks cannot be
    /// stopped altogether.
    #[serde(default)]
    pub may_miss: Share,
    /// The nodes and the lines between them.
    #[serde(default)]
    pub network: NetworkPart,
    /// Coming and going.
    pub churn: Option<ChurnPart>,
    /// Those who do not keep to the rules.
    #[serde(default)]
    pub adversary: Vec<AdversaryPart>,
    /// What users do.
    #[serde(default)]
    pub workload: WorkloadPart,
    /// What happens, and when.
    #[serde(default)]
    pub event: Vec<EventPart>,
    /// Figures that have to be reached.
    #[serde(default)]
    pub expect: Vec<ExpectPart>,
}

/// How much of the real code runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fidelity {
    /// Engines whose messages travel as they are; sessions are imitated.
    #[default]
    Plain,
    /// Engines with the real transport, its datagrams and its states; the curve is imitated.
    Sealed,
    /// Engines with the real transport and real cryptography.
    Noise,
    /// As plain, but only nodes that somebody asks exist, with tables that are drawn: for millions.
    Lean,
}

impl Fidelity {
    /// Whether the real transport runs.
    pub(crate) const fn is_sealed(self) -> bool {
        matches!(self, Self::Sealed | Self::Noise)
    }
}

/// The nodes and the lines between them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[non_exhaustive]
pub struct NetworkPart {
    /// How much of the real code runs (plain).
    pub fidelity: Fidelity,
    /// Nodes that join at the start (100).
    pub nodes: usize,
    /// In a lean network, nodes that do everything that nodes do (64); the others only answer.
    pub askers: usize,
    /// In a lean network, the share that is dead and stands in all tables (0).
    pub dead: Share,
    /// The share of them that can only call out, behind a NAT, and so end as clients (0).
    pub natted: Share,
    /// Half of the pairs have a shorter round trip (80 ms).
    pub median_round_trip: Span,
    /// The probability that a message is lost (0).
    pub loss: Share,
    /// The probability that a message arrives twice (0).
    pub duplication: Share,
    /// The probability that later messages overtake one (0).
    pub overtaking: Share,
    /// How far the clocks are off at the most (0).
    pub clock_error: Span,
    /// How long a commit takes (0).
    pub commit_delay: Span,
    /// The probability that a commit fails (0).
    pub commit_failure: Share,
    /// The time between two nodes that begin to join (20 ms).
    pub join_interval: Span,
    /// How long the network is left alone between the joins and the first records (3 min).
    pub settle: Span,
}

impl Default for NetworkPart {
    fn default() -> Self {
        Self {
            fidelity: Fidelity::Plain,
            nodes: 100,
            askers: 64,
            dead: Share::NONE,
            natted: Share::NONE,
            median_round_trip: Span(Duration::from_millis(80)),
            loss: Share::NONE,
            duplication: Share::NONE,
            overtaking: Share::NONE,
            clock_error: Span(Duration::ZERO),
            commit_delay: Span(Duration::ZERO),
            commit_failure: Share::NONE,
            join_interval: Span(Duration::from_millis(20)),
            settle: Span(Duration::from_mins(3)),
        }
    }
}

/// Coming and going, from the moment at which the first records are written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct ChurnPart {
    /// Half of the sessions are shorter.
    pub median_session: Span,
    /// The shape of a Weibull distribution; none for an exponential one.
    pub shape: Option<f64>,
    /// The share of those that leave which comes back (0); newcomers take the places of the others.
    #[serde(default)]
    pub returning: Share,
    /// Half of the absences are shorter (10 min).
    #[serde(default = "ten_minutes")]
    pub median_absence: Span,
    /// The share of those that come back which has lost its records (0).
    #[serde(default)]
    pub disk_lost: Share,
}

impl ChurnPart {
    pub(crate) fn sessions(&self) -> Sessions {
        let lengths = |median: Span| match self.shape {
            Some(shape) => Lengths::Weibull {
                median: median.0,
                shape,
            },
            None => Lengths::Exponential { median: median.0 },
        };
        Sessions {
            lengths: lengths(self.median_session),
            returning: self.returning.0,
            absences: lengths(self.median_absence),
            disk_lost: self.disk_lost.0,
        }
    }
}

/// Nodes of one behaviour.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct AdversaryPart {
    /// What they do.
    pub kind: Misdeed,
    /// How many there are; or their share.
    pub count: Option<usize>,
    /// Their share of all nodes, honest and not.
    pub share: Option<Share>,
    /// Whether they grind their ids round the first value of the workload.
    #[serde(default)]
    pub ground: bool,
}

/// What adversaries do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Misdeed {
    /// See [`Adversary::SameNames`].
    SameNames,
    /// See [`Adversary::DifferentNames`].
    DifferentNames,
    /// See [`Adversary::Drop`].
    Drop,
    /// See [`Adversary::Lie`].
    Lie,
    /// See [`Adversary::Replay`].
    Replay,
}

impl From<Misdeed> for Adversary {
    fn from(misdeed: Misdeed) -> Self {
        match misdeed {
            Misdeed::SameNames => Self::SameNames,
            Misdeed::DifferentNames => Self::DifferentNames,
            Misdeed::Drop => Self::Drop,
            Misdeed::Lie => Self::Lie,
            Misdeed::Replay => Self::Replay,
        }
    }
}

/// What users do. Every write is checked against what it promised.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[non_exhaustive]
pub struct WorkloadPart {
    /// Values that are written at the start (50).
    pub values: usize,
    /// Their length in bytes (100).
    pub value_bytes: usize,
    /// Whether the values are renewed by who wrote them (no: the network alone keeps them).
    pub renewed: bool,
    /// Entries of namespaces that are written at the start, and again by `writes-per-hour` (0).
    pub entries: usize,
    /// Bags of three items at the start (0).
    pub bags: usize,
    /// Reads in an hour, of what the seed chooses (360).
    pub reads_per_hour: u32,
    /// New versions of entries in an hour (0).
    pub writes_per_hour: u32,
    /// Values written in an hour, beside those at the start (0).
    pub puts_per_hour: u32,
    /// Lookups of random keys in an hour (0).
    pub lookups_per_hour: u32,
    /// Operations under way at once while everything is written or read (64).
    pub at_once: usize,
}

impl Default for WorkloadPart {
    fn default() -> Self {
        Self {
            values: 50,
            value_bytes: 100,
            renewed: false,
            entries: 0,
            bags: 0,
            reads_per_hour: 360,
            writes_per_hour: 0,
            puts_per_hour: 0,
            lookups_per_hour: 0,
            at_once: 64,
        }
    }
}

/// Something that happens at a moment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct EventPart {
    /// When, from the moment at which the first records are written.
    pub at: Span,
    /// What.
    #[serde(rename = "do")]
    pub action: Action,
    /// The share of the living members that it strikes (all).
    #[serde(default = "all")]
    pub share: Share,
    /// How far clocks jump, for `clock-jump`.
    #[serde(default)]
    pub ahead: Span,
    /// How many items each flooding node adds, for `flood` (100).
    #[serde(default = "hundred")]
    pub items: usize,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Ends nodes for good, with all they have.
    Kill,
    /// Ends nodes; their disks stay.
    Crash,
    /// Starts those again that crashed.
    Restart,
    /// Starts those again that crashed, with empty stores.
    RestartEmpty,
    /// Cuts nodes off from all others.
    CutOff,
    /// Ends every cut.
    Heal,
    /// Sets the wall clocks of nodes ahead by `ahead`; of every second one back by it.
    ClockJump,
    /// Lets nodes add `items` items each to the first bag, each by a writer of its own.
    Flood,
    /// Reads every record once, and notes how many were found under this action's time.
    ReadAll,
}

/// A figure that has to be reached.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct ExpectPart {
    /// The name of the figure, as the report has it.
    pub figure: String,
    /// It is at least this.
    pub at_least: Option<f64>,
    /// It is at most this.
    pub at_most: Option<f64>,
}

/// Why a scenario cannot be run. Its author is at fault; nothing was begun.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// The text is not TOML, names something unknown, or has a value of another kind.
    #[error("{0}")]
    Text(String),
    /// Two of its parts do not go together.
    #[error("{0}")]
    Sense(String),
    /// No scenario with this name comes with the crate.
    #[error("there is no scenario {0:?}; there are {list}", list = builtin::list())]
    Unknown(String),
}

impl std::str::FromStr for Scenario {
    type Err = ScenarioError;

    fn from_str(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self =
            toml::from_str(text).map_err(|error| ScenarioError::Text(error.to_string()))?;
        scenario.check()?;
        Ok(scenario)
    }
}

impl Scenario {
    /// A scenario that comes with the crate.
    ///
    /// # Errors
    ///
    /// [`ScenarioError::Unknown`] when none has this name.
    pub fn built_in(name: &str) -> Result<Self, ScenarioError> {
        builtin::text(name)
            .ok_or_else(|| ScenarioError::Unknown(name.to_owned()))?
            .parse()
    }

    /// The same on a smaller scale, for tests that have seconds: at most this many nodes and values,
    /// and every span of time but those of the network shorter by the same factor. What is expected in
    /// figures belongs to the whole size and is left out; every checker stays.
    #[must_use]
    pub fn shortened(mut self, nodes: usize, duration: Duration) -> Self {
        self.network.nodes = self.network.nodes.min(nodes);
        self.expect.clear();
        let whole = self.duration.0.max(Duration::from_secs(1));
        if duration < whole {
            let factor = duration.as_secs_f64() / whole.as_secs_f64();
            self.duration = Span(duration);
            for event in &mut self.event {
                event.at = Span(event.at.0.mul_f64(factor));
            }
            self.sample_every = Span(self.sample_every.0.mul_f64(factor));
            let more = |rate: u32| (f64::from(rate) / factor).min(20_000.0);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 0 and 20 000"
            )]
            let scaled = |rate: u32| more(rate) as u32;
            self.workload.reads_per_hour = scaled(self.workload.reads_per_hour);
            self.workload.writes_per_hour = scaled(self.workload.writes_per_hour);
        }
        self.workload.values = self.workload.values.min(nodes);
        self
    }

    fn check(&self) -> Result<(), ScenarioError> {
        let wrong = |text: &str| Err(ScenarioError::Sense(text.to_owned()));
        if self.network.nodes == 0 {
            return wrong("[network] nodes has to be at least 1");
        }
        if self.network.fidelity == Fidelity::Lean {
            self.check_lean()?;
        }
        if self.workload.value_bytes < 16 || self.workload.value_bytes > 8192 {
            return wrong("[workload] value-bytes has to be 16 to 8192");
        }
        if self.workload.at_once == 0 || self.sample_every.0.is_zero() {
            return wrong("[workload] at-once and sample-every have to be above 0");
        }
        for part in &self.adversary {
            if part.count.is_some() == part.share.is_some() {
                return wrong("every [[adversary]] has either count or share");
            }
            if part.share.is_some_and(|share| share.0 >= 1.0) {
                return wrong("the share of an [[adversary]] has to be below 1");
            }
        }
        for event in &self.event {
            if event.at.0 > self.duration.0 {
                return wrong("an [[event]] is later than the scenario's duration");
            }
            if event.action == Action::Flood && self.workload.bags == 0 {
                return wrong("an [[event]] floods a bag, but [workload] bags is 0");
            }
        }
        let is_empty = |part: &ExpectPart| part.at_least.is_none() && part.at_most.is_none();
        if self.expect.iter().any(is_empty) {
            return wrong("every [[expect]] has at-least or at-most");
        }
        Ok(())
    }
}

impl Scenario {
    fn check_lean(&self) -> Result<(), ScenarioError> {
        let wrong = |text: &str| Err(ScenarioError::Sense(text.to_owned()));
        if self.churn.is_some() || self.network.natted.0 > 0.0 {
            return wrong("in a lean network nobody comes, goes or stands behind a NAT");
        }
        if self.network.nodes > 1 << 24 || self.network.askers == 0 {
            return wrong("a lean network has at most 16777216 nodes and at least 1 of its askers");
        }
        let is_simple = |part: &AdversaryPart| part.share.is_some() && !part.ground;
        if self.adversary.len() > 1 || !self.adversary.iter().all(is_simple) {
            return wrong("a lean network has one [[adversary]] at most, by its share, not ground");
        }
        Ok(())
    }

    /// The population of a lean network.
    pub(crate) fn population(&self) -> Option<Population> {
        (self.network.fidelity == Fidelity::Lean).then(|| Population {
            nodes: u32::try_from(self.network.nodes).unwrap_or(u32::MAX),
            dead: self.network.dead.0,
            adversaries: self.adversary.first().map(|part| {
                let share = part.share.unwrap_or_default();
                (part.kind.into(), share.0)
            }),
        })
    }
}

const fn one() -> u64 {
    1
}

const fn hundred() -> usize {
    100
}

const fn all() -> Share {
    Share(1.0)
}

const fn a_minute() -> Span {
    Span(Duration::from_mins(1))
}

const fn ten_minutes() -> Span {
    Span(Duration::from_mins(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        text.parse::<Scenario>().unwrap_err().to_string()
    }

    #[test]
    fn what_is_mistyped_is_refused_with_its_line() {
        let typo = error("name = 'x'\n\n[workload]\nvaluez = 3\n");
        assert!(typo.contains("line 4") && typo.contains("valuez"), "{typo}");
        let typo = error("name = 'x'\n[[event]]\nat = '1m'\ndo = 'explode'\n");
        assert!(
            typo.contains("line 4") && typo.contains("explode"),
            "{typo}"
        );
        let share = error("name = 'x'\n[network]\nloss = 1.5\n");
        assert!(share.contains("line 3"), "{share}");
        let span = error("name = 'x'\nduration = '5 parsecs'\n");
        assert!(span.contains("line 2"), "{span}");
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        assert!(error("name = 'x'\n[[adversary]]\nkind = 'drop'\n").contains("count or share"));
        assert!(error("name = 'x'\n[[event]]\nat = '1h'\ndo = 'heal'\n").contains("duration"));
        assert!(error("name = 'x'\n[[expect]]\nfigure = 'hops_p50'\n").contains("at-least"));
    }

    #[test]
    fn every_scenario_that_comes_along_is_right() {
        for (name, _) in BUILT_IN {
            let scenario = Scenario::built_in(name).unwrap();
            assert_eq!(&scenario.name, name);
            assert!(!scenario.about.is_empty());
        }
        assert!(
            Scenario::built_in("chrun")
                .unwrap_err()
                .to_string()
                .contains("churn")
        );
    }
}
