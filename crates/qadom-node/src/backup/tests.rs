//! Backups of folders that nodes have used, and what becomes of them elsewhere.

use tempfile::TempDir;

use super::*;
use crate::folder::{JOURNAL, NODE_KEY, SETTINGS};
use crate::identity::Identity;
use crate::journal::{Change, Journal};

const CHEAP: Cost = Cost {
    memory: 8,
    passes: 1,
    lanes: 1,
};

/// A folder with everything that is backed up, and some of what is not.
fn used() -> (TempDir, NodeId) {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::open(place.path()).unwrap();
    let identity = Identity::load_or_make(&folder, 0, || false).unwrap();
    let (mut journal, _) = Journal::load(&folder).unwrap();
    let change = Change::new("name".into(), Some("\0senseless".into())).unwrap();
    journal.write(&[change]).unwrap();
    folder.replace(SETTINGS, b"network = \"mine\"\n").unwrap();
    folder.replace("contacts", b"not backed up").unwrap();
    let (identities, _) = IdentityFolder::open(place.path());
    for (name, seed) in [("default", 1), ("work", 2)] {
        identities.create(name, &[seed; 32]).unwrap();
    }
    (place, identity.unwrap().key.id())
}

fn sealed_in(place: &Path, from: &Path) -> PathBuf {
    let to = place.join("backup");
    seal_with(from, &to, "a secret", CHEAP).unwrap();
    to
}

#[test]
fn what_was_backed_up_is_restored_and_nothing_else() {
    let ((used, node), place) = (used(), tempfile::tempdir().unwrap());
    let file = sealed_in(place.path(), used.path());
    let fresh = place.path().join("fresh");
    let restored = restore(&fresh, &file, "a secret").unwrap();
    let expected = BackedUp {
        node,
        identities: 2,
        has_journal: true,
        has_settings: true,
    };
    assert_eq!(restored, expected);
    for name in [
        NODE_KEY,
        JOURNAL,
        SETTINGS,
        "identities/default",
        "identities/work",
    ] {
        assert_eq!(
            fs::read(fresh.join(name)).unwrap(),
            fs::read(used.path().join(name)).unwrap(),
            "{name}"
        );
    }
    let mut names: Vec<_> = fs::read_dir(&fresh)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["identities", "journal", "lock", "node.key", "qadom.toml"]
    );
    // Done again it changes nothing.
    assert_eq!(restore(&fresh, &file, "a secret").unwrap(), expected);
}

#[test]
fn a_restore_that_was_cut_short_goes_on() {
    let ((used, _), place) = (used(), tempfile::tempdir().unwrap());
    let file = sealed_in(place.path(), used.path());
    let fresh = place.path().join("fresh");
    restore(&fresh, &file, "a secret").unwrap();
    // As it would be after the journal was put in place, with what was staged left behind.
    for name in [NODE_KEY, "identities/default", "identities/work"] {
        fs::remove_file(fresh.join(name)).unwrap();
    }
    fs::create_dir(fresh.join(RESTORING)).unwrap();
    fs::write(fresh.join(RESTORING).join(NODE_KEY), "half").unwrap();
    restore(&fresh, &file, "a secret").unwrap();
    assert!(fresh.join(NODE_KEY).exists() && !fresh.join(RESTORING).exists());
}

#[test]
fn nothing_that_is_there_is_overwritten() {
    let ((used, _), place) = (used(), tempfile::tempdir().unwrap());
    let file = sealed_in(place.path(), used.path());
    let again = seal_with(used.path(), &file, "a secret", CHEAP);
    assert!(matches!(again, Err(BackupError::Exists { .. })));
    for name in [NODE_KEY, JOURNAL, "identities/work", SETTINGS] {
        let other = tempfile::tempdir().unwrap();
        fs::create_dir(other.path().join(IDENTITIES)).unwrap();
        fs::write(other.path().join(name), "mine").unwrap();
        let refused = restore(other.path(), &file, "a secret").unwrap_err();
        assert!(
            matches!(&refused, BackupError::Exists { path } if path.ends_with(name)),
            "{refused}"
        );
        assert_eq!(refused.reason(), Reason::Conflict);
        assert_eq!(fs::read(other.path().join(name)).unwrap(), b"mine");
        let is_alone = name == NODE_KEY || !other.path().join(NODE_KEY).exists();
        assert!(is_alone, "{name}");
    }
}

#[test]
fn a_wrong_passphrase_changes_nothing() {
    let ((used, _), place) = (used(), tempfile::tempdir().unwrap());
    let file = sealed_in(place.path(), used.path());
    let fresh = place.path().join("fresh");
    let refused = restore(&fresh, &file, "Secret").unwrap_err();
    assert!(matches!(refused, BackupError::WrongPassphrase { .. }));
    assert!(!fresh.exists());
    for (passphrase, length) in [("", 0), ("seven 7", 7), ("sieben ü", 8)] {
        let to = place.path().join(format!("{length}"));
        let sealed = seal_with(used.path(), &to, passphrase, CHEAP);
        assert_eq!(to.exists(), length >= PASSPHRASE_MIN);
        let Err(refused) = sealed else {
            continue;
        };
        assert_eq!(refused.reason(), Reason::Usage);
        let BackupError::ShortPassphrase { length: found } = refused else {
            panic!("{refused}")
        };
        assert_eq!(found, length);
    }
    let refused = seal_with(place.path(), &place.path().join("none"), "a secret", CHEAP);
    assert!(matches!(refused, Err(BackupError::NoNode { .. })));
    assert!(!place.path().join("none").exists());
}

#[test]
fn damage_and_what_is_newer_is_refused_before_anything_is_changed() {
    let ((used, _), place) = (used(), tempfile::tempdir().unwrap());
    let file = sealed_in(place.path(), used.path());
    let whole = fs::read(&file).unwrap();
    let fresh = place.path().join("fresh");
    let refuse = |content: &[u8]| {
        fs::write(&file, content).unwrap();
        let refused = restore(&fresh, &file, "a secret").unwrap_err();
        assert!(!fresh.join(NODE_KEY).exists());
        refused.reason()
    };
    assert_eq!(refuse(b"a letter"), Reason::Malformed);
    assert_eq!(refuse(&whole[..whole.len() - 1]), Reason::BadHash);
    let mut newer = whole;
    newer[13] = 2;
    assert_eq!(refuse(&newer), Reason::VersionTooNew);
}

#[test]
fn files_that_no_node_could_start_with_are_neither_backed_up_nor_restored() {
    for (name, content, reason) in [
        (NODE_KEY, &b"\x02more"[..], Reason::VersionTooNew),
        (NODE_KEY, b"\x01less", Reason::BadHash),
        (JOURNAL, b"qadom journal\n\x02more", Reason::VersionTooNew),
        (
            JOURNAL,
            b"something else altogether, and long",
            Reason::BadHash,
        ),
        (
            "identities/work",
            b"qadom-identity-2:more",
            Reason::VersionTooNew,
        ),
    ] {
        let ((used, _), place) = (used(), tempfile::tempdir().unwrap());
        fs::write(used.path().join(name), content).unwrap();
        let to = place.path().join("backup");
        let refused = seal_with(used.path(), &to, "a secret", CHEAP).unwrap_err();
        assert_eq!(refused.reason(), reason, "{name}: {refused}");
        assert!(!to.exists());
        // Somebody who knows the passphrase could have sealed it all the same.
        let mut sealer = Sealer::new(Vec::new(), b"a secret", CHEAP).unwrap();
        for part in [
            Part::NodeKey,
            Part::Journal,
            Part::Identity("work".to_owned()),
        ] {
            let file = File::open(part.place(used.path())).unwrap();
            archive::add(&mut sealer, &part, &file).unwrap();
        }
        archive::end(&mut sealer).unwrap();
        fs::write(&to, sealer.finish().unwrap()).unwrap();
        let fresh = place.path().join("fresh");
        let refused = restore(&fresh, &to, "a secret").unwrap_err();
        assert_eq!(refused.reason(), reason, "{name}: {refused}");
        assert!(!fresh.join(NODE_KEY).exists() && !fresh.join(JOURNAL).exists());
    }
}

#[test]
fn an_entry_of_a_newer_version_in_the_journal_is_refused() {
    let ((used, _), place) = (used(), tempfile::tempdir().unwrap());
    {
        let folder = Folder::open(used.path()).unwrap();
        let (mut journal, _) = Journal::load(&folder).unwrap();
        let change = Change::new("newer".into(), Some(vec![2, 0, 0].into())).unwrap();
        journal.write(&[change]).unwrap();
    }
    let refused = seal_with(used.path(), &place.path().join("b"), "a secret", CHEAP);
    assert_eq!(refused.unwrap_err().reason(), Reason::VersionTooNew);
}

#[test]
fn a_backup_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let ((used, _), place) = (used(), tempfile::tempdir().unwrap());
    let file = sealed_in(place.path(), used.path());
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let fresh = place.path().join("fresh");
    restore(&fresh, &file, "a secret").unwrap();
    for name in [NODE_KEY, JOURNAL, "identities/work"] {
        let mode = fs::metadata(fresh.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}
