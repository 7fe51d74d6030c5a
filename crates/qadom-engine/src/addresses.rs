//! Where this node is reached: what it was told to advertise, what peers observe, the address of
//! its interface; and the groups by which addresses of others are told apart.
//!
//! What must stay true: one address group has one vote (in local mode one peer), an unspecified
//! address is never believed, and no more votes are kept than count.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use qadom_routing::{Contact, NodeKey, canonical, is_exempt};
use qadom_wire::Hello;

/// Votes that count, the last ones of each family.
const VOTES: usize = 16;
/// Votes that have to agree outside local mode.
const QUORUM: usize = 3;

/// At most one address of each family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// The IPv4 address.
    pub v4: Option<SocketAddrV4>,
    /// The IPv6 address.
    pub v6: Option<SocketAddrV6>,
}

impl Addresses {
    /// The one address given; none when it is unspecified.
    pub fn at(address: SocketAddr) -> Self {
        let mut addresses = Self::default();
        addresses.set(address);
        addresses
    }

    /// Those that a node advertises.
    pub(crate) fn of(hello: &Hello) -> Self {
        let (v4, v6) = (hello.v4, hello.v6);
        Self { v4, v6 }
    }

    /// Those that a contact is reached at.
    pub(crate) fn of_contact(contact: &Contact) -> Self {
        let (v4, v6) = (contact.v4(), contact.v6());
        Self { v4, v6 }
    }

    /// Puts an address into the place of its family. An unspecified one changes nothing.
    pub fn set(&mut self, address: SocketAddr) {
        match canonical(address) {
            address if !is_specific(address) => {}
            SocketAddr::V4(v4) => self.v4 = Some(v4),
            SocketAddr::V6(v6) => self.v6 = Some(v6),
        }
    }

    /// The first of the two, IPv4 before IPv6.
    pub fn first(&self) -> Option<SocketAddr> {
        self.each().next()
    }

    /// Both, IPv4 before IPv6.
    pub fn each(&self) -> impl Iterator<Item = SocketAddr> + use<> {
        let v4 = self.v4.map(SocketAddr::V4);
        v4.into_iter().chain(self.v6.map(SocketAddr::V6))
    }

    /// These, and those of `others` for the families that are missing.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            v4: self.v4.or(others.v4),
            v6: self.v6.or(others.v6),
        }
    }

    /// The one of the same family as another address.
    pub(crate) fn like(&self, other: SocketAddr) -> Option<SocketAddr> {
        if canonical(other).is_ipv4() {
            self.v4.map(SocketAddr::V4)
        } else {
            self.v6.map(SocketAddr::V6)
        }
    }
}

/// Whether an address can name one node.
pub(crate) fn is_specific(address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    !ip.is_unspecified() && !ip.is_multicast() && address.port() != 0
}

/// The /16 of an IPv4 address or the /32 of an IPv6 one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group(IpAddr);

impl Group {
    pub(crate) fn of(address: SocketAddr) -> Self {
        Self(match address.ip().to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, ..] = v4.octets();
                Ipv4Addr::new(a, b, 0, 0).into()
            }
            IpAddr::V6(v6) => {
                let [a, b, ..] = v6.segments();
                Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0).into()
            }
        })
    }
}

/// Who has one vote: in local mode, where all share few addresses, each peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voter {
    Group(Group),
    Peer(NodeKey),
}

impl Voter {
    pub(crate) fn new(key: NodeKey, address: SocketAddr, is_local: bool) -> Self {
        if is_exempt(address.ip(), is_local) {
            Self::Peer(key)
        } else {
            Self::Group(Group::of(address))
        }
    }
}

/// How far an address reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Machine,
    Link,
    Site,
    World,
}

impl Scope {
    fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            ip if ip.is_loopback() => Self::Machine,
            IpAddr::V4(v4) if v4.is_link_local() => Self::Link,
            IpAddr::V6(v6) if v6.is_unicast_link_local() => Self::Link,
            IpAddr::V4(v4) if v4.is_private() => Self::Site,
            IpAddr::V6(v6) if v6.is_unique_local() => Self::Site,
            _ => Self::World,
        }
    }
}

/// Whether an address that a peer at `from` names can be reached from here if its word is good: it
/// holds everywhere, or no farther than the address that the peer is known by.
pub(crate) fn is_worth_trying(address: SocketAddr, from: SocketAddr, is_local: bool) -> bool {
    let scope = Scope::of(address.ip());
    is_specific(address) && (is_local || scope == Scope::World || scope == Scope::of(from.ip()))
}

/// The addresses of this node.
#[derive(Debug)]
pub(crate) struct OwnAddresses {
    advertised: Addresses,
    interface: Addresses,
    v4: Votes,
    v6: Votes,
    quorum: usize,
}

impl OwnAddresses {
    pub(crate) fn new(advertised: Addresses, interface: Addresses, is_local: bool) -> Self {
        let specific = |addresses: Addresses| {
            let mut specific = Addresses::default();
            addresses.each().for_each(|address| specific.set(address));
            specific
        };
        Self {
            advertised: specific(advertised),
            interface: specific(interface),
            v4: Votes::default(),
            v6: Votes::default(),
            quorum: if is_local { 1 } else { QUORUM },
        }
    }

    /// Counts what a voter observes.
    pub(crate) fn vote(&mut self, voter: Voter, observed: SocketAddr) {
        let observed = canonical(observed);
        if !is_specific(observed) {
            return;
        }
        let family = if observed.is_ipv4() {
            &mut self.v4
        } else {
            &mut self.v6
        };
        family.cast(voter, observed);
    }

    /// What peers agree on.
    pub(crate) fn observed(&self) -> Addresses {
        let mut observed = Addresses::default();
        let winners = [&self.v4, &self.v6].map(|votes| votes.winner(self.quorum));
        for address in winners.into_iter().flatten() {
            observed.set(address);
        }
        observed
    }

    /// What others are told: the advertised addresses, else the observed ones, else those of the
    /// interface.
    pub(crate) fn told(&self) -> Addresses {
        self.advertised.or(self.observed()).or(self.interface)
    }

    /// Where a voter, who is reached at an address, reaches this node: what others are told when
    /// there is a reason for it, else what the voter itself observes.
    pub(crate) fn towards(&self, voter: Voter, address: SocketAddr) -> Option<SocketAddr> {
        let family = if canonical(address).is_ipv4() {
            &self.v4
        } else {
            &self.v6
        };
        let known = self.advertised.or(self.observed()).like(address);
        known
            .or_else(|| family.of(voter))
            .or_else(|| self.interface.like(address))
    }
}

/// The last votes on one family.
#[derive(Debug, Default)]
struct Votes(VecDeque<(Voter, SocketAddr)>);

impl Votes {
    fn cast(&mut self, voter: Voter, observed: SocketAddr) {
        self.0.retain(|(other, _)| *other != voter);
        self.0.push_back((voter, observed));
        if self.0.len() > VOTES {
            self.0.pop_front();
        }
    }

    fn of(&self, voter: Voter) -> Option<SocketAddr> {
        let mut cast = self.0.iter();
        cast.find(|(other, _)| *other == voter)
            .map(|(_, observed)| *observed)
    }

    /// The address that most of the votes agree on, when these are enough.
    fn winner(&self, quorum: usize) -> Option<SocketAddr> {
        let count = |address| self.0.iter().filter(|(_, other)| *other == address).count();
        let mut candidates = self.0.iter().map(|(_, address)| *address);
        candidates.find(|&address| {
            let agreeing = count(address);
            agreeing >= quorum && 2 * agreeing > self.0.len()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn group(number: u8) -> Voter {
        Voter::Group(Group::of(([10, number, 0, 1], 1).into()))
    }

    fn own(is_local: bool) -> OwnAddresses {
        OwnAddresses::new(Addresses::default(), Addresses::default(), is_local)
    }

    #[test]
    fn three_groups_have_to_agree_and_in_local_mode_one_peer() {
        let (seen, other) = (address("192.0.2.1:7"), address("192.0.2.1:8"));
        let mut own = own(false);
        own.vote(group(1), seen);
        own.vote(group(2), seen);
        own.vote(group(2), seen);
        assert_eq!(own.observed(), Addresses::default());
        own.vote(group(3), seen);
        assert_eq!(own.observed(), Addresses::at(seen));
        // Three against three is no majority.
        (4..7).for_each(|number| own.vote(group(number), other));
        assert_eq!(own.observed(), Addresses::default());
        own.vote(group(7), other);
        assert_eq!(own.observed(), Addresses::at(other));
        let mut local = self::own(true);
        local.vote(Voter::Peer(NodeKey::new([9; 32]).unwrap()), seen);
        assert_eq!(local.observed(), Addresses::at(seen));
    }

    #[test]
    fn the_last_sixteen_votes_of_each_family_count() {
        let (old, new) = (address("192.0.2.1:7"), address("198.51.100.1:7"));
        let six = address("[2001:db8::1]:7");
        let mut own = own(false);
        (0..20).for_each(|number| own.vote(group(number), old));
        (20..28).for_each(|number| own.vote(group(number), new));
        assert_eq!(own.observed(), Addresses::default(), "eight of sixteen");
        own.vote(group(28), new);
        (0..3).for_each(|number| own.vote(group(number), six));
        let mut expected = Addresses::at(new);
        expected.set(six);
        assert_eq!(own.observed(), expected);
    }

    #[test]
    fn what_is_advertised_overrides_votes_and_votes_the_interface() {
        let [told, seen, bound] = ["192.0.2.1:1", "192.0.2.2:2", "10.0.0.3:3"].map(address);
        let mut own = OwnAddresses::new(Addresses::default(), Addresses::at(bound), false);
        assert_eq!(own.told(), Addresses::at(bound));
        own.vote(group(1), seen);
        assert_eq!(own.told(), Addresses::at(bound));
        assert_eq!(own.towards(group(1), seen), Some(seen));
        assert_eq!(own.towards(group(2), seen), Some(bound));
        (2..4).for_each(|number| own.vote(group(number), seen));
        assert_eq!(own.told(), Addresses::at(seen));
        own.advertised = Addresses::at(told);
        assert_eq!(own.told(), Addresses::at(told));
        assert_eq!(own.towards(group(1), seen), Some(told));
    }

    #[test]
    fn an_unspecified_address_is_never_told() {
        let unspecified = Addresses {
            v4: Some("0.0.0.0:7".parse().unwrap()),
            v6: Some("[::]:7".parse().unwrap()),
        };
        let mut own = OwnAddresses::new(unspecified, unspecified, true);
        for text in ["0.0.0.0:7", "[::]:7", "192.0.2.1:0", "224.0.0.1:7"] {
            own.vote(group(1), address(text));
        }
        assert_eq!(own.told(), Addresses::default());
    }

    #[test]
    fn addresses_of_a_smaller_world_are_tried_only_from_inside_it() {
        let [world, site, link, machine] =
            ["192.0.2.1:1", "192.168.0.1:1", "[fe80::1]:1", "127.0.0.1:1"].map(address);
        for (named, from, is_local, expected) in [
            (world, site, false, true),
            (site, world, false, false),
            (site, site, false, true),
            (link, world, false, false),
            (machine, site, false, false),
            (machine, site, true, true),
            (address("0.0.0.0:1"), world, true, false),
        ] {
            assert_eq!(is_worth_trying(named, from, is_local), expected, "{named}");
        }
    }
}
