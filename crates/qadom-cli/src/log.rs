//! What is told on the standard error while the program runs: which lines, how many of them, in which
//! form.
//!
//! What must stay true: a line is one line, whatever a peer has sent: control characters, and with them
//! the escape sequences of terminals, never reach it. No place in the program fills a log: beyond a burst
//! each says one line a second, and the next line tells how many were left out.

mod limiter;

use std::fmt;
use std::sync::Mutex;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use limiter::{Limiter, Verdict};

/// The variable that says which lines are wanted, in the syntax of `tracing`, such as
/// `info,qadom_node::datagrams=debug`.
const FILTER: &str = "QADOM_LOG";

/// Warnings go to the standard error, with `-v` what happens too, with `-vv` everything; with `--json`
/// each as an object on a line of its own, beside the one of an error.
pub(crate) fn start(verbose: u8, is_json: bool) {
    // A second start, as in tests, changes nothing.
    let _ = tracing::subscriber::set_global_default(subscriber(verbose, is_json, std::io::stderr));
}

fn subscriber<W>(verbose: u8, is_json: bool, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter(verbose))
        .with_writer(writer)
        .with_ansi(false)
        .with_target(false)
        .without_time();
    if is_json {
        let log = log.json().flatten_event(true);
        let log = log.map_event_format(Lines::new);
        Box::new(log.finish())
    } else {
        Box::new(log.map_event_format(Lines::new).finish())
    }
}

/// What the variable says, or else what was typed.
fn filter(verbose: u8) -> EnvFilter {
    let typed = match verbose {
        0 => "warn",
        1 => "qadom=info,qadom_node=info,qadom_http=info,warn",
        _ => "qadom=debug,qadom_node=debug,qadom_http=debug,info",
    };
    EnvFilter::try_from_env(FILTER).unwrap_or_else(|_| EnvFilter::new(typed))
}

/// Lines of another form, each made fit for a log and not too many of them.
#[derive(Debug)]
struct Lines<F> {
    form: F,
    limiter: Mutex<Limiter<tracing::callsite::Identifier>>,
}

impl<F> Lines<F> {
    fn new(form: F) -> Self {
        Self {
            form,
            limiter: Mutex::default(),
        }
    }

    fn verdict(&self, event: &Event<'_>) -> Verdict {
        // Whoever asks for these wants all of them.
        if *event.metadata().level() > Level::INFO {
            return Verdict::Told { left_out: 0 };
        }
        let now = qadom_node::since_start();
        match self.limiter.lock() {
            Ok(mut limiter) => limiter.admit(event.metadata().callsite(), now),
            Err(_) => Verdict::Told { left_out: 0 },
        }
    }
}

impl<S, N, F> FormatEvent<S, N> for Lines<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Verdict::Told { left_out } = self.verdict(event) else {
            return Ok(());
        };
        let mut line = String::new();
        self.form
            .format_event(context, Writer::new(&mut line), event)?;
        let line = harmless(line.trim_end_matches('\n'));
        writer.write_str(&counted(line, left_out))?;
        writer.write_char('\n')
    }
}

/// A line with the number of those before it that were left out, in its own form.
fn counted(line: String, left_out: u64) -> String {
    match line.strip_suffix('}') {
        _ if left_out == 0 => line,
        Some(object) if line.starts_with('{') => format!("{object},\"left_out\":{left_out}}}"),
        _ => format!("{line} (and {left_out} lines like this before)"),
    }
}

/// A line without characters that control a terminal.
fn harmless(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    for character in line.chars() {
        if character.is_control() {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
mod tests;
