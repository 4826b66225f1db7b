//! Moves runs along, inside transactions that hold the run's lock.
//!
//! Every move goes through [`RunState::next`](crate::run::RunState::next), is recorded as an event,
//! and leaves the steps in a state that the worker goes on from.

use chrono::{DateTime, Utc};
use serde_json::json;
use slo_engine::event::{self, Event, EventKind};
use sqlx::PgConnection;

use crate::error::Error;
use crate::outbox::{self, NoticeAction};
use crate::run::{Ending, Mode, RunEvent, RunState, StepEvent, StepKind, StepState, Verdict};
use crate::store::outbox::NewNotice;
use crate::store::run::RunRow;
use crate::store::step::{NewStep, Sibling};
use crate::store::{self};

/// Takes the event, writes the new state, says so.
pub(crate) async fn advance(
    connection: &mut PgConnection,
    run: &mut RunRow,
    event: RunEvent,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let before = run.state;
    run.state = run.state.next(event)?;
    match event {
        RunEvent::Undo(ending) => run.ending = Some(run.ending.unwrap_or(ending)),
        RunEvent::Verdict(verdict) => {
            run.verdict = Some(verdict);
            if verdict.ending() == Ending::Reverted {
                run.ending = Some(Ending::Reverted);
            }
        }
        RunEvent::Acted => run.acted_at = Some(now),
        _ => {}
    }
    store::run::update(connection, run, now).await?;
    if before != run.state {
        tracing::info!(run.id = run.id.0, run.state = %run.state, runbook = run.runbook, "run moved on");
        let (kind, message) = describe(run, event);
        say(connection, run, kind, message, now).await?;
    }
    Ok(())
}

fn describe(run: &RunRow, event: RunEvent) -> (EventKind, String) {
    let name = format!("run {} of `{}`", run.id, run.runbook);
    let because = run
        .reason
        .as_ref()
        .map(|reason| format!(": {reason}"))
        .unwrap_or_default();
    match (event, run.state) {
        (RunEvent::Verdict(verdict), _) => (EventKind::RunVerdict, format!("{name} found: {verdict}")),
        (_, state) if state.is_final() => (EventKind::RunFinished, format!("{name} is {state}{because}")),
        (RunEvent::Started, _) => (EventKind::RunStarted, format!("{name} began")),
        (_, RunState::Verifying) => (
            EventKind::RunStep,
            format!("{name} acted and watches what comes of it"),
        ),
        (_, RunState::Releasing) => (EventKind::RunStep, format!("{name} undoes what it did{because}")),
        (_, state) => (EventKind::RunStep, format!("{name} is {state}{because}")),
    }
}

/// Records an event about a run.
pub(crate) async fn say(
    connection: &mut PgConnection,
    run: &RunRow,
    kind: EventKind,
    message: String,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let event = Event {
        at: now,
        kind,
        subject: run.objective.clone(),
        message,
        data: json!({
            "run_id": run.id.0, "runbook": run.runbook, "service": run.service, "alert_id": run.alert_id,
            "state": run.state, "verdict": run.verdict, "mode": run.mode,
        }),
        traceparent: run.traceparent.clone(),
    };
    event::record(connection, &event).await?;
    Ok(())
}

/// After a step: the next one, or verifying, or the end.
pub(crate) async fn after_step(
    connection: &mut PgConnection,
    run: &mut RunRow,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let steps = store::step::siblings(connection, run.id).await?;
    if let Some(next) = steps.iter().find(|step| step.state == StepState::Planned) {
        return store::step::make_due(connection, next.step_id, now).await;
    }
    if run.mode == Mode::Shadow {
        return advance(connection, run, RunEvent::Shadowed, now).await;
    }
    let acted = steps
        .iter()
        .any(|step| acts(step.kind) && step.state == StepState::Applied);
    if !acted {
        advance(connection, run, RunEvent::NothingActed, now).await?;
        return settle(connection, run, now).await;
    }
    let seq = steps.iter().map(|step| step.seq).max().unwrap_or(0) + 1;
    let spec = serde_json::to_value(&run.verify)?;
    let verify = NewStep {
        run: run.id,
        seq,
        kind: StepKind::Verify,
        intent: Some(spec.clone()),
        spec,
        state: StepState::Applying,
        error: None,
        // What was in flight when the run acted still ends badly, so the first look is late.
        due_at: Some(now + run.verify.every * 2),
        traceparent: run.traceparent.as_deref(),
    };
    store::step::insert(connection, &verify, now).await?;
    advance(connection, run, RunEvent::Acted, now).await
}

pub(crate) fn acts(kind: StepKind) -> bool {
    matches!(kind, StepKind::XdpLimit | StepKind::Scale)
}

/// Undoes everything that was done or may have been, and skips the rest.
pub(crate) async fn undo(
    connection: &mut PgConnection,
    run: &mut RunRow,
    ending: Ending,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let reason = run.reason.clone();
    for step in store::step::siblings(connection, run.id).await? {
        let Some(event) = undoing(&step) else { continue };
        let state = step.state.next(event)?;
        let due_at = (state == StepState::Releasing).then_some(now);
        store::step::seize(connection, step.step_id, state, due_at, reason.as_deref(), now).await?;
    }
    if run.state == RunState::Planned {
        return advance(connection, run, RunEvent::NothingStands(ending), now).await;
    }
    // The verdict may have moved the run already.
    if run.state != RunState::Releasing {
        advance(connection, run, RunEvent::Undo(ending), now).await?;
    }
    settle(connection, run, now).await
}

fn undoing(step: &Sibling) -> Option<StepEvent> {
    use StepState::{Applied, Applying, Failed, Planned};
    match (step.kind, step.state) {
        (_, Planned) | (StepKind::Verify, Applying) => Some(StepEvent::NothingToDo),
        (kind, Applying | Applied | Failed) if acts(kind) && step.undoable => Some(StepEvent::Undo),
        (kind, Applying) if acts(kind) => Some(StepEvent::GaveUp),
        _ => None,
    }
}

/// Ends a run of which nothing stands any more.
pub(crate) async fn settle(
    connection: &mut PgConnection,
    run: &mut RunRow,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    if !matches!(run.state, RunState::Holding | RunState::Releasing) {
        return Ok(());
    }
    let steps = store::step::siblings(connection, run.id).await?;
    let stands = |step: &Sibling| {
        acts(step.kind)
            && (matches!(step.state, StepState::Applying | StepState::Releasing)
                || (step.state == StepState::Applied && step.due_at.is_some()))
    };
    if steps.iter().any(stands) {
        return Ok(());
    }
    let ending = match (run.ending, run.verdict) {
        (Some(ending), _) => ending,
        (None, Some(verdict)) => verdict.ending(),
        // Nothing was done, so only the alert's end ends the run.
        (None, None) if run.alerts_resolved_at.is_some() => Ending::Done,
        (None, None) => return Ok(()),
    };
    advance(connection, run, RunEvent::NothingStands(ending), now).await
}

/// The last alert that the run answers to is over.
pub(crate) async fn alerts_resolved(
    connection: &mut PgConnection,
    run: &mut RunRow,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    match run.state {
        RunState::Planned => {
            run.reason = Some("the alert was over before anything was done".to_owned());
            undo(connection, run, Ending::Cancelled, now).await
        }
        RunState::Holding => settle(connection, run, now).await,
        _ => Ok(()),
    }
}

/// Tells those who were told about the alert that acting did not end it. Nobody is woken for an
/// alert that is over.
pub(crate) async fn escalate(
    connection: &mut PgConnection,
    run: &RunRow,
    remark: &str,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    if run.alerts_resolved_at.is_some() || run.mode == Mode::Shadow {
        return Ok(());
    }
    let told = store::outbox::told(connection, run.id).await?;
    if told.is_empty() {
        tracing::warn!(
            run.id = run.id.0,
            remark,
            "nobody is told that a run did not help"
        );
    }
    for told in told {
        let mut notice = told.notice;
        notice.at = now;
        notice.summary = format!("`{}` still burns on `{}`: {remark}", run.objective, run.service);
        notice.remark = Some(remark.to_owned());
        let new = NewNotice {
            run: run.id,
            step_id: None,
            target: &told.target,
            sink: told.sink,
            action: NoticeAction::Escalate,
            idempotency_key: format!("run/{}/escalate/{}", run.id, told.target),
            // An incident of its own: a repeated one would not wake anybody again.
            dedup_key: format!("{}/escalation", told.dedup_key),
            notice: &notice,
            deadline_at: now + outbox::DEADLINE,
            traceparent: run.traceparent.as_deref(),
        };
        store::outbox::insert(connection, &new, now).await?;
    }
    Ok(())
}

/// The remark on a verdict that must reach a person.
pub(crate) fn remark(run: &RunRow, verdict: Verdict) -> String {
    match verdict {
        Verdict::NoEffect => format!("runbook `{}` had no effect and is undone", run.runbook),
        Verdict::Worse => format!("runbook `{}` made it worse and is undone", run.runbook),
        Verdict::Unknown => format!(
            "runbook `{}` acted, but too little was measured to say whether it helped",
            run.runbook
        ),
        Verdict::Recovered => format!("runbook `{}` helped", run.runbook),
    }
}
