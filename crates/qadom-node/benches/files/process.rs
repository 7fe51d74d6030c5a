//! The processes of the bench: this program again, in a role, told what to do line by line.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use crate::quic::Datagrams;
use crate::{copy, nodes};

/// The setting that names the role of a process.
pub(crate) const ROLE: &str = "QADOM_BENCH_ROLE";
/// Ticks of the CPU times in `/proc`, per second.
const TICKS: f64 = 100.0;

/// What a process spent from `go` to its end.
pub(crate) struct Cost {
    /// Seconds.
    pub(crate) cpu: f64,
    pub(crate) peak_mib: f64,
}

/// A process in a role.
pub(crate) struct Child {
    process: std::process::Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Child {
    pub(crate) fn start(role: &str, arguments: &[&str]) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .env(ROLE, role)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: process.stdin.take().unwrap(),
            output: BufReader::new(process.stdout.take().unwrap()),
            process,
        }
    }

    /// The next line that it says.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Lets it begin: what it spends counts from here on.
    pub(crate) fn go(&mut self) {
        writeln!(self.input, "go").unwrap();
        assert_eq!(self.line(), "going");
    }

    /// Lets it end, and tells what it spent.
    pub(crate) fn end(mut self) -> Cost {
        writeln!(self.input, "end").unwrap();
        let spent = self.line();
        let (cpu, peak) = spent.split_once(' ').unwrap();
        let cost = Cost {
            cpu: cpu.parse().unwrap(),
            peak_mib: peak.parse::<f64>().unwrap() / 1024.0,
        };
        drop(self.input);
        self.process.wait().unwrap();
        cost
    }
}

/// What this process does in a role.
pub(crate) fn play(role: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    runtime.block_on(async move {
        match (role, arguments.as_slice()) {
            ("nodes-give", [source, folder]) => nodes::give(source, folder).await,
            ("nodes-take", [offer, target, folder]) => nodes::take(offer, target, folder).await,
            ("copy-give", [source, _]) => copy::give(source, Datagrams::Long).await,
            ("copy-take", [offer, target, _]) => {
                copy::take(offer, target, Datagrams::Long).await;
            }
            ("short-give", [source, _]) => copy::give(source, Datagrams::OfEthernet).await,
            ("short-take", [offer, target, _]) => {
                copy::take(offer, target, Datagrams::OfEthernet).await;
            }
            _ => unreachable!("no such role: {role} {arguments:?}"),
        }
    });
}

/// Tells the parent something.
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// Waits until the parent says `go`; gives the CPU seconds that were spent before.
pub(crate) fn await_go() -> f64 {
    await_line("go");
    // The highest memory is counted anew.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let spent = cpu_seconds();
    say("going");
    spent
}

/// Waits until the parent says `end`, and tells what was spent.
pub(crate) fn await_end(before: f64) {
    await_line("end");
    say(&format!("{} {}", cpu_seconds() - before, peak_kib()));
}

fn await_line(expected: &str) {
    let mut line = String::new();
    tokio::task::block_in_place(|| std::io::stdin().lock().read_line(&mut line)).unwrap();
    assert_eq!(line.trim_end(), expected);
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    // The times in user mode and in the kernel are fields 14 and 15, the name is the second.
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks: f64 = times.map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    ticks / TICKS
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
