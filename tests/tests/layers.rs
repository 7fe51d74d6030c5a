//! The arrows between the crates, and what each crate may not know.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::iter;
use std::process::Command;

use qadom_tests::root;
use toml::{Table, Value};

/// Each crate with the crates of ours that it may build on.
const ARROWS: [(&str, &[&str]); 10] = [
    ("qadom-routing", &[]),
    ("qadom-wire", &["qadom-routing"]),
    ("qadom-store", &["qadom-routing"]),
    ("qadom-transport", &[]),
    ("qadom-files", &[]),
    (
        "qadom-engine",
        &["qadom-routing", "qadom-store", "qadom-wire"],
    ),
    (
        "qadom-node",
        &[
            "qadom-engine",
            "qadom-files",
            "qadom-routing",
            "qadom-store",
            "qadom-transport",
            "qadom-wire",
        ],
    ),
    (
        "qadom-sim",
        &[
            "qadom-engine",
            "qadom-files",
            "qadom-routing",
            "qadom-store",
            "qadom-transport",
            "qadom-wire",
        ],
    ),
    ("qadom-http", &["qadom-node"]),
    ("qadom-cli", &["qadom-http", "qadom-node", "qadom-sim"]),
];

/// Third parties that a crate's own manifest may not name.
const FORBIDDEN: [(&str, &[&str]); 10] = [
    (
        "qadom-routing",
        &["tokio", "tracing", "prost", "sled", "snow"],
    ),
    ("qadom-wire", &["tokio", "sled", "tracing", "snow"]),
    ("qadom-store", &["prost", "tokio", "tracing"]),
    ("qadom-transport", &["prost", "sled"]),
    (
        "qadom-files",
        &["prost", "quinn", "sled", "socket2", "tokio", "tracing"],
    ),
    (
        "qadom-engine",
        &["tokio", "sled", "tracing", "prost", "rand", "snow"],
    ),
    (
        "qadom-node",
        &["clap", "axum", "hyper", "sled", "prost", "snow"],
    ),
    ("qadom-sim", &["tokio", "sled", "tracing"]),
    ("qadom-http", &["clap", "sled", "prost"]),
    ("qadom-cli", &["sled", "prost", "snow", "axum", "hyper"]),
];

/// The packages that a crate's product is built with, by their own names; none when there is no
/// such crate.
fn dependencies(package: &str) -> Option<BTreeSet<String>> {
    let path = root().join("crates").join(package).join("Cargo.toml");
    let manifest = parse(&fs::read_to_string(path).ok()?);
    let shared = fs::read_to_string(root().join("Cargo.toml")).expect("the root has a manifest");
    let shared = parse(&shared)
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies")?.as_table().cloned());
    Some(named(&manifest, &shared.unwrap_or_default()))
}

fn parse(manifest: &str) -> Table {
    manifest.parse().expect("a manifest is TOML")
}

/// The packages in every table of a manifest but that of the tests: for the product and its build
/// script, everywhere or on some targets. A renamed package counts under its own name, also when
/// the workspace renames it.
fn named(manifest: &Table, shared: &Table) -> BTreeSet<String> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let targets = targets
        .into_iter()
        .flat_map(Table::values)
        .filter_map(Value::as_table);
    let entries = iter::once(manifest)
        .chain(targets)
        .flat_map(|table| ["dependencies", "build-dependencies"].map(|name| table.get(name)))
        .flatten()
        .filter_map(Value::as_table)
        .flatten();
    entries
        .map(|(key, entry)| {
            let package = |entry: &Value| Some(entry.get("package")?.as_str()?.to_owned());
            package(entry)
                .or_else(|| package(shared.get(key)?))
                .unwrap_or_else(|| key.clone())
        })
        .collect()
}

#[test]
fn no_table_and_no_other_name_hides_a_dependency() {
    let manifest = parse(
        r#"
        [dependencies]
        plain = "1"
        renamed = { version = "1", package = "direct" }
        shared = { workspace = true }
        [build-dependencies]
        script = "1"
        [target.'cfg(unix)'.dependencies]
        unix = "1"
        [target.'cfg(unix)'.build-dependencies.table]
        package = "unix-script"
        [dev-dependencies]
        test = "1"
        "#,
    );
    let shared = parse(r#"shared = { version = "1", package = "indirect" }"#);
    let expected = [
        "plain",
        "direct",
        "indirect",
        "script",
        "unix",
        "unix-script",
    ];
    let expected = expected.map(str::to_owned);
    assert_eq!(named(&manifest, &shared), BTreeSet::from(expected));
}

#[test]
fn every_crate_is_drawn() {
    let drawn: BTreeSet<&str> = ARROWS.iter().map(|(package, _)| *package).collect();
    for entry in fs::read_dir(root().join("crates")).expect("the crates are there") {
        let name = entry.expect("an entry is readable").file_name();
        let name = name.to_str().expect("a crate's name is text").to_owned();
        assert!(
            drawn.contains(name.as_str()),
            "{name} has no place among the arrows"
        );
    }
}

#[test]
fn no_arrow_points_where_it_may_not() {
    for (package, allowed) in ARROWS {
        for dependency in dependencies(package).unwrap_or_default() {
            assert!(
                !dependency.starts_with("qadom-") || allowed.contains(&dependency.as_str()),
                "{package} may not build on {dependency}"
            );
        }
    }
}

#[test]
fn no_crate_names_a_third_party_that_it_may_not_know() {
    for (package, forbidden) in FORBIDDEN {
        let dependencies = dependencies(package).expect("the crate is there");
        for name in forbidden {
            assert!(
                !dependencies.contains(*name),
                "{package} may not know {name}"
            );
        }
    }
}

#[test]
fn the_pure_crates_reach_no_runtime_and_no_engine_of_a_store() {
    for package in [
        "qadom-routing",
        "qadom-wire",
        "qadom-engine",
        "qadom-files",
        "qadom-sim",
    ] {
        let output = Command::new(env!("CARGO"))
            .args([
                "tree",
                "--offline",
                "--edges",
                "normal",
                "--prefix",
                "none",
                "--package",
                package,
            ])
            .current_dir(root())
            .output()
            .expect("cargo runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let tree = String::from_utf8_lossy(&output.stdout).into_owned();
        for line in tree.lines() {
            let name = line.split_whitespace().next().unwrap_or_default();
            let is_foreign =
                ["sled", "redb", "tokio", "quinn", "quinn-udp", "socket2"].contains(&name);
            assert!(!is_foreign, "{package} reaches {name}");
        }
    }
}

#[test]
fn only_one_file_names_sled() {
    let naming: Vec<_> = qadom_tests::rust_files(&root().join("crates"))
        .into_iter()
        .filter(|path| path.components().any(|part| part.as_os_str() == "src"))
        .filter(|path| {
            let text = fs::read_to_string(path).expect("a source file is text");
            text.lines()
                .any(|line| !line.trim_start().starts_with("//") && line.contains("sled::"))
        })
        .collect();
    let names: BTreeSet<_> = naming
        .iter()
        .filter_map(|path| path.file_name()?.to_str())
        .collect();
    assert_eq!(naming.len(), 1, "sled stands in {names:?}");
}
