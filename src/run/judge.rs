//! Judgement: evaluate every objective once a slot, and its fast page after every intake; alert, run and
//! notification are one transaction.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use api::Readiness;
use chrono::{DateTime, Utc};
use remediation::Playbook;
use slo_engine::Engine;
use slo_engine::evaluate::Evaluation;
use sqlx::PgPool;
use tokio::sync::{Notify, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use super::readiness::report;
use crate::telemetry;

#[derive(Debug)]
pub struct Judge {
    pub engine: Engine,
    pub pool: PgPool,
    pub playbook: watch::Receiver<Arc<Playbook>>,
    /// Wakes the worker; losing a wake-up costs it a second.
    pub wake: Arc<Notify>,
    /// Rung after each intake. Losing one costs a fast page a second.
    pub booked: Arc<Notify>,
    pub readiness: watch::Sender<Readiness>,
}

impl Judge {
    pub async fn run(self, every: Duration, cancel: CancellationToken) {
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let outcome = tokio::select! {
                _ = tick.tick() => self.everything(Utc::now()).await,
                () = self.booked.notified() => self.fast_pages(Utc::now()).await,
                () = cancel.cancelled() => return,
            };
            if let Err(error) = &outcome {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "could not evaluate, the next time tries again"
                );
            }
            report(&self.readiness, |readiness| &mut readiness.evaluation, &outcome);
        }
    }

    async fn everything(&self, now: DateTime<Utc>) -> Result<()> {
        let work = async {
            self.engine.judge_slices(now).await.context("judge slices")?;
            let mut evaluations = self.engine.evaluate(now).await.context("evaluate")?;
            evaluations.extend(
                self.engine
                    .evaluate_fast_pages(now)
                    .await
                    .context("evaluate fast pages")?,
            );
            evaluations.extend(
                self.engine
                    .evaluate_data_outages(now)
                    .await
                    .context("evaluate data outages")?,
            );
            self.record(&evaluations, now).await?;
            // Looking ahead on every budget may take its time, and no tier is to wait for it.
            let budgets = self
                .engine
                .evaluate_budgets(now)
                .await
                .context("evaluate budgets")?;
            if budgets.is_empty() {
                return Ok(());
            }
            self.record(&budgets, now).await
        };
        work.instrument(span(now)).await
    }

    /// Traced only when there is something to record: this runs every second.
    async fn fast_pages(&self, now: DateTime<Utc>) -> Result<()> {
        let evaluations = self
            .engine
            .evaluate_fast_pages(now)
            .await
            .context("evaluate fast pages")?;
        if evaluations.is_empty() {
            return Ok(());
        }
        self.record(&evaluations, now).instrument(span(now)).await
    }

    async fn record(&self, evaluations: &[Evaluation], now: DateTime<Utc>) -> Result<()> {
        let playbook = Arc::clone(&self.playbook.borrow());
        let mut transaction = self.pool.begin().await.context("begin")?;
        let traceparent = telemetry::traceparent();
        let transitions = self
            .engine
            .record(&mut transaction, evaluations, traceparent.as_deref(), now)
            .await
            .context("record alerts")?;
        let told = self
            .engine
            .hold_back(&mut transaction, transitions.clone(), now)
            .await
            .context("hold back what is silenced")?;
        let runs = remediation::enqueue(&mut transaction, &told, &playbook, now)
            .await
            .context("queue runs")?;
        transaction.commit().await.context("commit")?;
        for transition in &transitions {
            tracing::info!(
                alert.id = transition.alert_id.0,
                objective.name = %transition.objective,
                tier.name = %transition.tier,
                alert.state = %transition.to,
                "alert changed"
            );
        }
        if !transitions.is_empty() || !runs.is_empty() {
            self.wake.notify_one();
        }
        Ok(())
    }
}

fn span(now: DateTime<Utc>) -> Span {
    tracing::info_span!("evaluate", otel.kind = "internal", window.end = %now.to_rfc3339())
}
