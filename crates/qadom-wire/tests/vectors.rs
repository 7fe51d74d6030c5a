//! The protocol's own test vectors for contacts, hellos, networks and slots
//! (`vectors/wire.json`, made by an independent implementation).

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use data_encoding::HEXLOWER;
use qadom_routing::{Contact, Key, NodeKey};
use qadom_wire::{
    Answer, ContactsError, Hello, Network, Pong, Value, bag_item_id, chunk_slot, dict_slot,
    file_name_slot, namespace_slot, pack_contacts, providers_slot, unpack_contacts,
};
use serde_json::Value as Json;

fn vectors() -> Json {
    serde_json::from_str(include_str!("vectors/wire.json")).expect("the vectors are JSON")
}

fn bytes(json: &Json) -> Vec<u8> {
    let text = json.as_str().expect("a vector is text");
    HEXLOWER
        .decode(text.as_bytes())
        .expect("a vector is hexadecimal")
}

fn array(json: &Json) -> [u8; 32] {
    bytes(json).try_into().expect("a vector of 32 bytes")
}

#[test]
fn networks_have_their_ids_and_tags() {
    let vectors = vectors();
    let networks = vectors["network"].as_array().expect("a list");
    assert_eq!(networks.len(), 2);
    for vector in networks {
        let name = vector["name"].as_str().expect("a name");
        let network = Network::new(name.as_bytes(), &bytes(&vector["secret"])).expect("a network");
        assert_eq!(network.name(), name.as_bytes());
        assert_eq!(*network.id().as_bytes(), array(&vector["network_id"]));
        let id_bits = network.default_id_bits();
        assert_eq!(Some(u64::from(id_bits)), vector["id_bits"].as_u64());
        assert_eq!(
            network.wire_tag(id_bits).to_vec(),
            bytes(&vector["wire_tag"])
        );
        assert_ne!(
            network.wire_tag(id_bits + 1).to_vec(),
            bytes(&vector["wire_tag"])
        );
    }
}

#[test]
fn slots_are_derived_as_written() {
    let vectors = vectors();
    let (slots, records) = (&vectors["slots"], &vectors["records"]);
    let slot = |name: &str| Key::from_bytes(array(&slots[name]));
    assert_eq!(Key::from_name(b"key"), Ok(slot("name 'key'")));
    assert_eq!(dict_slot(b"d"), Ok(slot("dict 'd'")));
    assert_eq!(file_name_slot(b"f"), Ok(slot("file name 'f'")));
    let file_id = *blake3::hash(b"f").as_bytes();
    assert_eq!(providers_slot(&file_id), slot("providers of BLAKE3('f')"));
    assert_eq!(chunk_slot(&file_id, 1), slot("chunk 1 of BLAKE3('f')"));
    assert_eq!(
        Value::new("v".into()).expect("short").key(),
        &slot("value 'v'")
    );
    let entry = &records["namespace"];
    let entry_key = Key::from_bytes(array(&entry["label"]));
    let entry_slot = namespace_slot(&array(&entry["writer"]), &entry_key);
    assert_eq!(entry_slot, slot("namespace writer, KEY"));
    assert_eq!(entry_slot, Key::from_bytes(array(&entry["slot"])));
    let item = &records["bag"];
    let item_id = bag_item_id(&array(&item["writer"]), &bytes(&item["payload"]));
    assert_eq!(item_id, slot("bag item id writer,'item'"));
}

#[test]
fn contacts_are_packed_as_written() {
    let vectors = vectors();
    let key = NodeKey::new(array(&vectors["node"]["a"]["key"])).expect("a node key");
    let v4 = "192.0.2.1:4001".parse().expect("an address");
    let v6 = "[2001:db8::1]:4001".parse().expect("an address");
    for (name, v4, v6, storing) in [
        ("v4 storing", Some(v4), None, true),
        ("v6", None, Some(v6), false),
        ("dual storing", Some(v4), Some(v6), true),
    ] {
        let packed = bytes(&vectors["contact"][name]);
        let contact = Contact::new(key, v4, v6, storing).expect("it has an address");
        assert_eq!(pack_contacts([&contact], 1000), packed, "{name}");
        assert_eq!(unpack_contacts(&packed), Ok(vec![contact]), "{name}");
    }
}

#[test]
fn a_contact_with_a_refused_key_refuses_the_field() {
    let vectors = vectors();
    let good = bytes(&vectors["contact"]["v4 storing"]);
    let refused = vectors["refused_keys"].as_array().expect("a list");
    assert_eq!(refused.len(), 8);
    for key in refused {
        let mut bad = good.clone();
        bad[1..33].copy_from_slice(&array(key));
        let field = [good.as_slice(), &bad].concat();
        assert_eq!(
            unpack_contacts(&field),
            Err(ContactsError::Key { index: 1 }),
            "{key}"
        );
    }
}

#[test]
fn hellos_are_packed_as_written() {
    let vectors = vectors();
    let full = Hello {
        storing: true,
        v4: Some("192.0.2.1:4001".parse().expect("an address")),
        v6: Some("[2001:db8::1]:4001".parse().expect("an address")),
    };
    for (name, hello) in [("empty", Hello::default()), ("storing, dual", full)] {
        let packed = bytes(&vectors["hello"][name]);
        assert_eq!(hello.pack(), packed, "{name}");
        assert_eq!(Hello::unpack(&packed), Ok(hello), "{name}");
    }
}

#[test]
fn observed_addresses_are_packed_as_written() {
    let vectors = vectors();
    for (name, address) in [("v4", "192.0.2.1:4001"), ("v6", "[2001:db8::1]:4001")] {
        let observed = Some(address.parse().expect("an address"));
        let body = Answer::Pong(Pong {
            observed,
            ..Pong::default()
        })
        .encode();
        // The observed address is the last field of the last message.
        assert!(body.ends_with(&bytes(&vectors["observed"][name])), "{name}");
    }
}

#[test]
fn the_value_sudo_python_has_the_key_that_it_always_had() {
    let key: Key =
        "int:44523492095186523269265158000087001266127815262863473237438729878159874507476"
            .parse()
            .expect("a key");
    let value = Value::checked(&key, "sudo python".into()).expect("the value of the key");
    assert_eq!(value.key(), &key);
    assert!(Value::checked(&key, "sudo pythons".into()).is_err());
}
