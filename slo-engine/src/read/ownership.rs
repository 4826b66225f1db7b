//! Whose objective it is.

use sqlx::PgConnection;

use crate::engine::EngineError;
use crate::objective::ObjectiveName;
use crate::ownership::Ownership;
use crate::store::parse;

/// As its latest definition says; nobody's when there is none of this name. On the caller's connection, for what is told
/// in the transaction that records an alert.
///
/// # Errors
/// When the database fails.
pub async fn ownership(
    connection: &mut PgConnection,
    name: &ObjectiveName,
) -> Result<Ownership, EngineError> {
    let row = sqlx::query!(
        "select d.owner, d.runbook_url
         from objective o
         join objective_definition d on d.objective_id = o.objective_id and d.from_at = o.defined_at
         where o.name = $1",
        name.as_str()
    )
    .fetch_optional(connection)
    .await?;
    row.map_or_else(
        || Ok(Ownership::default()),
        |row| of_row(row.owner.as_deref(), row.runbook_url.as_deref()),
    )
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
