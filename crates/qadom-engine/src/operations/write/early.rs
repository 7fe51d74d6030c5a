//! What a write does before it knows all of its holders: copies go to those who surely are some, and
//! the receipt of a value is given with the twentieth.
//!
//! What must stay true: nothing signed is sent before the journal has its seq, and everybody who is
//! sent a copy here counts among the holders in the end.

use qadom_routing::Contact;
use qadom_wire::{K, Kind};

use super::spread::count;
use super::{Stage, Task, WriteOperation, note_outcome};
use crate::operation::Outcome;
use crate::operations::Progress;
use crate::walk::Context;

impl WriteOperation {
    /// Sends copies to those who surely are holders while others are still asked, unless something has
    /// to be noted before: the journal has what was signed, and a value needs none.
    pub(super) fn send_early(&mut self, context: &mut Context<'_>, holders: &[Contact]) {
        let is_noted = match &self.task {
            Task::Value(_) => true,
            // The holders of a topic are those that have all of its stream.
            Task::Signed(change) => change.kind != Kind::Event && self.journal == 0,
        };
        // Of a small network it is not known well how far a region reaches.
        if is_noted
            && self.journal_failed.is_none()
            && context.core.table.len() >= K
            && let Some(item) = &self.item
        {
            self.spread.send_early(context, holders, item);
        }
    }

    /// Tells that a value is kept as soon as there are as many copies as are wanted with the nodes that
    /// are nearest, by all paths of the lookup. Nobody can be ahead of a value with a later one, so
    /// that slow holders, and those beside the target, need not be waited for.
    pub(super) fn tell_early(&mut self, context: &mut Context<'_>) -> Progress {
        let is_value = matches!(self.task, Task::Value(_));
        let is_promised = self.is_promised && self.journal == 0 && self.journal_failed.is_none();
        let may_tell = is_value && is_promised && !self.is_told;
        let enough = self.needed().max(count(K));
        let Some(item) = self.item.clone().filter(|_| may_tell) else {
            return Progress::Going;
        };
        let (mut messages, mut hops) = (0, self.spread.hops);
        match &self.stage {
            Stage::Storing => {}
            Stage::Finding(walk) if self.spread.has(enough) && walk.lookup().has_found() => {
                self.spread.expect(context, walk.closest(), &item, false);
                messages = walk.lookup().queries() + walk.asked_again();
                hops = walk.lookup().hops();
            }
            _ => return Progress::Going,
        }
        if !self.spread.has(enough) {
            return Progress::Going;
        }
        let mut receipt = self.spread.receipt(&item, context.now);
        receipt.messages += messages;
        receipt.hops = hops;
        note_outcome(context, &item, &receipt);
        self.is_told = true;
        Progress::Told(Box::new(Outcome::Stored(receipt)))
    }
}
