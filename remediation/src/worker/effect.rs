//! What each kind of step means to do, does, and undoes.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use slo_engine::event::EventKind;

use super::{Failure, Worker, command, kubernetes};
use crate::error::Error;
use crate::run::StepEvent;
use crate::runbook::{Action, Scale, ScaleBy};
use crate::store::run::RunRow;
use crate::store::step::Claim;

/// What is about to be done.
pub(super) enum Prepared {
    Intent { intent: Value, inverse: Option<Value> },
    Nothing { reason: String, again: bool },
    Failed(Failure),
}

/// How long an effect may take.
pub(super) fn longest(action: &Action) -> Duration {
    match action {
        Action::XdpLimit(_) | Action::Page(_) => Duration::ZERO,
        Action::Scale(scale) => match &scale.by {
            ScaleBy::Command { timeout, .. } => *timeout,
            ScaleBy::Kubernetes(_) => kubernetes::LONGEST,
        },
    }
}

/// What was done.
pub(super) struct Done {
    pub event: StepEvent,
    pub result: Value,
    pub expires_at: Option<DateTime<Utc>>,
    pub said: EventKind,
    pub message: String,
}

impl Worker {
    /// Reads what must be known to decide, and decides. Changes nothing anywhere.
    pub(super) async fn prepare(
        &self,
        claim: &Claim,
        run: &RunRow,
        action: &Action,
        now: DateTime<Utc>,
    ) -> Result<Prepared, Error> {
        if run.alerts_resolved_at.is_some() {
            let reason = "the alert is over".to_owned();
            return Ok(Prepared::Nothing { reason, again: false });
        }
        match action {
            Action::XdpLimit(limit) => self.prepare_limit(limit, run).await,
            Action::Page(_) => Ok(Prepared::Nothing {
                reason: "pages leave with their alert".to_owned(),
                again: false,
            }),
            Action::Scale(scale) => match &scale.by {
                ScaleBy::Command { command, undo, .. } => Ok(Prepared::Intent {
                    intent: json!({ "command": command }),
                    inverse: undo.as_ref().map(|undo| json!({ "command": undo })),
                }),
                ScaleBy::Kubernetes(wanted) => {
                    let current =
                        kubernetes::current(&self.http, wanted, claim.traceparent.as_deref(), now).await;
                    Ok(match current {
                        Ok(from) => kubernetes::plan(wanted, from),
                        Err(failure) => Prepared::Failed(failure),
                    })
                }
            },
        }
    }

    /// Does what the claim's intent says, again if need be.
    pub(super) async fn effect(
        &self,
        claim: &Claim,
        run: &RunRow,
        action: &Action,
        now: DateTime<Utc>,
    ) -> Result<Done, Failure> {
        match action {
            Action::XdpLimit(_) => self.effect_limit(claim, run, now).await,
            Action::Page(_) => Err(Failure::for_good("pages leave with their alert")),
            Action::Scale(scale) => {
                let intent = claim.intent.clone().unwrap_or_default();
                let result = self
                    .scale(scale, &intent, claim, run, now, command::Purpose::Apply)
                    .await?;
                Ok(Done {
                    event: StepEvent::Effected,
                    result,
                    expires_at: scale.ttl.map(|ttl| now + ttl),
                    said: EventKind::RunStep,
                    message: format!("run {} scaled `{}`", run.id, run.service),
                })
            }
        }
    }

    /// Undoes a step as its stored inverse says.
    pub(super) async fn undo_effect(
        &self,
        claim: &Claim,
        run: &RunRow,
        action: &Action,
        now: DateTime<Utc>,
    ) -> Result<Value, Failure> {
        match (action, &claim.inverse) {
            (Action::XdpLimit(_), _) => self.release_limits(claim, run, now).await,
            (Action::Scale(scale), Some(inverse)) => {
                let inverse = inverse.clone();
                self.scale(scale, &inverse, claim, run, now, command::Purpose::Undo)
                    .await
            }
            _ => Ok(json!({ "undone": "nothing to undo" })),
        }
    }

    async fn scale(
        &self,
        scale: &Scale,
        order: &Value,
        claim: &Claim,
        run: &RunRow,
        now: DateTime<Utc>,
        purpose: command::Purpose,
    ) -> Result<Value, Failure> {
        match &scale.by {
            ScaleBy::Command { timeout, .. } => {
                let words: Vec<String> = serde_json::from_value(order["command"].clone())
                    .map_err(|_| Failure::for_good("stored command cannot be read"))?;
                command::execute(&words, *timeout, &self.path, claim, run, purpose).await
            }
            ScaleBy::Kubernetes(wanted) => {
                let order = serde_json::from_value(order.clone())
                    .map_err(|_| Failure::for_good("stored replicas cannot be read"))?;
                let parent = claim.traceparent.as_deref();
                kubernetes::scale(&self.http, wanted, &order, purpose, parent, now).await
            }
        }
    }
}
