//! Journals on a disk that tears, decays, fills and fails.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;

mod faulty;

use faulty::{Fault, FaultyDisk};

impl Journal {
    /// A journal whose disk is full from now on.
    pub(crate) fn full() -> Self {
        let disk = FaultyDisk::default();
        let (journal, _) = open(&disk).unwrap();
        disk.fail(Fault::Write(ErrorKind::StorageFull));
        journal
    }
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn entry(key: &[u8], value: &[u8]) -> Change {
    let value = Some(Bytes::copy_from_slice(value));
    Change::new(Bytes::copy_from_slice(key), value).unwrap()
}

fn removal(key: &[u8]) -> Change {
    Change::new(Bytes::copy_from_slice(key), None).unwrap()
}

fn apply(model: &mut Model, change: &Change) {
    match &change.value {
        Some(value) => drop(model.insert(change.key.to_vec(), value.to_vec())),
        None => drop(model.remove(&change.key[..])),
    }
}

fn model(changes: &[Change]) -> Model {
    let mut model = Model::new();
    for change in changes {
        apply(&mut model, change);
    }
    model
}

fn open(disk: &FaultyDisk) -> Result<(Journal, Model), Unreadable> {
    let (journal, entries) = Journal::open(Box::new(disk.clone()), [7; 8])?;
    let entries = entries.into_iter();
    Ok((
        journal,
        entries
            .map(|(key, value)| (key.to_vec(), value.to_vec()))
            .collect(),
    ))
}

/// Replaces, removes, and comes back.
fn changes() -> Vec<Change> {
    vec![
        entry(b"one", b"first"),
        entry(b"two", &[0; 40]),
        entry(b"one", b"second"),
        removal(b"two"),
        entry(b"", b""),
        entry(b"two", b"again"),
        entry(b"three", &[0xff; 17]),
        removal(b"unknown"),
    ]
}

/// A file with these changes, and where each of them ends.
fn written(changes: &[Change]) -> (Vec<u8>, Vec<usize>) {
    let disk = FaultyDisk::default();
    let (mut journal, _) = open(&disk).unwrap();
    let (first, rest) = changes.split_at(1);
    journal.write(first).unwrap();
    journal.write(rest).unwrap();
    let mut end = HEADER;
    let ends = changes.iter().map(|change| {
        end += change.length();
        end
    });
    (disk.content(), ends.collect())
}

#[test]
fn what_was_written_is_there_after_a_restart_in_its_order() {
    let place = Folder::temporary().unwrap();
    let (mut journal, entries) = Journal::load(&place).unwrap();
    assert!(entries.is_empty());
    journal.write(&changes()).unwrap();
    drop(journal);
    let (_, entries) = Journal::load(&place).unwrap();
    let keys: Vec<_> = entries.iter().map(|(key, _)| &key[..]).collect();
    assert_eq!(keys, [&b"one"[..], b"", b"two", b"three"]);
    assert_eq!(entries[0].1, "second");
    let file = std::fs::metadata(place.path().join(JOURNAL)).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
}

#[test]
fn every_prefix_gives_the_changes_that_are_whole_and_goes_on() {
    let changes = changes();
    let (file, ends) = written(&changes);
    for length in 0..=file.len() {
        let disk = FaultyDisk::holding(&file[..length]);
        let (mut journal, found) = open(&disk).unwrap();
        let whole = ends.iter().filter(|end| **end <= length).count();
        let mut expected = model(&changes[..whole]);
        assert_eq!(found, expected, "{length}");
        journal.write(&[entry(b"after", b"the cut")]).unwrap();
        apply(&mut expected, &entry(b"after", b"the cut"));
        assert_eq!(open(&disk).unwrap().1, expected, "{length}");
    }
}

#[test]
fn every_torn_byte_costs_the_change_that_it_hits_and_no_other() {
    let changes = changes();
    let (file, ends) = written(&changes);
    for place in 0..file.len() {
        for bit in [0x01, 0x80] {
            let mut torn = file.clone();
            torn[place] ^= bit;
            let disk = FaultyDisk::holding(&torn);
            if place < HEADER {
                assert!(open(&disk).is_err(), "{place}");
                assert_eq!(disk.content(), torn, "a refused file stays as it is");
                continue;
            }
            let hit = ends.iter().filter(|end| **end <= place).count();
            let mut rest = changes.clone();
            rest.remove(hit);
            assert_eq!(open(&disk).unwrap().1, model(&rest), "{place}");
        }
    }
}

#[test]
fn a_newer_version_is_refused_and_stays() {
    let place = Folder::temporary().unwrap();
    place.replace(JOURNAL, b"qadom journal\n\x02more").unwrap();
    let refused = Journal::load(&place);
    assert!(matches!(
        refused,
        Err(StartError::VersionTooNew {
            found: 2,
            known: 1,
            ..
        })
    ));
    place
        .replace(JOURNAL, b"something else altogether")
        .unwrap();
    let refused = Journal::load(&place);
    assert!(matches!(refused, Err(StartError::BadJournal { .. })));
    let content = place.read(JOURNAL).unwrap().unwrap();
    assert_eq!(content, b"something else altogether");
}

#[test]
fn a_value_that_holds_a_frame_brings_no_entry_in() {
    let mut forged = Vec::new();
    Salt([8; 8]).encode(&entry(b"forged", b"!"), &mut forged);
    let (mut file, _) = written(&[entry(b"key", &forged), entry(b"last", b"kept")]);
    file[HEADER] ^= 1;
    let (_, found) = open(&FaultyDisk::holding(&file)).unwrap();
    assert_eq!(found, model(&[entry(b"last", b"kept")]));
    // With the salt of the file it would have been one.
    let mut real = Vec::new();
    Salt([7; 8]).encode(&entry(b"forged", b"!"), &mut real);
    let (mut file, _) = written(&[entry(b"key", &real), entry(b"last", b"kept")]);
    file[HEADER] ^= 1;
    assert_eq!(open(&FaultyDisk::holding(&file)).unwrap().1.len(), 2);
}

#[test]
fn keys_and_values_have_their_limits() {
    let make = |key, value| {
        let value = Bytes::from(vec![1; value]);
        Change::new(vec![1; key].into(), Some(value))
    };
    assert!(make(frame::KEY_MAX + 1, 0).is_none());
    assert!(make(0, frame::VALUE_MAX + 1).is_none());
    for (key, value) in [
        (frame::KEY_MAX - 1, frame::VALUE_MAX - 1),
        (frame::KEY_MAX, frame::VALUE_MAX),
    ] {
        let longest = make(key, value).unwrap();
        let (file, _) = written(&[longest.clone(), longest.clone()]);
        let found = open(&FaultyDisk::holding(&file)).unwrap().1;
        assert_eq!(found, model(&[longest]));
    }
}

#[test]
fn a_file_that_is_more_than_half_dead_is_compacted() {
    let place = Folder::temporary().unwrap();
    let (mut journal, _) = Journal::load(&place).unwrap();
    let length = || std::fs::metadata(place.path().join(JOURNAL)).unwrap().len();
    let value = vec![5; 8192];
    journal.write(&[entry(b"stays", b"here")]).unwrap();
    let mut longest = 0;
    for number in 0..100_u8 {
        let change = entry(&[number % 4], &value);
        journal.write(&[change]).unwrap();
        journal.tidy();
        longest = longest.max(length());
    }
    assert!(longest < COMPACT_FROM + 8192 + 64, "{longest}");
    assert!(longest > COMPACT_FROM - 8192, "{longest}");
    journal.write(&[entry(b"last", b"one")]).unwrap();
    assert_eq!(journal.end, length());
    let (again, entries) = Journal::load(&place).unwrap();
    assert_eq!(entries.len(), 6);
    assert_eq!((again.live, again.end), (journal.live, journal.end));
    assert_eq!(entries[0], ("stays".into(), "here".into()));
    assert!(!place.path().join("journal.new").exists());
}

#[test]
fn what_is_given_up_is_left_out_by_the_next_compaction() {
    let disk = FaultyDisk::default();
    let (mut journal, _) = open(&disk).unwrap();
    journal.compact_from = 0;
    let all = [entry(b"a", &[1; 300]), entry(b"b", b"2")];
    journal.write(&all).unwrap();
    journal.retain(&["b".into(), "unknown".into()].into());
    assert_eq!(journal.len(), 1);
    assert_eq!(open(&disk).unwrap().1, model(&all));
    journal.tidy();
    assert_eq!(open(&disk).unwrap().1, model(&all[1..]));
    assert_eq!(journal.end, journal.live);
}

#[test]
fn a_disk_that_fails_has_acknowledged_nothing_and_may_come_back() {
    for fault in [
        Fault::Write(ErrorKind::StorageFull),
        Fault::Sync,
        Fault::WriteAndCut,
    ] {
        let disk = FaultyDisk::default();
        let (mut journal, _) = open(&disk).unwrap();
        journal.write(&[entry(b"kept", b"1")]).unwrap();
        disk.fail(fault);
        let refused = journal.write(&[entry(b"kept", b"2"), entry(b"new", b"3")]);
        assert!(refused.is_err(), "{fault:?}");
        disk.heal();
        journal.write(&[entry(b"later", b"4")]).unwrap();
        let expected = model(&[entry(b"kept", b"1"), entry(b"later", b"4")]);
        assert_eq!(open(&disk).unwrap().1, expected, "{fault:?}");
    }
}

#[test]
fn a_compaction_that_fails_anywhere_leaves_the_journal_whole() {
    for fault in [Fault::Fresh, Fault::Rename, Fault::Name] {
        let disk = FaultyDisk::default();
        let (mut journal, _) = open(&disk).unwrap();
        journal.compact_from = 0;
        journal
            .write(&[entry(b"a", &[1; 300]), entry(b"a", b"2"), entry(b"b", b"3")])
            .unwrap();
        journal.write(&[entry(b"b", b"4")]).unwrap();
        disk.fail(fault);
        journal.tidy();
        let mut expected = model(&[entry(b"a", b"2"), entry(b"b", b"4")]);
        assert_eq!(open(&disk.after_crash(0)).unwrap().1, expected, "{fault:?}");
        if matches!(fault, Fault::Name) {
            // Which of the two files a crash would leave is not known before the name is safe.
            assert!(journal.write(&[entry(b"c", b"5")]).is_err());
        }
        disk.heal();
        journal.write(&[entry(b"d", b"6")]).unwrap();
        apply(&mut expected, &entry(b"d", b"6"));
        assert_eq!(open(&disk.after_crash(0)).unwrap().1, expected, "{fault:?}");
        journal.compact_from = 0;
        journal.tidy();
        assert_eq!(journal.end, journal.live, "{fault:?}");
        assert_eq!(open(&disk).unwrap().1, expected, "{fault:?}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<(u8, Option<Vec<u8>>)>),
    Tidy,
    Fail(Fault),
    Heal,
    /// What was not synced is lost but for a part of it.
    Crash(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let value = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..400));
    let batch = proptest::collection::vec((0..6_u8, value), 1..4);
    let fault = prop_oneof![
        Just(Fault::Write(ErrorKind::StorageFull)),
        Just(Fault::Write(ErrorKind::Other)),
        Just(Fault::Sync),
        Just(Fault::WriteAndCut),
        Just(Fault::Fresh),
        Just(Fault::Rename),
        Just(Fault::Name),
    ];
    prop_oneof![
        6 => batch.prop_map(Step::Write),
        2 => Just(Step::Tidy),
        2 => fault.prop_map(Step::Fail),
        2 => Just(Step::Heal),
        1 => any::<u8>().prop_map(Step::Crash),
    ]
}

/// What each key may be found with: what was acknowledged last, or what was refused since.
type Possible = BTreeMap<u8, Vec<Option<Vec<u8>>>>;

fn check(possible: &mut Possible, found: &Model) {
    for key in 0..6_u8 {
        let value = found.get(&[key][..]).cloned();
        let allowed = possible.entry(key).or_insert_with(|| vec![None]);
        assert!(allowed.contains(&value), "{key}: {value:?} of {allowed:?}");
        *allowed = vec![value];
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_fails_and_whenever_it_crashes_what_was_acknowledged_is_there(
        steps in proptest::collection::vec(step(), 1..60)
    ) {
        let mut disk = FaultyDisk::default();
        let mut journal = open(&disk).unwrap().0;
        let possible = RefCell::new(Possible::new());
        for step in steps {
            match step {
                Step::Write(batch) => {
                    let changes: Vec<_> = batch.iter().map(|(key, value)| match value {
                        Some(value) => entry(&[*key], value),
                        None => removal(&[*key]),
                    }).collect();
                    let is_written = journal.write(&changes).is_ok();
                    for (key, value) in batch {
                        let mut possible = possible.borrow_mut();
                        let allowed = possible.entry(key).or_insert_with(|| vec![None]);
                        if is_written {
                            allowed.clear();
                        }
                        allowed.push(value);
                    }
                }
                Step::Tidy => {
                    journal.compact_from = 0;
                    journal.tidy();
                }
                Step::Fail(fault) => disk.fail(fault),
                Step::Heal => disk.heal(),
                Step::Crash(kept) => {
                    drop(journal);
                    disk = disk.after_crash(kept);
                    let (next, found) = open(&disk).unwrap();
                    check(&mut possible.borrow_mut(), &found);
                    journal = next;
                }
            }
        }
        drop(journal);
        check(&mut possible.borrow_mut(), &open(&disk.after_crash(0)).unwrap().1);
    }
}
