//! Texts for people: how receipts, nodes, times and tables are written.

use std::fmt::Display;

use bytes::Bytes;
use data_encoding::BASE64;
use qadom_http::api::{Entry, Fetched, Gap, NodeText, Receipt, Source, Written};
use qadom_node::{Key, Reason};
use serde::Serialize;

use crate::error::Failure;
use crate::output::{self, Colour, Output};

/// Reads a key, or says what a key looks like.
pub(crate) fn key(text: &str) -> Result<Key, Failure> {
    text.parse().map_err(|error| {
        Failure::new(Reason::Malformed, format!("{text:?} is no key: {error}"))
            .with_advice(format!("for the key of a name write name:{text}"))
    })
}

/// What became of a write, in one line.
pub(crate) fn receipt(receipt: &Receipt) -> String {
    let stored = if receipt.alone {
        "stored here alone: the only copy, no other node is known".to_owned()
    } else {
        format!("stored {}", copies(receipt))
    };
    let refused = match receipt.refused.as_slice() {
        [] => String::new(),
        [first, ..] => {
            let count = receipt.refused.len();
            format!(
                ", {count} not taken (first: {} by {})",
                first.reason,
                node(first.node)
            )
        }
    };
    format!(
        "{stored}{refused}, {}, {}, expires {}",
        effort(receipt.hops, receipt.messages),
        milliseconds(receipt.took_ms),
        receipt.expires_at,
    )
}

/// Tells what became of a write: its object, or what one needs to find it again.
pub(crate) fn written(output: Output, written: &Written) -> anyhow::Result<()> {
    output.result(written, || {
        let signature = written.signature.as_ref();
        signature.map_or_else(|| written.key.to_string(), ToString::to_string)
    })?;
    output.note(&receipt(&written.receipt));
    Ok(())
}

/// Writes what a read found: its object, or the value byte for byte.
pub(crate) fn entry(output: Output, entry: &Entry) -> anyhow::Result<()> {
    if output.is_json() {
        return output.object(entry);
    }
    output::bytes(&entry.value)?;
    if entry.conflict {
        output.note("its writer signed other content under the same version, too");
    }
    Ok(())
}

/// The value that stands in for one that was not found.
#[derive(Debug, Serialize)]
pub(crate) struct DefaultValue {
    value_base64: String,
    default: bool,
}

impl DefaultValue {
    pub(crate) fn new(value: &Bytes) -> Self {
        Self {
            value_base64: BASE64.encode(value),
            default: true,
        }
    }
}

/// Events that will not come any more, in one line.
pub(crate) fn gap(gap: &Gap) -> String {
    let writer = gap.writer.as_deref().unwrap_or("a writer");
    let writer: String = writer.chars().take(12).collect();
    format!(
        "gap: {} to {} of {writer} are lost",
        gap.from_seq, gap.to_seq
    )
}

/// The copies that were stored, of those that could be.
pub(crate) fn copies(receipt: &Receipt) -> String {
    let wanted = receipt.wanted.min(receipt.reachable);
    format!(
        "{} of {}",
        receipt.stored,
        counted(wanted, "copy", "copies")
    )
}

/// What a lookup cost.
pub(crate) fn effort(hops: u32, messages: u32) -> String {
    let hops = counted(hops, "hop", "hops");
    let messages = counted(messages, "message", "messages");
    format!("{hops}, {messages}")
}

/// A count and what is counted, in the singular for exactly one.
pub(crate) fn counted(count: impl Display + Copy, one: &str, many: &str) -> String {
    let count = count.to_string();
    let what = if count == "1" { one } else { many };
    format!("{count} {what}")
}

/// Where a value came from, in one line.
pub(crate) fn fetched(fetched: &Fetched) -> String {
    let bytes = counted(fetched.value.len(), "byte", "bytes");
    let source = match fetched.source {
        Source::Node(source) => node(source),
        Source::Local => "this node's own store".to_owned(),
    };
    format!(
        "{bytes} from {source}, {}, {}",
        effort(fetched.hops, fetched.messages),
        milliseconds(fetched.took_ms),
    )
}

/// The first digits of a node's id, enough to tell nodes apart by eye.
pub(crate) fn node(node: NodeText) -> String {
    node.to_string().chars().take(12).collect()
}

/// A span in the unit that suits it.
pub(crate) fn milliseconds(span: f64) -> String {
    if span < 10.0 {
        format!("{span:.2} ms")
    } else if span < 10_000.0 {
        format!("{span:.0} ms")
    } else {
        format!("{:.1} s", span / 1000.0)
    }
}

/// A table, or these words when it has no row.
pub(crate) fn table_or<const COLUMNS: usize>(
    none: &str,
    titles: [&str; COLUMNS],
    rows: &[[String; COLUMNS]],
) -> String {
    if rows.is_empty() {
        none.to_owned()
    } else {
        table(titles, rows)
    }
}

/// Lines up columns under their titles, two spaces apart.
pub(crate) fn table<const COLUMNS: usize>(
    titles: [&str; COLUMNS],
    rows: &[[String; COLUMNS]],
) -> String {
    let titles = titles.map(str::to_owned);
    let rows = rows
        .iter()
        .map(|row| row.each_ref().map(|cell| harmless(cell)));
    let rows = rows.collect::<Vec<_>>();
    let lines = || std::iter::once(&titles).chain(&rows);
    let widths: Vec<usize> = (0..COLUMNS)
        .map(|column| {
            let cells = lines().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let text = lines().map(|line| {
        let cells = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    let text = text.enumerate().map(|(row, line)| {
        if row == 0 {
            output::painted(&line, Colour::Bold)
        } else {
            line
        }
    });
    text.collect::<Vec<_>>().join("\n")
}

/// A text of somebody else without characters that control a terminal.
pub(crate) fn harmless(text: &str) -> String {
    let characters = text.chars().map(|character| {
        if character.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            character
        }
    });
    characters.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_their_titles() {
        let rows = [
            ["a".to_owned(), "long cell".to_owned()],
            ["bbb".to_owned(), "é".to_owned()],
        ];
        let text = table(["id", "what"], &rows);
        let text = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(text, "id   what\na    long cell\nbbb  é");
    }

    #[test]
    fn what_others_named_controls_no_terminal() {
        let text = table(["name"], &[["\u{1b}[31mred\n".to_owned()]]);
        let row = text.lines().nth(1).unwrap();
        assert_eq!(row, "\u{fffd}[31mred\u{fffd}");
        assert_eq!(text.lines().count(), 2);
    }

    #[test]
    fn exactly_one_is_written_in_the_singular() {
        assert_eq!(effort(1, 1), "1 hop, 1 message");
        assert_eq!(effort(0, 11), "0 hops, 11 messages");
        assert_eq!(counted("1", "copy", "copies"), "1 copy");
    }

    #[test]
    fn spans_are_written_in_the_unit_that_suits_them() {
        assert_eq!(milliseconds(0.412), "0.41 ms");
        assert_eq!(milliseconds(9999.4), "9999 ms");
        assert_eq!(milliseconds(61_000.0), "61.0 s");
    }
}
