//! What helps whoever types: examples, near names, colours where they belong.

use crate::process::{run, run_in};

#[test]
fn the_help_of_each_verb_shows_examples() {
    for verb in [
        "put",
        "get",
        "dict",
        "bag",
        "namespace",
        "topic",
        "watch",
        "file",
        "publications",
        "identity",
        "lookup",
        "ping",
        "join",
        "node",
    ] {
        let help = run(&[verb, "--help"]).code(0);
        let text = help.text();
        assert!(text.contains(&format!("  qadom {verb}")), "{verb}: {text}");
    }
    assert!(run(&["--help"]).code(0).text().contains("qadom demo"));
}

#[test]
fn a_misspelt_verb_or_flag_is_told_with_the_nearest_one() {
    for (line, near) in [
        (&["lokup", "name:x"][..], "lookup"),
        (&["put", "--onec"][..], "--once"),
        (&["dict", "sett", "x"][..], "set"),
    ] {
        let left = run(line).code(2);
        assert!(left.stderr.contains(near), "{line:?}: {}", left.stderr);
    }
}

#[test]
fn what_is_no_terminal_gets_no_colours_unless_they_are_forced() {
    let line = ["get", "no key"];
    let plain = run(&line).code(2);
    assert!(!plain.stderr.contains('\u{1b}'), "{:?}", plain.stderr);
    let forced = run_in(&[("CLICOLOR_FORCE", "1")], &line).code(2);
    assert!(forced.stderr.contains("\u{1b}["), "{:?}", forced.stderr);
    let refused = run_in(&[("NO_COLOR", "1")], &line).code(2);
    assert!(!refused.stderr.contains('\u{1b}'), "{:?}", refused.stderr);
}
