//! What a service manager is told.

use std::os::unix::net::UnixDatagram;
use std::process::Command;

use crate::process::{Daemon, PATIENCE, begin_in, wait};

#[test]
fn a_service_manager_learns_of_the_start_the_life_and_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let next = |word: &str| {
        let mut buffer = [0; 4096];
        loop {
            let length = manager.recv(&mut buffer).unwrap();
            let said = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if said.lines().any(|line| line == word) {
                return said;
            }
        }
    };
    let data = tempfile::tempdir().unwrap();
    let environment = [
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "20000"),
    ];
    let line = Daemon::arguments(&data, &["--memory"]);
    let mut process = begin_in(&environment, &line);
    assert!(next("READY=1").contains("STATUS=listening as qadom:"));
    assert!(next("WATCHDOG=1").contains("STATUS=healthy"));
    next("WATCHDOG=1");
    let id = process.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    next("STOPPING=1");
    wait(&mut process).code(0);
}
