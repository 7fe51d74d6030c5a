//! Which of flag, file and default is in force, and what is said of a file that is wrong.

use clap::Parser;

use super::*;

/// The settings of this command line, with this file in the data folder.
fn settle(line: &[&str], file: &str) -> Result<Settings, Failure> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(FILE), file).unwrap();
    let line = ["qadom", "node"].iter().chain(line).map(OsString::from);
    let line = line.collect::<Vec<_>>();
    let Verb::Node(node) = Arguments::try_parse_from(&line).unwrap().verb else {
        panic!("another verb")
    };
    read(&node, folder.path(), line)
}

/// The problem and the advice, without the folder.
fn problem(file: &str) -> (String, String) {
    let failure = settle(&[], file).unwrap_err();
    let message = failure.to_string();
    let message = message.split_once("qadom.toml").unwrap().1.to_owned();
    (message, failure.advice().unwrap().to_owned())
}

#[test]
fn flags_stand_over_the_file_and_the_file_over_defaults() {
    let file = "network = \"mine\"\nid_bits = 3\nclient = true\n\
                listen = [\"127.0.0.1:1\", \"[::1]:2\"]";
    let node = settle(&["--network", "yours"], file).unwrap().node;
    assert_eq!(node.network.as_deref(), Some("yours"));
    assert_eq!(node.id_bits, Some(3));
    assert!(node.client && !node.local);
    assert_eq!(node.listen.len(), 2);
    let node = settle(&["--listen", "127.0.0.1:7"], file).unwrap().node;
    assert_eq!(node.listen, ["127.0.0.1:7".parse().unwrap()]);
}

#[test]
fn a_wrong_name_is_told_with_its_line_and_the_nearest_one() {
    let (problem, advice) = problem("# the port\n\nlisten = []\nadvertize = \"1.2.3.4:5\"");
    assert_eq!(problem, ", line 4: there is no setting advertize");
    assert_eq!(advice, "did you mean advertise?");
}

#[test]
fn a_flag_that_is_no_setting_is_none_in_the_file() {
    assert!(
        problem("print_config = true")
            .0
            .contains("there is no setting")
    );
    assert!(problem("help = true").0.contains("there is no setting"));
}

#[test]
fn a_wrong_value_is_told_with_its_line_as_the_flag_tells_it() {
    let (problem, _) = problem("network = \"a\"\nid_bits = 99");
    assert!(
        problem.starts_with(", line 2: invalid value '99'"),
        "{problem}"
    );
}

#[test]
fn what_is_no_text_number_or_list_is_refused() {
    assert!(problem("[network]\nname = 1").0.contains("takes no table"));
    assert!(problem("network = [\"a\"]").0.contains("takes no table"));
    assert!(
        problem("client = \"yes\"")
            .0
            .contains("takes true or false")
    );
    assert!(problem("network = ").0.starts_with(", line 1: "));
}

#[test]
fn what_is_printed_is_a_file_with_the_same_settings() {
    let file = "network = \"mine\"\nclient = true\nlisten = [\"127.0.0.1:1\"]";
    let printed = settle(&["--id-bits", "5"], file).unwrap().print();
    for line in [
        "network = \"mine\"",
        "client = true",
        "listen = [\"127.0.0.1:1\"]",
        "id_bits = 5",
        "# advertise =",
    ] {
        assert!(
            printed.lines().any(|printed| printed == line),
            "{line} in\n{printed}"
        );
    }
    assert_eq!(settle(&[], &printed).unwrap().print(), printed);
}

#[test]
fn a_named_file_has_to_exist() {
    let failure = settle(&["--config", "/nowhere/qadom.toml"], "").unwrap_err();
    assert!(
        failure.to_string().contains("cannot read the settings"),
        "{failure}"
    );
}
