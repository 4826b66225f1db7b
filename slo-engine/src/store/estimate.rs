//! Estimates what a threshold that is new would have counted before, an hour at a time, the newest first.
//!
//! In: histograms and exact counters of the time before a generation's ledger begins, once that is counted back. Out: hours of
//! `estimate_hour`, each an interval. Nothing of it enters the ledger: no burn rate and no alert knows of it.
//!
//! Only thresholds on the turnaround: the first byte has no histogram, and the last byte's lacks answers that were cut off.
//! What is dated of such an hour and comes in later is in no estimate.

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use sqlx::{Acquire as _, PgConnection};

use super::backfill::bound::{kept_from, told_apart_from};
use super::{count, interval, lock, parse, slot_start};
use crate::engine::{Engine, EngineError};
use crate::grpc;
use crate::measurement::{Clock, Route, Signal};
use crate::objective::{Sli, SliKind};
use crate::settings::Settings;

mod bounds;

use bounds::{Bounds, Counted, split};

/// What is estimated next.
#[derive(Debug)]
struct Next {
    objective_id: i64,
    generation: i32,
    service_id: i64,
    role: String,
    sli: String,
    from_at: DateTime<Utc>,
    reached_at: DateTime<Utc>,
}

/// Estimates the newest hour that lacks. Whether there was one.
pub(crate) async fn step(engine: &Engine, now: DateTime<Utc>) -> Result<bool, EngineError> {
    let mut connection = engine.pool().acquire().await?;
    let mut transaction = connection.begin().await?;
    sqlx::query!("select pg_advisory_xact_lock_shared($1)", lock::DEFINITIONS)
        .execute(&mut *transaction)
        .await?;
    begin(&mut transaction, engine.settings(), now).await?;
    let next = sqlx::query_as!(
        Next,
        "select e.objective_id, e.generation, g.service_id, g.role, g.sli, e.from_at, e.reached_at
         from estimate e
         join objective o using (objective_id, generation)
         join objective_generation g using (objective_id, generation)
         where e.finished_at is null and o.withdrawn_at is null
         order by e.reached_at desc, e.objective_id
         limit 1
         for update of e skip locked"
    )
    .fetch_optional(&mut *transaction)
    .await?;
    if let Some(next) = &next {
        hour(&mut transaction, next, now).await?;
    }
    transaction.commit().await?;
    Ok(next.is_some())
}

/// Notes what is to be estimated of generations that are counted back, once nobody is waited for any more who may tell of the
/// time before: of the period, as far as it can be known.
async fn begin(
    connection: &mut PgConnection,
    settings: &Settings,
    now: DateTime<Utc>,
) -> Result<(), EngineError> {
    let rows = sqlx::query!(
        r#"select o.objective_id, o.generation, o.name, o.defined_at, g.service_id, g.role, g.sli, g.started_at,
                  coalesce(g.counted_from_at, g.started_at) as "counted_from!",
                  (select min(h.first_seen_at) from histogram h
                   where h.service_id = g.service_id and h.role = g.role and h.clock = $2) as oldest
           from objective o
           join objective_generation g using (objective_id, generation)
           where o.withdrawn_at is null and g.slice is null and g.started_at <= $1::timestamptz - $3::interval
             and g.sli like '% latency:' || $2::text || ':%'
             and not exists (select from estimate e where e.objective_id = o.objective_id and e.generation = o.generation)
             and not exists (
                 select from backfill b
                 where b.objective_id = o.objective_id and b.generation = o.generation and b.finished_at is null
             )
           limit 100"#,
        now,
        Clock::Turnaround.as_str(),
        interval(settings.patience)
    )
    .fetch_all(&mut *connection)
    .await?;
    for row in rows {
        let sli: Sli = parse("objective_generation.sli", &row.sli)?;
        // An edge is the start of the slot after it, which is the ledger's.
        let to = slot_start(row.counted_from + TimeDelta::microseconds(1), settings.slot)?;
        // Apart, as the question above is asked every second and planning this takes long.
        let period_from = sqlx::query_scalar!(
            r#"select period_from_at as "period_from!" from error_budget($1, greatest($2::timestamptz, $3))"#,
            row.name,
            now,
            row.defined_at
        )
        .fetch_one(&mut *connection)
        .await?;
        let mut from = row.oldest.map_or(to, |oldest| oldest.max(period_from));
        from = slot_start(from, settings.slot)?.max(kept_from(&settings.keep, now));
        // Histograms are told apart by routes, and need no threshold.
        let routed = Sli {
            kind: Sli::availability().kind,
            ..sli
        };
        let told = told_apart_from(connection, &routed, (row.service_id, &row.role), row.started_at).await?;
        if let Some(at) = told {
            from = from.max(slot_start(at, settings.slot)?);
        }
        // What another engine began meanwhile is as good.
        sqlx::query!(
            "insert into estimate (objective_id, generation, from_at, reached_at, finished_at)
             values ($1, $2, $3::timestamptz, $4::timestamptz, case when $3 >= $4 then $5::timestamptz end)
             on conflict (objective_id, generation) do nothing",
            row.objective_id,
            row.generation,
            from.min(to),
            to,
            now
        )
        .execute(&mut *connection)
        .await?;
        // Nobody asks for those of other generations any more.
        sqlx::query!(
            "delete from estimate_hour where objective_id = $1 and generation < $2",
            row.objective_id,
            row.generation
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Estimates the hour, or the part of one, that ends where the estimate begins so far.
async fn hour(connection: &mut PgConnection, next: &Next, now: DateTime<Utc>) -> Result<(), EngineError> {
    let to = next.reached_at;
    let before = to - TimeDelta::microseconds(1);
    let from = before
        .duration_trunc(TimeDelta::hours(1))
        .unwrap_or(before)
        .max(next.from_at);
    if let Some(bounds) = of_time(connection, next, (from, to)).await? {
        let [good_min, good_max, bad_min, bad_max] =
            [bounds.good_min, bounds.good_max, bounds.bad_min, bounds.bad_max]
                .map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        sqlx::query!(
            "insert into estimate_hour
                 (objective_id, generation, from_at, to_at, good_min, good_max, bad_min, bad_max)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
            next.objective_id,
            next.generation,
            from,
            to,
            good_min,
            good_max,
            bad_min,
            bad_max
        )
        .execute(&mut *connection)
        .await?;
    }
    sqlx::query!(
        "update estimate
         set reached_at = $3, finished_at = case when $3 <= from_at then $4::timestamptz end
         where objective_id = $1 and generation = $2",
        next.objective_id,
        next.generation,
        from,
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// `None`: nothing was measured, or answers without their times.
async fn of_time(
    connection: &mut PgConnection,
    next: &Next,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Option<Bounds>, EngineError> {
    let sli: Sli = parse("objective_generation.sli", &next.sli)?;
    let SliKind::Latency { clock, threshold } = sli.kind else {
        return Ok(None);
    };
    let covers = |route: &str| -> Result<bool, EngineError> {
        let counted: Route = parse("route", route)?;
        Ok(sli.route.as_ref().is_none_or(|route| route.covers(&counted)))
    };
    let rows = sqlx::query!(
        r#"select series_id, route as "route!", signal from series
           where service_id = $1 and role = $2 and route is not null"#,
        next.service_id,
        next.role
    )
    .fetch_all(&mut *connection)
    .await?;
    let (mut series, mut kinds) = (Vec::new(), Vec::new());
    for row in rows {
        if let Some(kind) = kind(parse("series.signal", &row.signal)?)
            && covers(&row.route)?
        {
            series.push(row.series_id);
            kinds.push(kind);
        }
    }
    let rows = sqlx::query!(
        r#"select histogram_id, route as "route!" from histogram
           where service_id = $1 and role = $2 and clock = $3 and route is not null"#,
        next.service_id,
        next.role,
        clock.as_str()
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut histograms = Vec::new();
    for row in rows {
        if covers(&row.route)? {
            histograms.push(row.histogram_id);
        }
    }
    let (within, over) = split(u64::try_from(threshold.as_nanos()).unwrap_or(u64::MAX));
    let rows = sqlx::query_file!(
        "queries/estimate_slots.sql",
        from,
        to,
        &series,
        &kinds as &[&str],
        &histograms,
        within,
        over
    )
    .fetch_all(connection)
    .await?;
    let (mut bounds, mut answers, mut timed, mut others) = (Bounds::default(), 0, 0, 0);
    for row in rows {
        let counted = Counted {
            within: count("histogram_bucket.count", row.within)?,
            astride: count("histogram_bucket.count", row.astride)?,
            over: count("histogram_bucket.count", row.over)?,
            answers: count("measurement.value", row.answers)?,
            errors: count("measurement.value", row.errors)?,
            doubtful: count("measurement.value", row.doubtful)?,
            unanswered: count("measurement.value", row.unanswered)?,
            timed_out: count("measurement.value", row.timed_out)?,
        };
        bounds.add(&counted.bounds());
        answers += counted.answers;
        timed += counted.timed();
        others += counted.unanswered + counted.timed_out;
    }
    let is_known = timed > 0 || answers == 0 && others > 0;
    Ok(is_known.then_some(bounds))
}

/// What a counter tells of the answers in histograms, and of requests without one.
fn kind(signal: Signal) -> Option<&'static str> {
    match signal {
        // How long it took to switch protocols is no latency.
        Signal::Status(101) => None,
        Signal::Status(500..=599) => Some("error"),
        Signal::Status(600..) => Some("doubtful"),
        Signal::Grpc(code) if grpc::SERVER_ERRORS & grpc::bit(code) != 0 => Some("error"),
        Signal::Status(_) | Signal::Grpc(_) | Signal::Answered => Some("answer"),
        Signal::ResetByServer | Signal::ClosedUnanswered | Signal::ClientGaveUp | Signal::Unknown => {
            Some("unanswered")
        }
        Signal::TimedOut => Some("timed_out"),
        _ => None,
    }
}
