//! The end of what was done: renewed, released, or undone because it did not help.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use slo_engine::event::EventKind;

use super::effect::longest;
use super::{Failure, LEASE, Worked, Worker, backoff, did, taken_over};
use crate::error::Error;
use crate::lifecycle;
use crate::run::{Ending, RunEvent, RunState, StepEvent, StepKind, Verdict};
use crate::runbook::Action;
use crate::store;
use crate::store::run::RunRow;
use crate::store::step::{Claim, Outcome};

impl Worker {
    /// The time to live of a step ended. It begins again while the alert still fires, the step
    /// helped, and renewals are left; otherwise the step is undone.
    pub(super) async fn hold_ended(
        &self,
        claim: Claim,
        run: &RunRow,
        now: DateTime<Utc>,
    ) -> Result<Worked, Error> {
        let action: Action = serde_json::from_value(claim.spec.clone())?;
        let renews = run.state == RunState::Holding
            && run.verdict == Some(Verdict::Recovered)
            && run.alerts_resolved_at.is_none()
            && claim.renewals < action.renewals_max()
            // A renewal that keeps failing must end, too.
            && in_time(run, now);
        if let (true, Some(ttl)) = (renews, action.ttl()) {
            return self.renew(claim, &action, run, ttl, now).await;
        }
        let state = claim.state.next(StepEvent::Undo)?;
        let mut transaction = self.pool.begin().await?;
        let mut run = store::run::lock(&mut transaction, claim.run).await?;
        let outcome = Outcome {
            due_at: Some(now),
            ..Outcome::default()
        };
        if !store::step::conclude(&mut transaction, &claim, state, &outcome, now).await? {
            return Ok(taken_over(&claim));
        }
        if run.state == RunState::Applying {
            // A later step is still being tried: it must not act in a run that is ending.
            run.reason = Some(format!("{} ended before every step was done", claim.kind));
            lifecycle::undo(&mut transaction, &mut run, Ending::Expired, now).await?;
        } else if run.state != RunState::Releasing && !run.state.is_final() {
            let ending = run.verdict.map_or(Ending::Expired, Verdict::ending);
            lifecycle::advance(&mut transaction, &mut run, RunEvent::Undo(ending), now).await?;
        }
        transaction.commit().await?;
        Ok(did(&claim, state))
    }

    async fn renew(
        &self,
        claim: Claim,
        action: &Action,
        run: &RunRow,
        ttl: Duration,
        now: DateTime<Utc>,
    ) -> Result<Worked, Error> {
        let expires_at = now + ttl;
        if claim.kind == StepKind::XdpLimit {
            let mut transaction = self.pool.begin().await?;
            // Taken over by a person who clears limits: theirs is the last word.
            let locked = store::run::lock(&mut transaction, claim.run).await?;
            if locked.state != RunState::Holding {
                return Ok(taken_over(&claim));
            }
            self.want_limits(&mut transaction, &claim, run, expires_at, now)
                .await?;
            transaction.commit().await?;
            if let Err(failure) = self.effect(&claim, run, action, now).await {
                return self
                    .later(&claim, &failure.error, now + backoff(claim.attempt))
                    .await;
            }
        }
        let outcome = Outcome {
            due_at: Some(expires_at),
            expires_at: Some(expires_at),
            renewed: true,
            ..Outcome::default()
        };
        let mut transaction = self.pool.begin().await?;
        let run = store::run::lock(&mut transaction, claim.run).await?;
        if !store::step::conclude(&mut transaction, &claim, claim.state, &outcome, now).await? {
            return Ok(taken_over(&claim));
        }
        let until = expires_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let message = format!("run {} holds on until {until}: the alert still fires", run.id);
        lifecycle::say(&mut transaction, &run, EventKind::RunStep, message, now).await?;
        transaction.commit().await?;
        Ok(did(&claim, claim.state))
    }

    /// Undoes one step. Tried until the run's deadline; a limit ends by itself before that.
    pub(super) async fn release(
        &self,
        claim: Claim,
        run: &RunRow,
        now: DateTime<Utc>,
    ) -> Result<Worked, Error> {
        let began = Instant::now();
        let action: Action = serde_json::from_value(claim.spec.clone())?;
        let mut connection = self.pool.acquire().await?;
        let lease = LEASE + longest(&action);
        if !store::step::extend(&mut connection, &claim, lease, now).await? {
            return Ok(taken_over(&claim));
        }
        drop(connection);
        let undone = self.undo_effect(&claim, run, &action, now).await;
        let now = now + began.elapsed();
        let outcome = match undone {
            Ok(result) => Outcome {
                // What was done stays readable beside how it was undone.
                result: Some(serde_json::json!({ "undone": result })),
                ..Outcome::default()
            },
            Err(failure) => return self.release_failed(claim, run, failure, now).await,
        };
        let state = claim.state.next(StepEvent::Undone)?;
        let mut transaction = self.pool.begin().await?;
        let mut run = store::run::lock(&mut transaction, claim.run).await?;
        if !store::step::conclude(&mut transaction, &claim, state, &outcome, now).await? {
            return Ok(taken_over(&claim));
        }
        let kind = match claim.kind {
            StepKind::XdpLimit => EventKind::LimitReleased,
            _ => EventKind::RunStep,
        };
        let message = format!("run {} undid its {} on `{}`", run.id, claim.kind, run.service);
        lifecycle::say(&mut transaction, &run, kind, message, now).await?;
        lifecycle::settle(&mut transaction, &mut run, now).await?;
        transaction.commit().await?;
        Ok(did(&claim, state))
    }

    async fn release_failed(
        &self,
        claim: Claim,
        run: &RunRow,
        failure: Failure,
        now: DateTime<Utc>,
    ) -> Result<Worked, Error> {
        if failure.again && in_time(run, now) {
            let wait = failure.after.unwrap_or_else(|| backoff(claim.attempt));
            return self.later(&claim, &failure.error, now + wait).await;
        }
        let state = claim.state.next(StepEvent::GaveUp)?;
        let outcome = Outcome {
            error: Some(failure.error.clone()),
            ..Outcome::default()
        };
        let mut transaction = self.pool.begin().await?;
        let mut run = store::run::lock(&mut transaction, claim.run).await?;
        if !store::step::conclude(&mut transaction, &claim, state, &outcome, now).await? {
            return Ok(taken_over(&claim));
        }
        let remark = format!("{} could not be undone: {}", claim.kind, failure.error);
        tracing::error!(
            run.id = run.id.0,
            error = failure.error,
            "step could not be undone"
        );
        run.reason = Some(remark.clone());
        run.ending = Some(Ending::Failed);
        lifecycle::escalate(&mut transaction, &run, &remark, now).await?;
        lifecycle::settle(&mut transaction, &mut run, now).await?;
        transaction.commit().await?;
        Ok(did(&claim, state))
    }
}

/// Whether the run may still take its time.
fn in_time(run: &RunRow, now: DateTime<Utc>) -> bool {
    run.deadline_at.is_none_or(|deadline| now < deadline)
}
