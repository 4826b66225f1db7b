//! How domain numbers become JSON numbers.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use slo_engine::window::WindowCounts;

/// Twelve digits, which a double prints back exactly as the decimal was.
pub fn number(decimal: Decimal) -> f64 {
    // By way of text, because it rounds once and correctly.
    decimal
        .round_sf(12)
        .unwrap_or(decimal)
        .to_string()
        .parse()
        .unwrap_or(f64::NAN)
}

/// Three digits, which is all that anybody reads of a chance; however small it is, it is not none.
pub fn chance(chance: f64) -> f64 {
    format!("{chance:.2e}").parse().unwrap_or(f64::NAN)
}

/// Milliseconds to the microsecond: finer than what is measured.
pub fn millis(millis: f64) -> f64 {
    (millis * 1_000.0).round() / 1_000.0
}

/// Six digits of a share or a rate that was divided as a double, so that none of them is the division's; few are not none.
pub fn six_digits(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(f64::NAN)
}

pub fn whole(value: f64) -> Option<u64> {
    value.round().to_u64()
}

pub fn coverage(counts: &WindowCounts) -> Option<f64> {
    counts.coverage().map(number)
}

/// Whether anything is known of the window: counted in it, or watched and found idle.
pub fn measured(counts: &WindowCounts) -> bool {
    counts.total() > 0 || counts.covered_ms > 0
}

pub fn epoch_seconds(at: &[DateTime<Utc>]) -> Vec<i64> {
    at.iter().map(DateTime::timestamp).collect()
}

/// The trace's part of a W3C `traceparent`.
pub fn trace_id(traceparent: Option<&str>) -> Option<String> {
    traceparent?.split('-').nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_twelve_digits() {
        for (decimal, json) in [
            ("0.999", "0.999"),
            ("0.1", "0.1"),
            ("14.4", "14.4"),
            ("-0.333333333333333333", "-0.333333333333"),
        ] {
            let decimal: Decimal = decimal.parse().unwrap();
            assert_eq!(serde_json::to_string(&number(decimal)).unwrap(), json);
        }
    }

    #[test]
    fn chances_keep_three_digits_however_small_they_are() {
        for (exact, json) in [
            (0.135_123_456, "0.135"),
            (0.009_999_9, "0.01"),
            (1.234_567e-41, "1.23e-41"),
            (1.0, "1.0"),
            (0.0, "0.0"),
        ] {
            assert_eq!(serde_json::to_string(&chance(exact)).unwrap(), json);
        }
    }

    #[test]
    fn milliseconds_end_with_the_microsecond_and_shares_with_six_digits() {
        let json = |value: f64| serde_json::to_string(&value).unwrap();
        for (exact, spelt) in [
            (0.982_603_600_552_420_8, "0.983"),
            (249.999_999_999_999_97, "250.0"),
            (0.000_3 * 1_000.0, "0.3"),
            (86_400_000.123_4, "86400000.123"),
        ] {
            assert_eq!(json(millis(exact)), spelt);
        }
        for (exact, spelt) in [
            (1.0 / 3.0, "0.333333"),
            (2.0 / 3e9, "6.66667e-10"),
            (1_000.0 / 60.0, "16.6667"),
            (1.0, "1.0"),
            (0.0, "0.0"),
        ] {
            assert_eq!(json(six_digits(exact)), spelt);
        }
    }

    #[test]
    fn a_traceparent_holds_its_trace_id() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(
            trace_id(Some(parent)).as_deref(),
            Some("0af7651916cd43dd8448eb211c80319c")
        );
        assert_eq!(trace_id(None), None);
    }
}
