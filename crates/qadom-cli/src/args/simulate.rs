//! What may be typed to simulate.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `qadom sim`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Sim {
    /// A built-in scenario (churn, flood, loss, outage, partition, restart, sybil, wide-area), or the
    /// path to a TOML file
    #[arg(value_name = "SCENARIO")]
    pub(crate) scenario: String,
    /// Decides what is left to chance [default: the scenario's own]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Write report.txt, report.json and the plots as SVG into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
}
