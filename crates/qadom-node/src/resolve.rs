//! From addresses as users type them to addresses that a socket takes.
//!
//! What must stay true: only addresses of families that the node listens on come out, and at most
//! [`ADDRESSES_MAX`] for one name. Names do not wait for each other, and none longer than
//! [`LOOKUP_MAX`].

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use qadom_engine::JoinProblem;
use qadom_routing::{Contact, Families, NodeKey, canonical};

use crate::address::{HostPort, JoinAddress};

/// Addresses of one host name that are tried.
const ADDRESSES_MAX: usize = 8;

/// The longest wait for the addresses of a host name. A system that waits longer for a name server
/// that is gone would hold back those that start or join.
const LOOKUP_MAX: Duration = Duration::from_secs(3);

/// The addresses of a host name or of an IP address; empty when there are none, or none in time.
pub(crate) async fn resolve(at: &HostPort, families: Families) -> Vec<SocketAddr> {
    resolve_by(ask_system(at.clone()), at, families).await
}

async fn ask_system(at: HostPort) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((at.host(), at.port())).await?;
    Ok(found.collect())
}

async fn resolve_by(
    lookup: impl Future<Output = io::Result<Vec<SocketAddr>>>,
    at: &HostPort,
    families: Families,
) -> Vec<SocketAddr> {
    let found = match at.socket_address() {
        Some(address) => vec![address],
        None => match tokio::time::timeout(LOOKUP_MAX, lookup).await {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(error)) => {
                tracing::debug!(address = %at, %error, "a host name has no address");
                Vec::new()
            }
            Err(_) => {
                tracing::debug!(address = %at, "no name server answers");
                Vec::new()
            }
        },
    };
    let is_reachable = |address: &SocketAddr| match address {
        SocketAddr::V4(_) => families.v4,
        SocketAddr::V6(_) => families.v6,
    };
    let mut addresses: Vec<_> = found
        .into_iter()
        .map(canonical)
        .filter(is_reachable)
        .collect();
    addresses.dedup();
    addresses.truncate(ADDRESSES_MAX);
    addresses
}

/// The addresses of a join, ready for the engine.
#[derive(Debug)]
pub(crate) struct Targets {
    named: Vec<(JoinAddress, Vec<SocketAddr>)>,
    /// Names that say by their key that they are this node's own.
    own: Vec<JoinAddress>,
    /// Places whose key has to be asked for.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Nodes whose key came with the address.
    pub(crate) contacts: Vec<Contact>,
}

impl Targets {
    /// Resolves every address; `own` is left out of what the engine gets.
    pub(crate) async fn resolve(names: &[JoinAddress], families: Families, own: &NodeKey) -> Self {
        Self::resolve_by(ask_system, names, families, own).await
    }

    async fn resolve_by<F>(
        lookup: impl Fn(HostPort) -> F,
        names: &[JoinAddress],
        families: Families,
        own: &NodeKey,
    ) -> Self
    where
        F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        let mut targets = Self {
            named: Vec::with_capacity(names.len()),
            own: Vec::new(),
            addresses: Vec::new(),
            contacts: Vec::new(),
        };
        let mut lookups = Vec::with_capacity(names.len());
        for name in names {
            if name.key() == Some(own) {
                targets.own.push(name.clone());
                continue;
            }
            let at = name.host_port().clone();
            let lookup = lookup(at.clone());
            let lookup = tokio::spawn(async move { resolve_by(lookup, &at, families).await });
            lookups.push((name, lookup));
        }
        for (name, lookup) in lookups {
            let addresses = lookup.await.unwrap_or_default();
            match name.key() {
                None => targets.addresses.extend(&addresses),
                // Whether it stores for others, its session will say.
                Some(key) => targets.contacts.extend(
                    addresses
                        .iter()
                        .map(|&address| Contact::at(*key, address, false)),
                ),
            }
            targets.named.push((name.clone(), addresses));
        }
        targets
    }

    /// The names none of whose addresses helped, each with its worst problem. `found` is what the
    /// engine says of the addresses.
    pub(crate) fn problems(
        &self,
        found: &[(SocketAddr, JoinProblem)],
    ) -> Vec<(JoinAddress, JoinProblem)> {
        let of = |address: &SocketAddr| found.iter().find(|(at, _)| at == address);
        let own = self.own.iter().map(|name| (name.clone(), JoinProblem::Own));
        let mut problems: Vec<_> = own.collect();
        for (name, addresses) in &self.named {
            let known: Vec<_> = addresses
                .iter()
                .filter_map(of)
                .map(|(_, problem)| problem)
                .collect();
            if known.len() < addresses.len() {
                continue;
            }
            let worst = known.into_iter().max_by_key(|problem| weight(problem));
            let problem = worst.cloned().unwrap_or(JoinProblem::Unreachable);
            problems.push((name.clone(), problem));
        }
        problems
    }
}

/// A host name often has an address that nobody listens on; what another one says counts for more.
const fn weight(problem: &JoinProblem) -> u8 {
    match problem {
        JoinProblem::WrongNetwork(_) => 2,
        JoinProblem::Own => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: Families = Families {
        v4: true,
        v6: false,
    };

    fn own() -> NodeKey {
        NodeKey::new([9; 32]).unwrap()
    }

    async fn targets(names: &[&str]) -> Targets {
        let names: Vec<_> = names.iter().map(|name| name.parse().unwrap()).collect();
        Targets::resolve(&names, Families::BOTH, &own()).await
    }

    #[tokio::test]
    async fn only_reachable_families_come_out() {
        let at = |text: &str| text.parse::<HostPort>().unwrap();
        assert_eq!(resolve(&at("127.0.0.1:1"), V4).await.len(), 1);
        assert!(resolve(&at("[::1]:1"), V4).await.is_empty());
        let mapped = resolve(&at("[::ffff:127.0.0.1]:1"), V4).await;
        assert_eq!(mapped, ["127.0.0.1:1".parse().unwrap()]);
    }

    #[tokio::test(start_paused = true)]
    async fn names_that_no_name_server_answers_for_cost_one_wait() {
        let names: Vec<_> = ["dead:1", "127.0.0.1:2", "gone:3", "alive:4"]
            .iter()
            .map(|name| name.parse().unwrap())
            .collect();
        let found = "127.0.0.9:4".parse().unwrap();
        let lookup = |at: HostPort| async move {
            if at.host() == "alive" {
                Ok(vec![found])
            } else {
                std::future::pending().await
            }
        };
        let began = tokio::time::Instant::now();
        let targets = Targets::resolve_by(lookup, &names, Families::BOTH, &own()).await;
        assert_eq!(began.elapsed(), LOOKUP_MAX);
        assert_eq!(targets.addresses, ["127.0.0.1:2".parse().unwrap(), found]);
        let problems = targets.problems(&[]);
        let failed: Vec<_> = problems.iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(failed, ["dead:1", "gone:3"]);
    }

    #[tokio::test]
    async fn a_name_has_a_problem_only_when_all_its_addresses_have() {
        let mut targets = targets(&["127.0.0.1:1"]).await;
        let (first, second) = ("127.0.0.1:1".parse().unwrap(), "[::1]:1".parse().unwrap());
        targets.named[0].1.push(second);
        assert_eq!(targets.problems(&[(first, JoinProblem::Unreachable)]), []);
        let foreign = JoinProblem::WrongNetwork(Vec::new());
        let found = [(first, foreign.clone()), (second, JoinProblem::Unreachable)];
        assert_eq!(targets.problems(&found)[0].1, foreign);
    }

    #[tokio::test]
    async fn a_name_without_address_is_unreachable_and_the_own_one_is_left_out() {
        let mut unresolved = targets(&["127.0.0.1:1"]).await;
        unresolved.named[0].1.clear();
        assert_eq!(unresolved.problems(&[])[0].1, JoinProblem::Unreachable);
        let own = crate::NodeAddress::new(own(), "127.0.0.1:1".parse::<HostPort>().unwrap());
        let targets = targets(&[&own.to_string()]).await;
        assert!(targets.contacts.is_empty());
        assert_eq!(targets.problems(&[]), [(own.into(), JoinProblem::Own)]);
    }
}
