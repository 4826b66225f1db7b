//! Intake: kernel counters into the ledger, once a second.
//!
//! In: the agent. Out: batches the engine has booked. While the database does not answer, batches wait here.
//! They are cumulative: when the queue is full the oldest goes, which costs resolution in time and no count.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use api::IngestCounters;
use chrono::Utc;
use slo_engine::measurement::Batch;
use slo_engine::{Engine, IngestError};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::agent::SharedAgent;

const EVERY: Duration = Duration::from_secs(1);
/// Ten minutes at one a second.
const WAITING_MAX: usize = 600;

#[derive(Debug)]
pub struct Intake {
    engine: Engine,
    agent: SharedAgent,
    waiting: VecDeque<Batch>,
    counters: Arc<IngestCounters>,
}

impl Intake {
    pub fn new(engine: Engine, agent: SharedAgent, counters: Arc<IngestCounters>) -> Intake {
        Intake {
            engine,
            agent,
            waiting: VecDeque::new(),
            counters,
        }
    }

    /// Reads and books until cancelled, and books what waits once more before it ends.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut tick = tokio::time::interval(EVERY);
        // A late read is one longer span; a burst of reads to catch up would tell nothing more.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut outage = false;
        loop {
            let last = tokio::select! {
                _ = tick.tick() => false,
                () = cancel.cancelled() => true,
            };
            match self.step().await {
                Ok(()) if outage => {
                    outage = false;
                    tracing::info!("the database answers again, all waiting batches are booked");
                }
                Ok(()) => {}
                Err(error) if outage => tracing::debug!(error = format!("{error:#}"), "still cannot book"),
                Err(error) => {
                    outage = true;
                    tracing::warn!(
                        error = format!("{error:#}"),
                        waiting_max = WAITING_MAX,
                        "cannot book measurements, keeping them"
                    );
                }
            }
            if last {
                return;
            }
        }
    }

    async fn step(&mut self) -> Result<()> {
        let batch = self
            .agent
            .with(|agent| agent.read(Utc::now()))
            .await
            .context("read the kernel's counters")??;
        if self.waiting.len() == WAITING_MAX {
            self.waiting.pop_front();
            self.counters.count_dropped();
        }
        self.waiting.push_back(batch);
        let discovered = self.agent.with(|agent| agent.discovered()).await?;
        self.engine
            .discovered(&discovered, Utc::now())
            .await
            .context("record what was discovered")?;
        while let Some(batch) = self.waiting.front_mut() {
            batch.sent_at = Utc::now();
            let outcome = self.engine.ingest(batch).await;
            self.counters.count(&outcome);
            match outcome {
                // Refused for good: keeping it would hold up all that follow, and the next batch has its counts.
                Err(error @ IngestError::FromTheFuture { .. }) => tracing::warn!(%error, "refused a batch"),
                outcome => {
                    outcome.context("book a batch")?;
                }
            }
            self.waiting.pop_front();
        }
        Ok(())
    }
}
