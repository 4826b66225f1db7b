//! Rows of `rate_limit`: what is wanted of the limiter.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::error::{Error, Stored};
use crate::limits::{Limit, LimitId, LimitMode, SourcePrefix};

/// A limit to want.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Wanted {
    pub source: SourcePrefix,
    pub rate_per_second: u32,
    pub burst: u32,
}

/// Writes a limit of a step, or moves its deadline. The identity stays the same, so that the limiter
/// sees the same limit again.
pub(crate) async fn want(
    connection: &mut PgConnection,
    step_id: i64,
    service: &str,
    node: &str,
    wanted: &Wanted,
    expires_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<LimitId, Error> {
    let id = sqlx::query_scalar!(
        "insert into rate_limit (step_id, service, source, rate_per_second, burst, node, wanted_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict on constraint rate_limit_one_per_source do update
            set expires_at = excluded.expires_at, node = excluded.node
         returning rate_limit_id",
        step_id,
        service,
        wanted.source.to_string(),
        i64::from(wanted.rate_per_second),
        i64::from(wanted.burst),
        node,
        now,
        expires_at,
    )
    .fetch_one(connection)
    .await?;
    limit_id(id)
}

/// The limits of a step that were not released.
pub(crate) async fn of_step(connection: &mut PgConnection, step_id: i64) -> Result<Vec<Limit>, Error> {
    let rows = sqlx::query!(
        "select rate_limit_id, service, source, rate_per_second, burst, expires_at
           from rate_limit where step_id = $1 and released_at is null order by rate_limit_id",
        step_id
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            read(
                row.rate_limit_id,
                &row.service,
                &row.source,
                row.rate_per_second,
                row.burst,
                row.expires_at,
            )
        })
        .collect()
}

/// The limits that must be live on a host: wanted, not over, and of a step that still holds them.
pub(crate) async fn standing(
    connection: &mut PgConnection,
    node: &str,
    now: DateTime<Utc>,
) -> Result<Vec<Limit>, Error> {
    let rows = sqlx::query!(
        "select rate_limit_id, rate_limit.service, source, rate_per_second, burst, rate_limit.expires_at
           from rate_limit join step using (step_id) join run using (run_id)
          where rate_limit.node = $1 and rate_limit.released_at is null and rate_limit.expires_at > $2
            and step.state in ('applying', 'applied') and run.finished_at is null
          order by rate_limit_id",
        node,
        now
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            read(
                row.rate_limit_id,
                &row.service,
                &row.source,
                row.rate_per_second,
                row.burst,
                row.expires_at,
            )
        })
        .collect()
}

pub(crate) async fn applied(
    connection: &mut PgConnection,
    id: LimitId,
    mode: LimitMode,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "update rate_limit set applied_at = coalesce(applied_at, $2), mode = $3 where rate_limit_id = $1",
        stored(id)?,
        now,
        mode.as_str()
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(crate) async fn released(
    connection: &mut PgConnection,
    id: LimitId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "update rate_limit set released_at = coalesce(released_at, $2) where rate_limit_id = $1",
        stored(id)?,
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The run that a limit belongs to.
pub(crate) async fn run_of(connection: &mut PgConnection, id: LimitId) -> Result<Option<i64>, Error> {
    // People ask by any number.
    let Ok(id) = stored(id) else { return Ok(None) };
    let run = sqlx::query_scalar!(
        "select run_id from rate_limit join step using (step_id) where rate_limit_id = $1",
        id
    )
    .fetch_optional(connection)
    .await?;
    Ok(run)
}

/// The open runs that want a limit anywhere.
pub(crate) async fn runs_with_limits(connection: &mut PgConnection) -> Result<Vec<i64>, Error> {
    let ids = sqlx::query_scalar!(
        "select distinct run_id from run join step using (run_id) join rate_limit using (step_id)
          where run.finished_at is null and rate_limit.released_at is null order by run_id"
    )
    .fetch_all(connection)
    .await?;
    Ok(ids)
}

fn read(
    id: i32,
    service: &str,
    source: &str,
    rate_per_second: i64,
    burst: i64,
    expires_at: DateTime<Utc>,
) -> Result<Limit, Error> {
    let number = |n: i64| u32::try_from(n).map_err(|_| Stored::Number(n.to_string()));
    Ok(Limit {
        id: limit_id(id)?,
        service: service.parse()?,
        source: source.parse().map_err(|_| Stored::Number(source.to_owned()))?,
        rate_per_second: number(rate_per_second)?,
        burst: number(burst)?,
        expires_at,
    })
}

fn limit_id(id: i32) -> Result<LimitId, Error> {
    u32::try_from(id)
        .map(LimitId)
        .map_err(|_| Stored::Number(id.to_string()).into())
}

fn stored(id: LimitId) -> Result<i32, Error> {
    i32::try_from(id.0).map_err(|_| Stored::Number(id.to_string()).into())
}
