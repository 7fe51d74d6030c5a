//! The binary `qadom`: arguments, then the verb's work, then one exit code.
//!
//! What is not here: how anything is found, stored or sent. The verbs ask a daemon through
//! `qadom-http`, or run nodes through `qadom-node`.

mod args;
mod commands;
mod error;
mod exit;
mod log;
mod output;
mod settings;
mod signals;
mod supervision;
mod texts;

use std::process::ExitCode;
use std::time::Duration;

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
    log::start(arguments.global.verbose, output.is_json());
    let exit = match block_on(commands::run(arguments, output)) {
        Ok(()) => Exit::Done,
        Err(error) => output.failure(&error),
    };
    exit.into()
}

/// How long the end waits for calls into the operating system that cannot be taken back, such as a
/// name resolution. Nothing that has to be kept depends on one: the verbs wait for that themselves.
const LINGER: Duration = Duration::from_millis(100);

/// Does the work on a runtime of its own, and leaves what still blocks a thread behind.
fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(LINGER);
    result
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_call_that_blocks_a_thread_does_not_hold_back_the_end() {
        let (release, released) = mpsc::channel::<()>();
        let (end, ended) = mpsc::channel();
        std::thread::spawn(move || {
            let result = block_on(async {
                tokio::task::spawn_blocking(move || released.recv());
                Ok(())
            });
            end.send(result.is_ok()).unwrap();
        });
        // Far longer than the end waits: it passes only when the end waits for the call.
        let ended = ended.recv_timeout(Duration::from_mins(1));
        assert_eq!(ended, Ok(true));
        drop(release);
    }
}
