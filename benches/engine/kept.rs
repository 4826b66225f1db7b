//! Objectives by the clock: for minutes an intake each second and a whole evaluation each slot, side by side, as
//! `slowburn run` makes them. What is not done when the next is due was not kept up with.

use std::time::{Duration, Instant};

use anyhow::ensure;
use chrono::{DateTime, Utc};

use super::rounds::World;
use super::traffic::{SLOT_SECONDS, last_kept_edge};

/// Evaluations, at least.
const SLOTS: u32 = 30;
const SECOND: Duration = Duration::from_secs(1);
const SLOT: Duration = Duration::from_secs(SLOT_SECONDS.unsigned_abs());

#[derive(Debug)]
pub struct Kept {
    pub intakes: Pace,
    pub evaluations: Pace,
    /// Of Postgres's backends and of this process, which makes the batches, too.
    pub cores: f64,
    /// Whose counts of the period equal arithmetic afterwards.
    pub exact: usize,
    pub until: DateTime<Utc>,
}

/// Of what is due again and again.
#[derive(Debug)]
pub struct Pace {
    pub due: u32,
    /// Not done when the next was due.
    pub missed: u32,
    /// From when it was due until it was done.
    pub longest: Duration,
}

impl World {
    /// What is told as the time goes on from `start` with the clock.
    pub(super) async fn keep_up(&self, start: DateTime<Utc>) -> anyhow::Result<Kept> {
        // The period then starts on a row that every thinning keeps, so that its counts are exact ones.
        let mut slots = SLOTS;
        while last_kept_edge(start + SLOT * slots) != start + SLOT * slots {
            slots += 1;
        }
        let before = self.used().await?;
        let begun = Instant::now();
        let (intakes, evaluations) = tokio::try_join!(
            paced(begun, SECOND, slots * 10, async |after| {
                let now = start + after;
                self.engine.take_at(&self.batch(now, 0)?, now).await?;
                let calm = self.engine.evaluate_fast_pages(now).await?;
                ensure!(calm.is_empty(), "a calm day pages: {calm:?}");
                Ok(())
            }),
            paced(begun, SLOT, slots, async |after| {
                let now = start + after;
                self.engine.judge_slices(now).await?;
                let mut all = self.engine.evaluate(now).await?;
                all.extend(self.engine.evaluate_data_outages(now).await?);
                all.extend(self.engine.evaluate_budgets(now).await?);
                ensure!(all.is_empty(), "a calm day is not calm: {all:?}");
                Ok(())
            }),
        )?;
        let used = self.used().await?.since(&before);
        let until = start + SLOT * slots;
        self.engine.settle().await?;
        Ok(Kept {
            intakes,
            evaluations,
            cores: (used.database + used.own).as_secs_f64() / used.wall.as_secs_f64(),
            exact: self.check(until).await?,
            until,
        })
    }
}

async fn paced(
    begun: Instant,
    every: Duration,
    times: u32,
    work: impl AsyncFn(Duration) -> anyhow::Result<()>,
) -> anyhow::Result<Pace> {
    let mut pace = Pace {
        due: times,
        missed: 0,
        longest: Duration::ZERO,
    };
    for round in 1..=times {
        let due = begun + every * round;
        tokio::time::sleep_until(due.into()).await;
        work(every * round).await?;
        let took = due.elapsed();
        pace.missed += u32::from(took > every);
        pace.longest = pace.longest.max(took);
    }
    Ok(pace)
}
