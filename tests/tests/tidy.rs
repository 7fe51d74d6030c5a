//! What every source file keeps: its size, its opening, its distance from clocks.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use qadom_tests::{root, rust_files};

/// Code lines a file may have in front of its inline tests, comments and blank lines not counted.
const CODE_LINES: usize = 500;

/// Reads of a clock, which belong into one file of the repository.
const CLOCK_READS: [&str; 2] = ["Instant::now", "SystemTime::now"];

/// The one file that reads clocks.
const CLOCK_FILE: &str = "crates/qadom-node/src/clock.rs";

/// Every source file with its path below the root of the checkout.
fn sources() -> Vec<(PathBuf, String)> {
    let root = root();
    ["crates", "tests"]
        .iter()
        .flat_map(|folder| rust_files(&root.join(folder)))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source file is text");
            let path = path.strip_prefix(&root).expect("it lies below the root");
            (path.to_owned(), text)
        })
        .collect()
}

/// The lines of code in front of the inline tests, comments and blank lines left out.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .map(str::trim_start)
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
}

/// Whether a file belongs to a crate's product rather than to its tests and benches; the path is
/// the one below the root of the checkout, whose own folders say nothing.
fn is_product(path: &Path) -> bool {
    let folders = ["tests", "benches"];
    !path
        .iter()
        .any(|part| folders.iter().any(|folder| part == *folder))
}

#[test]
fn no_file_is_longer_than_can_be_read_at_once() {
    for (path, text) in sources() {
        let lines = code(&text).count();
        assert!(
            lines <= CODE_LINES,
            "{} has {lines} code lines",
            path.display()
        );
    }
}

#[test]
fn every_file_opens_with_what_lives_in_it() {
    for (path, text) in sources() {
        // A crate's page may be its README.
        let is_documented = text.starts_with("//!") || text.starts_with("#![doc = include_str!(");
        assert!(
            is_documented,
            "{} has no module documentation",
            path.display()
        );
    }
}

#[test]
fn clocks_are_read_in_one_file_only() {
    let mut readers = BTreeSet::new();
    for (path, text) in sources() {
        if !is_product(&path) || path.ends_with("tests.rs") {
            continue;
        }
        let reads = |line: &str| CLOCK_READS.iter().any(|read| line.contains(read));
        if code(&text).any(reads) {
            readers.insert(path);
        }
    }
    assert_eq!(readers, BTreeSet::from([PathBuf::from(CLOCK_FILE)]));
}

#[test]
fn no_module_hides_in_a_mod_file() {
    for (path, _) in sources() {
        assert!(
            !path.ends_with("mod.rs"),
            "{} should be named for its noun",
            path.display()
        );
    }
}
