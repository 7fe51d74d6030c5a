//! The report as words.

use std::fmt;

use super::Report;

/// Letters of the longest name of a check or figure that are kept apart.
const WIDTH: usize = 34;

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "scenario {}, seed {}", self.scenario, self.seed)?;
        if !self.about.is_empty() {
            writeln!(formatter, "{}", self.about)?;
        }
        writeln!(formatter)?;
        for check in &self.checks {
            let verdict = if check.ok { "ok    " } else { "FAILED" };
            let (name, detail) = (&check.name, &check.detail);
            writeln!(formatter, "{verdict} {name:<WIDTH$} {detail}")?;
        }
        writeln!(formatter)?;
        writeln!(
            formatter,
            "{:<WIDTH$} {:.6}",
            "get_success", self.get_success
        )?;
        for (name, value) in &self.figures {
            writeln!(formatter, "{name:<WIDTH$} {}", number(*value))?;
        }
        write!(formatter, "{:<WIDTH$} {}", "trace_hash", self.trace_hash)
    }
}

/// A whole number without its fraction, others with four digits of it.
fn number(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.4}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::Check;

    #[test]
    fn words_name_every_check_and_every_figure() {
        let mut report = Report::new("trial", "What it shows.");
        report.figure("hops_p50", 3.0);
        report.figure("stale_share", 0.25);
        report.checks.push(Check {
            name: "operations end".to_owned(),
            ok: false,
            detail: "2 did not".to_owned(),
        });
        let words = report.to_string();
        for part in [
            "scenario trial",
            "FAILED operations end",
            "hops_p50",
            "0.2500",
        ] {
            assert!(words.contains(part), "{part} in {words}");
        }
        assert!(!report.is_ok());
    }
}
