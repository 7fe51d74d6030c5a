//! The checkout as the tests across crates see it: its root, its crates, its source files.

#![expect(
    clippy::panic,
    reason = "a test whose checkout cannot be read has failed"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the checkout.
///
/// # Panics
///
/// When the checkout is no longer where it was built.
pub fn root() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    path.canonicalize()
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()))
}

/// Every Rust file below a folder, in a fixed order, build output left out.
///
/// # Panics
///
/// When a folder of the checkout cannot be read.
pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{} cannot be read: {error}", folder.display()));
        for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The Rust blocks of the README and of the book, compiled and run with the other examples.
#[cfg(doctest)]
mod book {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../docs/views.md")]
    struct Views;
}
