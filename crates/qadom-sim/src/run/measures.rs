//! The figures of a run: what was counted and how long things took.
//!
//! What must stay true: times are those of the virtual clock, so that every figure is the same
//! wherever the run is made.

use std::collections::BTreeMap;
use std::time::Duration;

use qadom_engine::{Fetched, LookupReport, Receipt};
use qadom_routing::Key;

use super::workload::Found;
use crate::failure::Failure;
use crate::figures::Figures;
use crate::network::{Census, Network};
use crate::report::{Report, Series, Spread};
use crate::scenario::{Action, Scenario};

/// What UDP and IPv4 add to each datagram, in bytes.
const HEADERS: u64 = 28;

/// Numbers of one kind of operation.
#[derive(Debug, Default)]
struct Costs {
    millis: Vec<u32>,
    hops: Vec<u32>,
    messages: Vec<u32>,
    failed: usize,
}

impl Costs {
    fn note(&mut self, took: Duration, hops: u32, messages: u32) {
        self.millis
            .push(u32::try_from(took.as_millis()).unwrap_or(u32::MAX));
        self.hops.push(hops);
        self.messages.push(messages);
    }
}

/// Everything that a run counts.
#[derive(Debug)]
pub(super) struct Measures {
    nodes: usize,
    gets: Costs,
    puts: Costs,
    lookups: Costs,
    reads: usize,
    reads_found: usize,
    /// Reads since the last sample.
    recent: (usize, usize),
    /// What the reading of everything that is under way has found.
    pub(super) reading: Found,
    readings: Vec<f64>,
    joined: Figures,
    first: Figures,
    last: (Duration, Figures),
    holders: Vec<usize>,
    series: BTreeMap<&'static str, Vec<(f64, f64)>>,
    marks: Vec<(f64, String)>,
    census: Census,
    writes: usize,
}

impl Measures {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            nodes,
            gets: Costs::default(),
            puts: Costs::default(),
            lookups: Costs::default(),
            reads: 0,
            reads_found: 0,
            recent: (0, 0),
            reading: Found::default(),
            readings: Vec::new(),
            joined: Figures::default(),
            first: Figures::default(),
            last: (Duration::ZERO, Figures::default()),
            holders: Vec::new(),
            series: BTreeMap::new(),
            marks: Vec::new(),
            census: Census::default(),
            writes: 0,
        }
    }

    pub(super) fn after_joins(&mut self, network: &Network) {
        self.joined = network.figures();
    }

    pub(super) fn begin(&mut self, network: &Network) {
        self.first = network.figures();
        self.last = (Duration::ZERO, self.first.clone());
    }

    /// Puts that were begun or have ended.
    pub(super) const fn puts(&mut self) -> usize {
        self.writes += 1;
        self.writes
    }

    pub(super) fn put(&mut self, result: &Result<Receipt, Failure>) {
        match result {
            Ok(receipt) => self.puts.note(receipt.took, receipt.hops, receipt.messages),
            Err(_) => self.puts.failed += 1,
        }
    }

    pub(super) fn got(&mut self, result: &Result<Fetched, Failure>) {
        match result {
            // What is held here costs nothing and says nothing about lookups.
            Ok(fetched) if fetched.messages == 0 => {}
            Ok(fetched) => self.gets.note(fetched.took, fetched.hops, fetched.messages),
            Err(_) => self.gets.failed += 1,
        }
    }

    pub(super) fn looked_up(&mut self, result: &Result<LookupReport, Failure>) {
        match result {
            Ok(report) => self.lookups.note(report.took, report.hops, report.messages),
            Err(_) => self.lookups.failed += 1,
        }
    }

    pub(super) fn read(&mut self, found: bool) {
        self.reads += 1;
        self.reads_found += usize::from(found);
        self.recent.0 += 1;
        self.recent.1 += usize::from(found);
    }

    pub(super) fn read_all(&mut self, found: Found) {
        self.readings.push(share(found.found, found.all));
    }

    pub(super) fn mark(&mut self, since: Duration, action: Action) {
        let name = format!("{action:?}");
        self.marks.push((hours(since), name));
    }

    pub(super) fn sample(
        &mut self,
        since: Duration,
        network: &Network,
        census: &Census,
        holders: &BTreeMap<Key, usize>,
    ) {
        let at = hours(since);
        let figures = network.figures();
        let (before, then) = std::mem::replace(&mut self.last, (since, figures.clone()));
        let mut add =
            |name: &'static str, value: f64| self.series.entry(name).or_default().push((at, value));
        let seconds = since.saturating_sub(before).as_secs_f64();
        if seconds > 0.0 {
            let members = number(census.members.max(1));
            add("upkeep", background(&then, &figures) / members / seconds);
        }
        let (reads, found) = std::mem::take(&mut self.recent);
        if reads > 0 {
            add("success", share(found, reads));
        }
        add("stale", census.stale_share());
        add("nodes", number(census.members));
        if !holders.is_empty() {
            let mut counts: Vec<usize> = holders.values().copied().collect();
            counts.sort_unstable();
            add(
                "holders",
                number(counts.iter().sum()) / number(counts.len()),
            );
            add("holders p5", number(at_share(&counts, 5)));
            self.holders = counts;
        }
        self.census = census.clone();
    }

    /// The report, still without the verdicts of the checkers.
    pub(super) fn report(self, scenario: &Scenario, network: &Network) -> Report {
        let mut report = Report::new(&scenario.name, &scenario.about);
        report.get_success = share(self.reads_found, self.reads);
        let figures = network.figures();
        let span = scenario.duration.0.as_secs_f64().max(1.0);
        let members = number(self.census.members.max(1));
        report.figure("nodes", number(self.census.members));
        report.figure("reads", number(self.reads));
        report.figure("messages", whole(figures.messages));
        report.figure("departures", whole(figures.departures));
        let joins = whole(self.joined.messages) / number(self.nodes.max(1));
        report.figure("join_messages_per_node", joins);
        report.figure("stale_share", self.census.stale_share());
        // The real transport does not tell datagrams of upkeep from others.
        if !scenario.network.fidelity.is_sealed() {
            let upkeep = background(&self.first, &figures) / members / span;
            report.figure("upkeep_bytes_per_node_second", upkeep);
        }
        for (cause, bytes) in sent_by_cause(network) {
            report.figure(&format!("sent_bytes_{cause}_per_node_second"), bytes);
        }
        if !self.holders.is_empty() {
            report.figure("holders_p5", number(at_share(&self.holders, 5)));
            report.figure("holders_p50", number(at_share(&self.holders, 50)));
            report.figure("holders_min", number(at_share(&self.holders, 0)));
        }
        for (place, found) in self.readings.iter().enumerate() {
            report.figure(&format!("read_all_{}", place + 1), *found);
        }
        report.figure("survival", share(self.reading.found, self.reading.all));
        for (name, mut costs) in [
            ("get", self.gets),
            ("put", self.puts),
            ("lookup", self.lookups),
        ] {
            report.figure(&format!("{name}s_failed"), number(costs.failed));
            for (what, numbers) in [
                ("ms", &mut costs.millis),
                ("hops", &mut costs.hops),
                ("messages", &mut costs.messages),
            ] {
                if numbers.is_empty() {
                    continue;
                }
                numbers.sort_unstable();
                for percent in [50, 95, 99] {
                    let name = format!("{name}_{what}_p{percent}");
                    report.figure(&name, f64::from(at_share(numbers, percent)));
                }
                if what != "messages" {
                    report.spreads.push(Spread {
                        name: format!("{name}_{what}"),
                        sorted: numbers.clone(),
                    });
                }
            }
        }
        report.series = self
            .series
            .into_iter()
            .map(|(name, points)| Series {
                name: name.to_owned(),
                points,
            })
            .collect();
        report.marks = self.marks;
        report
    }
}

/// Bytes that the nodes alive now have sent in each second of their lives, by what they were for.
fn sent_by_cause(network: &Network) -> BTreeMap<&'static str, f64> {
    let mut sent = BTreeMap::new();
    let mut lived = Duration::ZERO;
    for node in network.living() {
        lived += network.lived(node);
        let costs = network.engine(node).map(|engine| engine.status().costs);
        let lines = costs.into_iter().flatten();
        for line in lines.filter(|line| line.cost.bytes_out > 0) {
            *sent.entry(line.cause.as_str()).or_default() += whole(line.cost.bytes_out);
        }
    }
    let seconds = lived.as_secs_f64().max(1.0);
    for bytes in sent.values_mut() {
        *bytes /= seconds;
    }
    sent
}

/// Bytes of upkeep between two moments, with the headers of UDP and IP, counted at who sends them and
/// at who receives them.
fn background(before: &Figures, after: &Figures) -> f64 {
    let bytes = after.background_bytes - before.background_bytes;
    let datagrams = after.background_datagrams - before.background_datagrams;
    2.0 * whole(bytes + HEADERS * datagrams)
}

/// The number that at least this percentage of sorted numbers does not exceed.
fn at_share<T: Copy + Default>(sorted: &[T], percent: usize) -> T {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or_default()
}

fn hours(span: Duration) -> f64 {
    span.as_secs_f64() / 3600.0
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
const fn number(count: usize) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
const fn whole(count: u64) -> f64 {
    count as f64
}

/// A part of a whole; all when there is nothing.
fn share(part: usize, all: usize) -> f64 {
    if all == 0 {
        1.0
    } else {
        number(part) / number(all)
    }
}
