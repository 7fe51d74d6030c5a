//! Runs the binary, and a daemon of it that is killed when the test ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// What a finished process left.
pub(crate) struct Finished {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Finished {
    /// The standard output as text without the last newline.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout)
            .unwrap()
            .trim_end_matches('\n')
    }

    /// Each line of the standard output as an object.
    pub(crate) fn objects(&self) -> Vec<Value> {
        self.text()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The one object of the standard output.
    pub(crate) fn object(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap()
    }

    /// Checks the exit code; shows what was said when it is another one.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            code,
            "stdout: {}\nstderr: {}",
            self.text(),
            self.stderr
        );
        self
    }
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            code: output
                .status
                .code()
                .expect("the process was killed by a signal"),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The binary, without settings from the environment of whoever runs the tests.
fn qadom() -> Command {
    without_settings(env!("CARGO_BIN_EXE_qadom"))
}

fn without_settings(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("QADOM_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs the binary with these arguments and an empty standard input.
pub(crate) fn run(arguments: &[&str]) -> Finished {
    run_with(arguments, b"")
}

/// Runs the binary with these arguments and this standard input.
pub(crate) fn run_with(arguments: &[&str], input: &[u8]) -> Finished {
    let mut child = qadom()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A process that refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(input);
    let id = child.id().to_string();
    let left = spawned(move || child.wait_with_output());
    let Ok(left) = left.recv_timeout(PATIENCE) else {
        // Nobody waited for the process yet: its id is its own.
        let _ = Command::new("kill").args(["-KILL", &id]).status();
        panic!("{arguments:?} does not end");
    };
    left.unwrap().into()
}

/// How long a test waits for what must come before it fails: far longer than anything takes, so
/// that only what never comes is missed.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

/// Does what may block for ever in a thread of its own.
pub(crate) fn spawned<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (sender, receiver) = mpsc::channel();
    // Nobody listens any more when the test gave up.
    thread::spawn(move || sender.send(work()));
    receiver
}

/// Runs the binary with these arguments and these settings in its environment.
pub(crate) fn run_in(environment: &[(&str, &str)], arguments: &[&str]) -> Finished {
    let environment = environment.iter().copied();
    qadom()
        .args(arguments)
        .envs(environment)
        .stdin(Stdio::null())
        .output()
        .unwrap()
        .into()
}

/// A daemon that said that it is ready.
pub(crate) struct Daemon {
    pub(crate) folder: TempDir,
    /// The ready line.
    pub(crate) ready: String,
    process: Killed,
}

/// A process that does not outlive its test.
pub(crate) struct Killed(pub(crate) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Both fail when the process has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Daemon {
    /// Starts a daemon with a folder and a port of its own.
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), flags)
    }

    /// Starts a daemon in a folder that may have been used before.
    pub(crate) fn start_in(folder: TempDir, flags: &[&str]) -> Self {
        let (process, ready) = start(&Self::arguments(&folder, flags));
        Self {
            folder,
            ready,
            process,
        }
    }

    /// What starts a daemon in a folder, on a port of its own unless the flags name one.
    pub(crate) fn arguments<'a>(folder: &'a TempDir, flags: &[&'a str]) -> Vec<&'a str> {
        let path = folder.path().to_str().unwrap();
        let mut arguments = vec!["node", "--data-dir", path];
        if !flags.contains(&"--listen") {
            arguments.extend(["--listen", "127.0.0.1:0"]);
        }
        arguments.extend(flags);
        arguments
    }

    /// The address text in the ready line.
    pub(crate) fn address(&self) -> &str {
        self.ready.split(' ').nth(1).unwrap()
    }

    /// The data folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.process.0.id()
    }

    /// Runs a verb that asks this daemon.
    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        self.run_with(arguments, b"")
    }

    /// Runs a verb that asks this daemon, with a standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &[u8]) -> Finished {
        let path = self.path().to_str().unwrap();
        run_with(&[&["--data-dir", path], arguments].concat(), input)
    }

    /// Sends signals by their names and gives what the daemon left.
    pub(crate) fn signal(mut self, names: &[&str]) -> (Finished, TempDir) {
        let id = self.process.0.id().to_string();
        for name in names {
            // Nobody waited for the process yet: its id is its own, even when it has ended.
            let status = Command::new("kill")
                .args([&format!("-{name}"), &id])
                .status()
                .unwrap();
            assert!(status.success());
        }
        (wait(&mut self.process), self.folder)
    }

    /// Ends the daemon without a word of warning and gives its folder.
    pub(crate) fn kill(self) -> TempDir {
        drop(self.process);
        self.folder
    }

    /// Waits for the end of the daemon.
    pub(crate) fn wait(mut self) -> (Finished, TempDir) {
        (wait(&mut self.process), self.folder)
    }
}

/// Starts a process and waits for nothing.
pub(crate) fn begin(arguments: &[&str]) -> Killed {
    begin_in(&[], arguments)
}

/// Starts a process with these settings in its environment and waits for nothing.
pub(crate) fn begin_in(environment: &[(&str, &str)], arguments: &[&str]) -> Killed {
    let mut command = qadom();
    command.envs(environment.iter().copied()).args(arguments);
    spawn(&mut command)
}

/// Starts the binary by another program, which is given it and its arguments, and waits for nothing.
pub(crate) fn begin_through(program: &[&str], arguments: &[&str]) -> Killed {
    let mut command = without_settings(program[0]);
    command.args(&program[1..]);
    command.arg(env!("CARGO_BIN_EXE_qadom")).args(arguments);
    spawn(&mut command)
}

fn spawn(command: &mut Command) -> Killed {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    Killed(child)
}

/// Starts a process and reads its first line; fails with what it said when it ends before.
pub(crate) fn start(arguments: &[&str]) -> (Killed, String) {
    let mut process = begin(arguments);
    let line = ready_line(&mut process);
    (process, line)
}

/// The first line that a process prints; fails with what it said when it ends before.
pub(crate) fn ready_line(process: &mut Killed) -> String {
    let stdout = process.0.stdout.as_mut().unwrap();
    // The rest of the output stays in the pipe: this reader takes one byte at a time.
    let mut line = String::new();
    BufReader::with_capacity(1, stdout)
        .read_line(&mut line)
        .unwrap();
    if line.is_empty() {
        let left = wait(process);
        panic!("no ready line, exit code {}: {}", left.code, left.stderr);
    }
    line.trim_end().to_owned()
}

/// Waits for the end of a process and takes what it still had to say.
pub(crate) fn wait(process: &mut Killed) -> Finished {
    let mut stderr = String::new();
    process
        .0
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    let mut stdout = Vec::new();
    process
        .0
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut stdout)
        .unwrap();
    let code = process
        .0
        .wait()
        .unwrap()
        .code()
        .expect("the process was killed by a signal");
    Finished {
        code,
        stdout,
        stderr,
    }
}
