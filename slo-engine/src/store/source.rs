//! Sources: who counts, whether it is expected to, and which services it watches.
//!
//! In: greetings, farewells and the times of batches. Out: rows of `source` and `watch`, and the
//! expected time that a silent source still owes when it is given up.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::{Acquire, PgConnection};

use super::ledger::{self, Delta, Deltas};
use super::{interval, lock, micros, parse, slot_end};
use crate::engine::EngineError;
use crate::event::{self, Event, EventKind};
use crate::measurement::{Hello, Role, ServiceName, SourceId};
use crate::read::SourceState;
use crate::settings::Settings;

#[derive(Debug, Clone)]
pub(crate) struct SourceRow {
    pub source_id: i64,
    pub first_contact_at: DateTime<Utc>,
    pub last_at: Option<DateTime<Utc>>,
    pub shift_ms: i64,
    pub state: SourceState,
}

/// How far a source got with a service, on our clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watch {
    pub service_id: i64,
    pub role: Role,
    pub covered_to: DateTime<Utc>,
    pub expected_to: DateTime<Utc>,
}

/// The source's row, locked until the transaction ends.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    id: &SourceId,
) -> Result<Option<SourceRow>, EngineError> {
    let row = sqlx::query!(
        "select source_id, first_contact_at, last_at, shift_ms, state from source where name = $1 for no key update",
        id.as_str()
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(SourceRow {
            source_id: row.source_id,
            first_contact_at: row.first_contact_at,
            last_at: row.last_at,
            shift_ms: row.shift_ms,
            state: parse("source.state", &row.state)?,
        })
    })
    .transpose()
}

/// Creates the source unless it exists, and locks its row. Whoever sends without a greeting is first
/// seen with its first batch: all that it counted before is a baseline.
pub(crate) async fn lock_or_create(
    connection: &mut PgConnection,
    id: &SourceId,
    host: &str,
    at: DateTime<Utc>,
) -> Result<SourceRow, EngineError> {
    if let Some(row) = lock(connection, id).await? {
        return Ok(row);
    }
    let inserted = sqlx::query!(
        "insert into source (name, machine, host, first_contact_at, state, state_at)
         values ($1, $2, $3, $4, 'expected', $4)
         on conflict on constraint source_name_key do nothing",
        id.as_str(),
        machine(id),
        host,
        at
    )
    .execute(&mut *connection)
    .await?;
    if inserted.rows_affected() > 0 {
        seen(connection, id, host, at, "reported for the first time").await?;
    }
    lock(connection, id)
        .await?
        .ok_or_else(|| EngineError::Unreadable {
            column: "source.name",
            value: id.to_string(),
        })
}

pub(crate) fn machine(id: &SourceId) -> &str {
    id.as_str().split(':').next().unwrap_or_default()
}

async fn seen(
    connection: &mut PgConnection,
    id: &SourceId,
    host: &str,
    at: DateTime<Utc>,
    what: &str,
) -> Result<(), EngineError> {
    let event = Event {
        at,
        kind: EventKind::SourceSeen,
        subject: host.to_owned(),
        message: format!("source on `{host}` {what}"),
        data: json!({ "source": id.as_str() }),
        traceparent: None,
    };
    event::record(connection, &event).await?;
    Ok(())
}

/// A greeting: the source is expected from now on, and other sources of its machine are not.
pub(crate) async fn hello(
    connection: &mut PgConnection,
    settings: &Settings,
    hello: &Hello,
) -> Result<(), EngineError> {
    let at = micros(hello.at);
    let others = sqlx::query_scalar!(
        "select name from source where machine = $1 and name <> $2 and state = 'expected'",
        machine(&hello.source),
        hello.source.as_str()
    )
    .fetch_all(&mut *connection)
    .await?;
    for other in others {
        let other: SourceId = parse("source.name", &other)?;
        retire(connection, settings, &other, at, "another source took its host").await?;
    }
    let mut transaction = connection.begin().await?;
    let row = lock_or_create(&mut transaction, &hello.source, &hello.host, at).await?;
    if row.state != SourceState::Expected {
        seen(&mut transaction, &hello.source, &hello.host, at, "returned").await?;
    }
    // Patience begins anew: until its first batch a source is not held to the time it was away.
    sqlx::query!(
        "update source set host = $2, state = 'expected', state_at = $3 where source_id = $1",
        row.source_id,
        hello.host,
        at
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}

/// A farewell: the source's silence is no gap from here on.
pub(crate) async fn goodbye(
    connection: &mut PgConnection,
    id: &SourceId,
    now: DateTime<Utc>,
) -> Result<(), EngineError> {
    let host = sqlx::query_scalar!(
        "update source set state = 'goodbye', state_at = $2 where name = $1 and state = 'expected' returning host",
        id.as_str(),
        now
    )
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(host) = host {
        let event = Event {
            at: now,
            kind: EventKind::SourceGone,
            message: format!("source on `{host}` said goodbye"),
            subject: host,
            data: json!({ "source": id.as_str() }),
            traceparent: None,
        };
        event::record(connection, &event).await?;
    }
    Ok(())
}

/// Gives a source up: it owes its silence up to `at` to the books, at most as long as it was expected,
/// and nothing after. A transaction of its own: whoever holds one source's books and waits for another
/// source would deadlock with that one's batches.
pub(crate) async fn retire(
    connection: &mut PgConnection,
    settings: &Settings,
    id: &SourceId,
    at: DateTime<Utc>,
    because: &str,
) -> Result<bool, EngineError> {
    let mut transaction = connection.begin().await?;
    // As all who book: no generation begins or ends meanwhile.
    sqlx::query!("select pg_advisory_xact_lock_shared($1)", lock::DEFINITIONS)
        .execute(&mut *transaction)
        .await?;
    let Some(row) = lock(&mut transaction, id).await? else {
        return Ok(false);
    };
    if row.state != SourceState::Expected {
        return Ok(false);
    }
    let watches = watches(&mut transaction, row.source_id, None).await?;
    let patience = TimeDelta::from_std(settings.retire_after).unwrap_or(TimeDelta::MAX);
    let until = |watch: &Watch| {
        let last = watch.expected_to.checked_add_signed(patience);
        last.map_or(at, |last| last.min(at))
    };
    ledger::lock_services(&mut transaction, watches.iter().map(|watch| watch.service_id)).await?;
    for watch in &watches {
        owe(&mut transaction, settings.slot, watch, until(watch)).await?;
    }
    sqlx::query!(
        "update watch set expected_to_at = greatest(expected_to_at, least($2, expected_to_at + $3::interval))
         where source_id = $1",
        row.source_id,
        at,
        interval(settings.retire_after)
    )
    .execute(&mut *transaction)
    .await?;
    let host = sqlx::query_scalar!(
        "update source set state = 'retired', state_at = $2 where source_id = $1 returning host",
        row.source_id,
        at
    )
    .fetch_one(&mut *transaction)
    .await?;
    let event = Event {
        at,
        kind: EventKind::SourceRetired,
        message: format!("source on `{host}` retired: {because}"),
        subject: host,
        data: json!({ "source": id.as_str() }),
        traceparent: None,
    };
    event::record(&mut transaction, &event).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Books a silence as expected and not covered. Where other sources went on, it is booked minute by
/// minute beside theirs; where nobody did, as one span at its end, so that a window edge inside the
/// gap still takes the row before it.
async fn owe(
    connection: &mut PgConnection,
    slot: Duration,
    watch: &Watch,
    to: DateTime<Utc>,
) -> Result<(), EngineError> {
    if watch.expected_to >= to {
        return Ok(());
    }
    let rows = sqlx::query!(
        r#"select g.objective_id, g.generation, coalesce(g.counted_from_at, g.started_at) as "counted_from!", g.ended_at,
                  exists (
                      select from ledger_latest(g.objective_id, g.generation, $4) l where l.at > $3
                  ) as "others!"
           from objective_generation g
           where g.service_id = $1 and g.role = $2 and (g.ended_at is null or g.ended_at > $5)"#,
        watch.service_id,
        watch.role.as_str(),
        slot_end(watch.expected_to, slot)?,
        to,
        watch.expected_to
    )
    .fetch_all(&mut *connection)
    .await?;
    let deltas = |others: bool, at: DateTime<Utc>, expected_ms: i64| -> Deltas {
        rows.iter()
            .filter(|row| row.others == others)
            .filter(|row| row.counted_from < at && row.ended_at.is_none_or(|end| at < end))
            .map(|row| {
                let delta = Delta {
                    expected_ms,
                    ..Delta::default()
                };
                ((row.objective_id, row.generation), delta)
            })
            .collect()
    };
    let length = |from: DateTime<Utc>, to: DateTime<Utc>| to.timestamp_millis() - from.timestamp_millis();
    ledger::book(
        connection,
        slot_end(to, slot)?,
        &deltas(false, to, length(watch.expected_to, to)),
    )
    .await?;
    if rows.iter().any(|row| row.others) {
        let mut from = watch.expected_to;
        while from < to {
            let step = (from + TimeDelta::minutes(1)).min(to);
            ledger::book(
                connection,
                slot_end(step, slot)?,
                &deltas(true, step, length(from, step)),
            )
            .await?;
            from = step;
        }
    }
    Ok(())
}

/// Of these services, or of all.
pub(crate) async fn watches(
    connection: &mut PgConnection,
    source_id: i64,
    services: Option<&BTreeSet<ServiceName>>,
) -> Result<Vec<Watch>, EngineError> {
    let services: Option<Vec<String>> =
        services.map(|services| services.iter().map(ToString::to_string).collect());
    let rows = sqlx::query!(
        "select service_id, role, covered_to_at, expected_to_at
         from watch
         where source_id = $1
           and ($2::text[] is null or service_id in (select s.service_id from service s where s.name = any($2)))",
        source_id,
        services.as_deref()
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Watch {
                service_id: row.service_id,
                role: parse("watch.role", &row.role)?,
                covered_to: row.covered_to_at,
                expected_to: row.expected_to_at,
            })
        })
        .collect()
}

/// Begins or continues watches: each is covered and expected up to where it says.
pub(crate) async fn move_watches(
    connection: &mut PgConnection,
    source_id: i64,
    moved: &HashMap<(i64, Role), Watch>,
) -> Result<(), EngineError> {
    if moved.is_empty() {
        return Ok(());
    }
    let rows: Vec<&Watch> = moved.values().collect();
    sqlx::query!(
        "insert into watch (source_id, service_id, role, since_at, covered_to_at, expected_to_at)
         select $1, service_id, role, covered_to_at, covered_to_at, expected_to_at
         from unnest($2::bigint[], $3::text[], $4::timestamptz[], $5::timestamptz[])
             as t (service_id, role, covered_to_at, expected_to_at)
         on conflict on constraint watch_pkey do update
         set covered_to_at = excluded.covered_to_at, expected_to_at = excluded.expected_to_at",
        source_id,
        &rows.iter().map(|watch| watch.service_id).collect::<Vec<_>>(),
        &rows.iter().map(|watch| watch.role.as_str()).collect::<Vec<_>>() as &[&str],
        &rows.iter().map(|watch| watch.covered_to).collect::<Vec<_>>(),
        &rows.iter().map(|watch| watch.expected_to).collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}
