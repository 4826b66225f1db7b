//! Somebody has seen an alert and takes care of it.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;

use crate::alert::{AcknowledgeError, Acknowledgement, AlertId, AlertState};
use crate::event::{self, Event, EventKind};
use crate::store::parse;
use crate::text;

/// The last to say so is the one who has it.
pub(crate) async fn acknowledge(
    connection: &mut PgConnection,
    id: AlertId,
    by: &str,
    note: &str,
    now: DateTime<Utc>,
) -> Result<Acknowledgement, AcknowledgeError> {
    text::check("author", by, 1, 100)?;
    text::check("note", note, 0, 1_000)?;
    let (by, note) = (by.trim(), note.trim());
    let alert = sqlx::query!(
        "select a.state, a.tier, a.traceparent, o.name as objective
         from alert a join objective o using (objective_id)
         where a.alert_id = $1
         for update of a",
        id.0
    )
    .fetch_optional(&mut *connection)
    .await?
    .ok_or(AcknowledgeError::Unknown(id))?;
    if parse::<AlertState>("alert.state", &alert.state)? == AlertState::Resolved {
        return Err(AcknowledgeError::Resolved(id));
    }
    sqlx::query!(
        "update alert
         set acknowledged_at = $2, acknowledged_by = $3, acknowledged_note = $4
         where alert_id = $1",
        id.0,
        now,
        by,
        note
    )
    .execute(&mut *connection)
    .await?;
    let said = if note.is_empty() {
        String::new()
    } else {
        format!(": {note}")
    };
    let event = Event {
        at: now,
        kind: EventKind::AlertAcknowledged,
        message: format!(
            "{by} takes care of `{}` (`{}`){said}",
            alert.objective, alert.tier
        ),
        subject: alert.objective,
        data: json!({ "alert_id": id.0, "tier": alert.tier, "author": by }),
        traceparent: alert.traceparent,
    };
    event::record(connection, &event).await?;
    Ok(Acknowledgement {
        at: now,
        by: by.to_owned(),
        note: note.to_owned(),
    })
}
