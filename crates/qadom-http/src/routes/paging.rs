//! Lists that are given page by page.
//!
//! What must stay true: a list is in the order of a text that each item has for itself, so that what
//! comes and goes between two pages neither repeats nor hides another item.

use std::num::NonZeroUsize;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use data_encoding::BASE64URL_NOPAD;
use qadom_node::Reason;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Answer;
use crate::problem::Problem;

/// Which part of a list is wanted; all of it by default.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    /// Where the page begins: `0`, or the cursor that came with the page before.
    cursor: Option<String>,
    /// Items at most; all of them without it.
    limit: Option<NonZeroUsize>,
}

/// What the query of a list says.
pub(super) type Paged = Result<Query<PageQuery>, QueryRejection>;

/// A part of a list, and where the next one begins, if there is one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) cursor: Option<String>,
}

impl PageQuery {
    /// Behind which place the page begins; none at the first one.
    pub(super) fn behind(&self) -> Answer<Option<String>> {
        let text = match self.cursor.as_deref() {
            None | Some("0") => return Ok(None),
            Some(text) => text,
        };
        let place = BASE64URL_NOPAD.decode(text.as_bytes()).ok();
        let place = place.and_then(|place| String::from_utf8(place).ok());
        place.map(Some).ok_or_else(|| not_a_cursor(text))
    }

    /// How many items are wanted at most.
    pub(super) fn limit(&self) -> usize {
        self.limit.map_or(usize::MAX, NonZeroUsize::get)
    }

    /// Takes the page out of a whole list; `place` tells one item from all others.
    pub(super) fn of<T>(&self, items: Vec<T>, place: impl Fn(&T) -> String) -> Answer<Page<T>> {
        let behind = self.behind()?;
        let places = items.into_iter().map(|item| (place(&item), item));
        let is_behind = |place: &String| behind.as_ref().is_none_or(|behind| place > behind);
        let mut items = places
            .filter(|(place, _)| is_behind(place))
            .collect::<Vec<_>>();
        items.sort_by(|(one, _), (other, _)| one.cmp(other));
        let is_last = items.len() <= self.limit();
        items.truncate(self.limit());
        let last = items.last().filter(|_| !is_last);
        let cursor = last.map(|(place, _)| cursor(place));
        let items = items.into_iter().map(|(_, item)| item).collect();
        Ok(Page { items, cursor })
    }
}

/// The cursor of the page behind a place.
pub(super) fn cursor(place: &str) -> String {
    BASE64URL_NOPAD.encode(place.as_bytes())
}

pub(super) fn not_a_cursor(text: &str) -> Problem {
    let detail = format!("{text:?} is no cursor of this list");
    Problem::new(Reason::Malformed, detail)
        .with_advice("begin without a cursor and go on with the one that comes with each page")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(cursor: Option<String>, limit: usize) -> PageQuery {
        PageQuery {
            cursor,
            limit: NonZeroUsize::new(limit),
        }
    }

    #[test]
    fn pages_hold_each_item_once_whatever_their_size() {
        let all = ["d", "a", "c", "b", "e"];
        for limit in 1..=6 {
            let (mut listed, mut cursor) = (Vec::new(), None);
            loop {
                let page = query(cursor, limit).of(all.to_vec(), ToString::to_string);
                let page = page.unwrap();
                assert!(page.items.len() <= limit);
                listed.extend(page.items);
                cursor = page.cursor;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(listed, ["a", "b", "c", "d", "e"], "{limit}");
        }
    }

    #[test]
    fn what_comes_and_goes_between_pages_hides_nothing_else() {
        let first = query(None, 2).of(vec!["a", "b", "c"], ToString::to_string);
        let cursor = first.unwrap().cursor;
        let second = query(cursor, 2).of(vec!["a", "aa", "c", "d"], ToString::to_string);
        assert_eq!(second.unwrap().items, ["c", "d"]);
    }

    #[test]
    fn a_cursor_of_something_else_is_refused() {
        for text in ["?", "a", "____"] {
            let page = query(Some(text.to_owned()), 1).of(vec!["a"], ToString::to_string);
            assert!(page.is_err(), "{text}");
        }
    }
}
