//! Moments of UTC as RFC 3339 texts.
//!
//! What must stay true: a timestamp that was printed reads back as the same one. The calendar is
//! the proleptic Gregorian one; leap seconds do not exist in it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The last second of the year 9999, the last that RFC 3339 can write.
const LAST: u64 = 253_402_300_799;

/// A second of UTC from 1970 to 9999; what lies later counts as the last of them.
///
/// # Examples
///
/// ```
/// use qadom_http::api::Timestamp;
///
/// let leap_day = Timestamp::from_seconds(1_709_164_800);
/// assert_eq!(leap_day.to_string(), "2024-02-29T00:00:00Z");
/// assert_eq!("2024-02-29T00:00:00Z".parse(), Ok(leap_day));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// The text is no moment of the form `2026-01-31T12:00:00Z`. Whoever wrote it is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a moment is written as 2026-01-31T12:00:00Z")]
pub struct TimestampTextError;

impl Timestamp {
    /// Takes the seconds since 1970-01-01T00:00:00Z.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(if seconds < LAST { seconds } else { LAST })
    }

    /// The seconds since 1970-01-01T00:00:00Z.
    pub const fn as_seconds(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0 / 86_400);
        let second = self.0 % 86_400;
        let (hours, minutes, seconds) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            formatter,
            "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}Z"
        )
    }
}

impl FromStr for Timestamp {
    type Err = TimestampTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |from: usize, to: usize| {
            let digits = text
                .get(from..to)
                .filter(|part| part.bytes().all(|b| b.is_ascii_digit()));
            digits
                .and_then(|digits| digits.parse::<u64>().ok())
                .ok_or(TimestampTextError)
        };
        let days = days(number(0, 4)?, number(5, 7)?, number(8, 10)?).ok_or(TimestampTextError)?;
        let second = number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
        let timestamp = Self(days * 86_400 + second);
        // Printing it again checks the separators and the ranges of all fields at once.
        if timestamp.to_string() == text {
            Ok(timestamp)
        } else {
            Err(TimestampTextError)
        }
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::text::parsed(deserializer)
    }
}

/// Year, month and day of the day that lies this many days after 1970-01-01.
///
/// Years begin in March here, so that the leap day is the last day of a year; 719 468 days lie
/// between the first of March of the year 0 and 1970, 146 097 in the 400 years of a cycle.
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (cycle, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (cycle * 400 + year + carry, month, day_of_month)
}

/// The days from 1970-01-01 to a day; `None` before it, or when the month or the day is 0.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year.checked_sub(1)?, month + 9)
    };
    let (cycle, year) = (year / 400, year % 400);
    let day_of_year = (153 * month + 2) / 5 + day.checked_sub(1)?;
    let days = cycle * 146_097 + 365 * year + year / 4 - year / 100 + day_of_year;
    days.checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_print_as_the_calendar_has_them() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_800_000_000, "2027-01-15T08:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (LAST, "9999-12-31T23:59:59Z"),
        ] {
            let timestamp = Timestamp::from_seconds(seconds);
            assert_eq!(timestamp.to_string(), text);
            assert_eq!(text.parse(), Ok(timestamp));
        }
        assert_eq!(Timestamp::from_seconds(u64::MAX).as_seconds(), LAST);
    }

    #[test]
    fn every_day_of_five_centuries_reads_back() {
        for day in 0..183_000 {
            let timestamp = Timestamp::from_seconds(day * 86_400 + day % 86_400);
            assert_eq!(timestamp.to_string().parse(), Ok(timestamp));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "now",
            "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01 00:00:00Z",
            "2026-01-01T00:00:00",
            "1969-12-31T23:59:59Z",
            "0000-01-01T00:00:00Z",
            "2026-01-01T00:00:0éZ",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(TimestampTextError), "{text}");
        }
    }
}
