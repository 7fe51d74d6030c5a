//! kill -9 at random moments: what was told as verified is never asked for again, and what is taken
//! for verified is right.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use qadom_files::{ChunkIndex, Tree};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::*;

const FOLDER: &str = "QADOM_KILL_FOLDER";

/// Chunks of the file.
const CHUNKS: usize = 160;

/// `QADOM_KILL_ROUNDS=500 QADOM_KILL_SEED=7 cargo test -p qadom-files --test folder kill` for more.
#[test]
fn killed_downloads_lose_no_verified_chunk() {
    let setting = |name, default| {
        std::env::var(name).map_or(default, |text| text.parse::<u64>().expect("a number"))
    };
    let (rounds, seed) = (
        setting("QADOM_KILL_ROUNDS", 20),
        setting("QADOM_KILL_SEED", 1),
    );
    println!("QADOM_KILL_ROUNDS={rounds} QADOM_KILL_SEED={seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let content = content(CHUNKS * CHUNK - 77);
    let id = FileId::of(&content);
    let mut temporary = tempfile::tempdir().expect("a folder");
    for round in 0..rounds {
        let mut known = open(temporary.path())
            .partial(&id)
            .map_or(0, |partial| partial.have().len());
        if known + 20 > CHUNKS as u64 {
            temporary = tempfile::tempdir().expect("a folder");
            known = 0;
        }
        let told = run_and_kill(temporary.path(), random.next_u64() % 20);
        let folder = open(temporary.path());
        let Some(partial) = folder.partial(&id) else {
            assert!(told.is_empty(), "round {round} lost all");
            continue;
        };
        let have = partial.have();
        assert!(have.len() >= known, "round {round}");
        let lost: Vec<_> = told
            .iter()
            .filter(|chunk| !have.contains(**chunk))
            .collect();
        assert!(lost.is_empty(), "round {round} lost {lost:?}");
        let mut bytes = Vec::new();
        for chunk in have.iter() {
            let read = partial.read(chunk, &mut bytes).expect("the disk works");
            assert!(read.is_some(), "round {round}: chunk {chunk} is wrong");
            assert_eq!(bytes, chunk_of(&content, chunk));
        }
    }
    // The last one is ended by a process that lives.
    let folder = open(temporary.path());
    let partial = folder
        .download(&id, content.len() as u64, None)
        .expect("it goes on");
    let tree = Tree::of(&content);
    for chunk in 0..tree.layout().chunks() {
        let proof = tree
            .proof(ChunkIndex::Data(chunk))
            .expect("the file has it");
        partial
            .write(chunk, chunk_of(&content, chunk), &proof)
            .expect("it verifies");
    }
    folder.finish(&partial, "", None).expect("all is there");
    check_served(&folder, &content);
}

/// Lets a process download until it has told of so many chunks, then kills it; what it told.
fn run_and_kill(root: &Path, after: u64) -> Vec<u64> {
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "kill::child", "--nocapture"])
        .env(FOLDER, root)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut told = Vec::new();
    for line in lines {
        let line = line.expect("its output is text");
        if let Some(chunk) = line.strip_prefix("verified ") {
            told.push(chunk.parse().expect("a chunk"));
        }
        // Killed as soon as enough was told, it is in the middle of a later chunk.
        if told.len() as u64 > after {
            child.kill().expect("it is there");
        }
    }
    child.wait().expect("it ends");
    told
}

/// Not a test of its own: the process that is killed.
#[test]
fn child() {
    let Some(root) = std::env::var_os(FOLDER) else {
        return;
    };
    let content = content(CHUNKS * CHUNK - 77);
    let tree = Tree::of(&content);
    let folder = open(Path::new(&root));
    let partial = folder
        .download(&tree.id(), content.len() as u64, None)
        .expect("it begins");
    let have = partial.have();
    for step in 0..CHUNKS as u64 {
        let chunk = step * 37 % CHUNKS as u64;
        if have.contains(chunk) {
            continue;
        }
        let proof = tree
            .proof(ChunkIndex::Data(chunk))
            .expect("the file has it");
        partial
            .write(chunk, chunk_of(&content, chunk), &proof)
            .expect("it verifies");
        println!("verified {chunk}");
    }
}
