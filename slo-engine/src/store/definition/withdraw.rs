//! Ends what no file defines any more.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;

use super::Standing;
use crate::engine::EngineError;
use crate::event::{self, Event, EventKind};
use crate::objective::ObjectiveName;
use crate::store::excursion;

/// `new` are the names that the same files define for the first time.
pub(super) async fn withdraw(
    connection: &mut PgConnection,
    name: &str,
    gone: &Standing,
    new: &[&ObjectiveName],
    now: DateTime<Utc>,
) -> Result<(), EngineError> {
    sqlx::query!(
        "update objective set withdrawn_at = $2 where objective_id = $1",
        gone.objective_id,
        now
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update objective_generation set ended_at = $2 where objective_id = $1 and ended_at is null",
        gone.objective_id,
        now
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update backfill set finished_at = $2 where objective_id = $1 and finished_at is null",
        gone.objective_id,
        now
    )
    .execute(&mut *connection)
    .await?;
    excursion::forget(connection, gone.objective_id).await?;
    sqlx::query!(
        "delete from tier_freeze where objective_id = $1",
        gone.objective_id
    )
    .execute(&mut *connection)
    .await?;
    let event = Event {
        at: now,
        kind: EventKind::DefinitionChanged,
        subject: name.to_owned(),
        message: farewell(name, new),
        data: json!({ "generation": gone.generation }),
        traceparent: None,
    };
    event::record(connection, &event).await?;
    Ok(())
}

/// An SLO that gets a second objective names both by what they are called, so the first loses its name, and with it
/// its history, unasked: whoever wrote that hears it here.
fn farewell(name: &str, new: &[&ObjectiveName]) -> String {
    let heirs: Vec<String> = new
        .iter()
        .filter(|heir| {
            heir.as_str()
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('-'))
        })
        .map(|heir| format!("`{heir}`"))
        .collect();
    if heirs.is_empty() {
        return format!("objective `{name}` is no longer kept");
    }
    format!(
        "objective `{name}` is no longer kept: {} begin with budgets of their own, and its history, alerts and silences \
         stay under the old name; to keep it, state it in an SLO of its own",
        heirs.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_renames_an_objective_by_a_second_one_is_told() {
        let new: Vec<ObjectiveName> = ["web-fast", "web-slow", "webshop", "other"]
            .iter()
            .map(|name| name.parse().unwrap())
            .collect();
        let new: Vec<_> = new.iter().collect();
        let told = farewell("web", &new);
        assert!(told.contains("`web-fast`, `web-slow` begin"), "{told}");
        assert_eq!(farewell("shop", &new), "objective `shop` is no longer kept");
    }
}
