//! Folders: listed the same everywhere, restored nowhere else.

use std::os::unix::fs::{PermissionsExt, symlink};

use proptest::prelude::*;
use qadom_files::{
    Kind, LISTING_CONTENT_TYPE, LISTING_DEPTH_MAX, LISTING_NAME_MAX, LISTING_PATH_MAX, Listed,
    Listing, ListingEntry, ListingError, ListingPath, PathError, Restore, RestoreError, SkipReason,
};

use super::*;

fn entry(path: &[u8], listed: Listed) -> ListingEntry {
    ListingEntry {
        path: ListingPath::new(path).expect("the path stays inside"),
        mode: 0o644,
        listed,
    }
}

fn hello() -> Listed {
    Listed::File {
        id: FileId::of(b"hello"),
        size: 5,
    }
}

#[test]
fn a_folder_is_added_listed_and_restored() {
    let temporary = tempfile::tempdir().expect("a folder");
    let source = temporary.path().join("photos");
    fs::create_dir_all(source.join("2026/empty")).expect("a folder");
    fs::write(source.join("2026/one.jpg"), content(CHUNK + 3)).expect("a file");
    fs::write(source.join("run"), b"hello").expect("a file");
    fs::set_permissions(source.join("run"), fs::Permissions::from_mode(0o777)).expect("a mode");
    symlink("/etc/passwd", source.join("link")).expect("a link");
    let folder = open(&temporary.path().join("files"));
    let added = add(&folder, &source, Placement::InPlace).expect("it is taken in");
    assert_eq!(added.skipped.len(), 1);
    assert_eq!(added.skipped[0].reason, SkipReason::Link);
    assert_eq!(added.entry.kind, Kind::Folder);
    assert_eq!(added.entry.content_type, LISTING_CONTENT_TYPE);
    assert_eq!(added.entry.name, "photos");
    assert_eq!(folder.list().len(), 3);

    // Its id is that of its listing, which says the same each time.
    let mut bytes = Vec::new();
    folder
        .read_range(&added.entry.id, 0..added.entry.size, &mut bytes)
        .expect("it is here");
    assert_eq!(FileId::of(&bytes), added.entry.id);
    let again = add(&folder, &source, Placement::InPlace).expect("it is taken in");
    assert_eq!(again.entry.id, added.entry.id);
    let listing = Listing::read(&bytes).expect("it is a listing");
    assert_eq!(listing.size(), (CHUNK + 3 + 5) as u64);
    let paths: Vec<_> = listing
        .entries()
        .iter()
        .map(|entry| entry.path.to_string())
        .collect();
    assert_eq!(paths, ["2026", "2026/empty", "2026/one.jpg", "run"]);

    let target = temporary.path().join("restored");
    let restore = Restore::new(&listing, &target).expect("a folder");
    for entry in listing.entries() {
        let place = restore.place(entry).expect("it has a place");
        if let Listed::File { id, size } = entry.listed {
            let mut file = fs::File::create(&place).expect("a file");
            folder
                .read_range(&id, 0..size, &mut file)
                .expect("it is here");
        }
    }
    restore.finish().expect("modes are set");
    assert_eq!(
        fs::read(target.join("2026/one.jpg")).expect("it is there"),
        content(CHUNK + 3)
    );
    let mode = fs::metadata(target.join("run"))
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(
        mode & 0o777,
        0o755,
        "others may not write what strangers listed"
    );
    assert!(target.join("2026/empty").is_dir());
    assert!(!target.join("link").exists());

    // With the listing its files are forgotten, and stay where they are.
    assert!(folder.remove(&added.entry.id).expect("it goes"));
    assert_eq!(folder.list(), []);
    assert!(source.join("run").exists());
}

#[test]
fn no_path_leaves_the_folder() {
    let long = vec![b'x'; LISTING_NAME_MAX + 1];
    let longer = "yy/".repeat(LISTING_PATH_MAX / 3 + 1) + "y";
    let deep = "y/".repeat(LISTING_DEPTH_MAX) + "y";
    let cases: [(&[u8], PathError); 13] = [
        (b"", PathError::EmptyName),
        (b"/", PathError::EmptyName),
        (b"/etc/passwd", PathError::EmptyName),
        (b"a//b", PathError::EmptyName),
        (b"a/", PathError::EmptyName),
        (b".", PathError::Dots),
        (b"..", PathError::Dots),
        (b"a/../../b", PathError::Dots),
        (b"a/./b", PathError::Dots),
        (b"a\0b", PathError::Nul),
        (&long, PathError::TooLong),
        (longer.as_bytes(), PathError::TooLong),
        (deep.as_bytes(), PathError::TooDeep),
    ];
    for (path, error) in cases {
        assert_eq!(
            ListingPath::new(path),
            Err(error),
            "{}",
            path.escape_ascii()
        );
    }
    for fine in [
        &b"..."[..],
        b".hidden",
        b"a..b",
        b"\xff\x1b[0m",
        &long[1..],
        &deep.as_bytes()[2..],
    ] {
        assert!(ListingPath::new(fine).is_ok(), "{}", fine.escape_ascii());
    }
    let path = ListingPath::new(b"\xff\x1b[0m\n").expect("it stays inside");
    assert_eq!(
        path.to_string(),
        "\\xff\\u{1b}[0m\\n",
        "it steers no terminal"
    );
}

#[test]
fn entries_stand_once_in_order_and_in_a_folder() {
    let twice = vec![entry(b"a", hello()), entry(b"a", Listed::Folder)];
    assert!(matches!(
        Listing::new(twice),
        Err(ListingError::Order { .. })
    ));
    let orphan = vec![entry(b"a/b", hello())];
    assert!(matches!(
        Listing::new(orphan),
        Err(ListingError::Orphan { .. })
    ));
    let in_file = vec![entry(b"a", hello()), entry(b"a/b", hello())];
    assert!(matches!(
        Listing::new(in_file),
        Err(ListingError::Orphan { .. })
    ));

    let cases = vec![entry(b"Readme", hello()), entry(b"readme", hello())];
    let listing = Listing::new(cases).expect("they are two on most systems");
    assert!(listing.case_conflict().is_some());

    // Entries in another order are no listing: its id would not be the folder's.
    let (a, b) = (entry(b"a", hello()), entry(b"b", hello()));
    let mut bytes = Listing::new(vec![b]).expect("a listing").to_bytes();
    let magic = b"qadom folder 1\n".len();
    bytes.extend_from_slice(&Listing::new(vec![a]).expect("a listing").to_bytes()[magic..]);
    assert!(matches!(
        Listing::read(&bytes),
        Err(ListingError::Order { .. })
    ));
}

#[test]
fn only_the_one_form_is_read() {
    let listing = Listing::new(vec![entry(b"d", Listed::Folder), entry(b"d/f", hello())]);
    let bytes = listing.expect("a listing").to_bytes();
    for end in 15..bytes.len() {
        let cut = Listing::read(&bytes[..end]);
        assert!(
            cut.is_err() || end == 15 || end == 15 + 46,
            "{end}: {cut:?}"
        );
    }
    // Kind, set-user-id, the size of a folder.
    for at in [15, 17, 20] {
        let mut other = bytes.clone();
        other[at] ^= 8;
        let read = Listing::read(&other);
        assert!(
            matches!(read, Err(ListingError::Malformed { entry: 0 })),
            "{at}: {read:?}"
        );
    }
    assert_eq!(
        Listing::read(b"qadom folder 2\n"),
        Err(ListingError::TooNew)
    );
    assert_eq!(Listing::read(b"\x89PNG"), Err(ListingError::NotAListing));
}

#[test]
fn links_that_lie_in_the_target_are_not_followed() {
    let temporary = tempfile::tempdir().expect("a folder");
    let (target, outside) = (
        temporary.path().join("target"),
        temporary.path().join("outside"),
    );
    fs::create_dir_all(&outside).expect("a folder");
    fs::create_dir_all(&target).expect("a folder");
    symlink(&outside, target.join("d")).expect("a link");
    symlink(outside.join("victim"), target.join("f")).expect("a link");
    fs::write(outside.join("victim"), "mine").expect("a file");
    let before = fs::metadata(outside.join("victim"))
        .expect("it is there")
        .permissions();
    let listing = Listing::new(vec![
        entry(b"d", Listed::Folder),
        entry(b"d/e", Listed::Folder),
        entry(b"d/e/x", hello()),
        entry(b"f", hello()),
    ]);
    let listing = listing.expect("a listing");
    let restore = Restore::new(&listing, &target).expect("a folder");
    for entry in &listing.entries()[..3] {
        let placed = restore.place(entry);
        assert!(
            matches!(placed, Err(RestoreError::NotAFolder { .. })),
            "{placed:?}"
        );
    }
    assert_eq!(fs::read_dir(&outside).expect("a folder").count(), 1);
    restore.finish().expect_err("something is missing");
    let after = fs::metadata(outside.join("victim"))
        .expect("it is there")
        .permissions();
    assert_eq!(before, after);
    // A download that ends at a link finds the name taken.
    let place = restore
        .place(&listing.entries()[3])
        .expect("it has a place");
    let folder = open(&temporary.path().join("files"));
    let partial = folder
        .download(&FileId::of(b"hello"), 5, Some(&place))
        .expect("it begins");
    partial
        .write(0, b"hello", &qadom_files::Proof::default())
        .expect("it verifies");
    folder
        .finish(&partial, "f", Some(&place))
        .expect_err("the name is taken");
    assert_eq!(
        fs::read(outside.join("victim")).expect("it is there"),
        b"mine"
    );
    symlink(&outside, temporary.path().join("root")).expect("a link");
    Restore::new(&listing, &temporary.path().join("root")).expect_err("a link is no folder");
}

proptest! {
    #[test]
    fn whatever_is_read_reads_back_equal(mut bytes in prop::collection::vec(any::<u8>(), 0..300), cut in any::<bool>()) {
        if cut {
            bytes.splice(0..0, b"qadom folder 1\n".iter().copied());
        }
        if let Ok(listing) = Listing::read(&bytes) {
            prop_assert_eq!(listing.to_bytes(), bytes);
        }
    }

    #[test]
    fn listings_read_back(names in prop::collection::btree_set("[a-c]{1,3}(/[a-c.]{1,3}){0,2}", 0..12)) {
        let mut entries = Vec::new();
        let mut folders = std::collections::BTreeSet::new();
        let is_parent = |name: &String| names.iter().any(|other| other.starts_with(&format!("{name}/")));
        for name in &names {
            let ends: Vec<usize> = name.match_indices('/').map(|(at, _)| at).collect();
            folders.extend(ends.iter().map(|end| name[..*end].to_owned()));
            if is_parent(name) {
                folders.insert(name.clone());
            } else if let Ok(path) = ListingPath::new(name.as_bytes()) {
                entries.push(ListingEntry { path, mode: 0o600, listed: hello() });
            }
        }
        for name in folders {
            if let Ok(path) = ListingPath::new(name.as_bytes()) {
                entries.push(ListingEntry { path, mode: 0o755, listed: Listed::Folder });
            }
        }
        if let Ok(listing) = Listing::new(entries) {
            prop_assert_eq!(Listing::read(&listing.to_bytes()), Ok(listing));
        }
    }
}
