//! What happened, in order: the one list that people and live views read.
//!
//! In: facts, recorded in the transaction that made them true. Out: rows of `event`, and a
//! notification on the channel [`CHANNEL`] when that transaction commits.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::engine::EngineError;
use crate::measurement::words;
use crate::store::parse;

/// The subject of what is about the definitions as a whole. No objective can be named so.
pub const DEFINITIONS: &str = "definition files";

/// `LISTEN` on this: the payload is the event's id.
pub const CHANNEL: &str = "slowburn_event";

#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub at: DateTime<Utc>,
    pub kind: EventKind,
    /// Name of the service, objective, source or run it is about; of a slowburn, `host/instance`.
    pub subject: String,
    /// One sentence that reads alone.
    pub message: String,
    pub data: serde_json::Value,
    pub traceparent: Option<String>,
}

words!(
    EventKind, "event kind", {
        SlowburnStarted => "slowburn_started",
        SlowburnStopped => "slowburn_stopped",
        /// What the next one found: it was killed, or could not say that it stopped.
        SlowburnDied => "slowburn_died",
        SourceSeen => "source_seen",
        SourceGone => "source_gone",
        SourceRetired => "source_retired",
        ClockStepped => "clock_stepped",
        EndpointFound => "endpoint_found",
        EndpointRenamed => "endpoint_renamed",
        DefinitionChanged => "definition_changed",
        DefinitionsTakenUp => "definitions_taken_up",
        DefinitionsRefused => "definitions_refused",
        BackfillFinished => "backfill_finished",
        AlertPending => "alert_pending",
        AlertFiring => "alert_firing",
        AlertResolved => "alert_resolved",
        AlertAcknowledged => "alert_acknowledged",
        AlertSilenced => "alert_silenced",
        AlertUnsilenced => "alert_unsilenced",
        AlertInhibited => "alert_inhibited",
        AlertUninhibited => "alert_uninhibited",
        SilenceMade => "silence_made",
        SilenceEnded => "silence_ended",
        EvaluationFrozen => "evaluation_frozen",
        EvaluationThawed => "evaluation_thawed",
        RunQueued => "run_queued",
        RunStarted => "run_started",
        RunStep => "run_step",
        RunVerdict => "run_verdict",
        RunFinished => "run_finished",
        LimitApplied => "limit_applied",
        LimitReleased => "limit_released",
        NotificationSent => "notification_sent",
        NotificationFailed => "notification_failed",
        CorrectionMade => "correction_made",
        CorrectionUndone => "correction_undone",
        Annotated => "annotated",
        Report => "report",
    }
);

/// Appends the event and notifies, both when the caller's transaction commits.
///
/// # Errors
/// When the database fails.
pub async fn record(connection: &mut PgConnection, event: &Event) -> Result<i64, sqlx::Error> {
    let id = sqlx::query_scalar!(
        "insert into event (at, kind, subject, message, data, traceparent) values ($1, $2, $3, $4, $5, $6)
         returning event_id",
        event.at,
        event.kind.as_str(),
        event.subject,
        event.message,
        event.data,
        event.traceparent
    )
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query!("select pg_notify($1, $2)", CHANNEL, id.to_string())
        .execute(connection)
        .await?;
    Ok(id)
}

/// The newest event about the subject that is of one of these kinds: which, and when.
///
/// # Errors
/// When the database fails.
pub async fn newest(
    connection: &mut PgConnection,
    subject: &str,
    kinds: &[EventKind],
) -> Result<Option<(EventKind, DateTime<Utc>)>, EngineError> {
    let kinds: Vec<String> = kinds.iter().map(EventKind::to_string).collect();
    let row = sqlx::query!(
        "select kind, at from event where subject = $1 and kind = any($2) order by event_id desc limit 1",
        subject,
        &kinds
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((parse("event.kind", &row.kind)?, row.at)))
        .transpose()
}
