//! What histograms tell of the time before an objective's counts begin.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::Estimate;
use crate::engine::EngineError;
use crate::objective::ObjectiveName;
use crate::store::{count, look_up, parse};

/// By objective; those of which nothing is estimated have none.
pub(super) async fn estimates(
    pool: &PgPool,
    name: Option<&ObjectiveName>,
    now: DateTime<Utc>,
) -> Result<HashMap<ObjectiveName, Estimate>, EngineError> {
    let rows = sqlx::query!(
        r#"select o.name, e.from_at as "from_at!", e.to_at as "to_at!", e.good_min as "good_min!", e.good_max as "good_max!",
                  e.bad_min as "bad_min!", e.bad_max as "bad_max!", e.sli_min, e.sli_max,
                  e.remaining_min as "remaining_min!", e.remaining_max as "remaining_max!"
           from objective o
           cross join lateral error_budget_estimate(o.name, greatest($1::timestamptz, o.defined_at)) e
           where o.withdrawn_at is null and ($2::text is null or o.name = $2)
             and exists (
                 select from estimate_hour h where h.objective_id = o.objective_id and h.generation = o.generation
             )"#,
        now,
        name.map(ObjectiveName::as_str)
    )
    .fetch_all(&mut *look_up(pool).await?)
    .await?;
    rows.into_iter()
        .map(|row| {
            let estimate = Estimate {
                from: row.from_at,
                to: row.to_at,
                good_min: count("good_min", row.good_min)?,
                good_max: count("good_max", row.good_max)?,
                bad_min: count("bad_min", row.bad_min)?,
                bad_max: count("bad_max", row.bad_max)?,
                sli_min: row.sli_min,
                sli_max: row.sli_max,
                budget_remaining_min: row.remaining_min.normalize(),
                budget_remaining_max: row.remaining_max.normalize(),
            };
            Ok((parse("objective.name", &row.name)?, estimate))
        })
        .collect()
}
