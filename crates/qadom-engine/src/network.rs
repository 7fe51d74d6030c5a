//! What this node makes of the size of the network: how far a record is spread, over how many paths
//! it is looked for, and whether the nodes round a key look ground.
//!
//! What must stay true: the size is told by lookups for random targets alone, and until there was
//! one by the own neighbourhood.

use std::borrow::Borrow;

use qadom_routing::{
    Contact, DENSITY_ALARM, Distance, Key, Moment, NetworkSize, PATHS_MAX, SizeEstimator, density,
};
use qadom_wire::K;

use crate::core::Core;
use crate::publications::K_NEAREST;

/// How much a lookup does for its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Effort {
    /// Nodes to find.
    pub(crate) k: usize,
    pub(crate) paths: usize,
    /// Nodes within this distance are all looked for.
    pub(crate) reach: Distance,
    /// Whether the nearest are asked all at once as soon as it is known who they are, for somebody who
    /// waits. A search that ends with the first who has something asks a few at a time, and so does
    /// upkeep, which has time and meets more nodes on its way.
    pub(crate) hurries: bool,
    /// Whether slow nodes are waited for, so that no holder is missed.
    pub(crate) is_patient: bool,
}

impl Effort {
    /// One path to the k closest.
    pub(crate) const PLAIN: Self = Self::few(K);
    /// The same for somebody who waits.
    pub(crate) const QUICK: Self = Self {
        hurries: true,
        ..Self::PLAIN
    };
    /// One for the holders of something, for which nobody waits.
    pub(crate) const PATIENT: Self = Self {
        is_patient: true,
        ..Self::PLAIN
    };

    /// One path to fewer than that.
    pub(crate) const fn few(k: usize) -> Self {
        Self {
            k,
            paths: 1,
            reach: Distance::ZERO,
            hurries: false,
            is_patient: false,
        }
    }

    /// Whether it finds more than [`PLAIN`](Self::PLAIN).
    pub(crate) fn is_more(&self) -> bool {
        self.paths > 1 || self.reach > Distance::ZERO
    }
}

/// Whether nodes crowd round the keys that were looked up.
///
/// # Examples
///
/// ```
/// use qadom_engine::Density;
///
#[doc = include_str!("examples/alone.txt")]
/// let density: Density = engine.status().density;
/// assert!(!density.is_suspicious());
/// println!("{}", density.text());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Density {
    /// The figure of the last lookup that had one, in nats; above 0.94 it is an alarm.
    pub latest: f64,
    /// The largest figure so far.
    pub highest: f64,
    /// Lookups that had a figure.
    pub lookups: u64,
    /// Those of them that were an alarm. About three in a thousand are without any attack.
    pub alarms: u64,
}

impl Density {
    /// Whether more lookups were an alarm than chance explains.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share of counts far below 2^53"
    )]
    pub fn is_suspicious(&self) -> bool {
        self.alarms as f64 > 3.0 + 0.01 * self.lookups as f64
    }

    /// The figure in words, for people.
    pub fn text(&self) -> String {
        let Self {
            latest,
            highest,
            lookups,
            alarms,
        } = self;
        if *lookups == 0 {
            return "no lookup has told yet how densely nodes stand round keys".to_owned();
        }
        let verdict = if self.is_suspicious() {
            "nodes crowd round keys that were looked up here: somebody may try to hide them"
        } else {
            "nodes stand round keys as chance has it"
        };
        format!(
            "{verdict} (density {latest:.2} last, {highest:.2} at most; {alarms} of {lookups} \
             lookups above {DENSITY_ALARM})"
        )
    }

    fn note(&mut self, figure: f64) {
        self.latest = figure;
        self.highest = self.highest.max(figure);
        self.lookups += 1;
        self.alarms += u64::from(figure > DENSITY_ALARM);
    }
}

/// What is known of the network as a whole.
#[derive(Debug, Default)]
pub(crate) struct NetworkView {
    pub(crate) size: SizeEstimator,
    pub(crate) density: Density,
}

impl Core {
    /// How many nodes the network seems to have.
    pub(crate) fn network_size(&self) -> NetworkSize {
        let known = self.network.size.estimate();
        // All there were once are fewer than are known now.
        let is_whole = |size: &NetworkSize| size.error > 0.0 || size.nodes > self.contacts();
        known.filter(is_whole).unwrap_or_else(|| {
            let nodes = if self.table.len() < K {
                self.contacts() + 1.0
            } else {
                self.nodes_nearby()
            };
            // One sample, and of a target that others may choose.
            let error = 1.0 / f64::from(K_NEAREST - 2).sqrt();
            NetworkSize { nodes, error }
        })
    }

    fn contacts(&self) -> f64 {
        f64::from(u32::try_from(self.table.len()).unwrap_or(u32::MAX))
    }

    /// Whether the neighbourhood tells of so many more or fewer nodes than the estimate that this
    /// should be made anew.
    pub(crate) fn is_outgrown(&self) -> bool {
        let ratio = self.nodes_nearby() / self.network_size().nodes.max(1.0);
        !(0.4..=2.5).contains(&ratio)
    }

    /// The effort of a put, of a read of the latest version, and of a read after a miss.
    pub(crate) fn thorough(&self) -> Effort {
        let nodes = self.network_size().nodes;
        let k = f64::from(K_NEAREST);
        let paths = (1..=PATHS_MAX).rev();
        let enough =
            |paths: &usize| f64::from(u32::try_from(*paths).unwrap_or(1)) * 2.0 * k <= nodes;
        Effort {
            k: K,
            paths: paths.into_iter().find(enough).unwrap_or(1),
            reach: Distance::from_fraction(k / nodes.max(1.0)),
            hurries: true,
            is_patient: false,
        }
    }

    /// Takes in what a lookup for the k nodes nearest to a random target found.
    pub(crate) fn note_sample(&mut self, target: &Key, closest: &[Contact], k: usize, now: Moment) {
        // Where all nodes are known, a few of them tell nothing; and that hardly anybody answered tells of
        // the own line as likely as of the network.
        if k < K && (self.table.len() < K || closest.len() < k) {
            return;
        }
        let farthest = closest.get(k.saturating_sub(1)).or_else(|| closest.last());
        let width = farthest.map_or(1.0, |farthest| {
            farthest.id().key().distance(target).to_fraction()
        });
        self.network.size.note(closest.len().min(k), width, k, now);
    }

    /// Takes in whom a lookup for a user's key found nearest to it.
    pub(crate) fn note_density(&mut self, target: &Key, closest: &[Contact]) {
        let nearest = closest.get(..K);
        let figure = nearest.and_then(|nearest| {
            let distances = nearest.iter().map(|node| node.id().key().distance(target));
            density(distances, self.network_size().nodes)
        });
        if let Some(figure) = figure {
            self.network.density.note(figure);
        }
    }
}

/// Takes the place of this node out of the holders of a slot, nearest first, when it is one of the k
/// closest: with it there are k, beside those that the reach adds.
pub(crate) fn leave_own_place<H: Borrow<Contact>>(
    slot: &Key,
    holders: &mut Vec<H>,
    reach: Distance,
) {
    let is_beyond = |holder: &H| holder.borrow().id().key().distance(slot) > reach;
    if holders.get(K - 1).is_some_and(is_beyond) {
        holders.remove(K - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_alarms_are_chance_and_many_are_not() {
        let mut density = Density::default();
        assert!(density.text().contains("no lookup"));
        for figure in [0.2, 1.2, 0.3, 0.95] {
            density.note(figure);
        }
        assert_eq!((density.lookups, density.alarms), (4, 2));
        assert!(!density.is_suspicious() && density.text().contains("as chance has it"));
        for _ in 0..4 {
            density.note(2.0);
        }
        assert!(density.is_suspicious() && density.text().contains("hide"));
    }
}
