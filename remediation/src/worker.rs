//! Carries out one step at a time.
//!
//! Claim a due step under a lease with an epoch; commit what is meant; do it; commit what came of it
//! where the epoch is still ours. Whoever dies in between leaves an intent without a result, and the
//! next worker does it again with the same identities, which the limiter, the orchestrator and the
//! command can tell from something new.

mod command;
mod effect;
mod hold;
mod kubernetes;
mod limit;
mod verify;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reqwest::Client;
use serde_json::json;
use slo_engine::Engine;
use slo_engine::objective::ObjectiveName;
use slo_engine::window::WindowCounts;
use sqlx::PgPool;
use tracing::{Instrument as _, Span, field};

use crate::error::Error;
use crate::lifecycle;
use crate::limits::Limits;
use crate::outgoing;
use crate::run::{Ending, Mode, RunEvent, RunId, RunState, StepEvent, StepKind, StepState};
use crate::runbook::Action;
use crate::store;
use crate::store::run::RunRow;
use crate::store::step::{Claim, Outcome};
use crate::trace;
use effect::Prepared;

/// How long a claim stands beyond what its effect may take.
const LEASE: Duration = Duration::from_secs(30);
/// Attempts at one effect before the run gives up and undoes what it did.
const ATTEMPTS_MAX: u32 = 5;
/// Looks for someone to limit before concluding that nobody stands out.
const LOOKS_MAX: u32 = 3;

/// Where the counts of an objective come from: the engine.
#[async_trait]
pub trait Burns: Send + Sync {
    /// The counts of the window that ends now.
    async fn burn(
        &self,
        objective: &ObjectiveName,
        window: Duration,
        now: DateTime<Utc>,
    ) -> Result<WindowCounts, Error>;

    /// The requests that they stand on, where slices or shares are counted: each request is evidence.
    async fn requests(
        &self,
        objective: &ObjectiveName,
        window: Duration,
        now: DateTime<Utc>,
    ) -> Result<u64, Error>;
}

#[async_trait]
impl Burns for Engine {
    async fn burn(
        &self,
        objective: &ObjectiveName,
        window: Duration,
        now: DateTime<Utc>,
    ) -> Result<WindowCounts, Error> {
        Ok(Engine::burn(self, objective, window, now).await?)
    }

    async fn requests(
        &self,
        objective: &ObjectiveName,
        window: Duration,
        now: DateTime<Utc>,
    ) -> Result<u64, Error> {
        Ok(Engine::requests(self, objective, window, now).await?)
    }
}

/// What one pass did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Worked {
    /// Nothing is due.
    Idle,
    /// A step moved on.
    Did {
        run: RunId,
        seq: i32,
        kind: StepKind,
        state: StepState,
    },
    /// A step will be tried again then.
    Later {
        run: RunId,
        seq: i32,
        at: DateTime<Utc>,
        error: String,
    },
    /// Another worker, or a person, took the step over while this one was at it.
    TakenOver { run: RunId, seq: i32 },
}

/// What [`Worker::reconcile`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reconciled {
    /// Wanted and not live, or live with other numbers.
    pub applied: u64,
    /// Live and not wanted any more.
    pub released: u64,
}

/// Does what runs ask for. Several may work on one database.
#[derive(Clone)]
pub struct Worker {
    pool: PgPool,
    burns: Arc<dyn Burns>,
    limits: Arc<dyn Limits>,
    http: Client,
    node: String,
    name: String,
    path: String,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Worker {
    /// `node` names the host whose limiter this is and must survive a restart: limits that were set
    /// under the name are reclaimed under it. `http` comes from [`outgoing::client`].
    #[must_use]
    pub fn new(
        pool: PgPool,
        burns: Arc<dyn Burns>,
        limits: Arc<dyn Limits>,
        http: Client,
        node: impl Into<String>,
    ) -> Self {
        let node = node.into();
        let name = format!("{node}/{}", std::process::id());
        Self {
            pool,
            burns,
            limits,
            http,
            node,
            name,
            path: command::PATH.to_owned(),
        }
    }

    /// Claims one due step and moves it on. Safe to run twice and in parallel. Call again at once
    /// unless it was idle.
    ///
    /// # Errors
    /// When the database fails. An effect that fails is no error: it is in the row.
    pub async fn work_once(&self, now: DateTime<Utc>) -> Result<Worked, Error> {
        let Some(claim) = store::step::claim(&self.pool, &self.name, &self.node, LEASE, now).await? else {
            return Ok(Worked::Idle);
        };
        let span = tracing::info_span!(
            "step",
            otel.name = format!("step {}", claim.kind),
            step.kind = %claim.kind,
            step.state = %claim.state,
            step.attempt = claim.attempt + 1,
            run.id = claim.run.0,
            verdict = field::Empty,
            otel.status_code = field::Empty,
            error.type = field::Empty,
        );
        trace::continue_from(&span, claim.traceparent.as_deref());
        self.carry_out(claim, now).instrument(span).await
    }

    async fn carry_out(&self, claim: Claim, now: DateTime<Utc>) -> Result<Worked, Error> {
        let run = self.look_up(claim.run).await?;
        match (claim.kind, claim.state) {
            (StepKind::Verify, _) => self.verify(claim, &run, now).await,
            (_, StepState::Planned | StepState::Applying) => self.apply(claim, &run, now).await,
            (_, StepState::Applied) => self.hold_ended(claim, &run, now).await,
            (_, StepState::Releasing) => self.release(claim, &run, now).await,
            (_, state) => {
                // Due, but in a state in which nothing is: give it back so that it is not claimed
                // for ever.
                let mut connection = self.pool.acquire().await?;
                store::step::conclude(&mut connection, &claim, state, &Outcome::default(), now).await?;
                Ok(did(&claim, state))
            }
        }
    }

    async fn look_up(&self, run: RunId) -> Result<RunRow, Error> {
        let mut transaction = self.pool.begin().await?;
        let run = store::run::lock(&mut transaction, run).await?;
        transaction.commit().await?;
        Ok(run)
    }

    async fn apply(&self, mut claim: Claim, run: &RunRow, now: DateTime<Utc>) -> Result<Worked, Error> {
        let began = Instant::now();
        let action: Action = serde_json::from_value(claim.spec.clone())?;
        if claim.intent.is_none() {
            match self.prepare(&claim, run, &action, now).await? {
                Prepared::Intent { intent, inverse } => {
                    claim.intent = Some(intent);
                    claim.inverse = inverse;
                }
                Prepared::Nothing { reason, again } if again && claim.attempt + 1 < LOOKS_MAX => {
                    return self.later(&claim, &reason, now + Duration::from_secs(5)).await;
                }
                Prepared::Nothing { reason, .. } => return self.skip(&claim, &reason, now).await,
                Prepared::Failed(failure) => return self.failed(claim, failure, now + began.elapsed()).await,
            }
            if run.mode == Mode::Shadow {
                return self.write_down(&claim, now).await;
            }
        }
        if !self.commit_intent(&mut claim, &action, now).await? {
            return Ok(taken_over(&claim));
        }
        let done = self.effect(&claim, run, &action, now).await;
        let now = now + began.elapsed();
        let done = match done {
            Ok(done) => done,
            Err(failure) => return self.failed(claim, failure, now).await,
        };
        let state = claim.state.next(done.event)?;
        let outcome = Outcome {
            due_at: done.expires_at,
            expires_at: done.expires_at,
            result: Some(done.result),
            ..Outcome::default()
        };
        let mut transaction = self.pool.begin().await?;
        let mut run = store::run::lock(&mut transaction, claim.run).await?;
        if !store::step::conclude(&mut transaction, &claim, state, &outcome, now).await? {
            return Ok(taken_over(&claim));
        }
        lifecycle::say(&mut transaction, &run, done.said, done.message, now).await?;
        lifecycle::after_step(&mut transaction, &mut run, now).await?;
        transaction.commit().await?;
        Ok(did(&claim, state))
    }

    /// Commits the intent; `false` when somebody took the step over.
    async fn commit_intent(
        &self,
        claim: &mut Claim,
        action: &Action,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let state = claim.state.next(StepEvent::Intended)?;
        let mut transaction = self.pool.begin().await?;
        let mut run = store::run::lock(&mut transaction, claim.run).await?;
        let node = matches!(action, Action::XdpLimit(_)).then_some(self.node.as_str());
        let traceparent = trace::traceparent(&Span::current(), claim.traceparent.as_deref());
        let traced = traceparent.as_deref();
        let lease = LEASE + effect::longest(action);
        if !store::step::intend(&mut transaction, claim, state, node, traced, lease, now).await? {
            return Ok(false);
        }
        let first = claim.state == StepState::Planned;
        claim.state = state;
        claim.traceparent = traceparent;
        if run.state == RunState::Planned {
            lifecycle::advance(&mut transaction, &mut run, RunEvent::Started, now).await?;
        }
        if let (Action::XdpLimit(limit), true) = (action, first) {
            self.want_limits(&mut transaction, claim, &run, now + limit.ttl, now)
                .await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// Shadow mode: the intent is all there is.
    async fn write_down(&self, claim: &Claim, now: DateTime<Utc>) -> Result<Worked, Error> {
        let state = claim.state.next(StepEvent::WrittenDown)?;
        self.finish(claim, state, &Outcome::default(), now).await
    }

    async fn skip(&self, claim: &Claim, reason: &str, now: DateTime<Utc>) -> Result<Worked, Error> {
        let state = claim.state.next(StepEvent::NothingToDo)?;
        let outcome = Outcome {
            result: Some(json!({ "nothing_done": reason })),
            ..Outcome::default()
        };
        self.finish(claim, state, &outcome, now).await
    }

    /// Concludes a step that did nothing, and lets the run go on.
    async fn finish(
        &self,
        claim: &Claim,
        state: StepState,
        outcome: &Outcome,
        now: DateTime<Utc>,
    ) -> Result<Worked, Error> {
        let mut transaction = self.pool.begin().await?;
        let mut run = store::run::lock(&mut transaction, claim.run).await?;
        if !store::step::conclude(&mut transaction, claim, state, outcome, now).await? {
            return Ok(taken_over(claim));
        }
        if run.state == RunState::Planned {
            lifecycle::advance(&mut transaction, &mut run, RunEvent::Started, now).await?;
        }
        if let Some(result) = &outcome.result
            && let Some(reason) = result["nothing_done"].as_str()
        {
            run.reason = Some(reason.to_owned());
        }
        lifecycle::after_step(&mut transaction, &mut run, now).await?;
        transaction.commit().await?;
        Ok(did(claim, state))
    }

    /// Tries again later, or gives up: then what was done is undone and a person is told.
    async fn failed(&self, claim: Claim, failure: Failure, now: DateTime<Utc>) -> Result<Worked, Error> {
        let span = Span::current();
        span.record("otel.status_code", "error");
        span.record("error.type", failure.error.as_str());
        if failure.again && claim.attempt + 1 < ATTEMPTS_MAX {
            let wait = failure.after.unwrap_or_else(|| backoff(claim.attempt));
            return self.later(&claim, &failure.error, now + wait).await;
        }
        tracing::warn!(run.id = claim.run.0, step.kind = %claim.kind, error = failure.error, "step failed");
        let state = claim.state.next(StepEvent::GaveUp)?;
        let mut transaction = self.pool.begin().await?;
        let mut run = store::run::lock(&mut transaction, claim.run).await?;
        let outcome = Outcome {
            error: Some(failure.error.clone()),
            ..Outcome::default()
        };
        if !store::step::conclude(&mut transaction, &claim, state, &outcome, now).await? {
            return Ok(taken_over(&claim));
        }
        if run.mode == Mode::Shadow {
            run.reason = Some(failure.error);
            lifecycle::after_step(&mut transaction, &mut run, now).await?;
            transaction.commit().await?;
            return Ok(did(&claim, state));
        }
        let reason = format!("{} failed: {}", claim.kind, failure.error);
        run.reason = Some(reason.clone());
        lifecycle::undo(&mut transaction, &mut run, Ending::Failed, now).await?;
        lifecycle::escalate(&mut transaction, &run, &reason, now).await?;
        transaction.commit().await?;
        Ok(did(&claim, state))
    }

    async fn later(&self, claim: &Claim, error: &str, at: DateTime<Utc>) -> Result<Worked, Error> {
        let mut connection = self.pool.acquire().await?;
        if !store::step::postpone(&mut connection, claim, error, at).await? {
            return Ok(taken_over(claim));
        }
        Ok(Worked::Later {
            run: claim.run,
            seq: claim.seq,
            at,
            error: error.to_owned(),
        })
    }
}

/// Why an effect did not happen. The text has no secret in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub error: String,
    /// Whether trying again may help.
    pub again: bool,
    /// When the peer said to try again.
    pub after: Option<Duration>,
}

impl Failure {
    fn again(error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            again: true,
            after: None,
        }
    }

    fn for_good(error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            again: false,
            after: None,
        }
    }
}

impl From<outgoing::CallError> for Failure {
    fn from(error: outgoing::CallError) -> Self {
        Self::again(error.to_string())
    }
}

/// 1 s, 2 s, 4 s ... a minute.
fn backoff(attempt: u32) -> Duration {
    Duration::from_secs(1 << attempt.min(6)).min(Duration::from_secs(60))
}

fn did(claim: &Claim, state: StepState) -> Worked {
    Worked::Did {
        run: claim.run,
        seq: claim.seq,
        kind: claim.kind,
        state,
    }
}

fn taken_over(claim: &Claim) -> Worked {
    tracing::warn!(run.id = claim.run.0, step.seq = claim.seq, "step was taken over");
    Worked::TakenOver {
        run: claim.run,
        seq: claim.seq,
    }
}
