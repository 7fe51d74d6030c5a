//! Other programs at the gateway, of a daemon that has nothing of the file itself.

use std::fs;
use std::io::Write;
use std::process::Command;

use super::{MIB, add, content, source};
use crate::process::Daemon;

/// Whether a program is installed; says in one line that it is not.
fn is_installed(program: &str) -> bool {
    let is_there = Command::new(program).arg("--version").output().is_ok();
    if !is_there {
        // Past the capture of the tests' output.
        let _ = writeln!(std::io::stderr(), "skipped: {program} is not installed");
    }
    is_there
}

#[test]
fn curl_and_aria2c_get_ranges_that_equal_those_of_the_original() {
    let one = Daemon::start(&[]);
    let bytes = content(9 * MIB + 77, 21);
    let folder = source("film", &bytes);
    let path = folder.path().join("film");
    let id = add(&one, &path, &[]).code(0).text().to_owned();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap().to_string();
    drop(port);
    let two = Daemon::start(&["--join", one.address(), "--gateway", &address]);
    two.run(&["join", one.address()]).code(0);
    let url = format!("http://{address}/files/{id}");

    if is_installed("curl") && is_installed("dd") {
        for (first, length) in [(0, 1), (262_143, 2), (1_000_000, 3_000_000), (9 * MIB, 77)] {
            let range = format!("{first}-{}", first + length - 1);
            let mut curl = Command::new("curl");
            let curl = curl
                .args(["-s", "-f", "-r", &range, &url])
                .output()
                .unwrap();
            assert!(curl.status.success(), "{range}");
            let dd = Command::new("dd")
                .arg(format!("if={}", path.display()))
                .args(["iflag=skip_bytes,count_bytes", "status=none"])
                .args([format!("skip={first}"), format!("count={length}")])
                .output()
                .unwrap();
            assert!(curl.stdout == dd.stdout, "{range}");
        }
    }
    if is_installed("aria2c") {
        let fetched = Command::new("aria2c")
            .args(["-x8", "-s8", "-k1M", "-q", "--file-allocation=none"])
            .args([
                "--no-conf",
                "-d",
                folder.path().to_str().unwrap(),
                "-o",
                "again",
                &url,
            ])
            .status()
            .unwrap();
        assert!(fetched.success());
        assert!(fs::read(folder.path().join("again")).unwrap() == bytes);
    }
    // Nothing of all that is the daemon's own.
    let list = two.run(&["file", "list", "--json"]).code(0).object();
    assert_eq!(list["items"].as_array().unwrap().len(), 0);
}
