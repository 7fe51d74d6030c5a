//! What facts about a node mean.
//!
//! What must stay true: the same facts give the same checks, each at most once and under a name that
//! does not change; a check that fails says what to do.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use qadom_engine::{Mode, Reachability};

use crate::process::Space;
use crate::status::{Limit, NOBODY_ANSWERS, Status, Verdict};

/// A clock that is wrong by more than this is told, in milliseconds: the protocol corrects by it.
const CLOCK_WRONG_MS: u64 = 60_000;

/// Contacts from which on it matters that they are in different places.
const TABLE_MIN: usize = 10;

/// Free space below which the disk counts as full, in bytes.
const SPACE_MIN: u64 = 64 << 20;

/// Drops that are not worth a word, however few datagrams came.
const DROPS_MIN: u64 = 100;

/// One in this many that is dropped is worth a word.
const DROPS_SHARE: u64 = 20;

/// Limits at which something is refused that the node needs for itself. What makes room when it is full, as the
/// records do, may be full; the disk has a check of its own.
const NEEDED: [&str; 6] = [
    "memory-bytes",
    "open-files",
    "operations",
    "publication-bytes",
    "publications",
    "store-buffer-bytes",
];

/// From so many percent on such a limit is worth a word.
const SHORT: u64 = 95;

/// Limits that are told when none is.
const FULLEST: usize = 3;

/// Reasons under which datagrams are counted that did not even leave this machine.
const UNSENT: [&str; 2] = ["socket-unreachable", "socket-refused"];

/// One thing that was looked at.
///
/// # Examples
///
/// ```
/// use qadom_node::{Check, Node};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let node = Node::builder().memory(true).listen("127.0.0.1:0".parse()?).start().await?;
/// for Check { name, ok, detail, advice } in node.doctor().await?.checks {
///     println!("{name} is {}: {detail}, {advice:?}", if ok { "well" } else { "not well" });
/// }
/// # node.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at, in kebab case.
    pub name: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What to do about it; none when it is as it should be.
    pub advice: Option<String>,
}

/// What was found out about a node.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) status: &'a Status,
    /// Nodes that answered a lookup.
    pub(super) answered: usize,
    pub(super) published: Published,
    /// Where the contacts of the table are.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) space: Option<Space>,
}

/// What came of reading publications back from other nodes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Published {
    pub(super) read: usize,
    pub(super) found: usize,
}

impl Facts<'_> {
    pub(super) fn checks(&self) -> Vec<Check> {
        vec![
            self.network(),
            self.datagrams(),
            self.lookup(),
            self.publications(),
            self.reachability(),
            self.clock(),
            self.diversity(),
            self.density(),
            self.disk(),
            self.budgets(),
            self.drops(),
        ]
    }

    /// Whether the addresses to join by lead into this network.
    fn network(&self) -> Check {
        let foreign = self
            .reason("wrong-network")
            .or_else(|| self.reason("wrong-version"));
        match foreign {
            Some(reason) => bad(
                "network",
                reason,
                "start with that network's --network, --id-bits and secret",
            ),
            None => good("network", format!("this is {}", self.status.network)),
        }
    }

    /// Whether anything comes in at all.
    fn datagrams(&self) -> Check {
        let traffic = &self.status.traffic;
        let (sent, came) = (traffic.datagrams_out, traffic.datagrams_in);
        let drops = &self.status.drops;
        let unsent = UNSENT.iter().filter_map(|reason| drops.get(*reason));
        let unsent = unsent.sum::<u64>();
        if came > 0 || self.expects_nobody() {
            good("datagrams", format!("{sent} went out, {came} came in"))
        } else if unsent > 0 || sent == 0 {
            bad(
                "datagrams",
                format!("none came in, and {unsent} found no way out"),
                "connect this machine to a network, or listen on an address that leads to one",
            )
        } else {
            bad(
                "datagrams",
                format!("{sent} went out and none came in"),
                "let UDP pass through the firewall, both ways, or check the addresses to join by",
            )
        }
    }

    /// Whether a lookup finds anybody.
    fn lookup(&self) -> Check {
        match (self.answered, self.status.verdict) {
            (0, _) if self.expects_nobody() => {
                good("lookup", "no other node is known, this is the first")
            }
            (0, Verdict::Starting) => bad(
                "lookup",
                "nobody answered yet: the node is still joining",
                "wait a few seconds and ask again",
            ),
            (0, _) if self.status.traffic.datagrams_in > 0 => bad(
                "lookup",
                "nobody answers any more: all peers are gone",
                "name a node that runs with `qadom join ADDR`",
            ),
            (0, _) => bad(
                "lookup",
                "nobody answered",
                "name a node that runs with `qadom join ADDR`",
            ),
            (answered, _) => good("lookup", format!("{answered} nodes answered")),
        }
    }

    /// Whether what the node keeps alive is read from others.
    fn publications(&self) -> Check {
        let Published { read, found } = self.published;
        if read == 0 || self.answered == 0 {
            good("publications", "nothing to read back from other nodes")
        } else if found == read {
            good(
                "publications",
                format!("{found} of {read} were read from other nodes"),
            )
        } else {
            bad(
                "publications",
                format!("only {found} of {read} were read from other nodes"),
                "they are brought again at their next renewal; writing them anew does it at once",
            )
        }
    }

    /// Whether others reach the node.
    fn reachability(&self) -> Check {
        let status = self.status;
        let seen = status.observed_addresses.iter().map(ToString::to_string);
        let seen = seen.collect::<Vec<_>>().join(" and ");
        match status.reachability {
            Reachability::Unreachable => bad(
                "reachability",
                format!("others see the node at {seen} and cannot reach it there"),
                "forward its UDP port on the router, or give --advertise; as a client it works all the same",
            ),
            Reachability::Reachable => {
                good("reachability", format!("others reach the node at {seen}"))
            }
            Reachability::Unknown if status.mode == Mode::Client => {
                good("reachability", "not tested, a client need not be")
            }
            Reachability::Unknown => good("reachability", "not known yet"),
        }
    }

    fn clock(&self) -> Check {
        let offset = self.status.clock_offset_ms;
        if offset.unsigned_abs() > CLOCK_WRONG_MS {
            let seconds = offset.unsigned_abs() / 1000;
            let way = if offset > 0 { "behind" } else { "ahead" };
            bad(
                "clock",
                format!("the clocks of the peers say that this one is {seconds} s {way}"),
                "set the clock, best by NTP; until then the node goes by the peers",
            )
        } else {
            good("clock", "the peers do not disagree with it")
        }
    }

    /// Whether one provider holds the routing table.
    fn diversity(&self) -> Check {
        let mut groups = BTreeMap::<_, usize>::new();
        for address in &self.addresses {
            *groups.entry(provider(*address)).or_default() += 1;
        }
        let largest = groups.values().copied().max().unwrap_or(0);
        let all = self.addresses.len();
        if !self.status.local && all >= TABLE_MIN && largest * 2 > all {
            bad(
                "diversity",
                format!("{largest} of {all} contacts have addresses of one provider"),
                "join by nodes of other places, too: who rules that provider could cut this node off",
            )
        } else {
            let providers = groups.len();
            good(
                "diversity",
                format!("{all} contacts in {providers} address groups"),
            )
        }
    }

    /// Whether nodes crowd round the keys that were looked up.
    fn density(&self) -> Check {
        let density = &self.status.density;
        if density.is_suspicious() {
            let advice = "read back what matters from several places, and renew it";
            bad("density", density.text(), advice)
        } else {
            good("density", density.text())
        }
    }

    fn disk(&self) -> Check {
        let failing = self
            .reason("disk-full")
            .or_else(|| self.reason("storage-failed"));
        let megabytes = |bytes: u64| bytes >> 20;
        let free = self.space.map(|space| megabytes(space.free));
        let free = free.map_or_else(|| "unknown".to_owned(), |free| format!("{free} MiB"));
        if let Some(reason) = failing {
            let advice = "make room on the disk, or look at it: the node goes on by itself";
            return bad("disk", format!("{reason}; free: {free}"), advice);
        }
        match self.space {
            Some(space) if space.free < SPACE_MIN => bad(
                "disk",
                format!("{free} are free of {} MiB", megabytes(space.total)),
                "make room, before writes are refused",
            ),
            _ => good("disk", format!("free: {free}")),
        }
    }

    /// Whether something is nearly used up, of which the node can do with no less.
    fn budgets(&self) -> Check {
        let limits = self.status.limits.iter().filter(|limit| limit.limit > 0);
        let mut shares: Vec<_> = limits.map(|limit| (percent(limit), limit.name)).collect();
        shares.sort_by_key(|(percent, _)| Reverse(*percent));
        let text = |(percent, name): &(u64, &str)| format!("{name} {percent} %");
        let is_short = |(percent, name): &&(u64, &str)| *percent >= SHORT && NEEDED.contains(name);
        let short: Vec<_> = shares.iter().filter(is_short).map(text).collect();
        if short.is_empty() {
            let fullest: Vec<_> = shares.iter().take(FULLEST).map(text).collect();
            return good("budgets", format!("fullest: {}", fullest.join(", ")));
        }
        bad(
            "budgets",
            format!("nearly used up: {}", short.join(", ")),
            "`qadom status` shows use and limit of each; give the process more of it, or the node less to do",
        )
    }

    /// Whether much of what comes is dropped.
    fn drops(&self) -> Check {
        let drops = &self.status.drops;
        // Who shares an address comes last, and nothing of it is dropped.
        let counted = drops
            .iter()
            .filter(|(reason, _)| *reason != "address-group");
        let all = counted.map(|(_, count)| count).sum::<u64>();
        let came = self.status.traffic.datagrams_in;
        if all <= DROPS_MIN || all.saturating_mul(DROPS_SHARE) <= came {
            return good("drops", format!("{all} of {came} datagrams and requests"));
        }
        let most = drops.iter().max_by_key(|(_, count)| **count);
        let most = most.map_or_else(String::new, |(reason, count)| {
            format!(", {count} for {reason}")
        });
        bad(
            "drops",
            format!("{all} were dropped while {came} datagrams came{most}"),
            "`qadom status` counts them by reason; a flood passes, a busy machine needs relief",
        )
    }

    /// Whether there is no other node that should answer: this is the first one, however its disk does.
    fn expects_nobody(&self) -> bool {
        match self.status.verdict {
            Verdict::Healthy => true,
            Verdict::Degraded => self.reason(NOBODY_ANSWERS).is_none(),
            _ => false,
        }
    }

    /// The first line of the status that tells of this reason.
    fn reason(&self, name: &str) -> Option<String> {
        let reasons = self.status.reasons.iter();
        let mut lines = reasons.filter(|line| line.contains(name));
        lines.next().cloned()
    }
}

/// How much of a limit is used, in whole percent.
fn percent(limit: &Limit) -> u64 {
    limit.used.saturating_mul(100) / limit.limit.max(1)
}

/// The address group that is likely to be in one hand: a /16, in IPv6 a /32.
fn provider(address: IpAddr) -> [u8; 5] {
    match address.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            [a, b, 0, 0, 4]
        }
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.octets();
            [a, b, c, d, 6]
        }
    }
}

fn good(name: &'static str, detail: impl Into<String>) -> Check {
    Check {
        name,
        ok: true,
        detail: detail.into(),
        advice: None,
    }
}

fn bad(name: &'static str, detail: impl Into<String>, advice: &str) -> Check {
    Check {
        name,
        ok: false,
        detail: detail.into(),
        advice: Some(advice.to_owned()),
    }
}

#[cfg(test)]
mod tests;
