//! What a verb reads: an argument, a file, or the standard input.
//!
//! What must stay true: no more is read than shows that it is too long, and nothing is sent before
//! all of it was read.

use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use qadom_http::{TextError, parse_value};
use qadom_node::Reason;

use crate::error::Failure;

/// Reads a value or a message: `-` for the standard input, `hex:` and digits, else the text itself.
pub(super) fn value(text: &str, limit: usize) -> Result<Bytes, Failure> {
    argument(text, limit, parse_value)
}

/// Says what is wrong with a text before anything is sent.
pub(super) fn text<T>(parsed: Result<T, TextError>) -> Result<T, Failure> {
    parsed.map_err(|error| Failure::new(Reason::Malformed, error.to_string()))
}

/// Reads an argument by its own text form, `-` for the standard input.
pub(super) fn argument(
    text: &str,
    limit: usize,
    parse: impl FnOnce(&str) -> Result<Bytes, TextError>,
) -> Result<Bytes, Failure> {
    if text == "-" {
        return file(Path::new(text), limit);
    }
    let bytes = self::text(parse(text))?;
    check("the argument", &bytes, limit)?;
    Ok(bytes)
}

/// Reads a file, `-` for the standard input.
pub(super) fn file(path: &Path, limit: usize) -> Result<Bytes, Failure> {
    let unreadable = |error: std::io::Error| {
        let message = format!("cannot read {}: {error}", path.display());
        Failure::new(Reason::Usage, message)
            .with_advice("nothing was stored; - stands for the standard input")
    };
    let enough = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        let input = std::io::stdin().lock();
        input.take(enough).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(enough).read_to_end(&mut bytes))
    }
    .map_err(unreadable)?;
    let what = if path.as_os_str() == "-" {
        "the standard input".to_owned()
    } else {
        path.display().to_string()
    };
    check(&what, &bytes, limit)?;
    Ok(bytes.into())
}

fn check(what: &str, bytes: &[u8], limit: usize) -> Result<(), Failure> {
    if bytes.len() <= limit {
        return Ok(());
    }
    let message = format!("{what} has more than {limit} bytes");
    let advice = format!("at most {limit} bytes fit; nothing was stored");
    Err(Failure::new(Reason::TooLarge, message).with_advice(advice))
}
