//! Records what evaluation decided.
//!
//! In: evaluations, and the caller's transaction. Out: the transitions that really happened. What an
//! evaluation saw is compared with what stands now, under a lock, so that two engines that decide the
//! same record it once, and a late decision records nothing.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;

use super::{excursion, lock, parse};
use crate::alert::{AlertId, AlertState, Burning, Evidence, Spending, Transition, Watched};
use crate::engine::EngineError;
use crate::evaluate::{Decision, Evaluation, OpenAlert};
use crate::event::{self, Event, EventKind};

mod json;

pub(crate) use json::{evidence_from_json, evidence_to_json};

/// What an evaluation changes in the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// The alert's state, or a new alert in that state.
    State(AlertState),
    /// Since when its condition has been gone; `None`: it is there again.
    Clear(Option<DateTime<Utc>>),
    Nothing,
}

fn change(evaluation: &Evaluation) -> Change {
    let state = evaluation.open.map(|open| open.state);
    let was_clearing = evaluation.open.is_some_and(|open| open.clear_since.is_some());
    match evaluation.decision {
        Decision::Fire if state != Some(AlertState::Firing) => Change::State(AlertState::Firing),
        Decision::Pend if state.is_none() => Change::State(AlertState::Pending),
        Decision::Fire | Decision::Pend if was_clearing => Change::Clear(None),
        // Nobody knows whether its condition was gone all the time.
        Decision::Freeze(_) | Decision::Quiet if was_clearing => Change::Clear(None),
        Decision::Clearing(since) if !was_clearing => Change::Clear(Some(since)),
        Decision::Resolve if state.is_some() => Change::State(AlertState::Resolved),
        _ => Change::Nothing,
    }
}

/// Whether the tier freezes (with why) or thaws.
fn freeze(evaluation: &Evaluation) -> Option<Option<String>> {
    match (evaluation.decision, evaluation.frozen_since) {
        (Decision::Freeze(why), None) => Some(Some(why.to_string())),
        (Decision::Freeze(_), Some(_)) | (_, None) => None,
        (_, Some(_)) => Some(None),
    }
}

/// The alert that stands, if a query's outer join found one.
pub(super) fn open_alert(
    id: Option<i64>,
    state: Option<&str>,
    clear_since: Option<DateTime<Utc>>,
) -> Result<Option<OpenAlert>, EngineError> {
    let (Some(id), Some(state)) = (id, state) else {
        return Ok(None);
    };
    Ok(Some(OpenAlert {
        id: AlertId(id),
        state: parse("alert.state", state)?,
        clear_since,
    }))
}

/// What stands now.
struct Standing {
    objective_id: i64,
    generation: i32,
    open: Option<OpenAlert>,
    traceparent: Option<String>,
}

pub(crate) async fn record(
    connection: &mut PgConnection,
    evaluations: &[Evaluation],
    traceparent: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Vec<Transition>, EngineError> {
    let changing: Vec<&Evaluation> = evaluations
        .iter()
        .filter(|evaluation| change(evaluation) != Change::Nothing || freeze(evaluation).is_some())
        .collect();
    if changing.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query!("select pg_advisory_xact_lock($1)", lock::ALERTS)
        .execute(&mut *connection)
        .await?;
    let mut standing = standing(connection, &changing).await?;
    let mut transitions = Vec::new();
    for evaluation in changing {
        let key = (evaluation.objective.to_string(), evaluation.tier.to_string());
        let Some(stands) = standing.remove(&key) else {
            continue;
        };
        if let Some(freeze) = freeze(evaluation) {
            record_freeze(connection, evaluation, &stands, freeze, now).await?;
        }
        if stands.open.map(|open| (open.id, open.state)) != evaluation.open.map(|open| (open.id, open.state))
        {
            tracing::debug!(
                objective.name = %evaluation.objective,
                alert.tier = %evaluation.tier,
                "another engine was faster"
            );
            continue;
        }
        match change(evaluation) {
            Change::Nothing => {}
            Change::Clear(since) => {
                let id = evaluation.open.map(|open| open.id.0);
                sqlx::query!(
                    "update alert set clear_since_at = $2 where alert_id = $1",
                    id,
                    since
                )
                .execute(&mut *connection)
                .await?;
            }
            Change::State(to) => {
                let transition = move_to(connection, evaluation, &stands, to, traceparent, now).await?;
                if to == AlertState::Resolved && matches!(transition.evidence, Evidence::Sequential(_)) {
                    // What was evidence for this alert is none for the next.
                    excursion::forget(connection, stands.objective_id).await?;
                }
                tell(connection, &transition).await?;
                transitions.push(transition);
            }
        }
    }
    Ok(transitions)
}

async fn standing(
    connection: &mut PgConnection,
    evaluations: &[&Evaluation],
) -> Result<HashMap<(String, String), Standing>, EngineError> {
    let objectives: Vec<&str> = evaluations.iter().map(|one| one.objective.as_str()).collect();
    let tiers: Vec<&str> = evaluations.iter().map(|one| one.tier.as_str()).collect();
    let rows = sqlx::query!(
        r#"select t.objective as "objective!", t.tier as "tier!", o.objective_id, o.generation,
                  a.alert_id as "alert_id?", a.state as "state?", a.clear_since_at, a.traceparent
           from unnest($1::text[], $2::text[]) as t (objective, tier)
           join objective o on o.name = t.objective
           left join alert a on a.objective_id = o.objective_id and a.tier = t.tier and a.state <> 'resolved'"#,
        &objectives as &[&str],
        &tiers as &[&str]
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let open = open_alert(row.alert_id, row.state.as_deref(), row.clear_since_at)?;
            let standing = Standing {
                objective_id: row.objective_id,
                generation: row.generation,
                open,
                traceparent: row.traceparent,
            };
            Ok(((row.objective, row.tier), standing))
        })
        .collect()
}

async fn record_freeze(
    connection: &mut PgConnection,
    evaluation: &Evaluation,
    stands: &Standing,
    why: Option<String>,
    now: DateTime<Utc>,
) -> Result<(), EngineError> {
    let (objective, tier) = (&evaluation.objective, &evaluation.tier);
    let (rows, kind, message) = if let Some(why) = &why {
        let done = sqlx::query!(
            "insert into tier_freeze (objective_id, tier, since_at, because) values ($1, $2, $3, $4)
             on conflict on constraint tier_freeze_pkey do nothing",
            stands.objective_id,
            tier.as_str(),
            now,
            why
        )
        .execute(&mut *connection)
        .await?;
        let message = format!("`{objective}` tier `{tier}` is frozen, neither firing nor resolving: {why}");
        (done.rows_affected(), EventKind::EvaluationFrozen, message)
    } else {
        let done = sqlx::query!(
            "delete from tier_freeze where objective_id = $1 and tier = $2",
            stands.objective_id,
            tier.as_str()
        )
        .execute(&mut *connection)
        .await?;
        let message = format!("`{objective}` tier `{tier}` is watched again");
        (done.rows_affected(), EventKind::EvaluationThawed, message)
    };
    if rows > 0 {
        let event = Event {
            at: now,
            kind,
            subject: objective.to_string(),
            message,
            data: json!({ "tier": tier.as_str() }),
            traceparent: None,
        };
        event::record(connection, &event).await?;
    }
    Ok(())
}

async fn move_to(
    connection: &mut PgConnection,
    evaluation: &Evaluation,
    stands: &Standing,
    to: AlertState,
    traceparent: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Transition, EngineError> {
    let evidence = evidence_to_json(&evaluation.evidence);
    let (alert_id, traceparent) = if let Some(open) = evaluation.open {
        sqlx::query!(
            "update alert
             set state = $2,
                 fired_at = case when $2 = 'firing' then $3 else fired_at end,
                 resolved_at = case when $2 = 'resolved' then $3 end,
                 clear_since_at = null,
                 evidence = $4,
                 fired_evidence = case when $2 = 'firing' then $4 else fired_evidence end
             where alert_id = $1",
            open.id.0,
            to.as_str(),
            now,
            evidence
        )
        .execute(&mut *connection)
        .await?;
        (open.id.0, stands.traceparent.clone())
    } else {
        let id = sqlx::query_scalar!(
            "insert into alert
                 (objective_id, generation, tier, severity, state, opened_at, fired_at, evidence, fired_evidence, traceparent)
             values ($1, $2, $3, $4, $5, $6, case when $5 = 'firing' then $6::timestamptz end, $7,
                     case when $5 = 'firing' then $7::jsonb end, $8)
             returning alert_id",
            stands.objective_id,
            stands.generation,
            evaluation.tier.as_str(),
            evaluation.severity.as_str(),
            to.as_str(),
            now,
            evidence,
            traceparent
        )
        .fetch_one(&mut *connection)
        .await?;
        (id, traceparent.map(str::to_owned))
    };
    Ok(Transition {
        alert_id: AlertId(alert_id),
        objective: evaluation.objective.clone(),
        service: evaluation.service.clone(),
        tier: evaluation.tier.clone(),
        severity: evaluation.severity,
        from: evaluation.open.map(|open| open.state),
        to,
        at: now,
        evidence: evaluation.evidence.clone(),
        traceparent,
    })
}

async fn tell(connection: &mut PgConnection, transition: &Transition) -> Result<(), EngineError> {
    let (kind, message) = match &transition.evidence {
        Evidence::Windows(burning) => {
            let rates = format!(
                "burn rate {} over the long window and {} over the short one, threshold {}",
                burning.burn_rate_long.round_dp(2).normalize(),
                burning.burn_rate_short.round_dp(2).normalize(),
                burning.threshold
            );
            of_burning(transition, burning, &rates)
        }
        Evidence::Sequential(burning) => {
            let rates = format!(
                "burn rate {} over {} s, looking for {}",
                burning.burn_rate_long.round_dp(2).normalize(),
                burning.long.length().num_seconds(),
                burning.threshold
            );
            of_burning(transition, burning, &rates)
        }
        Evidence::Coverage(watched) => of_outage(transition, watched),
        Evidence::Budget(spending) => of_budget(transition, spending),
    };
    event::record(connection, &event_of(transition, kind, message)).await?;
    Ok(())
}

fn of_burning(transition: &Transition, burning: &Burning, rates: &str) -> (EventKind, String) {
    let (objective, tier) = (&transition.objective, &transition.tier);
    let bad = burning.bad_of(&burning.long);
    match transition.to {
        AlertState::Pending => {
            let needed = match burning.bad_needed {
                Some(needed) if needed > burning.long.bad => {
                    format!("; {bad} bad, {} would be evidence", needed / burning.unit)
                }
                Some(_) => format!("; {bad} bad, it fires if that lasts"),
                None => format!("; {bad} bad"),
            };
            (
                EventKind::AlertPending,
                format!("`{objective}` may be burning (`{tier}`): {rates}{needed}"),
            )
        }
        AlertState::Firing => (
            EventKind::AlertFiring,
            format!("`{objective}` is burning (`{tier}`): {rates}; {bad} bad"),
        ),
        AlertState::Resolved => (
            EventKind::AlertResolved,
            format!("`{objective}` burns no longer (`{tier}`): {rates}"),
        ),
    }
}

fn of_outage(transition: &Transition, watched: &Watched) -> (EventKind, String) {
    let (kind, says) = match transition.to {
        AlertState::Pending => (EventKind::AlertPending, "lacks data"),
        AlertState::Firing => (
            EventKind::AlertFiring,
            "lacks data, nothing else of it resolves, and only a fast page fires",
        ),
        AlertState::Resolved => (EventKind::AlertResolved, "lacks data no longer"),
    };
    let (objective, tier) = (&transition.objective, &transition.tier);
    (kind, format!("`{objective}` {says} (`{tier}`): {watched}"))
}

fn of_budget(transition: &Transition, spending: &Spending) -> (EventKind, String) {
    let (objective, tier) = (&transition.objective, &transition.tier);
    let (bad, total) = (spending.window.bad, spending.window.total());
    match transition.to {
        AlertState::Pending => {
            let needed = spending.bad_needed.map_or_else(String::new, |needed| {
                format!("; {bad} bad of {total}, {needed} would be evidence")
            });
            (
                EventKind::AlertPending,
                format!("`{objective}` may be spending its budget (`{tier}`): {spending}{needed}"),
            )
        }
        AlertState::Firing => (
            EventKind::AlertFiring,
            format!("`{objective}` is spending its budget (`{tier}`): {spending}; {bad} bad of {total}"),
        ),
        AlertState::Resolved => (
            EventKind::AlertResolved,
            format!("`{objective}` (`{tier}`) {}", spending.over()),
        ),
    }
}

fn event_of(transition: &Transition, kind: EventKind, message: String) -> Event {
    Event {
        at: transition.at,
        kind,
        subject: transition.objective.to_string(),
        message,
        data: json!({
            "alert_id": transition.alert_id.0,
            "tier": transition.tier.as_str(),
            "severity": transition.severity.as_str(),
            "service": transition.service.as_str(),
            "from": transition.from.map(AlertState::as_str),
            "to": transition.to.as_str(),
        }),
        traceparent: transition.traceparent.clone(),
    }
}
