//! Counts generations back: what their series measured before they began goes into their ledgers.
//!
//! In: the measurements that are kept, and what other generations of the same service know of who was watching. Out: rows of
//! one generation's ledger, newest first, a stretch of it a transaction, with the edge that moves; of a budget that counts
//! slices, those of the stretch. No row of another generation changes.
//!
//! Whoever books late holds the services' locks, as a stretch does: what is dated after the edge is booked by its batch, and
//! what is dated before it lies in `measurement` until its stretch comes.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::postgres::types::PgInterval;
use sqlx::{Acquire as _, PgConnection};

use super::ledger::{self, Stretch, day_end, day_of};
use super::{lock, slot_end, slot_start, span};
use crate::engine::{Engine, EngineError};
use crate::event::{self, Event, EventKind};
use crate::settings::Settings;

pub(super) mod bound;

use bound::Bound;

/// A generation that is to be counted back.
#[derive(Debug)]
struct Book {
    objective_id: i64,
    generation: i32,
    service_id: i64,
    name: String,
    /// Where its ledger begins. A slice is put in whole.
    counted_from: DateTime<Utc>,
    slice: Option<PgInterval>,
    /// Its slices are judged by those of its parts.
    is_composite: bool,
}

/// Takes the slot or the slice in which a generation begins whole, and says from when on it is to be counted; `None`: nothing
/// was measured before. Nothing is booked meanwhile: the caller changes definitions.
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
        r#"select g.service_id, g.started_at, g.slice, o.name,
                  exists (
                      select from objective_series s where s.objective_id = $1 and s.generation = $2
                  ) as "is_measured!",
                  exists (
                      select from objective_part p where p.objective_id = $1 and p.generation = $2
                  ) as "is_composite!"
           from objective_generation g
           join objective o using (objective_id)
           where g.objective_id = $1 and g.generation = $2"#,
        objective_id,
        generation
    )
    .fetch_one(&mut *connection)
    .await?;
    let step = match &row.slice {
        Some(slice) => span("objective_generation.slice", slice)?,
        None => settings.slot,
    };
    let mut book = Book {
        objective_id,
        generation,
        service_id: row.service_id,
        name: row.name,
        counted_from: slot_start(row.started_at, step)?,
        slice: row.slice,
        is_composite: row.is_composite,
    };
    let Some(bound) = bound::find(connection, settings, &book, now)
        .await?
        .filter(|bound| row.is_measured || bound.at < row.started_at)
    else {
        return Ok(None);
    };
    // Of a slice, what can be known of it.
    let slot = slot_start(row.started_at, settings.slot)?;
    book.counted_from = book.counted_from.max(bound.at.min(slot));
    // All that is measured of this slot and of later ones was before: a source's clock may be ahead of ours.
    let midnight = day_end(day_of(slot_end(row.started_at, settings.slot)?));
    for (from, to, unkept) in [
        (midnight, midnight + TimeDelta::days(1), Unkept::Unknown),
        (slot, midnight, Unkept::Unknown),
        (book.counted_from, slot, Unkept::AsMeasured),
    ] {
        put(connection, &book, (from, to), unkept, None).await?;
    }
    set_counted_from(connection, &book, book.counted_from).await?;
    if bound.at >= book.counted_from {
        return Ok(None);
    }
    sqlx::query!(
        "insert into backfill (objective_id, generation, from_at, begun_at) values ($1, $2, $3, $4)",
        objective_id,
        generation,
        bound.at,
        now
    )
    .execute(connection)
    .await?;
    Ok(Some(bound.at))
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
                  coalesce(g.counted_from_at, g.started_at) as "counted_from!", g.slice,
                  exists (
                      select from objective_part p where p.objective_id = b.objective_id and p.generation = b.generation
                  ) as "is_composite!"
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
    let bound = bound::find(&mut transaction, settings, &book, now).await?;
    let bound = bound.unwrap_or(Bound {
        at: book.counted_from,
        because: bound::Because::NothingMeasured,
    });
    let judged_to = now - TimeDelta::from_std(settings.patience).unwrap_or_default();
    let reached = stretch(&mut transaction, &book, bound.at, judged_to).await?;
    if reached <= bound.at {
        finish(&mut transaction, &book, reached, bound, now).await?;
    }
    transaction.commit().await?;
    Ok(true)
}

/// Puts in what is next, of the time after `until`. Where the ledger begins then.
async fn stretch(
    connection: &mut PgConnection,
    book: &Book,
    until: DateTime<Utc>,
    judged_to: DateTime<Utc>,
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
    // As many stretches as a slice takes; slices lie in a day, as stretches do.
    let place = sqlx::query!(
        r#"select f.at as "from!", date_bin(s.span, f.at, timestamptz '2000-01-01 00:00:00+00') as "packed_from!",
                  least(s.to_at, $4) as "packed_to!", s.span as "span!",
                  (select t.step from ledger_thinned t where t.day = ledger_day_of($1)) as step
           from ledger_stretch($1) s
           cross join lateral (
               select greatest(
                          $3, date_bin(coalesce($2::interval, s.span), s.from_at, timestamptz '2000-01-01 00:00:00+00')
                      ) as at
           ) f"#,
        to,
        book.slice.clone(),
        until,
        packed_to
    )
    .fetch_one(&mut *connection)
    .await?;
    put(
        connection,
        book,
        (place.from, to),
        Unkept::AsMeasured,
        Some(judged_to),
    )
    .await?;
    if place.packed_from < place.packed_to {
        let stretch = Stretch {
            from: place.packed_from,
            to: place.packed_to,
            span: place.span,
        };
        let (objectives, generations) = ([book.objective_id], [book.generation]);
        ledger::pack(connection, &objectives, &generations, stretch, place.step).await?;
    }
    set_counted_from(connection, book, place.from).await?;
    Ok(place.from)
}

/// A part of a time, of which one generation knows who was watching.
#[derive(Debug)]
struct Cut {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    beside: Option<i64>,
    beside_generation: Option<i32>,
}

/// Puts the slots of a time that lies in one day into a ledger that has nothing before its end. Slices that end by
/// `judged_to` are judged, others later.
async fn put(
    connection: &mut PgConnection,
    book: &Book,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    unkept: Unkept,
    judged_to: Option<DateTime<Utc>>,
) -> Result<(), EngineError> {
    let mut cuts: Vec<Cut> = Vec::new();
    let mut end = to;
    while end > from {
        let cut = sqlx::query_file!(
            "queries/backfill_stretch.sql",
            book.objective_id,
            book.generation,
            from,
            end
        )
        .fetch_one(&mut *connection)
        .await?;
        cuts.push(Cut {
            from: cut.from,
            to: end,
            beside: cut.beside,
            beside_generation: cut.beside_generation,
        });
        end = cut.from;
    }
    if book.slice.is_some() {
        if !book.is_composite {
            put_slices(connection, book, &cuts, unkept).await?;
        }
        if let Some(judged_to) = judged_to {
            // A part may judge a slice while this waits for the locks; a whole takes what they have judged.
            let judged_to = if book.is_composite { to } else { to.min(judged_to) };
            judge(connection, book, (from, judged_to)).await?;
        }
    }
    for cut in &cuts {
        let uneven_at = sqlx::query_file_scalar!(
            "queries/backfill_ledger.sql",
            book.objective_id,
            book.generation,
            cut.from,
            cut.to,
            day_end(day_of(cut.to)),
            cut.beside,
            cut.beside_generation,
            unkept == Unkept::AsMeasured
        )
        .fetch_one(&mut *connection)
        .await?;
        if let Some(at) = uneven_at {
            ledger::note_uneven(connection, at, &[book.objective_id], &[book.generation]).await?;
        }
    }
    Ok(())
}

async fn put_slices(
    connection: &mut PgConnection,
    book: &Book,
    cuts: &[Cut],
    unkept: Unkept,
) -> Result<(), EngineError> {
    for cut in cuts {
        sqlx::query_file!(
            "queries/backfill_slices.sql",
            book.objective_id,
            book.generation,
            cut.from,
            cut.to,
            cut.beside,
            cut.beside_generation,
            unkept == Unkept::AsMeasured
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Judges slices of which all is put in.
async fn judge(
    connection: &mut PgConnection,
    book: &Book,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> Result<(), EngineError> {
    let (objective_id, generation) = (book.objective_id, book.generation);
    if book.is_composite {
        sqlx::query_file!("queries/backfill_wholes.sql", objective_id, generation, from, to)
            .execute(connection)
            .await?;
    } else {
        sqlx::query_file!("queries/backfill_judge.sql", objective_id, generation, from, to)
            .execute(connection)
            .await?;
    }
    Ok(())
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
    bound: Bound,
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
    let event = Event {
        at: now,
        kind: EventKind::BackfillFinished,
        subject: book.name.clone(),
        message: format!(
            "objective `{}` is counted back to {}: {}",
            book.name,
            moment(reached),
            bound.because.message()
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
