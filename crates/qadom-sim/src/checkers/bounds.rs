//! Memory is bounded: no engine uses more of anything than its limit, whenever the network is
//! counted.

use super::{Check, Checker, check};
use crate::network::{Census, Network};

/// Collects what was above a limit.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    samples: usize,
    over: usize,
    example: Option<String>,
}

impl Checker for Bounds {
    fn sample(&mut self, census: &Census) {
        self.samples += 1;
        self.over += census.over.len();
        if let Some((node, what, used, limit)) = census.over.first() {
            let example = format!("node {node} used {used} {what} of {limit}");
            self.example.get_or_insert(example);
        }
    }

    fn verdict(&self, _network: &Network) -> Check {
        let detail = match &self.example {
            None => format!("every node kept every limit in {} counts", self.samples),
            Some(example) => format!("{} times not, as when {example}", self.over),
        };
        check("memory is bounded", self.over == 0, detail)
    }
}
