//! `qadom sim`: runs the real protocol code on virtual nodes and tells whether it kept its promises.

use std::fs;
use std::path::Path;

use qadom_node::Reason;
use qadom_sim::{Report, Scenario, ScenarioError, run_told};

use crate::args::Sim;
use crate::error::Failure;
use crate::output::Output;

/// Runs a scenario, prints its report, and fails when a check does.
pub(super) async fn run(arguments: Sim, output: Output) -> anyhow::Result<()> {
    let scenario = scenario(&arguments.scenario)?;
    let seed = arguments.seed;
    // It computes for a long time; a thread of its own keeps Ctrl-C and the runtime alive.
    let report = tokio::task::spawn_blocking(move || {
        run_told(&scenario, seed, &mut |work| output.note(work))
    })
    .await?;
    if let Some(folder) = &arguments.report {
        write(&report, folder)?;
    }
    output.result(&report, || report.to_string())?;
    kept(&report).map_err(Into::into)
}

/// The scenario of this name, or of the file at this path.
fn scenario(text: &str) -> Result<Scenario, Failure> {
    let unknown = match Scenario::built_in(text) {
        Ok(scenario) => return Ok(scenario),
        Err(error) => error,
    };
    let is_path = text.contains(['/', '.']) || Path::new(text).exists();
    if !is_path {
        return Err(
            wrong(&unknown, text).with_advice("name one of them, or the path to a TOML file")
        );
    }
    let file = fs::read_to_string(text).map_err(|error| {
        Failure::new(Reason::Usage, format!("{text} cannot be read: {error}"))
            .with_advice("name a built-in scenario, or the path to a TOML file")
    })?;
    file.parse().map_err(|error| wrong(&error, text))
}

fn wrong(error: &ScenarioError, text: &str) -> Failure {
    match error {
        ScenarioError::Unknown(_) => Failure::new(Reason::Usage, error.to_string()),
        _ => Failure::new(Reason::Usage, format!("{text}: {error}"))
            .with_advice("docs/simulation.md lists everything that a scenario may name"),
    }
}

/// Fails when something that had to hold did not.
fn kept(report: &Report) -> Result<(), Failure> {
    let failed: Vec<&str> = report
        .checks
        .iter()
        .filter(|check| !check.ok)
        .map(|check| check.name.as_str())
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    let (scenario, seed) = (&report.scenario, report.seed);
    Err(Failure::new(
        Reason::Internal,
        format!(
            "{scenario} with seed {seed} did not hold: {}",
            failed.join(", ")
        ),
    )
    .with_advice("the same seed shows the same again; --report DIR draws what happened"))
}

/// Writes the report and its plots into a folder, which is made when it is not there.
fn write(report: &Report, folder: &Path) -> anyhow::Result<()> {
    let put = |name: &str, text: &str| fs::write(folder.join(name), text);
    let all = || -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        put("report.txt", &format!("{report}\n"))?;
        put("report.json", &serde_json::to_string(report)?)?;
        for (name, svg) in report.plots() {
            put(&name, &svg)?;
        }
        Ok(())
    };
    all().map_err(|error| {
        Failure::new(
            Reason::Usage,
            format!(
                "the report cannot be written to {}: {error}",
                folder.display()
            ),
        )
        .with_advice("name a folder that can be written to with --report")
        .into()
    })
}
