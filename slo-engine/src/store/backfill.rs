//! Counts generations back: what their series measured before they began goes into their ledgers.
//!
//! In: the measurements that are kept, and what other generations of the same service know of who was watching. Out: rows of
//! one generation's ledger, newest first, a stretch of it a transaction, with the edge that moves. No row of another
//! generation changes.
//!
//! Whoever books late holds the services' locks, as a stretch does: what is dated after the edge is booked by its batch, and
//! what is dated before it lies in `measurement` until its stretch comes.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::{Acquire as _, PgConnection};

use super::ledger::{self, Stretch, day_end, day_of, day_start};
use super::{lock, parse, slot_end};
use crate::engine::{Engine, EngineError, Keep, Settings};
use crate::event::{self, Event, EventKind};
use crate::objective::{Sli, SliKind};

/// A generation that is to be counted back.
#[derive(Debug)]
struct Book {
    objective_id: i64,
    generation: i32,
    service_id: i64,
    name: String,
    /// Where its ledger begins.
    counted_from: DateTime<Utc>,
}

/// Takes the slot in which a generation begins whole, and says from when on it is to be counted; `None`: nothing was measured
/// before. Nothing is booked meanwhile: the caller changes definitions.
pub(crate) async fn begin(
    connection: &mut PgConnection,
    settings: &Settings,
    (objective_id, generation): (i64, i32),
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, EngineError> {
    sqlx::query!(
        "update backfill set finished_at = $2 where objective_id = $1 and finished_at is null",
        objective_id,
        now
    )
    .execute(&mut *connection)
    .await?;
    let row = sqlx::query!(
        r#"select g.service_id, g.started_at, o.name,
                  exists (
                      select from objective_series s where s.objective_id = $1 and s.generation = $2
                  ) as "is_measured!"
           from objective_generation g
           join objective o using (objective_id)
           where g.objective_id = $1 and g.generation = $2 and g.slice is null"#,
        objective_id,
        generation
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let Some(oldest) = oldest(connection, objective_id, generation)
        .await?
        .filter(|oldest| row.is_measured || *oldest < row.started_at)
    else {
        return Ok(None);
    };
    let slot = TimeDelta::from_std(settings.slot).unwrap_or_default();
    let end = slot_end(row.started_at, settings.slot)?;
    let book = Book {
        objective_id,
        generation,
        service_id: row.service_id,
        name: row.name,
        counted_from: end - slot,
    };
    // All that is measured of this slot and of later ones was before: a source's clock may be ahead of ours.
    let midnight = day_end(day_of(end));
    for (from, mut to) in [
        (midnight, day_end(day_of(midnight + slot))),
        (book.counted_from, midnight),
    ] {
        while to > from {
            to = put(connection, &book, from, to, Unkept::Unknown).await?;
        }
    }
    set_counted_from(connection, &book, book.counted_from).await?;
    let from = (slot_end(oldest, settings.slot)? - slot).max(kept_from(&settings.keep, now));
    if from >= book.counted_from {
        return Ok(None);
    }
    sqlx::query!(
        "insert into backfill (objective_id, generation, from_at, begun_at) values ($1, $2, $3, $4)",
        objective_id,
        generation,
        from,
        now
    )
    .execute(connection)
    .await?;
    Ok(Some(from))
}

/// The oldest that can be known of a generation: its series, or who watched them. `None` when nobody did.
async fn oldest(
    connection: &mut PgConnection,
    objective_id: i64,
    generation: i32,
) -> Result<Option<DateTime<Utc>>, EngineError> {
    // A composite counts from where all its parts do.
    let row = sqlx::query!(
        r#"select g.sli, g.service_id, g.role, g.started_at, greatest(
             least(
                 (select min(s.first_seen_at)
                  from objective_series c
                  join series s using (series_id)
                  where c.objective_id = g.objective_id and c.generation = g.generation),
                 (select min(coalesce(x.counted_from_at, x.started_at))
                  from objective_generation x
                  where x.service_id = g.service_id and x.role = g.role
                    and (x.objective_id, x.generation) <> (g.objective_id, g.generation))
             ),
             (select max(coalesce(x.counted_from_at, x.started_at))
              from objective_part p
              join objective_generation x on x.objective_id = p.part_id and x.generation = p.part_generation
              where p.objective_id = g.objective_id and p.generation = g.generation)
         ) as oldest
         from objective_generation g
         where g.objective_id = $1 and g.generation = $2"#,
        objective_id,
        generation
    )
    .fetch_one(&mut *connection)
    .await?;
    let sli: Sli = parse("objective_generation.sli", &row.sli)?;
    let told = told_apart_from(connection, &sli, (row.service_id, &row.role), row.started_at).await?;
    Ok(row
        .oldest
        .map(|oldest| told.map_or(oldest, |told| oldest.max(told))))
}

/// Since when without a break the probes count what the SLI asks for apart from all else: they know the routes and thresholds
/// of the definitions in force. What they did not know was counted as something else, and is no history of it. `None`:
/// always, as statuses are.
async fn told_apart_from(
    connection: &mut PgConnection,
    sli: &Sli,
    (service_id, role): (i64, &str),
    started_at: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, EngineError> {
    let threshold = |sli: &Sli| match sli.kind {
        SliKind::Latency { clock, threshold } => Some((clock, threshold)),
        SliKind::Ratio { .. } | SliKind::Composite(_) => None,
    };
    if sli.route.is_none() && threshold(sli).is_none() {
        return Ok(None);
    }
    let rows = sqlx::query!(
        "select sli, started_at, ended_at from objective_generation where service_id = $1 and role = $2
         order by started_at desc",
        service_id,
        role
    )
    .fetch_all(connection)
    .await?;
    let mut named = Vec::new();
    for row in rows {
        let other: Sli = parse("objective_generation.sli", &row.sli)?;
        named.push((other, row.started_at, row.ended_at));
    }
    let since = |names: &dyn Fn(&Sli) -> bool| {
        let mut since = started_at;
        // Latest first, so that each that reaches what is known so far extends it.
        for (_, from, to) in named.iter().filter(|(other, ..)| names(other)) {
            if *from < since && to.is_none_or(|to| to >= since) {
                since = *from;
            }
        }
        since
    };
    let route = sli
        .route
        .as_ref()
        .map(|_| since(&|other| other.route == sli.route));
    let threshold = threshold(sli).map(|asked| since(&|other| threshold(other) == Some(asked)));
    Ok(route.max(threshold))
}

/// The first day of which nothing is dropped yet.
fn kept_from(keep: &Keep, now: DateTime<Utc>) -> DateTime<Utc> {
    TimeDelta::from_std(keep.measurements.min(keep.ledger))
        .ok()
        .and_then(|span| now.checked_sub_signed(span))
        .map_or(DateTime::UNIX_EPOCH, |at| day_start(at.date_naive()))
}

/// What is said of who was watching where no ledger of the service kept it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unkept {
    /// A slot that counted anything was watched; of others nothing is known.
    AsMeasured,
    /// Nothing: the batch that comes next says it.
    Unknown,
}

/// Puts in one stretch of the ledger that lacks the newest. Whether there was one.
pub(crate) async fn step(engine: &Engine, now: DateTime<Utc>) -> Result<bool, EngineError> {
    let settings = engine.settings();
    let mut connection = engine.pool().acquire().await?;
    let mut transaction = connection.begin().await?;
    sqlx::query!("select pg_advisory_xact_lock_shared($1)", lock::DEFINITIONS)
        .execute(&mut *transaction)
        .await?;
    // Composites wait for their parts.
    let book = sqlx::query_as!(
        Book,
        r#"select b.objective_id, b.generation, g.service_id, o.name,
                  coalesce(g.counted_from_at, g.started_at) as "counted_from!"
           from backfill b
           join objective_generation g using (objective_id, generation)
           join objective o using (objective_id)
           where b.finished_at is null
             and not exists (
                 select
                 from objective_part p
                 join backfill q on q.objective_id = p.part_id and q.generation = p.part_generation
                 where p.objective_id = b.objective_id and p.generation = b.generation and q.finished_at is null
             )
           order by coalesce(g.counted_from_at, g.started_at) desc, b.objective_id
           limit 1
           for update of b skip locked"#
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(book) = book else { return Ok(false) };
    ledger::lock_services(&mut transaction, [book.service_id]).await?;
    let oldest = oldest(&mut transaction, book.objective_id, book.generation).await?;
    let slot = TimeDelta::from_std(settings.slot).unwrap_or_default();
    let kept = kept_from(&settings.keep, now);
    let from = match oldest {
        Some(oldest) => (slot_end(oldest, settings.slot)? - slot).max(kept),
        None => book.counted_from,
    };
    let reached = stretch(&mut transaction, &book, from).await?;
    if reached <= from {
        finish(&mut transaction, &book, reached, from == kept, now).await?;
    }
    transaction.commit().await?;
    Ok(true)
}

/// Puts in what is next, of the time after `until`. Where the ledger begins then.
async fn stretch(
    connection: &mut PgConnection,
    book: &Book,
    until: DateTime<Utc>,
) -> Result<DateTime<Utc>, EngineError> {
    let to = book.counted_from;
    if to <= until {
        return Ok(to);
    }
    // Whoever packs says so here first: it waits until what is put in can be seen.
    let packed_to = sqlx::query_scalar!(
        r#"select greatest(packed_to, timestamptz 'epoch') as "packed_to!" from engine_state for share"#
    )
    .fetch_one(&mut *connection)
    .await?;
    let day = day_of(to);
    let place = sqlx::query!(
        r#"select s.from_at as "from!", s.to_at as "to!", s.span as "span!",
                  (select t.step from ledger_thinned t where t.day = $2) as step
           from ledger_stretch($1) s"#,
        to,
        day
    )
    .fetch_one(&mut *connection)
    .await?;
    let mut from = place.from.max(until);
    if packed_to < to {
        from = from.max(packed_to);
    }
    let from = put(connection, book, from, to, Unkept::AsMeasured).await?;
    if to <= packed_to {
        let stretch = Stretch {
            from: place.from,
            to: place.to,
            span: place.span,
        };
        let (objectives, generations) = ([book.objective_id], [book.generation]);
        ledger::pack(connection, &objectives, &generations, stretch, place.step).await?;
    }
    set_counted_from(connection, book, from).await?;
    Ok(from)
}

/// Puts the slots of a time that lies in one day into a ledger that has nothing before its end. From when on it did: the
/// time is cut where another generation's knowledge of who was watching begins or ends.
async fn put(
    connection: &mut PgConnection,
    book: &Book,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    unkept: Unkept,
) -> Result<DateTime<Utc>, EngineError> {
    let stretch = sqlx::query_file!(
        "queries/backfill_stretch.sql",
        book.objective_id,
        book.generation,
        from,
        to
    )
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query_file!(
        "queries/backfill_ledger.sql",
        book.objective_id,
        book.generation,
        stretch.from,
        to,
        day_end(day_of(to)),
        stretch.beside,
        stretch.beside_generation,
        unkept == Unkept::AsMeasured
    )
    .execute(connection)
    .await?;
    Ok(stretch.from)
}

async fn set_counted_from(
    connection: &mut PgConnection,
    book: &Book,
    from: DateTime<Utc>,
) -> Result<(), EngineError> {
    sqlx::query!(
        "update objective_generation set counted_from_at = $3 where objective_id = $1 and generation = $2",
        book.objective_id,
        book.generation,
        from
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn finish(
    connection: &mut PgConnection,
    book: &Book,
    reached: DateTime<Utc>,
    is_dropped_before: bool,
    now: DateTime<Utc>,
) -> Result<(), EngineError> {
    sqlx::query!(
        "update backfill set finished_at = $3, from_at = $4 where objective_id = $1 and generation = $2",
        book.objective_id,
        book.generation,
        now,
        reached
    )
    .execute(&mut *connection)
    .await?;
    let because = if is_dropped_before {
        "older measurements are kept no longer"
    } else {
        "nothing older of it was measured"
    };
    let event = Event {
        at: now,
        kind: EventKind::BackfillFinished,
        subject: book.name.clone(),
        message: format!(
            "objective `{}` is counted back to {}: {because}",
            book.name,
            moment(reached)
        ),
        data: json!({ "generation": book.generation, "from": reached }),
        traceparent: None,
    };
    event::record(connection, &event).await?;
    Ok(())
}

/// As people read it in an event.
pub(crate) fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}
