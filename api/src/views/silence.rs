//! Silences.

use chrono::{DateTime, Utc};
use serde::Serialize;
use slo_engine::read::Alerting;
use slo_engine::silence::{Silence, SilenceState};
use utoipa::ToSchema;

/// Alerts of which nobody wants to be told for a while.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SilenceView {
    pub id: i64,
    /// `pending`, `active` or `ended`.
    pub state: String,
    /// All must hold.
    #[schema(example = json!(["service=web"]))]
    pub matchers: Vec<String>,
    /// Tiers and other alerts of the definitions in force that it is about. 0: it silences nothing as they are now. Null of
    /// one that is over, which is about nothing any more.
    pub matches: Option<usize>,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub author: String,
    pub comment: String,
    pub created_at: DateTime<Utc>,
    /// When it was ended before its time, and by whom.
    pub ended_at: Option<DateTime<Utc>>,
    pub ended_by: Option<String>,
}

impl SilenceView {
    /// `alerting` is what could be silenced.
    pub fn of(silence: &Silence, alerting: &[Alerting], now: DateTime<Utc>) -> Self {
        let is_matched = |one: &&Alerting| silence.is_about(&one.labels());
        let state = silence.state(now);
        Self {
            id: silence.id.0,
            state: state.to_string(),
            matchers: silence.matchers.iter().map(ToString::to_string).collect(),
            matches: (state != SilenceState::Ended).then(|| alerting.iter().filter(is_matched).count()),
            starts_at: silence.starts_at,
            ends_at: silence.ends_at,
            author: silence.author.clone(),
            comment: silence.comment.clone(),
            created_at: silence.created_at,
            ended_at: silence.ended_at,
            ended_by: silence.ended_by.clone(),
        }
    }
}
