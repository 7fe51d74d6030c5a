//! Reading signed records: a bag's items, the cell of a dict name, the entry of a namespace.
//!
//! What must stay true: a reader never gets a tombstone, and never an entry of a namespace whose seq
//! is below one that it has seen. A reader who is handed records as they come gets tombstones, too,
//! but only those of items that it was handed.

use std::time::Duration;

use qadom_routing::{Contact, Key};
use qadom_wire::{Answer, Kind, Verified};

use crate::core::Purpose;
use crate::effect::{Effect, RequestFailure};
use crate::operation::{Failure, Listed, Outcome, SignedRead, Source};
use crate::operations::gather::union::Shown;
use crate::operations::gather::{ENOUGH, Gather};
use crate::operations::{Operation, Progress};
use crate::walk::{Context, Walk};

/// What a reader asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// All items of a bag, at the end.
    Items,
    /// All items of a bag, each when it was verified.
    Stream,
    /// The one record of what was gathered that wins; with a quorum of valid answers or without.
    Entry {
        /// Whether too few valid answers are a failure.
        needs_quorum: bool,
    },
}

/// Gathers, and picks what was asked for.
#[derive(Debug)]
pub(crate) struct ReadOperation {
    /// None once it has ended.
    gather: Option<Gather>,
    want: Want,
}

impl ReadOperation {
    pub(crate) fn new(mut gather: Gather, want: Want) -> Self {
        if want == Want::Stream {
            gather.union_mut().hand_out();
        }
        Self {
            gather: Some(gather),
            want,
        }
    }

    /// Hands out what came since the last time, if it is wanted before the end.
    fn hand_out(&mut self, context: &mut Context<'_>) {
        let Some(gather) = self.gather.as_mut() else {
            return;
        };
        let records = gather.union_mut().take_fresh();
        if !records.is_empty() {
            let operation = context.operation;
            context.core.emit(Effect::Items { operation, records });
        }
    }

    fn end(&mut self, context: &mut Context<'_>) -> Progress {
        let Some(gather) = self.gather.take() else {
            return Progress::Going;
        };
        if let Some((node, reason)) = gather.failure() {
            return Progress::failed(Failure::Peer { node, reason });
        }
        let took = context.now.moment.since(gather.began().moment);
        let (hops, messages) = (gather.hops(), gather.messages());
        match self.want {
            Want::Items | Want::Stream => Progress::done(Outcome::Listed(Listed {
                complete: gather.is_complete(),
                items: if self.want == Want::Items {
                    items_of(gather)
                } else {
                    Vec::new()
                },
                hops,
                messages,
                took,
            })),
            Want::Entry { needs_quorum } => match pick(context, &gather, needs_quorum) {
                Ok((shown, conflict)) => Progress::done(Outcome::Entry(SignedRead {
                    age: age_of(context, &shown),
                    record: shown.record,
                    source: shown.source,
                    hops,
                    messages,
                    took,
                    conflict,
                })),
                Err(failure) => Progress::failed(failure),
            },
        }
    }
}

/// How long ago the copy was stored here that a read found; zero when another node just gave it.
fn age_of(context: &Context<'_>, shown: &Shown) -> Duration {
    if shown.source != Source::Local {
        return Duration::ZERO;
    }
    let record = &shown.record;
    let held = context
        .core
        .held_record(record.slot(), record.kind(), record.id());
    // A store that fails here has just given the record: its age is then unknown, and nothing else.
    let stored_at = held.ok().flatten().map(|held| held.stored_at);
    let now = context.now.utc_micros;
    Duration::from_micros(stored_at.map_or(0, |stored_at| now.saturating_sub(stored_at)))
}

/// All that is no tombstone.
fn items_of(gather: Gather) -> Vec<Verified> {
    let shown = gather.into_union().into_records().into_values();
    let records = shown.map(|shown| shown.record);
    records.filter(|record| !record.is_tombstone()).collect()
}

/// The record that wins, and whether another payload has the same seq.
fn pick(
    context: &mut Context<'_>,
    gather: &Gather,
    needs_quorum: bool,
) -> Result<(Shown, bool), Failure> {
    if needs_quorum {
        gather.check_quorum()?;
    }
    let (slot, kind) = (gather.union().place().slot, gather.union().place().kind);
    let (answered, unanswered) = gather.answered();
    let not_found = Failure::NotFound {
        key: slot,
        answered,
        unanswered,
    };
    let (best, conflict) = best_of(gather);
    let seen = if kind == Kind::NamespaceEntry {
        context.core.seen.highest(&slot)
    } else {
        0
    };
    let Some(best) = best else {
        return Err(not_found);
    };
    if best.record.seq() < seen {
        let held = Some(Box::new(best.record));
        return Err(Failure::StaleSeq { seq: seen, held });
    }
    if kind == Kind::NamespaceEntry {
        context.core.note_seen(&slot, best.record.seq());
    }
    if best.record.is_tombstone() {
        return Err(not_found);
    }
    Ok((best, conflict))
}

/// The winner among all records, which are the cells of one dict name or one entry.
fn best_of(gather: &Gather) -> (Option<Shown>, bool) {
    let mut best: Option<&Shown> = None;
    let mut conflict = gather.union().has_conflict();
    for (_, shown) in gather.union().iter() {
        let Some(old) = best else {
            best = Some(shown);
            continue;
        };
        let is_larger = shown.record.dict_order(&old.record).is_gt();
        if shown.record.seq() == old.record.seq() {
            conflict |= shown.record.payload_hash() != old.record.payload_hash();
        } else if is_larger {
            conflict = gather.union().has_conflict();
        }
        if is_larger {
            best = Some(shown);
        }
    }
    (best.cloned(), conflict)
}

impl Gather {
    /// Fails when too few of the nodes that should know gave a valid answer.
    pub(crate) fn check_quorum(&self) -> Result<(), Failure> {
        let (valid, alive) = self.valid_answers();
        let needed = alive.min(ENOUGH);
        if valid >= needed {
            return Ok(());
        }
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Err(Failure::TooFewAnswers {
            valid: count(valid),
            needed: count(needed),
        })
    }
}

impl Operation for ReadOperation {
    fn walk(&mut self) -> Option<&mut Walk> {
        self.gather.as_mut().and_then(Gather::walk_mut)
    }

    fn go_on(&mut self, context: &mut Context<'_>) -> Progress {
        let is_over = self
            .gather
            .as_mut()
            .is_some_and(|gather| gather.go_on(context));
        self.hand_out(context);
        if is_over {
            self.end(context)
        } else {
            Progress::Going
        }
    }

    fn on_answer(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        purpose: Purpose,
        answer: Answer,
    ) -> Progress {
        if let Some(gather) = self.gather.as_mut() {
            gather.on_answer(context, from, purpose, answer);
        }
        self.go_on(context)
    }

    fn on_failed(
        &mut self,
        context: &mut Context<'_>,
        from: &Contact,
        purpose: Purpose,
        failure: &RequestFailure,
    ) -> Progress {
        if let Some(gather) = self.gather.as_mut() {
            gather.on_failed(context, from, purpose, failure);
        }
        self.go_on(context)
    }
}

/// The id of a namespace's one entry in its slot.
pub(crate) const ENTRY: Key = Key::ZERO;
