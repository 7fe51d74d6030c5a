//! What a process did to its files, read from the tape that `strace` made of its system calls.
//!
//! What must stay true: a call stands where it ended, because only then its effect is sure, but an
//! acknowledgement stands where it began, because from then on it may have been heard; a call that
//! is not known here and changes files fails the test instead of being left out. What a cut of the
//! power does is not known here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The calls that change files, or where in a file the next write goes.
const CALLS: &str = "openat,creat,open,link,linkat,symlink,mknod,read,write,writev,pwrite64,pwritev,\
                     pwritev2,lseek,ftruncate,truncate,fallocate,rename,renameat,renameat2,unlink,\
                     unlinkat,mkdir,mkdirat,rmdir,fsync,fdatasync,sync,syncfs,copy_file_range,\
                     sendfile,mmap";

/// One thing that a process did; paths are absolute.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Create(PathBuf),
    MakeFolder(PathBuf),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
    /// From this place in the file on, these bytes.
    Write(PathBuf, usize, Vec<u8>),
    SetLength(PathBuf, usize),
    /// Makes durable what had ended when it began.
    Sync(PathBuf),
    /// The process said that it has acknowledged so much.
    Acknowledge(u64),
}

/// An act with the lines of the tape at which it began and ended.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub began: usize,
    pub ended: usize,
    pub act: Act,
}

/// Runs `command` under `strace` and gives what it did below `root`; none where processes cannot be
/// traced.
pub(crate) fn record(command: &mut Command, root: &Path) -> Option<Vec<Step>> {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("tape");
    let mut tracer = Command::new("strace");
    tracer
        .args(["-f", "-y", "-xx", "-s", "100000000", "-o"])
        .arg(&file)
        .args(["-e", &format!("trace={CALLS}"), "-e", "signal=none"])
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        tracer.env(name, value.unwrap());
    }
    let output = match tracer.output() {
        Ok(output) => output,
        Err(error) => {
            println!("skipped: the calls of a process are recorded with strace: {error}");
            return None;
        }
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("PTRACE") || errors.contains("ptrace") {
        println!("skipped: strace may not trace here: {errors}");
        return None;
    }
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{errors}");
    let text = std::fs::read_to_string(&file).unwrap();
    Some(read(&text, root))
}

/// A whole call, joined when others came in between.
struct Call<'a> {
    began: usize,
    ended: usize,
    text: std::borrow::Cow<'a, str>,
}

fn calls(text: &str) -> Vec<Call<'_>> {
    let mut unfinished: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    let mut calls = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let (process, line) = line.split_once(' ').unwrap();
        let line = line.trim_start();
        if let Some(start) = line.strip_suffix("<unfinished ...>") {
            unfinished.insert(process, (number, start.trim_end()));
        } else if line.starts_with("<... ") {
            let (_, rest) = line.split_once(" resumed>").unwrap();
            let (began, start) = unfinished.remove(process).unwrap();
            calls.push(Call {
                began,
                ended: number,
                text: format!("{start}{rest}").into(),
            });
        } else if !line.starts_with("+++") && !line.starts_with("---") {
            calls.push(Call {
                began: number,
                ended: number,
                text: line.into(),
            });
        }
    }
    calls
}

fn read(text: &str, root: &Path) -> Vec<Step> {
    let mut reader = Reader {
        root,
        places: BTreeMap::new(),
        lengths: BTreeMap::new(),
        steps: Vec::new(),
    };
    for call in calls(text) {
        reader.take(&call);
    }
    let mut steps = reader.steps;
    steps.sort_by_key(|step| match step.act {
        Act::Acknowledge(_) => (step.began, 0),
        _ => (step.ended, 1),
    });
    steps
}

struct Reader<'a> {
    root: &'a Path,
    /// Where the next write of an open file goes, by what the tape calls it.
    places: BTreeMap<String, usize>,
    lengths: BTreeMap<PathBuf, usize>,
    steps: Vec<Step>,
}

impl Reader<'_> {
    fn take(&mut self, call: &Call<'_>) {
        let (name, rest) = call.text.split_once('(').unwrap();
        let (arguments, result) = rest.rsplit_once(" = ").unwrap();
        let arguments = arguments.trim_end().strip_suffix(')').unwrap();
        let arguments: Vec<&str> = arguments.split(", ").collect();
        let Ok(count) = number_of(result) else {
            // It failed, so nothing changed.
            return;
        };
        let acts = match name {
            "openat" => self.open(&arguments, result),
            "mkdir" => vec![Act::MakeFolder(path_in("", arguments[0]))],
            "mkdirat" => vec![Act::MakeFolder(path_in(arguments[0], arguments[1]))],
            "unlink" | "rmdir" => vec![Act::Remove(path_in("", arguments[0]))],
            "unlinkat" => vec![Act::Remove(path_in(arguments[0], arguments[1]))],
            "rename" => vec![Act::Rename(
                path_in("", arguments[0]),
                path_in("", arguments[1]),
            )],
            "renameat" | "renameat2" => vec![Act::Rename(
                path_in(arguments[0], arguments[1]),
                path_in(arguments[2], arguments[3]),
            )],
            "fsync" | "fdatasync" => vec![Act::Sync(path_of(arguments[0]))],
            "ftruncate" => {
                let length = number_of(arguments[1]).unwrap();
                vec![Act::SetLength(path_of(arguments[0]), length)]
            }
            "pwrite64" => {
                let mut bytes = bytes_of(arguments[1]);
                bytes.truncate(count);
                let offset = number_of(arguments[3]).unwrap();
                vec![Act::Write(path_of(arguments[0]), offset, bytes)]
            }
            "write" => self.write(&arguments, count),
            "read" => {
                *self.places.entry(arguments[0].to_owned()).or_default() += count;
                vec![]
            }
            "lseek" => {
                self.places.insert(arguments[0].to_owned(), count);
                vec![]
            }
            // What is mapped is only read; a file that is written so would be shared.
            "mmap" => {
                let is_shared =
                    arguments[3].contains("MAP_SHARED") && arguments[2].contains("WRITE");
                assert!(
                    !is_shared || !self.is_ours(&path_of(arguments[4])),
                    "{}",
                    call.text
                );
                vec![]
            }
            _ => {
                let root = self.root.to_str().unwrap();
                assert!(
                    !call.text.contains(&hex(root)),
                    "an unknown call: {}",
                    call.text
                );
                vec![]
            }
        };
        for act in acts {
            self.note(call, act);
        }
    }

    fn note(&mut self, call: &Call<'_>, act: Act) {
        let is_ours = match &act {
            Act::Acknowledge(_) => true,
            Act::Create(path)
            | Act::MakeFolder(path)
            | Act::Remove(path)
            | Act::Rename(path, _)
            | Act::Write(path, ..)
            | Act::SetLength(path, _)
            | Act::Sync(path) => self.is_ours(path),
        };
        if !is_ours {
            return;
        }
        match &act {
            Act::Write(path, offset, bytes) => {
                let length = self.lengths.entry(path.clone()).or_default();
                *length = (*length).max(offset + bytes.len());
            }
            Act::SetLength(path, length) => drop(self.lengths.insert(path.clone(), *length)),
            _ => {}
        }
        self.steps.push(Step {
            began: call.began,
            ended: call.ended,
            act,
        });
    }

    fn is_ours(&self, path: &Path) -> bool {
        path.starts_with(self.root)
    }

    fn open(&mut self, arguments: &[&str], result: &str) -> Vec<Act> {
        let path = path_in(arguments[0], arguments[1]);
        let flags = arguments[2];
        let open = result.trim();
        let place = if flags.contains("O_APPEND") {
            self.lengths.get(&path).copied().unwrap_or(0)
        } else {
            0
        };
        self.places.insert(open.to_owned(), place);
        let mut acts = Vec::new();
        // A file without a name leaves nothing behind.
        if flags.contains("O_TMPFILE") {
            return acts;
        }
        if flags.contains("O_CREAT") {
            acts.push(Act::Create(path.clone()));
        }
        if flags.contains("O_TRUNC") {
            acts.push(Act::SetLength(path, 0));
        }
        acts
    }

    fn write(&mut self, arguments: &[&str], count: usize) -> Vec<Act> {
        let mut bytes = bytes_of(arguments[1]);
        bytes.truncate(count);
        if arguments[0].starts_with("1<") {
            let text = String::from_utf8_lossy(&bytes);
            let said = text
                .lines()
                .filter_map(|line| line.split_once("acknowledged "));
            return said
                .map(|(_, number)| Act::Acknowledge(number.trim().parse().unwrap()))
                .collect();
        }
        let place = self.places.entry(arguments[0].to_owned()).or_default();
        let offset = *place;
        *place += count;
        vec![Act::Write(path_of(arguments[0]), offset, bytes)]
    }
}

/// The number that a text begins with.
fn number_of(text: &str) -> Result<usize, std::num::ParseIntError> {
    let digits = text
        .trim()
        .split(|sign: char| !sign.is_ascii_digit())
        .next();
    digits.unwrap_or_default().parse()
}

/// The path of an open file, as in `5</path>`.
fn path_of(open: &str) -> PathBuf {
    let path = open
        .split_once('<')
        .and_then(|(_, path)| path.strip_suffix('>'));
    PathBuf::from(String::from_utf8(unescape(path.unwrap_or_default())).unwrap())
}

/// A path as it was named, from the folder it is in.
fn path_in(folder: &str, name: &str) -> PathBuf {
    let name = String::from_utf8(bytes_of(name)).unwrap();
    match folder {
        "" => PathBuf::from(name),
        folder => path_of(folder).join(name),
    }
}

/// The bytes of a string on the tape, as in `"\x61"`.
fn bytes_of(text: &str) -> Vec<u8> {
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    unescape(inner.unwrap_or_else(|| panic!("{text} is cut short")))
}

fn unescape(text: &str) -> Vec<u8> {
    if !text.starts_with('\\') {
        return text.as_bytes().to_vec();
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap().to_le_bytes()[0];
    let bytes = text.as_bytes().chunks_exact(4);
    bytes
        .map(|byte| digit(byte[2]) << 4 | digit(byte[3]))
        .collect()
}

/// As the tape writes a text.
fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut line, byte| {
        let _ = write!(line, "\\x{byte:02x}");
        line
    })
}
