//! Counts generations back, a stretch at a time, then estimates what nothing counted, an hour at a time, and rests between
//! two for as long as one took: intake has its turn, and Postgres half its time.

use std::time::{Duration, Instant};

use chrono::Utc;
use slo_engine::Engine;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How soon a change of definitions is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub async fn run(engine: Engine, cancel: CancellationToken) {
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let work = async {
        loop {
            tick.tick().await;
            if let Err(error) = all(&engine).await {
                tracing::warn!(
                    error = format!("{:#}", anyhow::Error::from(error)),
                    "could not count back, the next second tries again"
                );
            }
        }
    };
    tokio::select! {
        () = work => {}
        // A stretch is one transaction: what is cut short is taken up by the next start.
        () = cancel.cancelled() => {}
    }
}

async fn all(engine: &Engine) -> Result<(), slo_engine::EngineError> {
    loop {
        let begun = Instant::now();
        if !engine.backfill(Utc::now()).await? && !engine.estimate(Utc::now()).await? {
            return Ok(());
        }
        tokio::time::sleep(begun.elapsed()).await;
    }
}
