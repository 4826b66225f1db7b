//! Evidence as stored with its alert: JSON whose numbers are exact, decimals as text.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::alert::{Evidence, Test};
use crate::engine::EngineError;
use crate::objective::BurnRate;
use crate::window::WindowCounts;

#[derive(Serialize, Deserialize)]
struct StoredEvidence {
    /// Not in what was stored before there were others.
    #[serde(default)]
    test: Option<String>,
    long: StoredWindow,
    short: StoredWindow,
    burn_rate_long: Decimal,
    burn_rate_short: Decimal,
    threshold: Decimal,
    chance: Option<f64>,
    bad_needed: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct StoredWindow {
    good: u64,
    bad: u64,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    expected_ms: u64,
    covered_ms: u64,
    lost: u64,
}

impl From<&WindowCounts> for StoredWindow {
    fn from(window: &WindowCounts) -> Self {
        Self {
            good: window.good,
            bad: window.bad,
            from: window.from,
            to: window.to,
            expected_ms: window.expected_ms,
            covered_ms: window.covered_ms,
            lost: window.lost,
        }
    }
}

impl From<StoredWindow> for WindowCounts {
    fn from(window: StoredWindow) -> Self {
        Self {
            good: window.good,
            bad: window.bad,
            from: window.from,
            to: window.to,
            expected_ms: window.expected_ms,
            covered_ms: window.covered_ms,
            lost: window.lost,
        }
    }
}

pub(crate) fn evidence_to_json(evidence: &Evidence) -> serde_json::Value {
    let stored = StoredEvidence {
        test: Some(evidence.test.to_string()),
        long: (&evidence.long).into(),
        short: (&evidence.short).into(),
        burn_rate_long: evidence.burn_rate_long,
        burn_rate_short: evidence.burn_rate_short,
        threshold: evidence.threshold.value(),
        chance: evidence.chance,
        bad_needed: evidence.bad_needed,
    };
    // Plain fields and string keys: nothing in it can fail.
    serde_json::to_value(stored).unwrap_or_default()
}

pub(crate) fn evidence_from_json(value: serde_json::Value) -> Result<Evidence, EngineError> {
    let unreadable = |value: String| EngineError::Unreadable {
        column: "alert.evidence",
        value,
    };
    let text = value.to_string();
    let stored: StoredEvidence = serde_json::from_value(value).map_err(|_| unreadable(text.clone()))?;
    Ok(Evidence {
        test: match stored.test {
            Some(test) => test.parse().map_err(|_| unreadable(text.clone()))?,
            None => Test::Windows,
        },
        long: stored.long.into(),
        short: stored.short.into(),
        burn_rate_long: stored.burn_rate_long,
        burn_rate_short: stored.burn_rate_short,
        threshold: BurnRate::try_from(stored.threshold).map_err(|_| unreadable(text))?,
        chance: stored.chance,
        bad_needed: stored.bad_needed,
    })
}
