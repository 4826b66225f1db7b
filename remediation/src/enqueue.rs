//! Turns alert transitions into runs and notifications, in the transaction that records the alert.
//!
//! In: transitions, the playbook, the time. Out: rows, and nothing else: no effect happens here, so
//! a rolled back transaction leaves no trace. Guards refuse acting, never telling: whoever a runbook
//! pages is paged even when it must not act, and the page says so. Only shadow mode tells nobody.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde_json::json;
use slo_engine::alert::{AlertState, Evidence, Transition};
use slo_engine::event::EventKind;
use slo_engine::objective::Severity;
use sqlx::PgConnection;

use self::group::Whose;
use crate::acknowledge;
use crate::error::Error;
use crate::lifecycle;
use crate::notice::Notice;
use crate::outbox::{self, NoticeAction};
use crate::plan::{Refusal, guard};
use crate::run::{Mode, RunEvent, RunId, StepState};
use crate::runbook::{Action, Page, Playbook, Runbook};
use crate::store;
use crate::store::outbox::NewNotice;
use crate::store::run::{Before, Inserted, NewRun, Open};
use crate::store::step::NewStep;
use crate::trace;

mod group;

/// How long after everything should have ended a run still tries to undo what it did.
const SLACK: Duration = Duration::from_secs(600);

/// Writes runs, steps and notifications for alerts that fire, and resolves for alerts that end.
/// Returns the new runs, refused ones included. An alert that finds the runbook's run on its service
/// open joins it; people are told again only if they would not know otherwise.
///
/// # Errors
/// When the database fails: the caller's transaction must not be committed then.
pub async fn enqueue(
    connection: &mut PgConnection,
    transitions: &[Transition],
    playbook: &Playbook,
    now: DateTime<Utc>,
) -> Result<Vec<RunId>, Error> {
    let mut runs = Vec::new();
    for transition in transitions {
        match transition.to {
            AlertState::Pending => {}
            AlertState::Firing => {
                for runbook in &playbook.runbooks {
                    if runbook.on.matches(transition) {
                        runs.extend(fire(connection, transition, transitions, runbook, playbook, now).await?);
                    }
                }
            }
            AlertState::Resolved => resolve(connection, transition, now).await?,
        }
    }
    Ok(runs)
}

async fn fire(
    connection: &mut PgConnection,
    transition: &Transition,
    transitions: &[Transition],
    runbook: &Runbook,
    playbook: &Playbook,
    now: DateTime<Utc>,
) -> Result<Option<RunId>, Error> {
    let about = group::told_of(transition, transitions, runbook);
    let says = says(transition, &about);
    let (service, objective) = (transition.service.as_str(), transition.objective.as_str());
    store::run::lock_runbook(connection, &runbook.name).await?;
    let dedup_key = format!("{}/{}", runbook.name, group::key(transition));
    let is_outage = matches!(transition.evidence, Evidence::Coverage(_));
    if let Some(open) = store::run::open(connection, &dedup_key, is_outage).await? {
        let told = Told { says, about };
        join(connection, &open, transition, &told, runbook, playbook, now).await?;
        return Ok(None);
    }
    let incident_at = store::run::incident(connection, &runbook.name, objective, now).await?;
    let acts = acts(runbook);
    let refusal = match &transition.evidence {
        _ if !acts => None,
        Evidence::Coverage(_) => Some(Refusal::DataOutage),
        Evidence::Budget(_) => Some(Refusal::Budget),
        Evidence::Windows(_) | Evidence::Sequential(_) => {
            let input =
                store::run::guard_input(connection, &runbook.name, service, objective, incident_at, now)
                    .await?;
            guard(&runbook.guards, &input)
        }
    };
    let span = tracing::info_span!(
        "run",
        otel.name = format!("run {}", runbook.name),
        runbook.name = runbook.name,
        service.name = service,
        slo.name = objective,
        alert.id = transition.alert_id.0,
        run.mode = %runbook.mode,
        run.id = tracing::field::Empty,
        run.refusal = tracing::field::Empty,
    );
    trace::continue_from(&span, transition.traceparent.as_deref());
    let traceparent = trace::traceparent(&span, transition.traceparent.as_deref());
    let before = before(transition);
    let new = NewRun {
        runbook: &runbook.name,
        mode: runbook.mode,
        dedup_key: &dedup_key,
        alert_id: transition.alert_id.0,
        service,
        objective,
        tier: transition.tier.as_str(),
        severity: transition.severity.as_str(),
        acts,
        before: before.as_ref(),
        verify: &runbook.verify,
        floor_per_second: runbook.guards.floor_per_second,
        incident_at,
        traceparent: traceparent.as_deref(),
        deadline_at: acts.then(|| now + longest(runbook)),
    };
    // Nobody can have opened one since: the runbook is locked.
    let Some(Inserted { id, public_key }) = store::run::insert(connection, &new, now).await? else {
        return Ok(None);
    };
    span.record("run.id", id.0);
    if let Some(refusal) = &refusal {
        span.record("run.refusal", refusal.to_string());
    }
    store::run::join_alert(
        connection,
        id,
        transition.alert_id.0,
        transition.severity.as_str(),
    )
    .await?;
    let inserted = Inserted { id, public_key };
    write_steps(
        connection,
        &inserted,
        transition,
        &Told { says, about },
        runbook,
        playbook,
        refusal.as_ref(),
        traceparent.as_deref(),
        now,
    )
    .await?;

    acknowledge::again(connection, transition.alert_id).await?;
    let mut run = store::run::lock(connection, id).await?;
    run.reason = refusal.as_ref().map(ToString::to_string);
    if refusal.is_some() {
        lifecycle::advance(connection, &mut run, RunEvent::Refused, now).await?;
        return Ok(Some(id));
    }
    if acts {
        let until = now + runbook.guards.cooldown;
        store::run::cool_down(connection, &runbook.name, service, id, until).await?;
    }
    let message = format!(
        "run {id} of `{}` answers to `{objective}` of `{service}`",
        runbook.name
    );
    lifecycle::say(connection, &run, EventKind::RunQueued, message, now).await?;
    // Makes the first step due; a run that only pages is already done with its steps.
    lifecycle::after_step(connection, &mut run, now).await?;
    Ok(Some(id))
}

/// The run answers to this alert, too. Whoever was told that it is over, or that it is not urgent, is
/// told anew: nothing else of an open run would reach them.
async fn join(
    connection: &mut PgConnection,
    open: &Open,
    transition: &Transition,
    told: &Told<'_>,
    runbook: &Runbook,
    playbook: &Playbook,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let raised = transition.severity == Severity::Page && open.severity != Severity::Page;
    let severity = if raised {
        transition.severity
    } else {
        open.severity
    };
    store::run::join_alert(connection, open.id, transition.alert_id.0, severity.as_str()).await?;
    if runbook.mode == Mode::Shadow || !(raised || open.over) {
        return Ok(());
    }
    let mut dedup_key = dedup_key(&open.public_key);
    if raised {
        // An incident of its own: to repeat one that is open would not wake anybody.
        dedup_key = format!("{dedup_key}/{severity}");
    }
    let whose = group::whose(connection, &told.about).await?;
    let remark = acts(runbook).then(|| format!("no new action: run {} is still open", open.id));
    for (seq, action) in (1..).zip(&runbook.steps) {
        let Action::Page(page) = action else { continue };
        let Some(target) = playbook.target(&page.target) else {
            continue;
        };
        let notice = notice(
            open.id,
            transition,
            &told.says,
            &whose,
            runbook,
            page,
            remark.clone(),
        );
        let new = NewNotice {
            run: open.id,
            step_id: None,
            target: &target.name,
            sink: target.sink.kind(),
            action: NoticeAction::Trigger,
            idempotency_key: format!("run/{}/step/{seq}/trigger/{}", open.id, transition.alert_id),
            dedup_key: dedup_key.clone(),
            notice: &notice,
            deadline_at: now + outbox::DEADLINE,
            traceparent: transition.traceparent.as_deref(),
        };
        store::outbox::insert(connection, &new, now).await?;
    }
    acknowledge::again(connection, transition.alert_id).await
}

fn acts(runbook: &Runbook) -> bool {
    runbook.steps.iter().any(|step| lifecycle::acts(step.kind()))
}

/// What receivers join the notifications of a run by.
fn dedup_key(public_key: &str) -> String {
    format!("slowburn/{public_key}")
}

#[expect(
    clippy::too_many_arguments,
    reason = "everything that is known about a run to be"
)]
async fn write_steps(
    connection: &mut PgConnection,
    run: &Inserted,
    transition: &Transition,
    told: &Told<'_>,
    runbook: &Runbook,
    playbook: &Playbook,
    refusal: Option<&Refusal>,
    traceparent: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let refusal = refusal.map(|refusal| format!("no action: {refusal}"));
    let whose = group::whose(connection, &told.about).await?;
    for (seq, action) in (1..).zip(&runbook.steps) {
        let mut step = NewStep {
            run: run.id,
            seq,
            kind: action.kind(),
            spec: serde_json::to_value(action)?,
            state: StepState::Planned,
            intent: None,
            error: None,
            due_at: None,
            traceparent,
        };
        let Action::Page(page) = action else {
            if refusal.is_some() {
                step.state = StepState::Skipped;
                step.error = refusal.as_deref();
            }
            store::step::insert(connection, &step, now).await?;
            continue;
        };
        let notice = notice(
            run.id,
            transition,
            &told.says,
            &whose,
            runbook,
            page,
            refusal.clone(),
        );
        step.intent = Some(json!({ "target": page.target, "summary": notice.summary }));
        // A page leaves with the alert's own transaction, whatever its place among the steps.
        step.state = match (runbook.mode, playbook.target(&page.target)) {
            (Mode::Shadow, _) => StepState::Shadowed,
            (Mode::Active, Some(_)) => StepState::Applied,
            (Mode::Active, None) => {
                step.error = Some("target is not defined");
                StepState::Skipped
            }
        };
        let step_id = store::step::insert(connection, &step, now).await?;
        let (StepState::Applied, Some(target)) = (step.state, playbook.target(&page.target)) else {
            continue;
        };
        let new = NewNotice {
            run: run.id,
            step_id: Some(step_id),
            target: &target.name,
            sink: target.sink.kind(),
            action: NoticeAction::Trigger,
            idempotency_key: format!("run/{}/step/{seq}/trigger", run.id),
            dedup_key: dedup_key(&run.public_key),
            notice: &notice,
            deadline_at: now + outbox::DEADLINE,
            traceparent,
        };
        store::outbox::insert(connection, &new, now).await?;
    }
    Ok(())
}

async fn resolve(
    connection: &mut PgConnection,
    transition: &Transition,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    for id in store::run::resolve_alert(connection, transition.alert_id.0, now).await? {
        let told = store::outbox::told(connection, id).await?;
        for told in told.into_iter().filter(|told| !told.notice.is_end_untold) {
            let mut notice = told.notice;
            notice.at = now;
            notice.summary = match &transition.evidence {
                Evidence::Coverage(_) => match &notice.silent {
                    Some(host) => format!("`{host}` was silent: no objective lacks data for that any more"),
                    None => format!(
                        "`{}` of `{}` lacks data no longer",
                        notice.objective, notice.service
                    ),
                },
                Evidence::Budget(spending) => format!(
                    "`{}` of `{}` {}",
                    notice.objective,
                    notice.service,
                    spending.over()
                ),
                Evidence::Windows(_) | Evidence::Sequential(_) => {
                    format!("`{}` of `{}` recovered", notice.objective, notice.service)
                }
            };
            let burning = transition.evidence.burning();
            notice.burn_rate_long = burning.map(|burning| burning.burn_rate_long);
            notice.burn_rate_short = burning.map(|burning| burning.burn_rate_short);
            notice.good = transition.evidence.counts().good;
            notice.bad = transition.evidence.counts().bad;
            notice.remark = None;
            let new = NewNotice {
                run: id,
                step_id: None,
                target: &told.target,
                sink: told.sink,
                action: NoticeAction::Resolve,
                idempotency_key: format!(
                    "resolve/{}/{}/{}",
                    transition.alert_id, told.target, told.dedup_key
                ),
                dedup_key: told.dedup_key,
                notice: &notice,
                deadline_at: now + outbox::DEADLINE,
                traceparent: told.traceparent.as_deref(),
            };
            store::outbox::insert(connection, &new, now).await?;
        }
        let mut run = store::run::lock(connection, id).await?;
        lifecycle::alerts_resolved(connection, &mut run, now).await?;
    }
    Ok(())
}

/// What whoever is paged is told of a firing, and of which alerts.
struct Told<'a> {
    says: String,
    about: Vec<&'a Transition>,
}

/// One sentence on why it fires; of missing data, for all of its group that fire together.
fn says(transition: &Transition, about: &[&Transition]) -> String {
    let (objective, service) = (&transition.objective, &transition.service);
    match &transition.evidence {
        Evidence::Coverage(watched) => {
            let lacks = if about.len() > 1 {
                group::lacks_data(about)
            } else {
                format!(
                    "`{objective}` of `{service}` lacks data ({watched}): nothing else of it resolves, and only a fast page fires"
                )
            };
            match group::silent_host(transition) {
                Some(host) => format!("`{host}` is silent: {lacks}"),
                None => lacks,
            }
        }
        Evidence::Budget(spending) => format!("`{objective}` of `{service}`: {spending}"),
        Evidence::Windows(burning) | Evidence::Sequential(burning) => format!(
            "`{objective}` of `{service}` burns its error budget {} times too fast ({} bad)",
            burning.burn_rate_short.round_dp(1).normalize(),
            burning.bad_of(&burning.short),
        ),
    }
}

fn notice(
    run: RunId,
    transition: &Transition,
    says: &str,
    whose: &Whose,
    runbook: &Runbook,
    page: &Page,
    remark: Option<String>,
) -> Notice {
    let evidence = &transition.evidence;
    let burning = evidence.burning();
    Notice {
        summary: match &page.summary {
            Some(summary) => format!("{summary}: {says}"),
            None => says.to_owned(),
        },
        at: transition.at,
        run_id: run.0,
        alert_id: transition.alert_id.0,
        runbook: runbook.name.clone(),
        service: transition.service.to_string(),
        objective: transition.objective.to_string(),
        tier: transition.tier.to_string(),
        severity: transition.severity.to_string(),
        burn_rate_long: burning.map(|burning| burning.burn_rate_long),
        burn_rate_short: burning.map(|burning| burning.burn_rate_short),
        threshold: burning.map(|burning| burning.threshold.value()),
        good: evidence.counts().good,
        bad: evidence.counts().bad,
        silent: group::silent_host(transition).map(str::to_owned),
        owner: whose.owner.clone(),
        runbook_url: whose.runbook_url.clone(),
        remark,
        is_end_untold: page.is_end_untold,
    }
}

/// `None` when burn rates are not what the alert stands on.
fn before(transition: &Transition) -> Option<Before> {
    let burning = transition.evidence.burning()?;
    let budget =
        |ratio: Option<Decimal>, burn_rate: Decimal| ratio.and_then(|ratio| ratio.checked_div(burn_rate));
    Some(Before {
        burn_rate_long: burning.burn_rate_long,
        burn_rate_short: burning.burn_rate_short,
        threshold: burning.threshold.value(),
        good: burning.short.good,
        bad: burning.short.bad,
        budget: budget(burning.long.error_ratio(), burning.burn_rate_long)
            .or_else(|| budget(burning.short.error_ratio(), burning.burn_rate_short)),
    })
}

/// When everything that a run may do is over.
fn longest(runbook: &Runbook) -> Duration {
    let hold = runbook
        .steps
        .iter()
        .filter_map(|step| step.ttl().map(|ttl| ttl.saturating_mul(step.renewals_max() + 1)))
        .max()
        .unwrap_or_default();
    hold + runbook.verify.within + SLACK
}
