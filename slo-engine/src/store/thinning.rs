//! Packs, thins and forgets the ledger.
//!
//! In: `now`. Out: what was done. A bite of generations at a time, each in a transaction that holds its services' locks,
//! so that intake waits for one bite at most. Who books later is told first how far all is packed, and how coarsely:
//! a bite that could not be taken is taken the next time.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sqlx::{Acquire as _, PgConnection, Postgres, Transaction};

use super::interval;
use super::ledger::{self, Stretch, day_end, day_start};
use crate::settings::Keep;

/// Rows stay as they are for so long: batches that are late by less cost no more than others.
const OPEN: TimeDelta = TimeDelta::hours(1);
/// Generations in a bite, of some minutes or of a day each; a service's are never torn apart.
const BITE: usize = 100;
const BITE_OF_DAYS: usize = 10;

/// Packs what is over, except what an expected source has yet to tell of.
pub(crate) async fn pack_open(
    connection: &mut PgConnection,
    slot: Duration,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let slot = interval(slot);
    let to = sqlx::query_scalar!(
        r#"with said as (
               update engine_state e
               set packed_to = u.up_to
               from (
                   select date_bin(
                              ledger_span($2),
                              least($1::timestamptz, (select min(s.last_at) from source s where s.state = 'expected')),
                              timestamptz '2000-01-01 00:00:00+00'
                          ) as up_to
               ) u
               where e.packed_to < u.up_to
               returning e.packed_to
           )
           select coalesce((select packed_to from said), (select packed_to from engine_state)) as "to!""#,
        now - OPEN,
        slot
    )
    .fetch_one(&mut *connection)
    .await?;
    let open = sqlx::query_as!(
        Book,
        r#"select g.service_id, g.objective_id, g.generation
           from objective_generation g
           where exists (
               select from ledger l
               where l.objective_id = g.objective_id and l.generation = g.generation and l.at <= $1
           )
           order by g.service_id"#,
        to
    )
    .fetch_all(&mut *connection)
    .await?;
    let span = sqlx::query_scalar!(r#"select ledger_span($1) as "span!""#, slot)
        .fetch_one(&mut *connection)
        .await?;
    for bite in bites(&open, BITE) {
        let mut transaction = lock(connection, bite).await?;
        // Only now: until the locks were free, a row could land before all that was seen.
        let (objectives, generations) = ids(bite);
        let from = sqlx::query_scalar!(
            "select min(date_bin($4, l.at - interval '1 microsecond', timestamptz '2000-01-01 00:00:00+00'))
             from unnest($1::bigint[], $2::int[]) b (objective_id, generation)
             cross join lateral (
                 select l.at from ledger l
                 where l.objective_id = b.objective_id and l.generation = b.generation and l.at <= $3
                 order by l.at
                 limit 1
             ) l",
            &objectives,
            &generations,
            to,
            &span
        )
        .fetch_one(&mut *transaction)
        .await?;
        if let Some(from) = from {
            let stretch = Stretch { from, to, span };
            ledger::pack(&mut transaction, &objectives, &generations, stretch, None).await?;
        }
        transaction.commit().await?;
    }
    Ok(())
}

/// The days that are finer than their age allows, oldest first, and the step that it allows.
pub(crate) async fn due(
    connection: &mut PgConnection,
    keep: &Keep,
    now: DateTime<Utc>,
) -> Result<Vec<(NaiveDate, TimeDelta)>, sqlx::Error> {
    let days = sqlx::query!(
        r#"select d.day::date as "day!", coalesce(extract(epoch from t.step)::bigint, 0) as "seconds!"
           from (select min(l.day) as first from ledger_day l) o
           cross join lateral generate_series(
               -- Counting back adds older days: the oldest that is kept may be the newest here.
               greatest(o.first, ($1::timestamptz at time zone 'UTC')::date)::timestamp,
               (select (e.packed_to at time zone 'UTC')::date - 1 from engine_state e)::timestamp,
               interval '1 day'
           ) d (day)
           left join ledger_thinned t on t.day = d.day::date and t.thinned_at is not null
           where o.first is not null
           order by 1"#,
        now - TimeDelta::from_std(keep.ledger).unwrap_or_default()
    )
    .fetch_all(connection)
    .await?;
    let step = |day| {
        let age = now - day_end(day);
        let older_than = |span| TimeDelta::from_std(span).is_ok_and(|span| age >= span);
        if older_than(keep.minutes) {
            Some(TimeDelta::minutes(5))
        } else if older_than(keep.slots) {
            Some(TimeDelta::minutes(1))
        } else {
            None
        }
    };
    let due = days.into_iter().filter_map(|row| {
        let step = step(row.day).filter(|step| row.seconds < step.num_seconds())?;
        Some((row.day, step))
    });
    Ok(due.collect())
}

/// Keeps of a day the last row of each step. How many rows are kept.
pub(crate) async fn thin(
    connection: &mut PgConnection,
    day: NaiveDate,
    step: TimeDelta,
) -> Result<i64, sqlx::Error> {
    let step = interval(step.to_std().unwrap_or_default());
    let span = sqlx::query_scalar!(
        r#"with said as (
               insert into ledger_thinned (day, step, thinned_at) values ($1, $2, null)
               on conflict (day) do update set step = excluded.step, thinned_at = null
           )
           select ledger_span($2) as "span!""#,
        day,
        step
    )
    .fetch_one(&mut *connection)
    .await?;
    let (from, to) = (day_start(day), day_end(day));
    let books = sqlx::query_as!(
        Book,
        r#"select service_id, objective_id, generation
           from objective_generation
           where coalesce(counted_from_at, started_at) <= $2 and (ended_at is null or ended_at >= $1)
           order by service_id"#,
        from,
        to
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut kept = 0;
    for bite in bites(&books, BITE_OF_DAYS) {
        let mut transaction = lock(connection, bite).await?;
        let (objectives, generations) = ids(bite);
        let stretch = Stretch { from, to, span };
        kept += ledger::pack(&mut transaction, &objectives, &generations, stretch, Some(step)).await?;
        transaction.commit().await?;
    }
    sqlx::query!("update ledger_thinned set thinned_at = now() where day = $1", day)
        .execute(connection)
        .await?;
    Ok(kept)
}

/// Drops the days that are kept no longer.
pub(crate) async fn forget(
    connection: &mut PgConnection,
    keep: Duration,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with old as (
             delete from ledger_thinned where (day + 1)::timestamp at time zone 'UTC' <= $1::timestamptz - $2::interval returning day
         ),
         bases as (
             -- The oldest that is left says what a window leaves out that begins before it.
             delete from ledger_day d using objective_generation g
             where d.objective_id = g.objective_id and d.generation = g.generation and d.day <= (select max(day) from old)
         )
         delete from ledger_chunk c using objective_generation g
         where c.objective_id = g.objective_id and c.generation = g.generation
           and c.at <= (select (max(day) + 1)::timestamp at time zone 'UTC' from old)",
        now,
        interval(keep)
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A generation that is to be packed.
#[derive(Debug)]
struct Book {
    service_id: i64,
    objective_id: i64,
    generation: i32,
}

/// What is ordered by services, cut between them.
fn bites(books: &[Book], most: usize) -> impl Iterator<Item = &[Book]> {
    let mut rest = books;
    std::iter::from_fn(move || {
        let last = rest.get(most.min(rest.len()).checked_sub(1)?)?.service_id;
        let end = rest.partition_point(|book| book.service_id <= last);
        let (bite, behind) = rest.split_at(end);
        rest = behind;
        Some(bite)
    })
}

/// A transaction that is the only one to book to these generations.
async fn lock<'a>(
    connection: &'a mut PgConnection,
    bite: &[Book],
) -> Result<Transaction<'a, Postgres>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query!("set local lock_timeout = '2s'")
        .execute(&mut *transaction)
        .await?;
    ledger::lock_services(&mut transaction, bite.iter().map(|book| book.service_id)).await?;
    Ok(transaction)
}

fn ids(bite: &[Book]) -> (Vec<i64>, Vec<i32>) {
    bite.iter()
        .map(|book| (book.objective_id, book.generation))
        .unzip()
}
