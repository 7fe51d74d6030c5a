//! The small files of a data folder, as the first version of each format wrote them, byte for byte:
//! they are read as ever, and written on in the newest version.
//!
//! What must stay true: these bytes were made from the description of the formats in
//! `docs/formats.md`, not by the code under test, and are never made anew. A later version of a
//! format gets bytes of its own beside them.

use std::fs;

use data_encoding::HEXLOWER;
use qadom_transport::SecretKey;

use crate::contacts::Saved;
use crate::folder::{CONTACTS, Folder, IDENTITIES, JOURNAL, NODE_KEY};
use crate::identities::IdentityFolder;
use crate::identity::Identity;
use crate::journal::{Change, Journal};

/// Version 1: the secret is 32 bytes of 1, the reset secret of 2.
const NODE_KEY_1: &str = "010101010101010101010101010101010101010101010101010101010101010101\
                          0202020202020202020202020202020202020202020202020202020202020202abf22b6e";
/// Version 1, with a salt of 7s: `one` is set twice, `two` is set and removed.
const JOURNAL_1: &str = "7161646f6d206a6f75726e616c0a0107070707070707079327ea65\
                         0a0000000c2a797201036f6e656669727374\
                         060000005da8f19b010374776f32\
                         0b000000394abdf301036f6e657365636f6e64\
                         05000000c1db2de4020374776f";
/// Version 1: a seed of 32 bytes of 0xab.
const IDENTITY_1: &str = "qadom-identity-1:\
                          abababababababababababababababababababababababababababababababab:b9331eaa\n";
/// Version 1, at 1 800 000 000 000 000 µs, without a contact.
const CONTACTS_1: &str = "7161646f6d20636f6e74616374730a0100809828176506006ad2a905";
/// Version 2, the same.
const CONTACTS_2: &str = "7161646f6d20636f6e74616374730a020080982817650600afee243c";

fn bytes(digits: &str) -> Vec<u8> {
    HEXLOWER.decode(digits.as_bytes()).unwrap()
}

fn holding(name: &str, content: &[u8]) -> Folder {
    let folder = Folder::temporary().unwrap();
    folder.replace(name, content).unwrap();
    folder
}

#[test]
fn the_first_node_key_is_the_same_node_as_ever() {
    let folder = holding(NODE_KEY, &bytes(NODE_KEY_1));
    let identity = Identity::load_or_make(&folder, 0, || false).unwrap();
    let identity = identity.unwrap();
    let secret = SecretKey::from_bytes([1; 32]);
    assert_eq!(identity.key.as_bytes(), &secret.public());
    assert_eq!(identity.reset_secret.0, [2; 32]);
    let content = folder.read(NODE_KEY).unwrap().unwrap();
    assert_eq!(content, bytes(NODE_KEY_1));
}

#[test]
fn the_first_journal_is_replayed_and_written_on() {
    let folder = holding(JOURNAL, &bytes(JOURNAL_1));
    let (mut journal, entries) = Journal::load(&folder).unwrap();
    assert_eq!(entries, [("one".into(), "second".into())]);
    let three = Change::new("three".into(), Some("more".into())).unwrap();
    journal.write(&[three]).unwrap();
    drop(journal);
    let (_, entries) = Journal::load(&folder).unwrap();
    assert_eq!(entries.len(), 2);
    let content = folder.read(JOURNAL).unwrap().unwrap();
    assert!(content.starts_with(&bytes(JOURNAL_1)), "it only grows");
}

#[test]
fn the_first_identity_signs_as_ever() {
    let folder = Folder::temporary().unwrap();
    let place = folder.path().join(IDENTITIES);
    fs::create_dir(&place).unwrap();
    fs::write(place.join("work"), IDENTITY_1).unwrap();
    let identity = IdentityFolder::at(folder.path()).load("work").unwrap();
    assert_eq!(identity.seed(), &[0xab; 32]);
}

#[test]
fn contacts_of_every_version_are_read_and_written_in_the_newest() {
    for old in [CONTACTS_1, CONTACTS_2] {
        let folder = holding(CONTACTS, &bytes(old));
        let saved = Saved::load(&folder).unwrap();
        assert_eq!(saved.utc_micros, 1_800_000_000_000_000);
        saved.save(&folder).unwrap();
        let content = folder.read(CONTACTS).unwrap().unwrap();
        assert_eq!(content, bytes(CONTACTS_2));
    }
}
