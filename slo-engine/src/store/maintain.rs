//! Housekeeping: partitions ahead of time, giving up silent sources, and packing and thinning the ledger.
//!
//! In: `now`. Out: what was done. Safe to run twice, and at any time.

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use sqlx::{Acquire, PgConnection};

use super::{correction, interval, lock, parse, slice, source, thinning};
use crate::engine::{Engine, EngineError, Maintained};
use crate::measurement::SourceId;

const PARTITIONED: [&str; 2] = ["measurement", "histogram_slot"];

/// Makes the partitions of a day.
pub(crate) async fn add_day(connection: &mut PgConnection, day: NaiveDate) -> Result<u64, EngineError> {
    let mut added = 0;
    for parent in PARTITIONED {
        let is_new = sqlx::query_scalar!(r#"select add_partition($1, $2) as "new!""#, parent, day)
            .fetch_one(&mut *connection)
            .await?;
        added += u64::from(is_new);
    }
    Ok(added)
}

pub(crate) async fn maintain(engine: &Engine, now: DateTime<Utc>) -> Result<Maintained, EngineError> {
    let mut connection = engine.pool().acquire().await?;
    let mut done = Maintained::default();
    let mut transaction = connection.begin().await?;
    // Another engine is at it: there is nothing to add.
    let ours = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock($1) as "ours!""#,
        lock::MAINTAIN
    )
    .fetch_one(&mut *transaction)
    .await?;
    if !ours {
        return Ok(done);
    }
    let today = now.date_naive();
    for day in (0..3).filter_map(|ahead| today.checked_add_days(Days::new(ahead))) {
        done.partitions_added += add_day(&mut transaction, day).await?;
    }
    sqlx::query!(
        "delete from loss where at < $1::timestamptz - $2::interval",
        now,
        interval(engine.settings().keep.measurements)
    )
    .execute(&mut *transaction)
    .await?;
    slice::forget(&mut transaction, engine.settings(), now).await?;
    correction::extend(&mut transaction, now).await?;
    // A bite at a time: what is left waits for the next minute.
    sqlx::query!(
        "delete from event
         where event_id in (
             select event_id from event where at < $1::timestamptz - $2::interval order by at limit 10000
         )",
        now,
        interval(engine.settings().keep.ledger)
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    done.sources_retired = retire_silent(engine, &mut connection, now).await?;

    match keep_ledger(engine, &mut connection, now).await {
        Ok(days) => done.days_thinned = days,
        Err(error) if is_busy(&error) => {
            tracing::info!("packing the ledger put off: it was busy");
        }
        Err(error) => return Err(error.into()),
    }
    // Each day on its own: what could not be locked in time is left for the next minute.
    for (parent, day) in old(engine, &mut connection, now).await? {
        match drop_day(&mut connection, parent, day).await {
            Ok(()) => {
                engine.memory().days.remove(&day);
                done.partitions_dropped += 1;
            }
            Err(error) if is_busy(&error) => {
                tracing::info!(table = parent, "dropping a day put off: the table was busy");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(done)
}

async fn retire_silent(
    engine: &Engine,
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<u64, EngineError> {
    let settings = engine.settings();
    let silent = sqlx::query_scalar!(
        "select name from source
         where state = 'expected'
           and greatest(last_at + make_interval(secs => shift_ms / 1000.0), state_at)
               < $1::timestamptz - $2::interval
         order by name",
        now,
        interval(settings.retire_after)
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut retired = 0;
    for name in silent {
        let id: SourceId = parse("source.name", &name)?;
        retired +=
            u64::from(source::retire(connection, settings, &id, now, "it was silent for too long").await?);
    }
    Ok(retired)
}

/// Days of a table's partitions, oldest first.
async fn days(connection: &mut PgConnection, parent: &str) -> Result<Vec<NaiveDate>, EngineError> {
    let days = sqlx::query_scalar!(
        r#"select to_date(right(c.relname, 8), 'YYYYMMDD') as "day!"
           from pg_inherits i
           join pg_class c on c.oid = i.inhrelid
           where i.inhparent = to_regclass($1)::oid
             and c.relname ~ '_[0-9]{8}$'
           order by 1"#,
        parent
    )
    .fetch_all(connection)
    .await?;
    Ok(days)
}

/// Packs, thins and forgets. How many days were thinned that had any row.
async fn keep_ledger(
    engine: &Engine,
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let keep = &engine.settings().keep;
    thinning::pack_open(connection, engine.settings().slot, now).await?;
    let mut thinned = 0;
    for (day, step) in thinning::due(connection, keep, now).await? {
        let kept = thinning::thin(connection, day, step).await?;
        thinned += u64::from(kept > 0);
        tracing::info!(ledger.day = %day, ledger.kept_rows = kept, "ledger thinned");
    }
    thinning::forget(connection, keep.ledger, now).await?;
    Ok(thinned)
}

/// Days that are kept no longer.
async fn old(
    engine: &Engine,
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<Vec<(&'static str, NaiveDate)>, EngineError> {
    let mut old = Vec::new();
    let Ok(span) = TimeDelta::from_std(engine.settings().keep.measurements) else {
        return Ok(old);
    };
    for parent in PARTITIONED {
        for day in days(connection, parent).await? {
            if now - super::ledger::day_end(day) >= span {
                old.push((parent, day));
            }
        }
    }
    Ok(old)
}

async fn drop_day(
    connection: &mut PgConnection,
    parent: &'static str,
    day: NaiveDate,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query!("set local lock_timeout = '2s'")
        .execute(&mut *transaction)
        .await?;
    sqlx::query!("select drop_partition($1, $2)", parent, day)
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// Waited in vain, or for somebody who waited for us.
fn is_busy(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code == "55P03" || code == "40P01")
}
