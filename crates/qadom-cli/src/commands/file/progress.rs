//! How far work on a file is: a bar on a terminal, plain lines otherwise, objects with `--json`.

use std::fmt::{self, Write};
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};
use qadom_http::api::{FileEvent, FileProgress};

use crate::output::Output;

/// A plain line is written when this much more is done, in percent.
const LINE_EVERY: u64 = 10;

/// Shows progress, and takes it away when it is dropped.
#[derive(Debug)]
pub(super) struct Progress {
    output: Output,
    /// None where lines or objects are written.
    bar: Option<ProgressBar>,
    /// The phase and the tenth of it that was told last.
    told: (String, u64),
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Progress {
    pub(super) fn new(output: Output) -> Self {
        let is_terminal = std::io::stderr().is_terminal() && !output.is_json();
        Self {
            output,
            bar: is_terminal.then(|| ProgressBar::new_spinner().with_message("finding")),
            told: (String::new(), 0),
        }
    }

    /// Shows the newest state.
    pub(super) fn show(&mut self, progress: &FileProgress) -> anyhow::Result<()> {
        if self.output.is_json() {
            let progress = progress.clone();
            return self.output.object(&FileEvent::<()>::Progress { progress });
        }
        match &self.bar {
            Some(bar) => draw(bar, progress)?,
            None => self.line(progress),
        }
        Ok(())
    }

    /// Writes a line at the beginning of each phase and at each tenth of it.
    fn line(&mut self, progress: &FileProgress) {
        let size = progress.size.unwrap_or(0);
        let percent = (progress.done * 100).checked_div(size).unwrap_or(0);
        let told = (progress.phase.clone(), percent / LINE_EVERY);
        if told == self.told {
            return;
        }
        self.told = told;
        self.output.note(&words(progress));
    }
}

fn draw(bar: &ProgressBar, progress: &FileProgress) -> anyhow::Result<()> {
    let template = match progress.size {
        Some(size) => {
            bar.set_length(size);
            "{bar:30} {percent:>3}% {msg}"
        }
        None => "{spinner} {msg}",
    };
    bar.set_style(ProgressStyle::with_template(template)?);
    bar.set_position(progress.done);
    bar.set_message(words(progress));
    Ok(())
}

/// The state in one line.
fn words(progress: &FileProgress) -> String {
    let FileProgress {
        phase,
        size,
        done,
        rate,
        peers,
        ..
    } = progress;
    let mut words = match size {
        Some(size) => format!("{phase}: {} of {}", HumanBytes(*done), HumanBytes(*size)),
        None if *done > 0 => format!("{phase}: {}", HumanBytes(*done)),
        None => phase.clone(),
    };
    if *rate > 0 {
        write(&mut words, format_args!(", {}/s", HumanBytes(*rate)));
    }
    if *peers > 0 {
        let peers = crate::texts::counted(*peers, "peer", "peers");
        write(&mut words, format_args!(", {peers}"));
    }
    if let Some(left) = size.and_then(|size| size.saturating_sub(*done).checked_div(*rate)) {
        let left = HumanDuration(Duration::from_secs(left));
        write(&mut words, format_args!(", {left} left"));
    }
    words
}

fn write(words: &mut String, more: fmt::Arguments<'_>) {
    // Writing into a string cannot fail.
    let _ = words.write_fmt(more);
}

/// A number of bytes for people.
pub(super) fn bytes_text(bytes: u64) -> String {
    HumanBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_is_known_and_nothing_else() {
        let mut progress = FileProgress {
            phase: "finding".to_owned(),
            id: None,
            size: None,
            done: 0,
            rate: 0,
            peers: 0,
        };
        assert_eq!(words(&progress), "finding");
        progress.phase = "fetching".to_owned();
        (progress.size, progress.done) = (Some(4 << 20), 1 << 20);
        assert_eq!(words(&progress), "fetching: 1.00 MiB of 4.00 MiB");
        (progress.rate, progress.peers) = (1 << 20, 2);
        let all = "fetching: 1.00 MiB of 4.00 MiB, 1.00 MiB/s, 2 peers, 3 seconds left";
        assert_eq!(words(&progress), all);
    }
}
