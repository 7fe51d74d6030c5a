//! The bootstrap against a driver that is played by the test, with virtual time.

use std::collections::BTreeSet;
use std::path::PathBuf;

use qadom_engine::Joined;
use qadom_routing::{Families, NodeKey};
use qadom_wire::Network;

use super::*;
use crate::address::{HostPort, NodeAddress};
use crate::command::Neighbours;

fn contact(number: u8) -> Contact {
    let address = ([127, 0, 0, 1], u16::from(number)).into();
    let mut key = [7; 32];
    key[0] = number;
    Contact::at(NodeKey::new(key).unwrap(), address, true)
}

/// A driver that knows these contacts.
struct Played {
    queue: mpsc::Receiver<Box<Command>>,
    /// Keeps the node alive.
    _commands: mpsc::Sender<Box<Command>>,
    known: Vec<Contact>,
    live: usize,
}

impl Played {
    fn start(addresses: &[&str], saved: Vec<Contact>) -> Self {
        let key = *contact(250).key();
        let facts = Arc::new(Facts {
            address: NodeAddress::new(key, "127.0.0.1:1".parse::<HostPort>().unwrap()),
            id: key.id(),
            local_addresses: Vec::new(),
            families: Families::BOTH,
            data_dir: PathBuf::new(),
            network: "local".to_owned(),
            network_id: Network::new(b"local", b"").unwrap().id(),
            is_local: true,
        });
        let (commands, queue) = mpsc::channel(1);
        let addresses = addresses.iter().map(|text| text.parse().unwrap());
        let bootstrap = Bootstrap::new(
            addresses.collect(),
            saved.clone(),
            commands.downgrade(),
            &facts,
        );
        tokio::spawn(bootstrap.run());
        Self {
            queue,
            _commands: commands,
            known: saved,
            live: 0,
        }
    }

    /// Plays until the next attempt, and ends it. Gives the keys of the contacts that were tried,
    /// and how often the neighbours were looked at before it. After the third look none is live.
    async fn attempt(&mut self, result: Result<Outcome, Failure>) -> (Vec<NodeKey>, usize) {
        let mut looks = 0;
        loop {
            match *self.queue.recv().await.unwrap() {
                Command::Neighbours(reply) => {
                    looks += 1;
                    let known = self.known.clone();
                    let live = self.live;
                    reply.send(Neighbours { live, known }).unwrap();
                    if looks == 3 {
                        self.live = 0;
                    }
                }
                Command::Begin(Operation::Join(_, contacts), reply) => {
                    reply.send(result).unwrap();
                    let keys = contacts.iter().map(|contact| *contact.key());
                    return (keys.collect(), looks);
                }
                Command::Bootstrapped(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

const fn nobody() -> Result<Outcome, Failure> {
    Err(Failure::NotJoined {
        problems: Vec::new(),
    })
}

#[tokio::test(start_paused = true)]
async fn every_known_contact_gets_its_turn_and_named_nodes_always() {
    let saved: Vec<_> = (1..=100).map(contact).collect();
    let named = NodeAddress::new(
        *contact(200).key(),
        "127.0.0.1:9".parse::<HostPort>().unwrap(),
    );
    let mut played = Played::start(&[&named.to_string()], saved.clone());
    let mut tried = BTreeSet::new();
    for _ in 0..3 {
        let (keys, _) = played.attempt(nobody()).await;
        assert_eq!(
            (keys.len(), &keys[0]),
            (1 + KNOWN_AT_ONCE, contact(200).key())
        );
        tried.extend(keys.iter().skip(1).map(|key| *key.as_bytes()));
    }
    assert_eq!(tried.len(), saved.len());
}

#[tokio::test(start_paused = true)]
async fn the_neighbours_of_now_are_tried_and_not_those_of_the_start() {
    let mut played = Played::start(&[], vec![contact(1)]);
    assert_eq!(played.attempt(nobody()).await.0, [*contact(1).key()]);
    played.known = vec![contact(2), contact(3)];
    let mut tried = played.attempt(nobody()).await.0;
    tried.sort_unstable_by_key(|key| *key.as_bytes());
    assert_eq!(tried, [*contact(2).key(), *contact(3).key()]);
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_neighbours_fell_silent_joins_again() {
    let mut played = Played::start(&["127.0.0.1:9"], Vec::new());
    let joined = Joined {
        peers: 1,
        problems: Vec::new(),
    };
    assert_eq!(played.attempt(Ok(Outcome::Joined(joined))).await.1, 1);
    // The table keeps the last one, although it does not answer any more from the third look on.
    played.known = vec![contact(1)];
    played.live = 1;
    let (tried, looks) = played.attempt(nobody()).await;
    assert_eq!(tried, [*contact(1).key()]);
    assert_eq!(
        looks, 5,
        "three with a neighbour, one without, one for whom to try"
    );
}
