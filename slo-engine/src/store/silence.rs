//! Keeps silences, and holds back what nobody wants to be told.
//!
//! In: what somebody asks for; the transitions that one evaluation recorded. Out: the transitions that anything may be
//! done about: those of silenced alerts that fire are left out, and added when nothing silences them any more. So are
//! tickets that a page of a dependency inhibits.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;

use super::alert::evidence_from_json;
use super::{dependency, lock, micros, parse};
use crate::alert::{AlertId, AlertState, Transition};
use crate::engine::{Engine, EngineError};
use crate::event::{self, Event, EventKind};
use crate::partly::{self, Partly};
use crate::read;
use crate::silence::{Labels, Matcher, NewSilence, SILENCES_MAX, Silence, SilenceError, SilenceId};
use crate::text;

pub(crate) async fn create(
    engine: &Engine,
    new: &NewSilence,
    now: DateTime<Utc>,
) -> Result<SilenceId, SilenceError> {
    new.check(now)?;
    let matchers: Vec<String> = new.matchers.iter().map(Matcher::to_string).collect();
    let (author, comment) = (new.author.trim(), new.comment.trim());
    let mut transaction = engine.pool().begin().await?;
    // One at a time, so that the limit holds; and no alert fires past a silence that is being made.
    lock_alerts(&mut transaction).await?;
    let standing = sqlx::query_scalar!(
        r#"select count(*) as "count!" from silence where ended_at is null and ends_at > $1"#,
        now
    )
    .fetch_one(&mut *transaction)
    .await?;
    if standing >= SILENCES_MAX {
        return Err(SilenceError::Full);
    }
    let id = sqlx::query_scalar!(
        "insert into silence (matchers, starts_at, ends_at, author, comment, created_at)
         values ($1, $2, $3, $4, $5, $6)
         returning silence_id",
        &matchers,
        micros(new.starts_at),
        micros(new.ends_at),
        author,
        comment,
        now
    )
    .fetch_one(&mut *transaction)
    .await?;
    let event = Event {
        at: now,
        kind: EventKind::SilenceMade,
        subject: format!("silence {id}"),
        message: format!(
            "{author} silences {} until {}: {comment}",
            matchers.join(" and "),
            new.ends_at.format("%F %R UTC")
        ),
        data: json!({ "silence": id, "matchers": matchers, "starts_at": new.starts_at, "ends_at": new.ends_at }),
        traceparent: None,
    };
    event::record(&mut transaction, &event).await?;
    transaction.commit().await?;
    Ok(SilenceId(id))
}

/// Ends it now, or before it begins.
pub(crate) async fn end(
    engine: &Engine,
    id: SilenceId,
    by: &str,
    now: DateTime<Utc>,
) -> Result<(), SilenceError> {
    text::check("author", by, 1, 100)?;
    let by = by.trim();
    let mut transaction = engine.pool().begin().await?;
    let standing = sqlx::query_scalar!(
        r#"select ended_at is null and ends_at > $2 as "standing!" from silence where silence_id = $1 for update"#,
        id.0,
        now
    )
    .fetch_optional(&mut *transaction)
    .await?
    .ok_or(SilenceError::Unknown(id))?;
    if !standing {
        return Err(SilenceError::Ended(id));
    }
    sqlx::query!(
        "update silence set ended_at = $2, ended_by = $3 where silence_id = $1",
        id.0,
        now,
        by
    )
    .execute(&mut *transaction)
    .await?;
    let event = Event {
        at: now,
        kind: EventKind::SilenceEnded,
        subject: format!("silence {}", id.0),
        message: format!("{by} ends silence {}", id.0),
        data: json!({ "silence": id.0 }),
        traceparent: None,
    };
    event::record(&mut transaction, &event).await?;
    transaction.commit().await?;
    Ok(())
}

async fn lock_alerts(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_advisory_xact_lock($1)", lock::ALERTS)
        .execute(connection)
        .await?;
    Ok(())
}

/// A firing alert, and what stands of it.
#[derive(Debug)]
struct Firing {
    transition: Transition,
    silenced_by: Option<i64>,
    inhibited_by: Option<AlertId>,
    is_held_back: bool,
}

/// Leaves out of `transitions` what is silenced or inhibited now, and adds the alerts that no longer are. A silence that cannot
/// be read silences nothing, and what fires is told whether or not its alert can be read: better twice than never.
pub(crate) async fn hold_back(
    connection: &mut PgConnection,
    mut transitions: Vec<Transition>,
    now: DateTime<Utc>,
) -> Result<Vec<Transition>, Partly<Transition>> {
    let is_calm = sqlx::query_scalar!(
        r#"select not exists (select from silence where ended_at is null and starts_at <= $1 and ends_at > $1)
              and not exists (
                  select from alert where state = 'firing' and (silenced_by is not null or inhibited_by is not null)
              )
              and (
                  not exists (select from service_dependency)
                  or not exists (
                      select from alert
                      where state in ('pending', 'firing') and severity = 'page'
                        and coalesce(evidence ->> 'test', 'windows') in ('windows', 'sequential')
                  )
              ) as "is_calm!""#,
        now
    )
    .fetch_one(&mut *connection)
    .await?;
    if is_calm {
        return Ok(transitions);
    }
    lock_alerts(connection).await?;
    let (silences, unread) = Partly::apart(read::active_silences(connection, now).await)?;
    let inhibitors = dependency::inhibitors(connection, now).await?;
    let fires: HashSet<AlertId> = transitions
        .iter()
        .filter(|one| one.to == AlertState::Firing)
        .map(|one| one.alert_id)
        .collect();
    let mut held = HashSet::new();
    let (firing, left_out) = Partly::apart(firing(connection, now).await)?;
    for alert in firing {
        let transition = alert.transition;
        let labels = Labels {
            service: transition.service.as_str(),
            objective: transition.objective.as_str(),
            tier: transition.tier.as_str(),
            severity: transition.severity.as_str(),
        };
        let silence = silences.iter().find(|silence| silence.is_about(&labels));
        let id = transition.alert_id;
        let inhibitor = inhibitors.get(&id).copied();
        let is_new = fires.contains(&id);
        let is_quiet = silence.is_some() || inhibitor.is_some();
        if is_quiet && is_new {
            held.insert(id);
        }
        let (is_silenced_anew, is_inhibited_anew) = (
            silence.map(|silence| silence.id.0) != alert.silenced_by,
            inhibitor != alert.inhibited_by,
        );
        if is_silenced_anew || is_inhibited_anew {
            let is_held_back = is_quiet && (is_new || alert.is_held_back);
            sqlx::query!(
                "update alert set silenced_by = $2, inhibited_by = $3, is_held_back = $4 where alert_id = $1",
                id.0,
                silence.map(|silence| silence.id.0),
                inhibitor.map(|id| id.0),
                is_held_back
            )
            .execute(&mut *connection)
            .await?;
        }
        if is_silenced_anew {
            tell(connection, &transition, silence, alert.silenced_by.is_some(), now).await?;
        }
        if inhibitor.is_some() != alert.inhibited_by.is_some() {
            tell_inhibited(connection, &transition, inhibitor, now).await?;
        }
        if !is_quiet && alert.is_held_back {
            transitions.push(transition);
        }
    }
    transitions.retain(|one| one.to != AlertState::Firing || !held.contains(&one.alert_id));
    Partly::of(transitions, partly::both(unread, left_out))
}

/// Every alert that fires, as a transition that changes nothing.
async fn firing(connection: &mut PgConnection, now: DateTime<Utc>) -> Result<Vec<Firing>, Partly<Firing>> {
    let rows = sqlx::query!(
        "select a.alert_id, o.name as objective, s.name as service, a.tier, a.severity, a.evidence, a.traceparent,
                a.silenced_by, a.inhibited_by, a.is_held_back
         from alert a
         join objective o using (objective_id)
         join objective_generation g on g.objective_id = a.objective_id and g.generation = a.generation
         join service s using (service_id)
         where a.state = 'firing'
         order by a.alert_id"
    )
    .fetch_all(connection)
    .await?;
    partly::read(
        &rows,
        |row| row.objective.clone(),
        |row| {
            Ok(Firing {
                transition: Transition {
                    alert_id: AlertId(row.alert_id),
                    objective: parse("objective.name", &row.objective)?,
                    service: parse("service.name", &row.service)?,
                    tier: parse("alert.tier", &row.tier)?,
                    severity: parse("alert.severity", &row.severity)?,
                    from: Some(AlertState::Firing),
                    to: AlertState::Firing,
                    at: now,
                    evidence: evidence_from_json(row.evidence.clone())?,
                    traceparent: row.traceparent.clone(),
                },
                silenced_by: row.silenced_by,
                inhibited_by: row.inhibited_by.map(AlertId),
                is_held_back: row.is_held_back,
            })
        },
    )
}

/// One silence after another is no news.
async fn tell(
    connection: &mut PgConnection,
    alert: &Transition,
    silence: Option<&Silence>,
    was_silenced: bool,
    now: DateTime<Utc>,
) -> Result<(), EngineError> {
    let (objective, tier) = (&alert.objective, &alert.tier);
    let (kind, message) = match silence {
        Some(_) if was_silenced => return Ok(()),
        Some(silence) => (
            EventKind::AlertSilenced,
            format!(
                "`{objective}` (`{tier}`) is silenced by {}: {}",
                silence.author, silence.comment
            ),
        ),
        None => (
            EventKind::AlertUnsilenced,
            format!("`{objective}` (`{tier}`) is silenced no longer, and still fires"),
        ),
    };
    let event = Event {
        at: now,
        kind,
        subject: objective.to_string(),
        message,
        data: json!({
            "alert_id": alert.alert_id.0,
            "tier": tier.as_str(),
            "silence": silence.map(|silence| silence.id.0),
        }),
        traceparent: alert.traceparent.clone(),
    };
    event::record(connection, &event).await?;
    Ok(())
}

async fn tell_inhibited(
    connection: &mut PgConnection,
    alert: &Transition,
    inhibitor: Option<AlertId>,
    now: DateTime<Utc>,
) -> Result<(), EngineError> {
    let (objective, tier) = (&alert.objective, &alert.tier);
    let (kind, message) = match inhibitor {
        Some(page) => (
            EventKind::AlertInhibited,
            format!("`{objective}` (`{tier}`) is inhibited by alert {page}, a page of what it depends on"),
        ),
        None => (
            EventKind::AlertUninhibited,
            format!("`{objective}` (`{tier}`) is inhibited no longer, and still fires"),
        ),
    };
    let event = Event {
        at: now,
        kind,
        subject: objective.to_string(),
        message,
        data: json!({
            "alert_id": alert.alert_id.0,
            "tier": tier.as_str(),
            "inhibited_by": inhibitor.map(|id| id.0),
        }),
        traceparent: alert.traceparent.clone(),
    };
    event::record(connection, &event).await?;
    Ok(())
}
