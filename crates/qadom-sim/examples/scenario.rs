//! Runs a scenario from an application's own code: a built-in one by its name, or the file at a path.
//!
//! ```sh
//! cargo run --release -p qadom-sim --example scenario -- partition
//! cargo run --release -p qadom-sim --example scenario -- crates/qadom-sim/scenarios/loss.toml 7
//! ```

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example prints"
)]

use std::env;
use std::error::Error;
use std::fs;
use std::process::ExitCode;

use qadom_sim::{Scenario, run_told};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let name = arguments.next().ok_or("name a scenario")?;
    let seed = arguments.next().map(|seed| seed.parse()).transpose()?;
    let scenario = match Scenario::built_in(&name) {
        Ok(scenario) => scenario,
        Err(_) => fs::read_to_string(&name)?.parse()?,
    };
    let report = run_told(&scenario, seed, &mut |work| eprintln!("{work}"));
    println!("{report}");
    Ok(if report.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
