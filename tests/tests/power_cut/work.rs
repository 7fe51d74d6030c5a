//! What a process does whose power is cut, what it acknowledges by number, and what must be there
//! afterwards.
//!
//! What must stay true: an acknowledgement is said only when the code under test has returned.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::Arc;

use qadom_node::{Blocked, Durability, Node, ReadFrom};
use qadom_routing::Key;
use qadom_store::{
    Class, Columns, Entry, EntryId, Options, Quarantine, Replaced, Store, StoreEngine, export,
    import_folder, open, open_or_set_aside,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Groups of changes that a store commits.
const GROUPS: u64 = 16;
const NAMES: u64 = 12;
/// Things that a node acknowledges, on both sides of a restart.
const FIRST_RUN: u64 = 8;
const SECOND_RUN: u64 = 16;
/// A file that a data folder may have and the node does not touch.
const ID: &str = "daemon.log";

/// One of the works.
pub(crate) struct Work {
    pub(crate) name: &'static str,
    run: fn(&Path),
    check: fn(&Path, u64),
}

impl Work {
    pub(crate) fn named(name: &str) -> Self {
        let works = [
            Self {
                name: "redb",
                run: |folder| write_groups(&folder.join("store"), StoreEngine::Redb),
                check: |folder, said| check_groups(&folder.join("store"), StoreEngine::Redb, said),
            },
            Self {
                name: "sled",
                run: |folder| write_groups(&folder.join("store"), StoreEngine::Sled),
                check: |folder, said| check_groups(&folder.join("store"), StoreEngine::Sled, said),
            },
            Self {
                name: "import",
                run: import_over,
                check: check_import,
            },
            Self {
                name: "recovery",
                run: recover,
                check: check_recovery,
            },
            Self {
                name: "node",
                run: |folder| block_on(live(folder)),
                check: |folder, said| block_on(check_node(folder, said)),
            },
        ];
        let found = works.into_iter().find(|work| work.name == name);
        found.unwrap_or_else(|| panic!("no work {name}"))
    }

    pub(crate) fn run(&self, folder: &Path) {
        (self.run)(folder);
    }

    /// Checks what a cut left, after so much was acknowledged.
    pub(crate) fn check(&self, folder: &Path, acknowledged: u64) {
        (self.check)(folder, acknowledged);
    }
}

fn acknowledge(number: u64) {
    let mut output = std::io::stdout();
    // One call, so that it is one line of the tape.
    let line = format!("acknowledged {number}\n");
    output.write_all(line.as_bytes()).unwrap();
    output.flush().unwrap();
}

// A store that commits groups, and is opened again midway.

fn options(engine: StoreEngine) -> Options {
    Options {
        engine: Some(engine),
        durability: Durability::Power,
    }
}

fn entry(number: u64, rank: u64) -> Entry {
    Entry {
        slot: Key::from_bytes([number.to_le_bytes()[0]; 32]),
        id: EntryId::new(&[1]).unwrap(),
        bytes: vec![rank.to_le_bytes()[0]; 100 + usize::from(number == 3) * 9000].into(),
        columns: Columns {
            expires_at: 1,
            charge: 100,
            group: [0; 8],
            owner: [0; 32],
            rank,
            class: Class::Record,
        },
    }
}

type Name = (Key, EntryId);

/// What group `group` does: names, with entries unless they are removed.
fn changes(group: u64) -> Vec<(Name, Option<Entry>)> {
    let mut chance = ChaCha8Rng::seed_from_u64(group);
    let count = 1 + chance.next_u64() % 5;
    let one = |_| {
        let fresh = entry(chance.next_u64() % NAMES, group);
        let name = (fresh.slot, fresh.id.clone());
        let is_kept = !chance.next_u64().is_multiple_of(5);
        (name, is_kept.then_some(fresh))
    };
    (0..count).map(one).collect()
}

fn write_groups(folder: &Path, engine: StoreEngine) {
    let mut store = open(folder, options(engine)).unwrap();
    for group in 1..=GROUPS {
        if group == GROUPS / 2 {
            drop(store);
            store = open(folder, options(engine)).unwrap();
        }
        for ((slot, id), entry) in changes(group) {
            match entry {
                Some(entry) => store.put(entry).unwrap(),
                None => drop(store.remove(&slot, &id).unwrap()),
            }
        }
        store.commit().unwrap();
        acknowledge(group);
    }
}

/// Groups up to `acknowledged` must be there and one more may be, in part.
fn check_groups(folder: &Path, engine: StoreEngine, acknowledged: u64) {
    let mut allowed: BTreeMap<Name, Vec<Option<Entry>>> = BTreeMap::new();
    for group in 1..=GROUPS.min(acknowledged + 1) {
        for (name, entry) in changes(group) {
            let states = allowed.entry(name).or_insert_with(|| vec![None]);
            if group <= acknowledged {
                states.clear();
            }
            states.push(entry);
        }
    }
    let store = open(folder, options(engine)).unwrap();
    assert_eq!(store.stats().damaged, 0);
    for ((slot, id), states) in allowed {
        let found = store.get(&slot, &id).unwrap();
        assert!(
            states.contains(&found),
            "{slot}: {found:?} is none of {states:?}"
        );
    }
    // And it works on.
    store.put(entry(0, 99)).unwrap();
    store.commit().unwrap();
}

// An import that replaces a store.

fn fill(folder: &Path, numbers: std::ops::Range<u64>) -> Arc<dyn Store> {
    let store = open(folder, options(StoreEngine::Redb)).unwrap();
    for number in numbers {
        store.put(entry(number, number)).unwrap();
    }
    store.commit().unwrap();
    store
}

fn numbers(store: &dyn Store) -> Vec<u64> {
    let entries = store.scan_keys(&Key::ZERO, &Key::MAX, None, usize::MAX);
    let entries = entries.unwrap().into_iter();
    entries.map(|entry| entry.columns.rank).collect()
}

fn opened(folder: &Path) -> (Vec<u64>, bool) {
    let quarantine = Quarantine::new(folder);
    let wish = options(StoreEngine::Redb);
    let opening = open_or_set_aside(&folder.join("store"), wish, &quarantine, 2).unwrap();
    (numbers(&*opening.store), opening.recovery.is_some())
}

fn import_over(folder: &Path) {
    let mut dump = Vec::new();
    let elsewhere = tempfile::tempdir().unwrap();
    export(&*fill(&elsewhere.path().join("store"), 10..13), &mut dump).unwrap();
    drop(fill(&folder.join("store"), 1..3));
    acknowledge(1);
    let quarantine = Quarantine::new(folder);
    import_folder(
        &folder.join("store"),
        options(StoreEngine::Redb),
        &mut Cursor::new(dump),
        Replaced::SetAside(&quarantine, 1),
    )
    .unwrap();
    acknowledge(2);
}

fn check_import(folder: &Path, acknowledged: u64) {
    let (found, is_lost) = opened(folder);
    assert!(!is_lost);
    let (old, new) = (vec![1, 2], vec![10, 11, 12]);
    match acknowledged {
        0 => assert!([vec![], old].contains(&found), "{found:?}"),
        1 => assert!([old, new].contains(&found), "{found:?}"),
        _ => assert_eq!(found, new),
    }
}

// A store that does not open any more.

fn recover(folder: &Path) {
    let store = folder.join("store");
    drop(fill(&store, 1..3));
    // As a disk decays, which no sync has a part in.
    let file = store.join("entries.redb");
    let mut bytes = fs::read(&file).unwrap();
    bytes[..64].fill(0x55);
    fs::write(&file, bytes).unwrap();
    fs::File::open(&file).unwrap().sync_all().unwrap();
    acknowledge(1);
    assert_eq!(opened(folder), (vec![], true));
    acknowledge(2);
    Quarantine::new(folder).on_refilled().unwrap();
    acknowledge(3);
}

fn check_recovery(folder: &Path, acknowledged: u64) {
    let (found, is_lost) = opened(folder);
    match acknowledged {
        // Whether it has decayed is chance.
        0 => {}
        1 => {
            assert_eq!((found, is_lost), (vec![], true));
        }
        // The note may or may not be gone.
        2 => assert_eq!(found, [0; 0]),
        _ => assert_eq!((found, is_lost), (vec![], false)),
    }
}

// A node that keeps values, promises, identities and blocks.

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(work)
}

async fn start(folder: &Path) -> Node {
    let builder = Node::builder()
        .data_dir(folder)
        .durability(Durability::Power)
        .listen("127.0.0.1:0".parse().unwrap());
    builder.start().await.unwrap()
}

fn text(number: u64) -> String {
    format!("thing {number}")
}

fn blocked(number: u64) -> Blocked {
    Blocked::Key(Key::from_bytes([number.to_le_bytes()[0]; 32]))
}

/// Keeps the id beside the node's own files before anything is acknowledged.
fn write_id(folder: &Path, node: &Node) {
    let path = folder.join(ID);
    if !path.exists() {
        fs::write(&path, node.id().to_string()).unwrap();
        fs::File::open(&path).unwrap().sync_all().unwrap();
        fs::File::open(folder).unwrap().sync_all().unwrap();
    }
}

async fn live(folder: &Path) {
    for numbers in [1..=FIRST_RUN, FIRST_RUN + 1..=SECOND_RUN] {
        let node = start(folder).await;
        write_id(folder, &node);
        for number in numbers {
            match number % 4 {
                0 => node.block(blocked(number), None).await.unwrap(),
                1 => drop(node.put(text(number)).await.unwrap()),
                2 => drop(node.dict().set(text(number), text(number)).await.unwrap()),
                _ => drop(node.create_identity(&format!("id-{number}")).await.unwrap()),
            }
            acknowledge(number);
        }
        node.shutdown().await;
    }
}

async fn check_node(folder: &Path, acknowledged: u64) {
    let node = start(folder).await;
    let kept = node.publications().await.unwrap();
    let identities = node.identities().await.unwrap();
    let blocks = node.blocks().await.unwrap();
    let mut promised = 0;
    for number in 1..=acknowledged {
        match number % 4 {
            0 => {
                let is_there = blocks.iter().any(|block| block.what == blocked(number));
                assert!(is_there, "block {number}");
            }
            1 => {
                let value = qadom_wire::Value::new(text(number).into()).unwrap();
                let found = node.get_local(*value.key()).await;
                assert_eq!(found.unwrap().value, text(number), "value {number}");
                promised += 1;
            }
            2 => {
                let dict = node.dict().read_from(ReadFrom::Local);
                dict.get(text(number)).await.unwrap();
                promised += 1;
            }
            _ => {
                let name = format!("id-{number}");
                let is_there = identities.iter().any(|(known, _)| *known == name);
                assert!(is_there, "identity {number}");
            }
        }
    }
    assert!(kept.len() >= promised, "{} promises", kept.len());
    if acknowledged > 0 {
        let id = fs::read_to_string(folder.join(ID)).unwrap();
        assert_eq!(id, node.id().to_string(), "the same node");
    }
    node.shutdown().await;
}
