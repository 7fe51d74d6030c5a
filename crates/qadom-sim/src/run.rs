//! Running a scenario from its first node to its report.
//!
//! What must stay true: everything follows from the scenario and the seed; the checkers see every
//! read and every write; nothing here decides what is right, the checkers do.
//!
//! `workload.rs` has what users do, `books.rs` what they were promised, `events.rs` what happens to
//! the network, `measures.rs` the figures.

mod books;
mod events;
mod measures;
mod workload;

use std::time::Duration;

use qadom_routing::Moment;

use self::books::Books;
use self::measures::Measures;
use self::workload::Pending;
use crate::checkers::{Check, Checkers, Seen};
use crate::failure::Failure;
use crate::network::Network;
use crate::node::NodeIndex;
use crate::report::Report;
use crate::scenario::{AdversaryPart, Scenario, Share};
use crate::settings::Settings;
use crate::trace::TraceHash;
use crate::wide_area::WideArea;

/// How far the clock goes between two looks at what has ended.
const TICK: Duration = Duration::from_secs(1);
/// How far it goes while everything is written or read.
const QUICK_TICK: Duration = Duration::from_millis(50);
/// How long after a cut both sides may still have to exchange what each wrote.
const MERGING: Duration = Duration::from_mins(10);
/// Why nothing more can be done when the network does not even come together.
const JOINS: &str = "the nodes join";

/// Runs a scenario, under its own seed unless another is given.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use qadom_sim::{Scenario, run};
///
/// let scenario = Scenario::built_in("loss")?.shortened(20, Duration::from_mins(1));
/// let report = run(&scenario, None);
/// assert!(report.is_ok(), "{report}");
/// # Ok::<(), qadom_sim::ScenarioError>(())
/// ```
pub fn run(scenario: &Scenario, seed: Option<u64>) -> Report {
    run_told(scenario, seed, &mut |_| {})
}

/// Runs a scenario and tells what is being done, for people who wait.
pub fn run_told(scenario: &Scenario, seed: Option<u64>, tell: &mut dyn FnMut(&str)) -> Report {
    let seed = seed.unwrap_or(scenario.seed);
    let mut first = None;
    if !scenario.repeat.0.is_zero() {
        tell("running the beginning once, to compare");
        let mut run = Run::new(scenario, seed);
        first = Some(run.begin().map(|()| run.reach_checkpoint()));
    }
    let mut run = Run::new(scenario, seed);
    tell(&format!("joining {} nodes", scenario.network.nodes));
    if let Err(failure) = run.begin() {
        return run.stopped(&failure);
    }
    let second = run.reach_checkpoint();
    if let Some(first) = first {
        run.checkers.note(&Seen::Repeated {
            agree: first.is_ok_and(|first| first == second),
        });
    }
    run.reach_end(tell);
    run.report()
}

/// A scenario under way.
struct Run<'a> {
    scenario: &'a Scenario,
    seed: u64,
    network: Network,
    books: Books,
    measures: Measures,
    checkers: Checkers,
    pending: Vec<Pending>,
    /// When the first records were written.
    began: Moment,
    /// Events that have happened.
    events_done: usize,
    sample_at: Moment,
    /// Parts of reads and writes that are due, in millionths.
    due: [u64; 4],
    crashed: Vec<NodeIndex>,
    /// Until when the two sides of a cut need not know of each other's writes.
    split_until: Option<Moment>,
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario, seed: u64) -> Self {
        let part = &scenario.network;
        let population = scenario.population();
        let settings = Settings {
            nodes: population.map_or(part.nodes, |_| part.askers),
            seed,
            wide_area: Some(WideArea {
                median_round_trip: part.median_round_trip.0,
            }),
            loss: part.loss.0,
            duplication: part.duplication.0,
            overtaking: part.overtaking.0,
            clock_error: part.clock_error.0,
            commit_delay: part.commit_delay.0,
            commit_failure: part.commit_failure.0,
            join_interval: part.join_interval.0,
            fidelity: part.fidelity,
            ..Settings::default()
        };
        let network = match population {
            Some(population) => Network::with_population(settings, population),
            None => Network::new(settings),
        };
        Self {
            scenario,
            seed,
            books: Books::default(),
            measures: Measures::new(part.nodes),
            checkers: Checkers::new(scenario),
            pending: Vec::new(),
            began: network.time().moment,
            events_done: 0,
            sample_at: network.time().moment,
            due: [0; 4],
            crashed: Vec::new(),
            split_until: None,
            network,
        }
    }

    /// Lets everybody join, and writes the first records.
    fn begin(&mut self) -> Result<(), Failure> {
        if self.scenario.population().is_none() {
            self.network.join_all()?;
            self.add_natted();
            for part in &self.scenario.adversary {
                self.add_adversaries(part)?;
            }
        }
        self.network.run_for(self.scenario.network.settle.0);
        self.measures.after_joins(&self.network);
        self.write_first();
        self.began = self.network.time().moment;
        self.sample_at = self.began;
        if let Some(churn) = &self.scenario.churn {
            self.network.set_sessions(churn.sessions(), &[]);
        }
        self.measures.begin(&self.network);
        Ok(())
    }

    /// Goes on to the moment at which two runs are compared.
    fn reach_checkpoint(&mut self) -> TraceHash {
        let span = self.scenario.repeat.0.min(self.scenario.duration.0);
        self.go_until(self.began + span);
        self.network.trace_hash()
    }

    fn reach_end(&mut self, tell: &mut dyn FnMut(&str)) {
        let span = self.scenario.duration.0;
        for tenth in 1..=10_u32 {
            self.go_until(self.began + span * tenth / 10);
            tell(&format!("{} % of {} s", tenth * 10, span.as_secs()));
        }
        self.finish_pending();
        self.read_all();
        self.sample();
    }

    fn go_until(&mut self, until: Moment) {
        while self.network.time().moment < until {
            self.do_events();
            let now = self.network.time().moment;
            if now >= self.sample_at {
                self.sample();
                self.sample_at = now + self.scenario.sample_every.0;
            }
            let tick = TICK.min(until.since(now));
            self.begin_due(tick);
            self.network.run_for(tick);
            self.collect();
        }
    }

    fn sample(&mut self) {
        let census = self.network.census();
        let keys = self.books.values().iter().map(|value| value.key);
        let holders = self.network.count_holders(keys);
        let since = self.network.time().moment.since(self.began);
        self.measures
            .sample(since, &self.network, &census, &holders);
        self.checkers.sample(&census);
    }

    fn add_natted(&mut self) {
        let nodes = self.some(self.scenario.network.natted);
        for node in nodes {
            self.network.put_behind_nat(node);
        }
    }

    fn add_adversaries(&mut self, part: &AdversaryPart) -> Result<(), Failure> {
        let honest = self.scenario.network.nodes;
        let count = part.count.unwrap_or_else(|| {
            let share = part.share.map_or(0.0, |share| share.0);
            times(honest, share / (1.0 - share))
        });
        let point = Books::value(self.seed, 0, self.scenario.workload.value_bytes).0;
        // Nearer than honest nodes are by chance: those share about log2 of their number.
        let bits = (usize::BITS - honest.leading_zeros()) + 2;
        let mut tasks = Vec::new();
        for _ in 0..count {
            let kind = part.kind.into();
            let node = if part.ground {
                self.network.add_adversary_near(kind, &point, bits)
            } else {
                self.network.add_adversary(kind)
            };
            tasks.push(self.network.start_join(node));
            self.network.run_for(self.scenario.network.join_interval.0);
        }
        for task in tasks {
            self.network.finish(task)?;
        }
        Ok(())
    }

    /// Members that the seed chooses; all of them keep their order.
    fn some(&mut self, share: Share) -> Vec<NodeIndex> {
        let mut members: Vec<NodeIndex> = self.network.members().collect();
        let count = times(members.len(), share.0);
        for place in 0..count {
            let other = place + self.network.random_below(members.len() - place);
            members.swap(place, other);
        }
        members.truncate(count);
        members
    }

    fn report(self) -> Report {
        let verdicts = self.checkers.verdicts(&self.network);
        let mut report = self.measures.report(self.scenario, &self.network);
        report.seed = self.seed;
        report.trace_hash = self.network.trace_hash().to_string();
        report.checks.extend(verdicts);
        report.expect(&self.scenario.expect);
        report
    }

    /// The report of a network that never came together.
    fn stopped(mut self, failure: &Failure) -> Report {
        self.checkers.note(&Seen::Stopped);
        let mut report = self.report();
        report.checks.push(Check {
            name: JOINS.to_owned(),
            ok: false,
            detail: failure.to_string(),
        });
        report
    }
}

/// A share of a number, rounded.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "numbers of nodes are far below 2^52"
)]
fn times(number: usize, share: f64) -> usize {
    (number as f64 * share).round() as usize
}
