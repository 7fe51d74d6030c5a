//! Many daemons, each a process of its own: what one stores every other finds, also after some of
//! them were killed without warning.
//!
//! `QADOM_DAEMONS=50 cargo test --release -p qadom-cli --test cli fleet` is the large round.

use crate::process::Daemon;

/// Storing daemons of the normal suite. They are fewer than the copies of a value, so each of them
/// holds every value.
const DAEMONS: usize = 8;

/// Client daemons, which hold nothing for others: what they find comes over the network.
const CLIENTS: usize = 2;

/// Puts one value on each daemon and gives the keys.
fn put_everywhere(daemons: &[Daemon]) -> Vec<String> {
    let put = |(index, daemon): (usize, &Daemon)| {
        let value = format!("value {index}");
        daemon
            .run_with(&["put"], value.as_bytes())
            .code(0)
            .text()
            .to_owned()
    };
    daemons.iter().enumerate().map(put).collect()
}

/// Reads every value from every daemon that did not write it; gives the number of reads.
fn read_everywhere(daemons: &[Daemon], keys: &[String], first_index: usize) -> usize {
    let mut reads = 0;
    for (reader, daemon) in daemons.iter().enumerate() {
        for (writer, key) in keys.iter().enumerate() {
            if writer != reader + first_index {
                let value = daemon.run(&["get", key]).code(0).stdout;
                assert_eq!(value, format!("value {writer}").into_bytes());
                reads += 1;
            }
        }
    }
    reads
}

/// Reads every value from every client; gives the number of reads.
fn read_over_the_network(clients: &[Daemon], keys: &[String]) -> usize {
    for client in clients {
        for (writer, key) in keys.iter().enumerate() {
            let fetched = client.run(&["get", key, "--json"]).code(0).object();
            let value = format!("value {writer}");
            let value = data_encoding::BASE64.encode(value.as_bytes());
            assert_eq!(fetched["value_base64"], value);
            assert_ne!(fetched["source"], "local", "a client held value {writer}");
        }
    }
    clients.len() * keys.len()
}

#[test]
fn what_one_daemon_stores_every_other_finds_also_after_a_third_was_killed() {
    let count = std::env::var("QADOM_DAEMONS").ok();
    let count = count.map_or(DAEMONS, |count| {
        count.parse().expect("QADOM_DAEMONS is a number")
    });
    let mut daemons: Vec<Daemon> = (0..count).map(|_| Daemon::start(&[])).collect();
    let address = daemons[0].address().to_owned();
    let clients: Vec<Daemon> = (0..CLIENTS).map(|_| Daemon::start(&["--client"])).collect();
    for daemon in daemons[1..].iter().chain(&clients) {
        daemon.run(&["join", &address]).code(0);
    }

    let keys = put_everywhere(&daemons);
    let reads = read_everywhere(&daemons, &keys, 0) + read_over_the_network(&clients, &keys);
    println!("{reads} of {reads} reads found their value on {count} daemons");

    // A daemon that is dropped is killed with SIGKILL; the first ones go, the bootstrap among them.
    let killed = count * 3 / 10;
    daemons.drain(..killed);
    let reads = read_everywhere(&daemons, &keys, killed) + read_over_the_network(&clients, &keys);
    println!("{reads} of {reads} reads found their value after {killed} daemons were killed");
}
