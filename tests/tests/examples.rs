//! That every public type of the library crates, and every type of others that they give out, is
//! shown at work: its page has an example, which `cargo test` compiles and runs.

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

/// The names that a crate's page gives out, each with the crate that declares it.
fn exported(page: &str, own: &str) -> BTreeSet<(String, String)> {
    let mut exported = BTreeSet::new();
    for item in page
        .split(';')
        .filter_map(|item| item.rsplit_once("pub use "))
    {
        let Some((module, names)) = item.1.split_once("::") else {
            continue;
        };
        let origin = if module.starts_with("qadom_") {
            module.replace('_', "-")
        } else {
            own.to_owned()
        };
        for name in names.split(|letter: char| !letter.is_alphanumeric() && letter != '_') {
            exported.insert((origin.clone(), name.to_owned()));
        }
    }
    exported
}

#[test]
fn every_public_type_of_the_libraries_has_an_example() {
    let crates = root().join("crates");
    let mut wanted = BTreeSet::new();
    for name in LIBRARIES {
        let page = crates.join(name).join("src/lib.rs");
        let page = fs::read_to_string(page).expect("a crate has a page");
        wanted.extend(exported(&page, name));
    }
    let origins: BTreeSet<&String> = wanted.iter().map(|(origin, _)| origin).collect();
    let (mut found, mut without) = (0, Vec::new());
    for origin in origins {
        for file in rust_files(&crates.join(origin).join("src")) {
            let text = fs::read_to_string(&file).expect("a source file is text");
            for declared in types(&text) {
                if wanted.contains(&(origin.clone(), declared.name.clone())) {
                    found += 1;
                    if !declared.has_example {
                        without.push(format!("{origin}: {}", declared.name));
                    }
                }
            }
        }
    }
    assert!(found > 200, "only {found} types were found");
    assert!(without.is_empty(), "no example: {}", without.join(", "));
}

#[test]
fn the_rust_of_every_crates_page_is_compiled() {
    for folder in fs::read_dir(root().join("crates")).expect("there are crates") {
        let folder = folder.expect("a crate has a folder").path();
        let readme = fs::read_to_string(folder.join("README.md")).expect("a crate has a README");
        if readme.contains("```rust") {
            let page = fs::read_to_string(folder.join("src/lib.rs")).expect("it is a library");
            let is_taken = page.contains("include_str!(\"../README.md\")");
            assert!(is_taken, "{} is not compiled", folder.display());
        }
    }
}
