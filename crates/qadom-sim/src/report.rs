//! What came out of a scenario: checks, figures, plots; as words, as JSON, as SVG.
//!
//! What must stay true: the names of the figures are read by scripts and only ever added to. Files
//! are written by whoever asked for the report.

mod plot;
mod words;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::checkers::Check;
use crate::scenario::ExpectPart;

/// What came out of a scenario. As JSON every figure stands beside the named fields.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The name of the scenario.
    pub scenario: String,
    /// What it shows.
    #[serde(skip)]
    pub about: String,
    /// The seed.
    pub seed: u64,
    /// The fingerprint of everything that was delivered; the same on every machine.
    pub trace_hash: String,
    /// The share of all reads of acknowledged records that found them.
    pub get_success: f64,
    /// What had to hold.
    pub checks: Vec<Check>,
    /// Figures by name. Times are in milliseconds of the virtual clock where the name says `ms`.
    #[serde(flatten)]
    pub figures: BTreeMap<String, f64>,
    /// What changed over time.
    #[serde(skip)]
    pub series: Vec<Series>,
    /// How single numbers were spread.
    #[serde(skip)]
    pub spreads: Vec<Spread>,
    /// What happened, and when in hours.
    #[serde(skip)]
    pub marks: Vec<(f64, String)>,
}

/// A figure over time.
#[derive(Clone, Debug)]
pub struct Series {
    /// What it is.
    pub name: String,
    /// Hours and values.
    pub points: Vec<(f64, f64)>,
}

/// Single numbers, sorted.
#[derive(Clone, Debug)]
pub struct Spread {
    /// What they are, as in the names of figures.
    pub name: String,
    /// The numbers from the lowest on.
    pub sorted: Vec<u32>,
}

impl Report {
    pub(crate) fn new(scenario: &str, about: &str) -> Self {
        Self {
            scenario: scenario.to_owned(),
            about: about.to_owned(),
            seed: 0,
            trace_hash: String::new(),
            get_success: 0.0,
            checks: Vec::new(),
            figures: BTreeMap::new(),
            series: Vec::new(),
            spreads: Vec::new(),
            marks: Vec::new(),
        }
    }

    /// Whether everything held.
    pub fn is_ok(&self) -> bool {
        self.checks.iter().all(|check| check.ok)
    }

    /// A figure by its name, `get_success` included.
    pub fn get(&self, name: &str) -> Option<f64> {
        match name {
            "get_success" => Some(self.get_success),
            _ => self.figures.get(name).copied(),
        }
    }

    /// The plots, each as the name of its file and a whole SVG document that needs nothing else.
    pub fn plots(&self) -> Vec<(String, String)> {
        plot::all(self)
    }

    pub(crate) fn figure(&mut self, name: &str, value: f64) {
        self.figures.insert(name.to_owned(), value);
    }

    /// Adds a check for each figure that has to be reached.
    pub(crate) fn expect(&mut self, parts: &[ExpectPart]) {
        for part in parts {
            let value = self.get(&part.figure);
            let is_enough = |value: f64| {
                part.at_least.is_none_or(|least| value >= least)
                    && part.at_most.is_none_or(|most| value <= most)
            };
            let bounds = [("at least", part.at_least), ("at most", part.at_most)];
            let wanted: Vec<String> = bounds
                .iter()
                .filter_map(|(word, bound)| bound.map(|bound| format!("{word} {bound}")))
                .collect();
            let detail = match value {
                Some(value) => format!("{value:.6}, wanted {}", wanted.join(" and ")),
                None => "there is no figure of this name in the report".to_owned(),
            };
            self.checks.push(Check {
                name: part.figure.clone(),
                ok: value.is_some_and(is_enough),
                detail,
            });
        }
    }
}
