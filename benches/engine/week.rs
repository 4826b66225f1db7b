//! A week of steady intake, told to the engine as fast as it takes it: how much larger the books are afterwards.

use std::time::Duration;

use anyhow::ensure;
use chrono::{DateTime, TimeDelta, Utc};
use slo_engine::Settings;

use super::history::{DAYS, Span};
use super::rounds::World;
use super::traffic::fullest;

const WEEK: i64 = 7;
const TICK: TimeDelta = TimeDelta::seconds(10);

/// Bytes on disk, of tables and their indexes.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub ledger: i64,
    /// All but the ledger and the days of measurements, which are dropped whole.
    pub beside: i64,
}

#[derive(Debug)]
pub struct Week {
    pub before: Sizes,
    pub after: Sizes,
    pub vacuums: u64,
}

pub async fn measure(objectives: usize) -> anyhow::Result<Week> {
    // As many days at the end as at the beginning, so that what is more is bloat.
    let mut settings = Settings::default();
    settings.keep.ledger = Duration::from_secs(u64::try_from(DAYS)? * 86_400);
    let end = fullest(Utc::now()) - TimeDelta::days(WEEK);
    let world = World::create(objectives, Span::ending(end), settings).await?;
    let mut now = end;
    let mut vacuums = 0;
    // What is made anew each minute or day is there before the first look.
    for _ in 0..6 {
        now += TICK;
        vacuums += step(&world, now).await?;
    }
    let before = sizes(&world).await?;
    let last = end + TimeDelta::days(WEEK);
    while now < last {
        now += TICK;
        vacuums += step(&world, now).await?;
    }
    let after = sizes(&world).await?;
    let rows = world.check(last).await?;
    ensure!(
        rows == objectives,
        "{rows} of {objectives} were right after the week"
    );
    world.drop().await?;
    Ok(Week {
        before,
        after,
        vacuums,
    })
}

/// Ten seconds of a running engine: what came, and each minute its housekeeping and autovacuum's.
async fn step(world: &World, now: DateTime<Utc>) -> anyhow::Result<u64> {
    world.take(now).await?;
    if now.timestamp() % 60 != 0 {
        return Ok(0);
    }
    world.engine.maintain(now).await?;
    world.books.vacuum_what_is_due().await
}

async fn sizes(world: &World) -> anyhow::Result<Sizes> {
    let mut sizes = Sizes { ledger: 0, beside: 0 };
    for (table, bytes) in world.books.tables().await? {
        if table.starts_with("ledger") {
            sizes.ledger += bytes;
        } else {
            sizes.beside += bytes;
        }
    }
    Ok(sizes)
}
