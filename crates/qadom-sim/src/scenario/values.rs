//! The kinds of values in a scenario: spans of time and shares.

use std::time::Duration;

use serde::Deserialize;

/// A span of time as users write it: `250ms`, `30s`, `15m`, `36h`, `7d`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(pub Duration);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let unit = text.get(digits.len()..).unwrap_or_default();
        let wrong = || format!("{text:?} is no span of time such as 250ms, 30s, 15m, 36h or 7d");
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let millis = number.checked_mul(millis).ok_or_else(wrong)?;
        Ok(Self(Duration::from_millis(millis)))
    }
}

/// A share or a probability, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Deserialize)]
#[serde(try_from = "f64")]
pub struct Share(pub f64);

impl Share {
    /// Nothing.
    pub const NONE: Self = Self(0.0);
}

impl TryFrom<f64> for Share {
    type Error = String;

    fn try_from(share: f64) -> Result<Self, String> {
        if (0.0..=1.0).contains(&share) {
            Ok(Self(share))
        } else {
            Err(format!("{share} is no share from 0 to 1"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_number_and_a_unit() {
        let span = |text: &str| Span::try_from(text.to_owned()).map(|span| span.0.as_millis());
        assert_eq!(span("250ms"), Ok(250));
        assert_eq!(span("7d"), Ok(7 * 86_400_000));
        for text in [
            "",
            "5",
            "s",
            "-1s",
            "1.5h",
            "1 h",
            "1w",
            "99999999999999999d",
        ] {
            assert!(span(text).is_err(), "{text}");
        }
    }
}
