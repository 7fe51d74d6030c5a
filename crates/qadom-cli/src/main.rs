//! The binary `qadom`: arguments, then the verb's work, then one exit code.
//!
//! What is not here: how anything is found, stored or sent. The verbs ask a daemon through
//! `qadom-http`, or run nodes through `qadom-node`.

mod args;
mod commands;
mod error;
mod exit;
mod output;
mod signals;
mod texts;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::args::Arguments;
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::Output;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(help) if help.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // When the standard error is closed nobody reads it.
            let _ = help.print();
            return Exit::Usage.into();
        }
        Err(error) if error.use_stderr() => {
            // What could not be parsed cannot say whether JSON is wanted.
            let is_json = std::env::args_os().any(|argument| argument == "--json");
            let failure = Failure::from_clap(&error);
            return Output::new(is_json).failure(&failure.into()).into();
        }
        Err(help) => {
            // Help or the version, for the standard output.
            let _ = help.print();
            return Exit::Done.into();
        }
    };
    let output = Output::new(arguments.global.json);
    start_log(arguments.global.verbose);
    let exit = match run(arguments, output) {
        Ok(()) => Exit::Done,
        Err(error) => output.failure(&error),
    };
    exit.into()
}

fn run(arguments: Arguments, output: Output) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(commands::run(arguments, output))
}

/// Warnings go to the standard error, with `-v` what happens too, with `-vv` everything.
fn start_log(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "qadom=info,qadom_node=info,qadom_http=info,warn",
        _ => "qadom=debug,qadom_node=debug,qadom_http=debug,info",
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .init();
}
