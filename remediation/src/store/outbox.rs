//! Rows of `outbox` and `delivery_pace`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use crate::error::{Error, Stored};
use crate::notice::Notice;
use crate::outbox::{DeliveryState, NoticeAction};
use crate::run::RunId;
use crate::target::SinkKind;

#[derive(Debug, Clone)]
pub(crate) struct NewNotice<'a> {
    pub run: RunId,
    pub step_id: Option<i64>,
    pub target: &'a str,
    pub sink: SinkKind,
    pub action: NoticeAction,
    pub idempotency_key: String,
    pub dedup_key: String,
    pub notice: &'a Notice,
    pub deadline_at: DateTime<Utc>,
    pub traceparent: Option<&'a str>,
}

/// A notification that this worker may deliver until its lease ends.
#[derive(Debug, Clone)]
pub(crate) struct Parcel {
    pub outbox_id: i64,
    pub message_id: String,
    pub target: String,
    pub action: NoticeAction,
    pub dedup_key: String,
    pub notice: Notice,
    /// This one included.
    pub attempts: u32,
    pub epoch: i64,
    pub deadline_at: DateTime<Utc>,
    pub traceparent: Option<String>,
}

/// Writes a notification; one that was written before is left as it is.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    new: &NewNotice<'_>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "insert into outbox (run_id, step_id, target, sink, action, idempotency_key, dedup_key, notice,
                             not_before_at, deadline_at, created_at, traceparent)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $9, $11)
         on conflict on constraint outbox_idempotency_key_unique do nothing",
        new.run.0,
        new.step_id,
        new.target,
        new.sink.as_str(),
        new.action.as_str(),
        new.idempotency_key,
        new.dedup_key,
        serde_json::to_value(new.notice)?,
        now,
        new.deadline_at,
        new.traceparent,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Who was told about a run, and under which dedup keys.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub target: String,
    pub sink: SinkKind,
    pub dedup_key: String,
    pub notice: Notice,
    pub traceparent: Option<String>,
}

pub(crate) async fn told(connection: &mut PgConnection, run: RunId) -> Result<Vec<Told>, Error> {
    let rows = sqlx::query!(
        "select distinct on (target, dedup_key) target, sink, dedup_key, notice, traceparent
           from outbox where run_id = $1 and action in ('trigger', 'escalate')
          order by target, dedup_key, outbox_id",
        run.0
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Told {
                target: row.target,
                sink: row.sink.parse()?,
                dedup_key: row.dedup_key,
                notice: serde_json::from_value(row.notice)?,
                traceparent: row.traceparent,
            })
        })
        .collect()
}

/// Takes one due notification whose target may be told now. One that waits for an earlier one of
/// the same target and dedup key is not due: a resolve must not arrive before its trigger.
pub(crate) async fn claim(
    pool: &PgPool,
    worker: &str,
    lease: Duration,
    pace: impl Fn(SinkKind) -> (Duration, Duration),
    now: DateTime<Utc>,
) -> Result<Option<Parcel>, Error> {
    let mut transaction = pool.begin().await?;
    let row = sqlx::query!(
        "update outbox set epoch = epoch + 1, attempts = attempts + 1, leased_by = $1, leased_until = $2
          where outbox_id = (
                select o.outbox_id from outbox o left join delivery_pace p on p.target = o.target
                 where o.state = 'pending' and o.not_before_at <= $3
                   and (o.leased_until is null or o.leased_until <= $3)
                   and (p.target is null or p.ready_at <= $3)
                   and not exists (
                            select from outbox earlier
                             where earlier.target = o.target and earlier.dedup_key = o.dedup_key
                               and earlier.outbox_id < o.outbox_id and earlier.state = 'pending')
                 order by o.not_before_at, o.outbox_id
                 limit 1
                   for update of o skip locked)
          returning outbox_id, message_id, target, sink, action, dedup_key, notice, attempts, epoch,
                    deadline_at, traceparent",
        worker,
        now + lease,
        now,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let (interval, burst) = pace(row.sink.parse()?);
    // The claim looked at the pace without a lock: this decides. Losing it gives the row back.
    let paced = sqlx::query!(
        "insert into delivery_pace as p (target, theoretical_at, ready_at)
         values ($1, $2::timestamptz + $3::float8 * interval '1 second',
                 $2::timestamptz + ($3::float8 - $4::float8) * interval '1 second')
         on conflict (target) do update
            set theoretical_at = greatest(p.theoretical_at, $2) + $3::float8 * interval '1 second',
                ready_at = greatest(p.theoretical_at, $2) + ($3::float8 - $4::float8) * interval '1 second'
          where p.ready_at <= $2",
        row.target,
        now,
        interval.as_secs_f64(),
        burst.as_secs_f64(),
    )
    .execute(&mut *transaction)
    .await?;
    if paced.rows_affected() == 0 {
        transaction.rollback().await?;
        return Ok(None);
    }
    transaction.commit().await?;
    Ok(Some(Parcel {
        outbox_id: row.outbox_id,
        message_id: row.message_id,
        target: row.target,
        action: row.action.parse()?,
        dedup_key: row.dedup_key,
        notice: serde_json::from_value(row.notice)?,
        attempts: u32::try_from(row.attempts).map_err(|_| Stored::Number(row.attempts.to_string()))?,
        epoch: row.epoch,
        deadline_at: row.deadline_at,
        traceparent: row.traceparent,
    }))
}

/// Commits what came of a delivery and gives the lease back. `false`: it was taken over.
pub(crate) async fn conclude(
    connection: &mut PgConnection,
    parcel: &Parcel,
    state: DeliveryState,
    status: Option<u16>,
    error: Option<&str>,
    not_before_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "update outbox set state = $3, last_status = $4, last_error = $5, not_before_at = $6,
                           leased_by = null, leased_until = null,
                           delivered_at = case when $3 = 'delivered' then $7::timestamptz end
          where outbox_id = $1 and epoch = $2",
        parcel.outbox_id,
        parcel.epoch,
        state.as_str(),
        status.map(i32::from),
        error,
        not_before_at,
        now,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Nothing goes to the target before this: the receiver asked for it.
pub(crate) async fn hold_back(
    connection: &mut PgConnection,
    target: &str,
    until: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "update delivery_pace set ready_at = greatest(ready_at, $2) where target = $1",
        target,
        until
    )
    .execute(connection)
    .await?;
    Ok(())
}
