//! What was changed and is not on the disk yet, in memory, where it is readable at once.
//!
//! What must stay true: a change stays here until the commit that contains it has succeeded, so
//! that every read finds it here or in the engine; what is newer hides what is older. What a value
//! means is not known here.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use bytes::Bytes;

use crate::name::Name;

/// New values by name; none for what was removed.
pub(crate) type Changes = BTreeMap<Name, Option<Bytes>>;

#[derive(Debug, Default)]
pub(crate) struct Buffer {
    /// Belongs to the next commit.
    pending: Changes,
    /// Belongs to the commit that is running, or that failed.
    writing: Arc<Changes>,
    /// The bytes of names and values in `pending` and in `writing`.
    sizes: [usize; 2],
}

impl Buffer {
    /// Takes in a change, in place of an earlier one of the same name.
    pub(crate) fn note(&mut self, name: Name, value: Option<Bytes>) {
        let [pending, _] = &mut self.sizes;
        let length = name.as_bytes().len();
        *pending += length + value.as_ref().map_or(0, Bytes::len);
        if let Some(old) = self.pending.insert(name, value) {
            *pending -= length + old.map_or(0, |old| old.len());
        }
    }

    /// The newest change of a name, and in it the value unless it is a removal.
    pub(crate) fn get(&self, name: &Name) -> Option<&Option<Bytes>> {
        self.pending.get(name).or_else(|| self.writing.get(name))
    }

    /// The newest changes from one name to another, inclusive and exclusive, by name; no further
    /// than to the value number `limit`.
    pub(crate) fn range(
        &self,
        start: &Name,
        end: &Name,
        limit: usize,
    ) -> Vec<(Name, Option<Bytes>)> {
        let mut newer = self.pending.range(start..end).peekable();
        let mut older = self.writing.range(start..end).peekable();
        let mut found = Vec::new();
        let mut values = 0;
        while values < limit {
            let next = match (newer.peek(), older.peek()) {
                (Some((new, _)), Some((old, _))) if old < new => older.next(),
                (Some((new, _)), Some((old, _))) if new == old => {
                    older.next();
                    newer.next()
                }
                (None, _) => older.next(),
                _ => newer.next(),
            };
            let Some((name, value)) = next else {
                break;
            };
            values += usize::from(value.is_some());
            found.push((name.clone(), value.clone()));
        }
        found
    }

    /// Begins a commit of all that is pending.
    pub(crate) fn begin(&mut self) -> Arc<Changes> {
        self.writing = Arc::new(mem::take(&mut self.pending));
        let [pending, writing] = &mut self.sizes;
        *writing = mem::take(pending);
        Arc::clone(&self.writing)
    }

    /// Ends a commit that succeeded.
    pub(crate) fn end(&mut self) {
        self.writing = Arc::default();
        let [_, writing] = &mut self.sizes;
        *writing = 0;
    }

    /// How many names have changed here.
    pub(crate) fn changes(&self) -> usize {
        self.pending.len() + self.writing.len()
    }

    /// The bytes of all names and values here.
    pub(crate) fn size(&self) -> usize {
        self.sizes.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use qadom_routing::Key;

    use super::*;
    use crate::EntryId;

    fn name(number: u8) -> Name {
        Name::new(&Key::ZERO, &EntryId::new(&[number]).unwrap())
    }

    #[derive(Clone, Debug)]
    enum Step {
        Note(u8, Option<Vec<u8>>),
        Begin,
        End,
    }

    fn any_step() -> impl Strategy<Value = Step> {
        let value = prop::option::of(prop::collection::vec(any::<u8>(), 0..4));
        prop_oneof![
            6 => (0_u8..8, value).prop_map(|(name, value)| Step::Note(name, value)),
            1 => Just(Step::Begin),
            1 => Just(Step::End),
        ]
    }

    proptest! {
        #[test]
        fn every_change_is_found_until_its_commit_has_ended(
            steps in prop::collection::vec(any_step(), 0..40),
            (from, to, limit) in (0_u8..9, 0_u8..9, 0_usize..9),
        ) {
            let mut buffer = Buffer::default();
            let (mut pending, mut writing) = (Changes::new(), Changes::new());
            for step in steps {
                match step {
                    Step::Note(number, value) => {
                        let value = value.map(Bytes::from);
                        pending.insert(name(number), value.clone());
                        buffer.note(name(number), value);
                    }
                    // A commit begins when none is running.
                    Step::Begin if writing.is_empty() => {
                        prop_assert_eq!(&*buffer.begin(), &pending);
                        writing = mem::take(&mut pending);
                    }
                    Step::Begin => {}
                    Step::End => {
                        buffer.end();
                        writing.clear();
                    }
                }
                let mut all = writing.clone();
                all.extend(pending.clone());
                for number in 0..8 {
                    prop_assert_eq!(buffer.get(&name(number)), all.get(&name(number)));
                }
                let size = |changes: &Changes| -> usize {
                    let sizes = changes.iter().map(|(name, value)| {
                        name.as_bytes().len() + value.as_ref().map_or(0, Bytes::len)
                    });
                    sizes.sum()
                };
                prop_assert_eq!(buffer.size(), size(&pending) + size(&writing));
                if from <= to {
                    let mut expected = Vec::new();
                    for (name, value) in all.range(name(from)..name(to)) {
                        if expected.iter().filter(|(_, value): &&(Name, Option<Bytes>)| value.is_some()).count() == limit {
                            break;
                        }
                        expected.push((name.clone(), value.clone()));
                    }
                    prop_assert_eq!(buffer.range(&name(from), &name(to), limit), expected);
                }
            }
        }
    }
}
