//! `qadom bench`: what a network costs on this machine, beside bare datagrams of the same run.

use std::time::Duration;

use qadom_node::{BenchReport, BenchSettings, Reason, Row, run_bench};
use serde::Serialize;

use crate::args::Bench;
use crate::error::Failure;
use crate::output::Output;

/// The figures as scripts read them.
#[derive(Debug, Serialize)]
struct Report {
    rows: Vec<Line>,
    limits: Limits,
}

/// One kind of work; times in microseconds.
#[derive(Debug, Serialize)]
struct Line {
    work: String,
    count: usize,
    p50_us: f64,
    p95_us: f64,
    p99_us: f64,
    per_second: f64,
    cpu_us: Option<f64>,
    failed: usize,
}

/// What the machine and the process set as limits.
#[derive(Debug, Serialize)]
struct Limits {
    idle_node_kib: Option<f64>,
    idle_node_growth_kib: Option<f64>,
}

/// Measures, which takes about half a minute.
pub(super) async fn run(arguments: &Bench, output: Output) -> anyhow::Result<()> {
    let settings = BenchSettings {
        nodes: arguments.nodes.into(),
        parallel: usize::try_from(arguments.values)?,
        in_flight: arguments.in_flight.into(),
        ..BenchSettings::default()
    };
    let report = run_bench(&settings, |work| output.note(&format!("measuring {work}"))).await?;
    output.result(&Report::from(&report), || table(&report))?;
    all_done(&report).map_err(Into::into)
}

/// Fails when any of the measured work failed: its row does not tell what the work costs.
fn all_done(report: &BenchReport) -> Result<(), Failure> {
    let failed = report.rows.iter().filter(|row| row.failed > 0);
    let failed = failed
        .map(|row| format!("{} of {} {}", row.failed, row.count, row.work))
        .collect::<Vec<_>>();
    if failed.is_empty() {
        return Ok(());
    }
    Err(
        Failure::new(Reason::Internal, format!("failed: {}", failed.join("; ")))
            .with_advice("measure on a machine without other load, or with fewer --in-flight"),
    )
}

impl From<&BenchReport> for Report {
    fn from(report: &BenchReport) -> Self {
        Self {
            rows: report.rows.iter().map(Line::from).collect(),
            limits: Limits {
                idle_node_kib: report.idle.map(|idle| idle.node_kib),
                idle_node_growth_kib: report.idle.map(|idle| idle.growth_kib),
            },
        }
    }
}

impl From<&Row> for Line {
    fn from(row: &Row) -> Self {
        Self {
            work: row.work.clone(),
            count: row.count,
            p50_us: micros(row.p50),
            p95_us: micros(row.p95),
            p99_us: micros(row.p99),
            per_second: row.per_second,
            cpu_us: row.cpu.map(micros),
            failed: row.failed,
        }
    }
}

fn table(report: &BenchReport) -> String {
    let mut lines = vec![format!(
        "{:<44}{:>10}{:>10}{:>10}{:>11}{:>10}{:>8}",
        "work", "p50 µs", "p95 µs", "p99 µs", "per second", "CPU µs", "failed"
    )];
    lines.extend(report.rows.iter().map(|row| {
        let cpu = row
            .cpu
            .map_or_else(|| "-".to_owned(), |cpu| format!("{:.1}", micros(cpu)));
        format!(
            "{:<44}{:>10.1}{:>10.1}{:>10.1}{:>11.0}{:>10}{:>8}",
            row.work,
            micros(row.p50),
            micros(row.p95),
            micros(row.p99),
            row.per_second,
            cpu,
            row.failed
        )
    }));
    if let Some(idle) = report.idle {
        lines.push(format!(
            "memory of an idle node of 200 in one process: {:.0} KiB; what one more adds: {:.0} KiB",
            idle.node_kib, idle.growth_kib
        ));
    }
    lines.join("\n")
}

fn micros(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn report(failed: &[usize]) -> BenchReport {
        let row = |failed: &usize| Row {
            work: "put".to_owned(),
            count: 9,
            failed: *failed,
            p50: Duration::ZERO,
            p95: Duration::ZERO,
            p99: Duration::ZERO,
            per_second: 0.0,
            cpu: None,
        };
        BenchReport {
            rows: failed.iter().map(row).collect(),
            idle: None,
        }
    }

    #[test]
    fn a_bench_in_which_anything_failed_has_failed() {
        assert!(all_done(&report(&[0, 0])).is_ok());
        let failure = all_done(&report(&[0, 2])).unwrap_err();
        assert_eq!(failure.exit(), Exit::Failed);
        assert_eq!(failure.to_string(), "failed: 2 of 9 put");
    }
}
