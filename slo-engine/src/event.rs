//! What happened, in order: the one list that people and live views read.
//!
//! In: facts, recorded in the transaction that made them true. Out: rows of `event`, and a
//! notification on the channel [`CHANNEL`] when that transaction commits.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::measurement::words;

/// The subject of what is about the definitions as a whole.
pub const DEFINITIONS: &str = "definitions";

/// `LISTEN` on this: the payload is the event's id.
pub const CHANNEL: &str = "slowburn_event";

#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub at: DateTime<Utc>,
    pub kind: EventKind,
    /// Name of the service, objective or run it is about.
    pub subject: String,
    /// One sentence that reads alone.
    pub message: String,
    pub data: serde_json::Value,
    pub traceparent: Option<String>,
}

words!(
    EventKind, "event kind", {
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
