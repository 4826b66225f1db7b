//! Whose objectives they are.

use sqlx::PgConnection;

use crate::engine::EngineError;
use crate::objective::ObjectiveName;
use crate::ownership::Ownership;
use crate::store::parse;

/// As their latest definitions say, by name; nothing of a name that there is none of. On the caller's connection, for what
/// is told in the transaction that records an alert.
///
/// # Errors
/// When the database fails.
pub async fn ownerships(
    connection: &mut PgConnection,
    names: &[&ObjectiveName],
) -> Result<Vec<Ownership>, EngineError> {
    let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    let rows = sqlx::query!(
        "select d.owner, d.runbook_url
         from objective o
         join objective_definition d on d.objective_id = o.objective_id and d.from_at = o.defined_at
         where o.name = any($1)
         order by o.name",
        &names as &[&str]
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| of_row(row.owner.as_deref(), row.runbook_url.as_deref()))
        .collect()
}

pub(super) fn of_row(owner: Option<&str>, runbook_url: Option<&str>) -> Result<Ownership, EngineError> {
    Ok(Ownership {
        owner: owner
            .map(|text| parse("objective_definition.owner", text))
            .transpose()?,
        runbook_url: runbook_url
            .map(|text| parse("objective_definition.runbook_url", text))
            .transpose()?,
    })
}
