//! Books of thirty days (or more), as the engine leaves them: a row a slot for the last day, then one a minute, then
//! one every five. They end when they are largest: before the day that is over is thinned.

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use slo_engine::Engine;
use slo_engine::definitions::{self, Definitions};
use sqlx::{AssertSqlSafe, PgPool};

use super::traffic::{A_SERVICE, DAY, Kind, SLOT_SECONDS, Traffic, midnight};

pub const DAYS: i64 = 30;

/// Where the books end, and the midnight at which they began.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    days: i64,
}

impl Span {
    pub fn ending(end: DateTime<Utc>) -> Self {
        Self::of_days(DAYS, end)
    }

    /// So many, and what has passed of the last.
    pub fn of_days(days: i64, end: DateTime<Utc>) -> Self {
        Self {
            start: midnight(end) - TimeDelta::days(days),
            end,
            days,
        }
    }

    /// Slots from the start to then.
    pub fn slots(&self, to: DateTime<Utc>) -> i64 {
        (to - self.start).num_seconds() / SLOT_SECONDS
    }
}

/// So many objectives in the short form, with the tiers and the fast page it has by default.
pub fn define(objectives: usize) -> anyhow::Result<Definitions> {
    let text: String = (0..objectives.div_ceil(A_SERVICE))
        .map(|number| {
            format!(
                "---\napiVersion: slowburn/v1\nkind: Service\nmetadata: {{name: {}}}\n\
                 spec: {{objectives: [availability: 99.9%, latency: {{below: 250ms, target: 99%}}]}}\n",
                Traffic(number).service()
            )
        })
        .collect();
    definitions::read_text("bench.yaml".as_ref(), text.as_bytes())
        .map_err(|found| anyhow::anyhow!("{found:?}"))
        .context("definitions of the bench")
}

/// Writes the history of every objective that is defined, day by day.
pub async fn write(engine: &Engine, services: usize, span: Span) -> anyhow::Result<()> {
    let pool = engine.pool();
    for days in 0..=span.days {
        engine.maintain(span.start + TimeDelta::days(days)).await?;
    }
    engine.maintain(span.end).await?;
    know_traffic(pool, services).await?;
    let keep = &engine.settings().keep;
    let (keep_slots, keep_minutes) = (
        TimeDelta::from_std(keep.slots)?,
        TimeDelta::from_std(keep.minutes)?,
    );
    let last = span.slots(span.end);
    for day in 0..=span.days {
        let age = span.end - (span.start + TimeDelta::days(day + 1));
        let step = if age >= keep_minutes {
            30
        } else if age >= keep_slots {
            6
        } else {
            1
        };
        if day < span.days {
            write_chunks(pool, span.start, day, step).await?;
        } else {
            write_rows(pool, span.start + TimeDelta::days(day), day * DAY, last).await?;
        }
        sqlx::query(AssertSqlSafe(format!(
            "insert into ledger_day
             select t.objective_id, 1, $1, bench_good(t, $2), $2 / t.apart,
                    $2 * {SLOT_SECONDS}000, $2 * {SLOT_SECONDS}000, 0
             from bench_traffic t"
        )))
        .bind((span.start + TimeDelta::days(day)).date_naive())
        .bind(day * DAY)
        .execute(pool)
        .await?;
    }
    // What is over of the last day is packed as it ever is.
    engine.maintain(span.end).await?;
    for statement in [
        "drop table bench_traffic cascade",
        "vacuum (analyze)",
        "checkpoint",
    ] {
        sqlx::query(statement).execute(pool).await?;
    }
    Ok(())
}

/// Slots of the day that is not over, as they come.
async fn write_rows(pool: &PgPool, starts: DateTime<Utc>, before: i64, last: i64) -> anyhow::Result<()> {
    sqlx::query(AssertSqlSafe(format!(
        "insert into ledger
         select t.objective_id, 1, $1 + k * interval '{SLOT_SECONDS} seconds',
                bench_good(t, $2 + k) - bench_good(t, $2), ($2 + k) / t.apart - $2 / t.apart,
                k * {SLOT_SECONDS}000, k * {SLOT_SECONDS}000, 0
         from bench_traffic t, generate_series(1, $3 - $2) k
         order by k, t.objective_id"
    )))
    .bind(starts)
    .bind(before)
    .bind(last)
    .execute(pool)
    .await?;
    Ok(())
}

/// A day that is over, as `pack_ledger` and thinning leave it: of ten thousand objectives they would take more than an hour. Chunks
/// of slots lie as they were packed, those of a thinned day by objective.
async fn write_chunks(pool: &PgPool, start: DateTime<Utc>, day: i64, step: i64) -> anyhow::Result<()> {
    let starts = start + TimeDelta::days(day);
    let seconds = step * SLOT_SECONDS;
    let order = if step == 1 {
        "first, t.objective_id"
    } else {
        "t.objective_id, first"
    };
    sqlx::query(AssertSqlSafe(format!(
        "insert into ledger_chunk (
             objective_id, generation, at, good, bad, expected_ms, covered_ms, lost, watchers,
             after_ms, good_after, bad_after
         )
         select c.objective_id, 1, $1 + c.first * interval '{SLOT_SECONDS} seconds',
                bench_good(c.t, $2 + c.first) - bench_good(c.t, $2), ($2 + c.first) / (c.t).apart - $2 / (c.t).apart,
                c.first * {SLOT_SECONDS}000, c.first * {SLOT_SECONDS}000, 0, 1,
                r.after_ms, r.good_after, r.bad_after
         from (
             select t, t.objective_id, s.slots, n * s.slots + {step} as first
             from bench_traffic t,
                  (select extract(epoch from ledger_span('{seconds} seconds'))::bigint / {SLOT_SECONDS} as slots) s,
                  generate_series(0, {DAY} / s.slots - 1) n
             order by {order}
         ) c
         cross join lateral (
             select array_agg(((k - c.first) * {SLOT_SECONDS}000)::integer order by k) as after_ms,
                    array_agg(bench_good(c.t, $2 + k) - bench_good(c.t, $2 + c.first) order by k) as good_after,
                    array_agg(($2 + k) / (c.t).apart - ($2 + c.first) / (c.t).apart order by k) as bad_after
             from generate_series(c.first, c.first + c.slots - {step}, {step}::bigint) k
         ) r"
    )))
    .bind(starts)
    .bind(day * DAY)
    .execute(pool)
    .await?;
    if step != 1 {
        sqlx::query("insert into ledger_thinned values ($1, $2::bigint * interval '1 second', $3)")
            .bind(starts.date_naive())
            .bind(seconds)
            .bind(starts)
            .execute(pool)
            .await?;
    }
    sqlx::query("update engine_state set packed_to = $1")
        .bind(starts + TimeDelta::days(1))
        .execute(pool)
        .await?;
    Ok(())
}

/// `Traffic`, where the rows are written.
async fn know_traffic(pool: &PgPool, services: usize) -> anyhow::Result<()> {
    sqlx::query("create table bench_traffic (objective_id bigint, quiet bigint, apart bigint)")
        .execute(pool)
        .await?;
    sqlx::query(AssertSqlSafe(format!(
        "create function bench_asked(t bench_traffic, slots bigint) returns bigint language sql immutable
         return t.quiet * (slots + slots / {DAY} * {half} + greatest(slots % {DAY} - {half}, 0))",
        half = DAY / 2
    )))
    .execute(pool)
    .await?;
    sqlx::query(
        "create function bench_good(t bench_traffic, slots bigint) returns bigint language sql immutable
         return bench_asked(t, slots) - slots / t.apart",
    )
    .execute(pool)
    .await?;
    for kind in Kind::ALL {
        let all = (0..services).map(Traffic);
        let (mut names, mut quiet, mut apart) = (Vec::new(), Vec::new(), Vec::new());
        for traffic in all {
            names.push(format!("{}-{}", traffic.service(), kind.name()));
            quiet.push(traffic.quiet());
            apart.push(traffic.apart(kind));
        }
        sqlx::query(
            "insert into bench_traffic
             select o.objective_id, t.quiet, t.apart
             from unnest($1::text[], $2::bigint[], $3::bigint[]) as t (name, quiet, apart) join objective o using (name)",
        )
        .bind(names)
        .bind(quiet)
        .bind(apart)
        .execute(pool)
        .await?;
    }
    Ok(())
}
