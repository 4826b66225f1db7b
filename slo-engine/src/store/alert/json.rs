//! Evidence as stored with its alert: JSON whose numbers are exact, decimals as text.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::alert::{Burning, Evidence, PartOfEvidence, Silent, Spending, Watched};
use crate::engine::EngineError;
use crate::window::WindowCounts;

#[derive(Serialize, Deserialize)]
#[serde(tag = "test", rename_all = "snake_case")]
enum StoredEvidence {
    Windows(StoredBurning),
    Sequential(StoredBurning),
    Coverage {
        #[serde(alias = "long")]
        window: StoredWindow,
        #[serde(alias = "threshold")]
        least: Decimal,
        #[serde(default)]
        silent: Vec<StoredSilent>,
    },
    Budget {
        rule: String,
        remaining: Decimal,
        spent: Decimal,
        window: StoredWindow,
        limit: Decimal,
        chance: Option<f64>,
        bad_needed: Option<u64>,
        exhausts_at: Option<DateTime<Utc>>,
        #[serde(default)]
        is_withdrawn: bool,
    },
}

#[derive(Serialize, Deserialize)]
struct StoredBurning {
    long: StoredWindow,
    short: StoredWindow,
    burn_rate_long: Decimal,
    burn_rate_short: Decimal,
    threshold: Decimal,
    chance: Option<f64>,
    bad_needed: Option<u64>,
    #[serde(default = "one")]
    unit: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parts: Vec<StoredPart>,
}

#[derive(Serialize, Deserialize)]
struct StoredPart {
    objective: String,
    weight: Decimal,
    burn_rate: Decimal,
    good: u64,
    bad: u64,
    bad_needed: Option<u64>,
    unit: u64,
}

/// What was counted before there were other units.
fn one() -> u64 {
    1
}

#[derive(Serialize, Deserialize)]
struct StoredSilent {
    source: String,
    host: String,
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

impl From<&Burning> for StoredBurning {
    fn from(burning: &Burning) -> Self {
        Self {
            long: (&burning.long).into(),
            short: (&burning.short).into(),
            burn_rate_long: burning.burn_rate_long,
            burn_rate_short: burning.burn_rate_short,
            threshold: burning.threshold.value(),
            chance: burning.chance,
            bad_needed: burning.bad_needed,
            unit: burning.unit,
            parts: burning.parts.iter().map(Into::into).collect(),
        }
    }
}

impl From<&PartOfEvidence> for StoredPart {
    fn from(part: &PartOfEvidence) -> Self {
        Self {
            objective: part.objective.to_string(),
            weight: part.weight.value(),
            burn_rate: part.burn_rate,
            good: part.good,
            bad: part.bad,
            bad_needed: part.bad_needed,
            unit: part.unit,
        }
    }
}

/// Something in it is none of what it should be; the whole text is told.
struct Unfit;

impl TryFrom<StoredPart> for PartOfEvidence {
    type Error = Unfit;

    fn try_from(stored: StoredPart) -> Result<Self, Unfit> {
        Ok(Self {
            objective: stored.objective.parse().map_err(|_| Unfit)?,
            weight: stored.weight.try_into().map_err(|_| Unfit)?,
            burn_rate: stored.burn_rate,
            good: stored.good,
            bad: stored.bad,
            bad_needed: stored.bad_needed,
            unit: stored.unit,
        })
    }
}

impl TryFrom<StoredBurning> for Burning {
    type Error = Unfit;

    fn try_from(stored: StoredBurning) -> Result<Self, Unfit> {
        let parts = stored.parts.into_iter().map(TryInto::try_into);
        Ok(Self {
            long: stored.long.into(),
            short: stored.short.into(),
            burn_rate_long: stored.burn_rate_long,
            burn_rate_short: stored.burn_rate_short,
            threshold: stored.threshold.try_into().map_err(|_| Unfit)?,
            chance: stored.chance,
            bad_needed: stored.bad_needed,
            unit: stored.unit,
            parts: parts.collect::<Result<_, _>>()?,
        })
    }
}

pub(crate) fn evidence_to_json(evidence: &Evidence) -> Value {
    let stored = match evidence {
        Evidence::Windows(burning) => StoredEvidence::Windows(burning.into()),
        Evidence::Sequential(burning) => StoredEvidence::Sequential(burning.into()),
        Evidence::Coverage(watched) => StoredEvidence::Coverage {
            window: (&watched.window).into(),
            least: watched.least,
            silent: (watched.silent.iter().cloned())
                .map(|Silent { source, host }| StoredSilent { source, host })
                .collect(),
        },
        Evidence::Budget(spending) => StoredEvidence::Budget {
            rule: spending.rule.to_string(),
            remaining: spending.remaining,
            spent: spending.spent,
            window: (&spending.window).into(),
            limit: spending.limit,
            chance: spending.chance,
            bad_needed: spending.bad_needed,
            exhausts_at: spending.exhausts_at,
            is_withdrawn: spending.is_withdrawn,
        },
    };
    // Plain fields and string keys: nothing in it can fail.
    serde_json::to_value(stored).unwrap_or_default()
}

pub(crate) fn evidence_from_json(mut value: Value) -> Result<Evidence, EngineError> {
    let text = value.to_string();
    let unreadable = || EngineError::Unreadable {
        column: "alert.evidence",
        value: text.clone(),
    };
    // What was stored before there were others does not say which it is.
    if let Value::Object(fields) = &mut value {
        fields.entry("test").or_insert_with(|| "windows".into());
    }
    let stored = serde_json::from_value(value).map_err(|_| unreadable())?;
    Ok(match stored {
        StoredEvidence::Windows(burning) => Evidence::Windows(burning.try_into().map_err(|_| unreadable())?),
        StoredEvidence::Sequential(burning) => {
            Evidence::Sequential(burning.try_into().map_err(|_| unreadable())?)
        }
        StoredEvidence::Coverage {
            window,
            least,
            silent,
        } => Evidence::Coverage(Watched {
            window: window.into(),
            least,
            silent: (silent.into_iter())
                .map(|StoredSilent { source, host }| Silent { source, host })
                .collect(),
        }),
        StoredEvidence::Budget {
            rule,
            remaining,
            spent,
            window,
            limit,
            chance,
            bad_needed,
            exhausts_at,
            is_withdrawn,
        } => Evidence::Budget(Spending {
            rule: rule.parse().map_err(|_| unreadable())?,
            remaining,
            spent,
            window: window.into(),
            limit,
            chance,
            bad_needed,
            exhausts_at,
            is_withdrawn,
        }),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn evidence_reads_back_and_so_does_what_was_stored_before_it_said_what_it_is() {
        let window = WindowCounts {
            expected_ms: 300_000,
            covered_ms: 60_000,
            ..WindowCounts::empty(DateTime::UNIX_EPOCH)
        };
        let burning = Burning {
            long: window.clone(),
            short: window.clone(),
            burn_rate_long: Decimal::new(144, 1),
            burn_rate_short: Decimal::ONE,
            threshold: Decimal::TEN.try_into().unwrap(),
            chance: Some(0.01),
            bad_needed: Some(5),
            unit: 1,
            parts: Vec::new(),
        };
        let of_parts = Burning {
            unit: 1_000_000_000_000,
            parts: vec![PartOfEvidence {
                objective: "web-latency".parse().unwrap(),
                weight: Decimal::new(25, 1).try_into().unwrap(),
                burn_rate: Decimal::TEN,
                good: 10,
                bad: 20,
                bad_needed: Some(7),
                unit: 1,
            }],
            ..burning.clone()
        };
        let least = Decimal::new(9, 1);
        for evidence in [
            Evidence::Windows(burning.clone()),
            Evidence::Sequential(burning.clone()),
            Evidence::Windows(of_parts),
            Evidence::Budget(Spending {
                rule: "drop 10% within 1d".parse().unwrap(),
                remaining: least,
                spent: least,
                window: window.clone(),
                limit: Decimal::new(-25, 1),
                chance: None,
                bad_needed: None,
                exhausts_at: Some(DateTime::UNIX_EPOCH),
                is_withdrawn: true,
            }),
            Evidence::Coverage(Watched {
                window,
                least,
                silent: vec![Silent {
                    source: "machine/boot/1".to_owned(),
                    host: "web-1".to_owned(),
                }],
            }),
        ] {
            assert_eq!(evidence_from_json(evidence_to_json(&evidence)).unwrap(), evidence);
        }
        let mut unnamed = evidence_to_json(&Evidence::Windows(burning.clone()));
        assert_eq!(unnamed["test"].take(), json!("windows"));
        unnamed.as_object_mut().unwrap().remove("test");
        assert_eq!(evidence_from_json(unnamed).unwrap(), Evidence::Windows(burning));
        assert!(evidence_from_json(json!({ "test": "guess" })).is_err());
    }
}
