//! Corrections and annotations.

use chrono::{DateTime, Utc};
use serde::Serialize;
use slo_engine::read;
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CorrectionsView {
    pub items: Vec<CorrectionView>,
    /// What they leave out of the objective that was asked for, overlaps counted once; `null` when none was.
    pub left_out: Option<Vec<LeftOutView>>,
}

/// Time that an objective does not count.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CorrectionView {
    pub id: i64,
    pub objective: String,
    #[schema(example = "maintenance")]
    pub kind: String,
    /// The one time, or the first of those that recur.
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub recurrence: Option<RecurrenceView>,
    pub author: String,
    pub comment: String,
    pub created_at: DateTime<Utc>,
    /// From then on it leaves out nothing: `null` while it stands.
    pub undone_at: Option<DateTime<Utc>>,
    pub undone_by: Option<String>,
    /// When it holds, in the time that was asked for.
    pub spans: Vec<SpanView>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RecurrenceView {
    #[schema(example = "FREQ=WEEKLY;BYDAY=SU")]
    pub rule: String,
    #[schema(example = "Europe/Berlin")]
    pub zone: String,
    /// What it leaves out of the rule: days of the zone, or moments.
    #[schema(example = json!(["2026-12-27"]))]
    pub exdate: Vec<String>,
    /// When it is beside the rule.
    pub rdate: Vec<String>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SpanView {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LeftOutView {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    /// The rows of the ledger that the edges stand for: earlier ones where the ledger was thinned before the
    /// correction was made, `null` before the first.
    pub counted_from: Option<DateTime<Utc>>,
    pub counted_to: Option<DateTime<Utc>>,
    pub good: i64,
    pub bad: i64,
}

/// What somebody says about a service at a moment.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AnnotationView {
    pub id: i64,
    pub service: String,
    pub at: DateTime<Utc>,
    #[schema(example = "deploy")]
    pub kind: String,
    pub text: String,
    pub author: String,
    pub created_at: DateTime<Utc>,
}

impl From<read::Correction> for CorrectionView {
    fn from(correction: read::Correction) -> Self {
        let (undone_at, undone_by) = correction.undone.unzip();
        Self {
            id: correction.id.0,
            objective: correction.objective.to_string(),
            kind: correction.kind.to_string(),
            starts_at: correction.starts_at,
            ends_at: correction.ends_at,
            recurrence: correction.recurs.map(|recurs| RecurrenceView {
                rule: recurs.rule,
                zone: recurs.zone,
                exdate: recurs.exdate,
                rdate: recurs.rdate,
            }),
            author: correction.author,
            comment: correction.comment,
            created_at: correction.created_at,
            undone_at,
            undone_by,
            spans: correction
                .spans
                .into_iter()
                .map(|(from, to)| SpanView { from, to })
                .collect(),
        }
    }
}

impl From<read::LeftOut> for LeftOutView {
    fn from(span: read::LeftOut) -> Self {
        Self {
            from: span.from,
            to: span.to,
            counted_from: span.counted_from,
            counted_to: span.counted_to,
            good: span.good,
            bad: span.bad,
        }
    }
}

impl From<read::Annotation> for AnnotationView {
    fn from(annotation: read::Annotation) -> Self {
        Self {
            id: annotation.id.0,
            service: annotation.service.to_string(),
            at: annotation.at,
            kind: annotation.kind.to_string(),
            text: annotation.text,
            author: annotation.author,
            created_at: annotation.created_at,
        }
    }
}
