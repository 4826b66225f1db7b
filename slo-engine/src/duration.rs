//! Spells spans of time: `250ms`, `5m`, `30d`.
//!
//! In: text from a definition or from a stored row. Out: a `std::time::Duration`, and back.
//! The stored spelling is one number in the largest unit that divides the span exactly, so a
//! span has one spelling and equal spans have equal texts.

use std::time::Duration;

/// Why a text is not a span of time. `Display` names the text and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error(
        "`{0}` is not a span of time, expected whole numbers with a unit, such as `250ms`, `5m` or `30d`"
    )]
    Malformed(String),
    #[error("`{0}` has no unit, expected one of `us`, `ms`, `s`, `m`, `h`, `d`, `w`")]
    NoUnit(String),
    #[error("`{text}` has the unknown unit `{unit}`, expected one of `us`, `ms`, `s`, `m`, `h`, `d`, `w`")]
    UnknownUnit { text: String, unit: String },
    #[error("`{0}` is zero, expected a span longer than nothing")]
    Zero(String),
    #[error("`{0}` is longer than 100 years")]
    TooLong(String),
}

const UNITS: [(&str, u64); 8] = [
    ("w", 604_800_000_000_000),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

const LONGEST_NANOS: u64 = 36_525 * 86_400_000_000_000;

/// Reads `250ms`, `5m`, `1h30m`, `30d`. Case matters: `m` is minutes, and months are refused.
///
/// # Errors
/// When the text is not a positive span in known units, or longer than 100 years.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    parse_with(text, &[])
}

/// Reads OpenSLO's duration shorthand, in which `M`, `Q` and `Y` are 30, 90 and 365 days.
/// That is right for rolling windows only; calendar windows are not read here.
///
/// # Errors
/// As [`parse`].
pub fn parse_openslo(text: &str) -> Result<Duration, DurationError> {
    const DAY: u64 = 86_400_000_000_000;
    parse_with(text, &[("M", 30 * DAY), ("Q", 90 * DAY), ("Y", 365 * DAY)])
}

fn parse_with(text: &str, more: &[(&str, u64)]) -> Result<Duration, DurationError> {
    let malformed = || DurationError::Malformed(text.to_owned());
    let mut rest = text;
    let mut nanos: u64 = 0;
    let mut previous = u64::MAX;
    if rest.is_empty() {
        return Err(malformed());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits == 0 {
            return Err(malformed());
        }
        let (number, tail) = rest.split_at(digits);
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_alphabetic()).len();
        let (unit, tail) = tail.split_at(letters);
        if unit.is_empty() {
            return Err(if tail.is_empty() {
                DurationError::NoUnit(text.to_owned())
            } else {
                malformed()
            });
        }
        let Some(&(_, scale)) = UNITS.iter().chain(more).find(|(name, _)| *name == unit) else {
            return Err(DurationError::UnknownUnit {
                text: text.to_owned(),
                unit: unit.to_owned(),
            });
        };
        // `30m1h` is more likely a slip than a wish.
        if scale >= previous {
            return Err(malformed());
        }
        previous = scale;
        let too_long = || DurationError::TooLong(text.to_owned());
        let number: u64 = number.parse().map_err(|_| too_long())?;
        nanos = number
            .checked_mul(scale)
            .and_then(|n| nanos.checked_add(n))
            .ok_or_else(too_long)?;
        rest = tail;
    }
    match nanos {
        0 => Err(DurationError::Zero(text.to_owned())),
        n if n > LONGEST_NANOS => Err(DurationError::TooLong(text.to_owned())),
        n => Ok(Duration::from_nanos(n)),
    }
}

/// The stored spelling: one number in the largest of `d h m s ms us ns` that divides the span.
#[must_use]
pub fn format(span: Duration) -> String {
    let nanos = span.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    // Weeks are read, never written: `28d` is what people compare with `30d`.
    let (unit, scale) = UNITS
        .iter()
        .skip(1)
        .find(|(_, scale)| nanos.is_multiple_of(u128::from(*scale)))
        .copied()
        .unwrap_or(("ns", 1));
    format!("{}{unit}", nanos / u128::from(scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_reads_back_as_it_was_written() {
        for text in ["250ms", "5m", "90m", "1h", "1d", "30d", "100us", "1500ms", "7ns"] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
    }

    #[test]
    fn other_spellings_become_the_stored_one() {
        for (text, stored) in [
            ("1h30m", "90m"),
            ("4w", "28d"),
            ("24h", "1d"),
            ("1000ms", "1s"),
            ("1d12h", "36h"),
        ] {
            assert_eq!(format(parse(text).unwrap()), stored);
        }
    }

    #[test]
    fn openslo_months_quarters_and_years_are_days() {
        for (text, stored) in [("1M", "30d"), ("1Q", "90d"), ("1Y", "365d"), ("5m", "5m")] {
            assert_eq!(format(parse_openslo(text).unwrap()), stored);
        }
    }

    #[test]
    fn what_is_no_span_says_why() {
        for (text, message) in [
            (
                "",
                "`` is not a span of time, expected whole numbers with a unit, such as `250ms`, `5m` or `30d`",
            ),
            (
                "250",
                "`250` has no unit, expected one of `us`, `ms`, `s`, `m`, `h`, `d`, `w`",
            ),
            (
                "1M",
                "`1M` has the unknown unit `M`, expected one of `us`, `ms`, `s`, `m`, `h`, `d`, `w`",
            ),
            ("0s", "`0s` is zero, expected a span longer than nothing"),
            (
                "-5m",
                "`-5m` is not a span of time, expected whole numbers with a unit, such as `250ms`, `5m` or `30d`",
            ),
            (
                "1.5s",
                "`1.5s` is not a span of time, expected whole numbers with a unit, such as `250ms`, `5m` or `30d`",
            ),
            (
                "30m1h",
                "`30m1h` is not a span of time, expected whole numbers with a unit, such as `250ms`, `5m` or `30d`",
            ),
            (
                "99999999999999999999d",
                "`99999999999999999999d` is longer than 100 years",
            ),
            (
                "5µ",
                "`5µ` has the unknown unit `µ`, expected one of `us`, `ms`, `s`, `m`, `h`, `d`, `w`",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message, "{text}");
        }
    }
}
