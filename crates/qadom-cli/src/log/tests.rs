//! What a log looks like, whatever is told.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use super::*;

/// A log in memory.
#[derive(Clone, Debug, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is in the log after some work.
fn log_of(is_json: bool, work: impl FnOnce()) -> String {
    let memory = Memory::default();
    let writer = memory.clone();
    let subscriber = subscriber(1, is_json, move || writer.clone());
    tracing::subscriber::with_default(subscriber, work);
    let log = memory.0.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8(log.clone()).unwrap()
}

#[test]
fn escape_sequences_and_further_lines_of_peers_never_reach_a_log() {
    let evil = "\u{1b}[2J\u{1b}]0;title\u{7}\nERROR forged\r\u{9b}31m";
    for is_json in [false, true] {
        let log = log_of(is_json, || {
            tracing::warn!(peer = evil, shown = %evil, debugged = ?evil, "a peer says {evil}");
        });
        assert!(log.contains("title"), "{log}");
        assert_eq!(log.matches('\n').count(), 1, "{log}");
        let line = log.trim_end();
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}

#[test]
fn a_place_that_says_the_same_again_and_again_does_not_fill_a_log() {
    let log = log_of(false, || {
        for round in 0..1000 {
            tracing::warn!(round, "again");
        }
    });
    let lines = log.lines().count();
    assert!((20..40).contains(&lines), "{lines}");
}

#[test]
fn lines_that_were_left_out_are_counted_in_both_forms() {
    let line = |text: &str, left_out| counted(text.to_owned(), left_out);
    assert_eq!(line("WARN again", 0), "WARN again");
    assert_eq!(
        line("WARN {x}", 5),
        "WARN {x} (and 5 lines like this before)"
    );
    assert_eq!(line(r#"{"level":"WARN"}"#, 0), r#"{"level":"WARN"}"#);
    assert_eq!(
        line(r#"{"level":"WARN"}"#, 5),
        r#"{"level":"WARN","left_out":5}"#
    );
}

#[test]
fn with_json_each_line_is_an_object() {
    let log = log_of(true, || tracing::warn!(count = 7, "seven"));
    let line: serde_json::Value = serde_json::from_str(log.trim_end()).unwrap();
    assert_eq!(
        (&line["message"], &line["count"]),
        (&"seven".into(), &7.into())
    );
    assert_eq!(line["level"], "WARN");
}
