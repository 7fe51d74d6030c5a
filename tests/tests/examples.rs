//! That every public type of the library crates is shown at work: its page has an example, which
//! `cargo test` compiles and runs.

use std::collections::BTreeSet;
use std::fs;

use qadom_tests::{root, rust_files};

/// The crates that are the promise to library users.
const LIBRARIES: [&str; 4] = ["qadom-routing", "qadom-wire", "qadom-store", "qadom-node"];

/// What declares a type that others can name.
const TYPES: [&str; 4] = ["pub struct ", "pub enum ", "pub trait ", "pub union "];

/// A public type that a source declares, and whether its page has an example.
struct Declared {
    name: String,
    has_example: bool,
}

/// The public types of a source, those inside of macros and modules too.
fn types(text: &str) -> Vec<Declared> {
    let mut has_example = false;
    let mut declared = Vec::new();
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("///") {
            has_example |= line.starts_with("/// ```");
        } else if let Some(rest) = TYPES.iter().find_map(|start| line.strip_prefix(start)) {
            let name: String = rest
                .chars()
                .take_while(|&letter| letter.is_alphanumeric() || letter == '_')
                .collect();
            declared.push(Declared { name, has_example });
            has_example = false;
        } else if line.is_empty() || line.ends_with(['{', '}', ';']) {
            has_example = false;
        }
    }
    declared
}

/// What a crate's page gives out of its own modules.
fn exported(page: &str) -> BTreeSet<&str> {
    page.split(';')
        .filter_map(|item| item.rsplit_once("pub use ")?.1.split_once("::"))
        .filter(|(module, _)| !module.starts_with("qadom_"))
        .flat_map(|(_, names)| {
            names.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        })
        .collect()
}

#[test]
fn every_public_type_of_the_libraries_has_an_example() {
    let mut without = Vec::new();
    for name in LIBRARIES {
        let folder = root().join("crates").join(name).join("src");
        let page = fs::read_to_string(folder.join("lib.rs")).expect("a crate has a page");
        let exported = exported(&page);
        let mut count = 0;
        for file in rust_files(&folder) {
            let text = fs::read_to_string(&file).expect("a source file is text");
            for declared in types(&text) {
                if exported.contains(declared.name.as_str()) {
                    count += 1;
                    if !declared.has_example {
                        without.push(format!("{name}: {}", declared.name));
                    }
                }
            }
        }
        assert!(count >= 20, "only {count} types of {name} were found");
    }
    assert!(without.is_empty(), "no example: {}", without.join(", "));
}
