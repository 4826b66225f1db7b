//! Thirty days of books, as the engine leaves them: a row a slot for the last day, then one a minute, then
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
}

impl Span {
    pub fn ending(end: DateTime<Utc>) -> Self {
        Self {
            start: midnight(end) - TimeDelta::days(DAYS),
            end,
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
    for days in 0..=DAYS {
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
    for day in 0..=DAYS {
        let age = span.end - (span.start + TimeDelta::days(day + 1));
        let step = if age >= keep_minutes {
            30
        } else if age >= keep_slots {
            6
        } else {
            1
        };
        sqlx::query(AssertSqlSafe(format!(
            "insert into ledger
             select t.objective_id, 1, $1::timestamptz + {SLOT_SECONDS} * k * interval '1 second',
                    bench_asked(t, $2 + k) - bench_asked(t, $2) - ((($2 + k) / t.apart) - $2 / t.apart),
                    ($2 + k) / t.apart - $2 / t.apart, k * {SLOT_SECONDS}000, k * {SLOT_SECONDS}000, 0
             from bench_traffic t, generate_series($3::bigint, $4::bigint, $3::bigint) k
             order by k, t.objective_id"
        )))
        .bind(span.start + TimeDelta::days(day))
        .bind(day * DAY)
        .bind(step)
        .bind((last - day * DAY).min(DAY))
        .execute(pool)
        .await?;
        sqlx::query(AssertSqlSafe(format!(
            "insert into ledger_day
             select t.objective_id, 1, $1, bench_asked(t, $2) - $2 / t.apart, $2 / t.apart,
                    $2 * {SLOT_SECONDS}000, $2 * {SLOT_SECONDS}000, 0
             from bench_traffic t"
        )))
        .bind((span.start + TimeDelta::days(day)).date_naive())
        .bind(day * DAY)
        .execute(pool)
        .await?;
        if day < DAYS {
            pack(pool, span.start + TimeDelta::days(day), step).await?;
        }
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

/// A day that is over, as thinning leaves it. Its rows never were open all at once, as here.
async fn pack(pool: &PgPool, day: DateTime<Utc>, step: i64) -> anyhow::Result<()> {
    let step = format!("{} seconds", step * SLOT_SECONDS);
    if step != "10 seconds" {
        sqlx::query("insert into ledger_thinned values ($1, $2::text::interval, $3)")
            .bind(day.date_naive())
            .bind(&step)
            .bind(day)
            .execute(pool)
            .await?;
    }
    for statement in [
        "select pack_ledger(array_agg(objective_id), array_agg(generation), $1, $1 + interval '1 day', null, \
                            ledger_span($2::text::interval))
         from (select *, objective_id / 100 as bite from objective_generation) g group by bite",
        "update engine_state set packed_to = $1 + interval '1 day' where $2::text is not null",
    ] {
        sqlx::query(statement).bind(day).bind(&step).execute(pool).await?;
    }
    sqlx::query("truncate ledger").execute(pool).await?;
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
