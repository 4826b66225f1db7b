//! The worst minute: a flood on every service, which fails all of it, so nothing waits for its slot, tiers are looked into, and
//! every objective has alerts.

use std::time::Duration;

use anyhow::ensure;
use chrono::{DateTime, TimeDelta, Utc};

use super::rounds::{Used, World, median};

/// Slots of failures; alerts fire in the first ones.
const SLOTS: usize = 11;
const FIRST: usize = 7;

/// CPU of Postgres and of the engine.
#[derive(Debug)]
pub struct Burning {
    /// The dearest round: the one in which most alerts fire.
    pub firing: Duration,
    /// One in which all that burns has fired already.
    pub evaluation: Duration,
    /// Of each second, with the fast pages.
    pub second: Duration,
}

impl World {
    pub(super) async fn burn_all(&self, mut now: DateTime<Utc>) -> anyhow::Result<Burning> {
        let (mut seconds, mut rounds) = (Vec::new(), Vec::new());
        let mut fired = 0;
        for slot in 0..SLOTS {
            let mut in_slot = Duration::ZERO;
            for second in 1..=10 {
                now += TimeDelta::seconds(1);
                let failing = i64::try_from(slot * 10)? + second;
                let batch = self.batch(now, failing)?;
                let before = self.used().await?;
                self.engine.take_at(&batch, now).await?;
                let pages = self.engine.evaluate_fast_pages(now).await?;
                fired += self.record(&pages, now).await?;
                in_slot += cpu(&self.used().await?.since(&before));
            }
            let before = self.used().await?;
            self.engine.judge_slices(now).await?;
            let evaluations = self.engine.evaluate(now).await?;
            let burning = evaluations.len();
            fired += self.record(&evaluations, now).await?;
            rounds.push(cpu(&self.used().await?.since(&before)));
            seconds.push(in_slot / 10);
            // Tiers are looked into once their short window burns.
            ensure!(
                slot < FIRST || burning >= self.definitions.objectives.len(),
                "only {burning} tiers burn in slot {slot}"
            );
        }
        ensure!(
            fired >= self.definitions.objectives.len(),
            "only {fired} alerts fired"
        );
        Ok(Burning {
            firing: rounds.iter().max().copied().unwrap_or_default(),
            evaluation: median(rounds[FIRST..].iter().copied()),
            second: median(seconds[FIRST..].iter().copied()),
        })
    }

    /// As the judge does; how many alerts changed.
    async fn record(
        &self,
        evaluations: &[slo_engine::evaluate::Evaluation],
        now: DateTime<Utc>,
    ) -> anyhow::Result<usize> {
        let mut transaction = self.books.pool.begin().await?;
        let changed = self
            .engine
            .record(&mut transaction, evaluations, None, now)
            .await?;
        transaction.commit().await?;
        Ok(changed.len())
    }
}

fn cpu(used: &Used) -> Duration {
    used.database + used.own
}
