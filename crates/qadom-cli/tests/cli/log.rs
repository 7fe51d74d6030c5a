//! What a daemon tells while it runs, for those who ask for it.

use std::net::UdpSocket;
use std::process::Command;

use crate::process::{Daemon, begin_in, ready_line, run, wait};

/// The value of a field of a line.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let mut fields = line.split(' ').filter_map(|word| word.split_once('='));
    let field = fields.find(|(other, _)| *other == name);
    field.unwrap_or_else(|| panic!("no {name} in {line}")).1
}

#[test]
fn at_debug_each_datagram_is_told_with_its_peer_its_kind_and_whether_it_was_answered() {
    let one = Daemon::start(&["--memory"]);
    let one_id = one.run(&["status", "--json"]).code(0).object()["node"].clone();
    let one_id = one_id.as_str().unwrap();
    let three = Daemon::start(&["--memory"]);
    let gone = three.address().to_owned();
    drop(three);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let line = Daemon::arguments(&folder, &["--memory"]);
    let mut two = begin_in(&[("QADOM_LOG", "qadom_node::datagrams=debug")], &line);
    ready_line(&mut two);
    run(&["--data-dir", path, "join", one.address()]).code(0);
    run(&["--data-dir", path, "ping", one_id]).code(0);
    // Bound and never read: nothing is refused, and nothing answers.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent_at = silent.local_addr().unwrap().to_string();
    let (key, _) = gone.split_once('@').unwrap();
    run(&["--data-dir", path, "ping", &format!("{key}@{silent_at}")]).code(1);
    let id = two.0.id().to_string();
    let asked = Command::new("kill").args(["-TERM", &id]).status();
    assert!(asked.unwrap().success());
    let said = wait(&mut two).code(0).stderr;
    assert!(!said.contains(|character: char| character.is_control() && character != '\n'));
    let lines = said.lines().collect::<Vec<_>>();
    let with = |what: &str| {
        let mut lines = lines.iter().filter(move |line| line.contains(what));
        lines
            .next()
            .unwrap_or_else(|| panic!("nothing says {what:?}: {said}"))
    };
    for what in ["datagram goes", "datagram came"] {
        assert!(field(with(what), "address").starts_with("127.0.0.1:"));
        assert!(field(with(what), "bytes").parse::<usize>().unwrap() >= 24);
    }
    assert!(
        said.contains("packet=\"init\"") && said.contains("packet=\"data\""),
        "{said}"
    );
    let mut pings = lines.iter().filter(|line| {
        line.contains("request goes") && line.contains("kind=\"ping\"") && line.contains(one_id)
    });
    let is_answered = |ping: &&&str| {
        let id = field(ping, "id");
        let answered = format!("answered id={id} peer={one_id} kind=\"pong\"");
        lines.iter().any(|line| line.contains(&answered))
    };
    assert!(pings.any(|ping| is_answered(&ping)), "{said}");
    let lost = with("not answered");
    field(lost, "id").parse::<u64>().unwrap();
    assert_eq!(field(lost, "peer").len(), one_id.len());
    assert_ne!(field(lost, "peer"), one_id);
    assert_eq!(field(lost, "reason"), "Timeout");
}
