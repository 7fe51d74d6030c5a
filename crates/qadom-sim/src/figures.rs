//! What happened in a network, in numbers.

use std::collections::BTreeMap;

use qadom_engine::Outcome;

/// Counts over the whole network since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Figures {
    /// Messages that reached a living node.
    pub messages: u64,
    /// Messages sent, also those that were lost.
    pub sent: u64,
    /// Messages that got lost on the way, or went to a dead node or an address of nobody.
    pub lost: u64,
    /// UDP payload that the messages sent would have taken up in datagrams, in bytes.
    pub bytes: u64,
    /// Sessions that were opened.
    pub sessions: u64,
    /// Requests that failed after all their tries.
    pub timeouts: u64,
    /// Answers that were longer than their session allowed, which is a fault of the engine. They
    /// were not sent.
    pub too_long: u64,
    /// Sessions that the living nodes' engines want kept, each side counted. Not counted up but
    /// as it stands now.
    pub pinned: u64,
    /// Datagrams that these messages would have taken.
    pub datagrams: u64,
    /// Datagrams of those that no user waited for.
    pub background_datagrams: u64,
    /// Those of these bytes that no user waited for: upkeep.
    pub background_bytes: u64,
    /// Nodes whose session ended by churn.
    pub departures: u64,
    /// Journals that a restarted node could not read back, which is a fault of the engine.
    pub journals_lost: u64,
    /// Depth of the puts, gets and lookups that ended well.
    pub hops: Hops,
}

/// How many operations had which depth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hops(BTreeMap<u32, u64>);

impl Hops {
    /// Each depth that occurred, rising, with its number of operations.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u64)> {
        self.0.iter().map(|(hops, count)| (*hops, *count))
    }

    /// The depth that at least this percentage of the operations did not exceed, 0 to 100; none
    /// when no operation was counted.
    pub fn percentile(&self, percent: u8) -> Option<u32> {
        let all: u64 = self.0.values().sum();
        let wanted = (all * u64::from(percent.min(100))).div_ceil(100);
        let mut counted = 0;
        self.0.iter().find_map(|(hops, count)| {
            counted += count;
            (counted >= wanted).then_some(*hops)
        })
    }

    pub(crate) fn count(&mut self, outcome: &Outcome) {
        let hops = match outcome {
            Outcome::Stored(receipt) => receipt.hops,
            Outcome::Fetched(fetched) => fetched.hops,
            Outcome::Looked(report) => report.hops,
            Outcome::Written(written) => written.receipt.hops,
            Outcome::Entry(read) => read.hops,
            Outcome::Listed(listed) => listed.hops,
            _ => return,
        };
        *self.0.entry(hops).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_depths_that_occurred() {
        let hops = Hops(BTreeMap::from([(1, 50), (2, 40), (5, 10)]));
        let depths = [0, 50, 51, 90, 91, 100, 255].map(|percent| hops.percentile(percent));
        assert_eq!(depths, [1, 1, 2, 2, 5, 5, 5].map(Some));
        assert_eq!(Hops::default().percentile(50), None);
    }
}
