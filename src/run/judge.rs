//! Judgement: evaluate every objective once a slot, and its fast page after every intake; alert, run and
//! notification are one transaction. What is kept of one objective, and cannot be read or recorded, is told and hinders
//! no other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, anyhow};
use api::Readiness;
use chrono::{DateTime, Utc};
use remediation::Playbook;
use slo_engine::alert::Transition;
use slo_engine::evaluate::Evaluation;
use slo_engine::{Engine, Partly};
use sqlx::{PgPool, PgTransaction};
use tokio::sync::{Notify, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use super::readiness::report;
use crate::telemetry;

/// So many are recorded apart from each other in one round. Of more, what fails is not the row of one.
const APART_MAX: usize = 100;

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
        let mut of_slot = Failures::default();
        let mut said = Failures::default();
        loop {
            let of_intake = tokio::select! {
                _ = tick.tick() => {
                    of_slot = self.everything(Utc::now()).await;
                    Failures::default()
                }
                () = self.booked.notified() => self.fast_pages(Utc::now()).await,
                () = cancel.cancelled() => return,
            };
            // What failed of a slot is not over because the fast pages went well.
            let standing = Failures(&of_slot.0 | &of_intake.0);
            let outcome = standing.outcome();
            report(&self.readiness, |readiness| &mut readiness.evaluation, &outcome);
            if standing == said {
                continue;
            }
            match outcome {
                Ok(()) => tracing::info!("nothing is left out of the evaluation any more"),
                Err(error) => tracing::error!(
                    error = format!("{error:#}"),
                    "could not evaluate every objective, the next time tries again"
                ),
            }
            said = standing;
        }
    }

    async fn everything(&self, now: DateTime<Utc>) -> Failures {
        let mut failures = Failures::default();
        let work = async {
            self.engine.judge_slices(now).await.context("judge slices")?;
            let tiers = self.engine.evaluate(now).await;
            let mut evaluations = failures.besides("evaluate", tiers)?;
            let fast_pages = self.engine.evaluate_fast_pages(now).await;
            evaluations.extend(failures.besides("evaluate fast pages", fast_pages)?);
            let outages = self.engine.evaluate_data_outages(now).await;
            evaluations.extend(failures.besides("evaluate data outages", outages)?);
            self.record(&evaluations, now, &mut failures).await?;
            // Looking ahead on every budget may take its time, and no tier is to wait for it.
            let budgets = self.engine.evaluate_budgets(now).await;
            let budgets = failures.besides("evaluate budgets", budgets)?;
            if budgets.is_empty() {
                return Ok(());
            }
            self.record(&budgets, now, &mut failures).await
        };
        let outcome = work.instrument(span(now)).await;
        failures.with(outcome)
    }

    /// Traced only when there is something to record: this runs every second.
    async fn fast_pages(&self, now: DateTime<Utc>) -> Failures {
        let mut failures = Failures::default();
        let work = async {
            let fast_pages = self.engine.evaluate_fast_pages(now).await;
            let evaluations = failures.besides("evaluate fast pages", fast_pages)?;
            if evaluations.is_empty() {
                return Ok(());
            }
            let record = self.record(&evaluations, now, &mut failures);
            record.instrument(span(now)).await
        };
        let outcome = work.await;
        failures.with(outcome)
    }

    /// All in one transaction, as what is inhibited and what is told together goes by all of them. When that fails for what is
    /// kept of one, all but that one.
    async fn record(
        &self,
        evaluations: &[Evaluation],
        now: DateTime<Utc>,
        failures: &mut Failures,
    ) -> Result<()> {
        let Err(error) = self.record_together(evaluations, now, failures).await else {
            return Ok(());
        };
        // What fails with nothing to record is of none of them.
        if !is_of_a_row(&error) || self.prepare(&[], now, failures).await.is_err() {
            return Err(error);
        }
        let rest = self.without_what_fails(evaluations, now, failures).await?;
        self.record_together(&rest, now, failures).await
    }

    /// Found by halves that are rolled back, until it is alone.
    async fn without_what_fails(
        &self,
        evaluations: &[Evaluation],
        now: DateTime<Utc>,
        failures: &mut Failures,
    ) -> Result<Vec<Evaluation>> {
        let mut rest = Vec::new();
        let mut batches = vec![evaluations];
        while let Some(batch) = batches.pop() {
            let Err(error) = self.prepare(batch, now, failures).await else {
                rest.extend_from_slice(batch);
                continue;
            };
            if !is_of_a_row(&error) || failures.0.len() >= APART_MAX {
                return Err(error);
            }
            match batch {
                [] => return Err(error),
                [one] => failures.add(&error.context(format!("record `{}` (`{}`)", one.objective, one.tier))),
                _ => {
                    let (first, second) = batch.split_at(batch.len() / 2);
                    batches.extend([second, first]);
                }
            }
        }
        Ok(rest)
    }

    async fn record_together(
        &self,
        evaluations: &[Evaluation],
        now: DateTime<Utc>,
        failures: &mut Failures,
    ) -> Result<()> {
        let (transaction, transitions, runs) = self.prepare(evaluations, now, failures).await?;
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
        if !transitions.is_empty() || runs > 0 {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// What changes, and how many runs are queued, in a transaction that is to be committed.
    async fn prepare(
        &self,
        evaluations: &[Evaluation],
        now: DateTime<Utc>,
        failures: &mut Failures,
    ) -> Result<(PgTransaction<'static>, Vec<Transition>, usize)> {
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
            .await;
        let told = failures.besides("hold back what is silenced", told)?;
        let runs = remediation::enqueue(&mut transaction, &told, &playbook, now)
            .await
            .context("queue runs")?;
        Ok((transaction, transitions, runs.len()))
    }
}

/// Whether what failed is a row, and not the database: others may fare better.
fn is_of_a_row(error: &Error) -> bool {
    let mut failed = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<sqlx::Error>());
    failed.all(|error| match error {
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => true,
        // What a value does not fit, a constraint forbids, or a trigger refuses.
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            ["22", "23", "P0"].iter().any(|class| code.starts_with(class))
        }
        _ => false,
    })
}

/// What one round could not do. All else of it was done, unless the database failed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Failures(BTreeSet<String>);

impl Failures {
    fn add(&mut self, error: &Error) {
        self.0.insert(format!("{error:#}"));
    }

    /// What there is besides what had to be left out.
    fn besides<T>(&mut self, what: &'static str, outcome: Result<Vec<T>, Partly<T>>) -> Result<Vec<T>> {
        let (rest, left_out) = Partly::apart(outcome).context(what)?;
        if let Some(left_out) = left_out {
            self.add(&Error::new(left_out).context(what));
        }
        Ok(rest)
    }

    fn with(mut self, outcome: Result<()>) -> Self {
        if let Err(error) = outcome {
            self.add(&error);
        }
        self
    }

    fn outcome(&self) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let said: Vec<&str> = self.0.iter().map(String::as_str).collect();
        Err(anyhow!(said.join("; ")))
    }
}

fn span(now: DateTime<Utc>) -> Span {
    tracing::info_span!("evaluate", otel.kind = "internal", window.end = %now.to_rfc3339())
}
