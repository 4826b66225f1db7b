//! Housekeeping: partitions, packing and thinning the ledger, silent sources. Apart from judgement, which a day that is
//! thinned would keep waiting.

use std::time::Duration;

use chrono::Utc;
use slo_engine::Engine;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(60);

pub async fn run(engine: Engine, cancel: CancellationToken) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let work = async {
        loop {
            tick.tick().await;
            if let Err(error) = engine.maintain(Utc::now()).await {
                tracing::warn!(
                    error = format!("{:#}", anyhow::Error::from(error)),
                    "maintenance failed, the next minute tries again"
                );
            }
        }
    };
    tokio::select! {
        () = work => {}
        // Each step is one transaction: what is cut short is done by the next start.
        () = cancel.cancelled() => {}
    }
}
