//! How long something lasts, as people write it: `30s`, `15m`, `36h`, `7d`.

use std::time::Duration;

use qadom_node::Reason;

/// The text is no duration. Whoever wrote it is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no duration: a whole number and s, m, h or d, such as 30s, 15m, 36h or 7d")]
pub struct DurationTextError {
    text: String,
}

/// Reads a whole number of seconds, minutes, hours or days.
///
/// # Errors
///
/// [`DurationTextError`] for every other text, and for a number whose seconds do not fit 64 bits.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(qadom_http::parse_duration("36h"), Ok(Duration::from_hours(36)));
/// assert!(qadom_http::parse_duration("soon").is_err());
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, DurationTextError> {
    let parsed = || {
        let unit = text.chars().next_back()?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        let number = text.strip_suffix(unit)?;
        // The number parser of the standard library would take a leading plus sign.
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        number.parse::<u64>().ok()?.checked_mul(seconds)
    };
    parsed()
        .map(Duration::from_secs)
        .ok_or_else(|| DurationTextError {
            text: text.to_owned(),
        })
}

/// The shortest and the longest life of a copy that can be asked for: 60 s and 7 days. A value's
/// copy lives for 36 hours at most, which its writer judges.
const LIFETIME: std::ops::RangeInclusive<Duration> =
    Duration::from_mins(1)..=Duration::from_hours(7 * 24);

/// The text is no lifetime of a copy. Whoever wrote it is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LifetimeError {
    /// It is no duration at all.
    #[error(transparent)]
    Text(#[from] DurationTextError),
    /// It is shorter than 60 s.
    #[error("a copy lives at least 60s, {text} is shorter")]
    TooShort {
        /// The refused text.
        text: String,
    },
    /// It is longer than 7 days.
    #[error("a copy lives at most 7d, {text} is longer")]
    TooLong {
        /// The refused text.
        text: String,
    },
}

impl LifetimeError {
    /// The reason of the project's list: `usage` or `lifetime-too-long`.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Text(_) | Self::TooShort { .. } => Reason::Usage,
            Self::TooLong { .. } => Reason::LifetimeTooLong,
        }
    }
}

/// Reads how long a copy shall live without renewal: a duration from 60 s to 7 days.
///
/// # Errors
///
/// Each variant of [`LifetimeError`].
pub fn parse_lifetime(text: &str) -> Result<Duration, LifetimeError> {
    let lifetime = parse_duration(text)?;
    if lifetime < *LIFETIME.start() {
        Err(LifetimeError::TooShort {
            text: text.to_owned(),
        })
    } else if lifetime > *LIFETIME.end() {
        Err(LifetimeError::TooLong {
            text: text.to_owned(),
        })
    } else {
        Ok(lifetime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_is_read() {
        for (text, seconds) in [
            ("0s", 0),
            ("30s", 30),
            ("15m", 900),
            ("36h", 129_600),
            ("7d", 604_800),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn other_texts_are_refused_and_named() {
        for text in [
            "",
            "s",
            "5",
            "-5s",
            "+5s",
            "1.5h",
            "5 s",
            "5S",
            "5é",
            "213503982334602d",
        ] {
            let error = parse_duration(text).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("{text:?} is no duration")),
                "{text}"
            );
        }
    }

    #[test]
    fn a_lifetime_is_refused_outside_its_limits_only() {
        for text in ["60s", "61s", "1m", "36h", "7d"] {
            assert!(parse_lifetime(text).is_ok(), "{text}");
        }
        assert_eq!(parse_lifetime("59s").unwrap_err().reason(), Reason::Usage);
        for text in ["604801s", "169h", "8d"] {
            let error = parse_lifetime(text).unwrap_err();
            assert_eq!(error.reason(), Reason::LifetimeTooLong, "{text}");
        }
        assert_eq!(parse_lifetime("long").unwrap_err().reason(), Reason::Usage);
    }
}
