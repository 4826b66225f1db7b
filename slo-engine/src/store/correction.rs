//! Keeps corrections, and the spans of those that recur so far ahead as any budget looks.
//!
//! In: what somebody asks for. Out: rows that are only ever added to and dated as undone, and an event for each.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use super::{calendar, excursion, ledger, micros};
use crate::correction::{
    self, CORRECTIONS_MAX, CorrectionError, CorrectionId, NewCorrection, Recurrence, RecurrenceDate,
};
use crate::engine::{Engine, EngineError};
use crate::event::{self, Event, EventKind};
use crate::text;

pub(crate) mod defined;

/// Spans are written again when less than this is left of them: longer than a calendar's period.
const AHEAD_LEAST_DAYS: i64 = 370;

pub(crate) async fn create(
    engine: &Engine,
    new: &NewCorrection,
    now: DateTime<Utc>,
) -> Result<CorrectionId, CorrectionError> {
    new.check(now)?;
    let mut transaction = engine.pool().begin().await.map_err(EngineError::from)?;
    // One at a time, so that the limit holds.
    let objective = sqlx::query_scalar!(
        "select objective_id from objective where name = $1 and withdrawn_at is null for no key update",
        new.objective.as_str()
    )
    .fetch_optional(&mut *transaction)
    .await?
    .ok_or_else(|| EngineError::UnknownObjective(new.objective.clone()))?;
    let standing = sqlx::query_scalar!(
        r#"select count(*) as "count!" from correction
           where objective_id = $1 and undone_at is null and definition is null"#,
        objective
    )
    .fetch_one(&mut *transaction)
    .await?;
    if standing >= CORRECTIONS_MAX {
        return Err(CorrectionError::Full(new.objective.clone()));
    }
    let id = insert(&mut transaction, new, None, now).await?;
    transaction.commit().await?;
    Ok(id)
}

/// Writes a correction with its spans; `definition` states it, where a file does.
async fn insert(
    connection: &mut PgConnection,
    new: &NewCorrection,
    definition: Option<&str>,
    now: DateTime<Utc>,
) -> Result<CorrectionId, CorrectionError> {
    let (starts_at, ends_at) = (micros(new.starts_at), micros(new.ends_at));
    if let Some(recurrence) = &new.recurrence {
        calendar::check_zone(connection, recurrence.zone()).await?;
    }
    let id = sqlx::query_scalar!(
        "insert into correction
             (objective_id, kind, starts_at, ends_at, rule, zone, author, comment, created_at, expanded_to, definition,
              exdate, rdate)
         select objective_id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13 from objective where name = $1
         returning correction_id",
        new.objective.as_str(),
        new.kind.as_str(),
        starts_at,
        ends_at,
        new.recurrence.as_ref().map(Recurrence::rule),
        new.recurrence.as_ref().map(Recurrence::zone),
        new.author.trim(),
        new.comment.trim(),
        now,
        new.recurrence.as_ref().map(|_| starts_at),
        definition,
        &spelled(new.recurrence.as_ref().map(Recurrence::exdate)),
        &spelled(new.recurrence.as_ref().map(Recurrence::rdate))
    )
    .fetch_one(&mut *connection)
    .await?;
    if let Some(recurrence) = &new.recurrence {
        // A file may have stated it for years; what is older than the ledger is left out of nothing.
        let after = if definition.is_some() {
            starts_at.max(correction::looks_back(now))
        } else {
            starts_at
        };
        let written = expand(connection, id, recurrence, (starts_at, ends_at), after, now).await?;
        if written == 0 && definition.is_none() {
            return Err(CorrectionError::Rule {
                rule: recurrence.rule().to_owned(),
                problem: "it never begins".to_owned(),
            });
        }
    } else {
        sqlx::query!(
            "insert into correction_span (correction_id, from_at, to_at) values ($1, $2, $3)",
            id,
            starts_at,
            ends_at
        )
        .execute(&mut *connection)
        .await?;
    }
    // What an intake reads of the statistic, it writes.
    let service_id = sqlx::query_scalar!(
        "select g.service_id from objective o join objective_generation g using (objective_id, generation) where o.name = $1",
        new.objective.as_str()
    )
    .fetch_optional(&mut *connection)
    .await?;
    ledger::lock_services(connection, service_id).await?;
    excursion::leave_out(connection, id).await?;
    let recurs = new.recurrence.as_ref().map_or_else(String::new, |recurrence| {
        format!(", recurring by {}", recurrence.rule())
    });
    let event = Event {
        at: now,
        kind: EventKind::CorrectionMade,
        subject: new.objective.to_string(),
        message: format!(
            "{} left out from {} to {}{recurs} by {}",
            new.kind.as_str().replace('_', " "),
            spell(starts_at),
            spell(ends_at),
            new.author.trim()
        ),
        data: serde_json::json!({"correction": id, "comment": new.comment.trim()}),
        traceparent: None,
    };
    event::record(connection, &event).await?;
    Ok(CorrectionId(id))
}

fn spelled(dates: Option<&[RecurrenceDate]>) -> Vec<String> {
    dates
        .unwrap_or_default()
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn spell(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// Dates the correction as undone: every number is as if it had never been.
pub(crate) async fn undo(
    engine: &Engine,
    id: CorrectionId,
    by: &str,
    now: DateTime<Utc>,
) -> Result<(), CorrectionError> {
    text::check("author", by, 1, 100)?;
    let mut transaction = engine.pool().begin().await.map_err(EngineError::from)?;
    mark_undone(&mut transaction, id, by, now).await?;
    transaction.commit().await?;
    Ok(())
}

async fn mark_undone(
    connection: &mut PgConnection,
    id: CorrectionId,
    by: &str,
    now: DateTime<Utc>,
) -> Result<(), CorrectionError> {
    let undone = sqlx::query!(
        r#"update correction c
           set undone_at = $2, undone_by = $3
           from objective o
           where c.correction_id = $1 and c.undone_at is null and o.objective_id = c.objective_id
           returning o.name as objective, c.kind"#,
        id.0,
        now,
        by.trim()
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(undone) = undone else {
        let exists = sqlx::query_scalar!(
            r#"select exists (select from correction where correction_id = $1) as "exists!""#,
            id.0
        )
        .fetch_one(connection)
        .await?;
        return Err(if exists {
            CorrectionError::Undone(id)
        } else {
            CorrectionError::Unknown(id)
        });
    };
    let event = Event {
        at: now,
        kind: EventKind::CorrectionUndone,
        subject: undone.objective,
        message: format!(
            "{} counts again: undone by {}",
            undone.kind.replace('_', " "),
            by.trim()
        ),
        data: serde_json::json!({"correction": id.0}),
        traceparent: None,
    };
    event::record(connection, &event).await?;
    Ok(())
}

/// Writes the spans from `after` up to the horizon; how many.
async fn expand(
    connection: &mut PgConnection,
    id: i64,
    recurrence: &Recurrence,
    (starts_at, ends_at): (DateTime<Utc>, DateTime<Utc>),
    after: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<u64, CorrectionError> {
    let horizon = correction::horizon(now);
    let starts = recurrence.starts(starts_at, after, horizon)?;
    // Two times on the clocks may be one moment, where daylight saving skips an hour.
    let written = sqlx::query!(
        "insert into correction_span (correction_id, from_at, to_at)
         select $1, s.at at time zone $3, s.at at time zone $3 + ($5::timestamptz - $4::timestamptz)
         from unnest($2::timestamp[]) s (at)
         on conflict on constraint correction_span_pkey do nothing",
        id,
        &starts,
        recurrence.zone(),
        starts_at,
        ends_at
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update correction set expanded_to = $2 where correction_id = $1",
        id,
        horizon
    )
    .execute(connection)
    .await?;
    Ok(written.rows_affected())
}

/// Recurring corrections recur further, as time goes on.
pub(crate) async fn extend(connection: &mut PgConnection, now: DateTime<Utc>) -> Result<(), EngineError> {
    let due = sqlx::query!(
        r#"select correction_id, starts_at, ends_at, rule as "rule!", zone as "zone!", exdate, rdate,
                  expanded_to as "expanded_to!"
           from correction
           where undone_at is null and expanded_to < $1"#,
        now + TimeDelta::days(AHEAD_LEAST_DAYS)
    )
    .fetch_all(&mut *connection)
    .await?;
    for row in due {
        let unreadable = |error: CorrectionError| match error {
            CorrectionError::Engine(error) => error,
            _ => EngineError::Unreadable {
                column: "correction.rule",
                value: row.rule.clone(),
            },
        };
        let dates = |texts: &[String]| texts.iter().map(|text| text.parse()).collect::<Result<_, _>>();
        let recurrence = Recurrence::new(&row.rule, &row.zone)
            .map_err(unreadable)?
            .with_dates(
                dates(&row.exdate).map_err(unreadable)?,
                dates(&row.rdate).map_err(unreadable)?,
            );
        let (span, after) = ((row.starts_at, row.ends_at), row.expanded_to);
        expand(connection, row.correction_id, &recurrence, span, after, now)
            .await
            .map_err(unreadable)?;
    }
    Ok(())
}
