//! Spans as people write them in a query: `90s`, `15m`, `6h`, `30d`.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused =
            || format!("`{text}` is not a span: write a number and one of s, m, h, d, w, as in `15m`");
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(refused)?;
        let (number, unit) = text.split_at(unit_at);
        let seconds_each = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            "w" => 604_800,
            _ => return Err(refused()),
        };
        let number: u64 = number.parse().map_err(|_| refused())?;
        match number.checked_mul(seconds_each) {
            Some(0) => Err(format!("`{text}` is an empty span")),
            // Beyond ten years nothing is kept, and arithmetic on times would overflow.
            Some(seconds) if seconds <= 10 * 366 * 86_400 => Ok(Self(Duration::from_secs(seconds))),
            _ => Err(format!("`{text}` is longer than ten years")),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Span;

    #[test]
    fn a_span_is_a_number_and_a_unit() {
        for (text, seconds) in [
            ("90s", 90),
            ("15m", 900),
            ("6h", 21_600),
            ("30d", 2_592_000),
            ("4w", 2_419_200),
        ] {
            assert_eq!(
                text.parse::<Span>().map(|span| span.0.as_secs()),
                Ok(seconds),
                "{text}"
            );
        }
        for text in [
            "",
            "15",
            "m",
            "-1m",
            "1.5h",
            "0s",
            "99999999999999999999s",
            "600w",
            "15 m",
            "١m",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
