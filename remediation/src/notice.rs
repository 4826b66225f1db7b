//! What there is to tell, before any receiver's format: stored with the notification, so that a
//! later attempt tells the same.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// One thing to tell someone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// One sentence that reads alone.
    pub summary: String,
    pub at: DateTime<Utc>,
    pub run_id: i64,
    pub alert_id: i64,
    pub runbook: String,
    pub service: String,
    pub objective: String,
    pub tier: String,
    pub severity: String,
    /// Burn rates are absent where the alert does not stand on them.
    pub burn_rate_long: Option<Decimal>,
    pub burn_rate_short: Option<Decimal>,
    pub threshold: Option<Decimal>,
    pub good: u64,
    pub bad: u64,
    /// The host whose silence the alerts of its group have in common.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub silent: Option<String>,
    /// Whose objective it is, and where people read what to do about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub runbook_url: Option<String>,
    /// Why no action was taken, or what came of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remark: Option<String>,
    /// Nobody who is told this is told when the alert is over.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_end_untold: bool,
}

/// The text cut to at most `most` characters, with a mark where it was cut.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
    }
}
