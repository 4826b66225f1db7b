//! Makes definitions true: dated, and without touching a count.
//!
//! In: what the files say now. Out: rows of `objective` and what hangs on it. A new SLI is a new
//! generation; another target, period, text or tier is a dated definition of the same one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgConnection;

use super::calendar::{check_zones, step};
use super::series::{map_series, services};
use super::{
    backfill, budget_alert, composite, correction, data_outage, dependency, excursion, interval, lock, micros,
};
use crate::budgeting::Budgeting;
use crate::definitions::Definitions;
use crate::engine::{EngineError, TakenUp};
use crate::event::{self, Event, EventKind};
use crate::measurement::{Role, Series};
use crate::objective::Objective;
use crate::ownership::Ownership;
use crate::sequential::{FAST_PAGE, Sequential};
use crate::settings::Settings;

mod withdraw;

use withdraw::withdraw;

/// What stands for a name.
struct Standing {
    objective_id: i64,
    generation: i32,
    withdrawn: bool,
    defined_at: DateTime<Utc>,
    /// Service and SLI: another text is another generation.
    counts: String,
    /// Everything else: another text is another definition.
    asks: String,
}

pub(crate) async fn apply(
    connection: &mut PgConnection,
    settings: &Settings,
    definitions: &Definitions,
    now: DateTime<Utc>,
) -> Result<TakenUp, EngineError> {
    sqlx::query!("select pg_advisory_xact_lock($1)", lock::DEFINITIONS)
        .execute(&mut *connection)
        .await?;
    // No transition is recorded meanwhile: both move what is frozen.
    sqlx::query!("select pg_advisory_xact_lock($1)", lock::ALERTS)
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "update engine_state set slot = $1, patience = $2 where (slot, patience) is distinct from ($1, $2)",
        interval(settings.slot),
        interval(settings.patience)
    )
    .execute(&mut *connection)
    .await?;
    check_zones(connection, definitions).await?;
    let now = micros(now);
    let names: BTreeSet<_> = definitions
        .services
        .iter()
        .map(|service| &service.name)
        .chain(definitions.objectives.iter().map(|objective| &objective.service))
        .chain(definitions.dependencies.keys())
        .chain(definitions.dependencies.values().flatten())
        .collect();
    let service_ids = services(connection, &names, now).await?;
    dependency::keep(connection, &definitions.dependencies, &service_ids).await?;
    let mut standing = standing(connection).await?;
    let mut taken_up = TakenUp::default();
    let mut new = Vec::new();
    for objective in &definitions.objectives {
        let service_id = service_ids
            .get(&objective.service)
            .copied()
            .ok_or_else(|| EngineError::UnknownService(objective.service.clone()))?;
        let before = standing.remove(objective.name.as_str());
        if before.is_none() {
            new.push(&objective.name);
        }
        let is_new = before.as_ref().is_none_or(|before| before.withdrawn);
        let is_another = define(connection, settings, objective, service_id, before, now).await?;
        taken_up.new += u64::from(is_new);
        taken_up.changed += u64::from(is_another && !is_new);
    }
    for (name, gone) in standing {
        if !gone.withdrawn {
            withdraw(connection, &name, &gone, &new, now).await?;
            taken_up.withdrawn += 1;
        }
    }
    correction::defined::keep(connection, &definitions.corrections, now).await?;
    if taken_up != TakenUp::default() {
        sqlx::query!("update engine_state set definition_version = definition_version + 1")
            .execute(connection)
            .await?;
    }
    Ok(taken_up)
}

fn counts_text(service: &str, sli: &str, method: &str, slices: [Option<String>; 2], parts: &str) -> String {
    let mut text = format!("{service} {sli}");
    // Requests are counted unless something is said, as before there was anything else.
    if method != Budgeting::Occurrences.method() {
        let [slice, target] = slices.map(Option::unwrap_or_default);
        text.push_str(&format!(" {method} {slice} {target}"));
    }
    if !parts.is_empty() {
        text.push_str(&format!(" of {parts}"));
    }
    text
}

/// What an objective asks, in one text that changes when and only when the definition does.
fn asks_text(objective: &Objective) -> String {
    let mut lines = vec![
        objective.display_name.clone(),
        objective.description.clone(),
        objective.target.to_string(),
        objective.period.as_micros().to_string(),
    ];
    for tier in &objective.tiers {
        lines.push(format!(
            "{} {} {} {} {} {}{}",
            tier.name,
            tier.severity,
            tier.long.as_micros(),
            tier.short.as_micros(),
            tier.burn_rate,
            tier.budget_share
                .map(|share| share.normalize().to_string())
                .unwrap_or_default(),
            // Nothing where it does not wait, as before a tier could.
            Some(tier.after.as_micros())
                .filter(|micros| *micros > 0)
                .map(|micros| format!(" after {micros}"))
                .unwrap_or_default()
        ));
    }
    if let Some(calendar) = &objective.calendar {
        lines.push(format!(
            "calendar {} {} {}",
            calendar.starts, calendar.zone, calendar.every
        ));
    }
    if let Some(page) = &objective.fast_page {
        lines.push(format!(
            "{FAST_PAGE} {} {} {}",
            page.burn_rate, page.false_pages_a_year, page.rate_min
        ));
    }
    lines.extend(objective.missing_data.iter().map(ToString::to_string));
    let Ownership { owner, runbook_url } = &objective.ownership;
    lines.extend(owner.iter().map(|owner| format!("owner {owner}")));
    lines.extend(runbook_url.iter().map(|url| format!("runbook {url}")));
    lines.extend(objective.evidence.iter().map(|gate| format!("evidence {gate}")));
    lines.extend(objective.budget_alerts.iter().map(ToString::to_string));
    lines.join("\u{1f}")
}

async fn standing(connection: &mut PgConnection) -> Result<BTreeMap<String, Standing>, EngineError> {
    let rows = sqlx::query!(
        r#"select o.name, o.objective_id, o.generation, o.withdrawn_at, o.defined_at,
                  s.name as service, g.sli, g.method, g.slice, g.slice_target, d.fingerprint,
                  (select string_agg(p.part_id || '/' || p.part_generation, ',' order by p.position)
                   from objective_part p
                   where p.objective_id = o.objective_id and p.generation = o.generation) as parts
           from objective o
           join objective_generation g using (objective_id, generation)
           join service s using (service_id)
           join objective_definition d on d.objective_id = o.objective_id and d.from_at = o.defined_at"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let standing = Standing {
                objective_id: row.objective_id,
                generation: row.generation,
                withdrawn: row.withdrawn_at.is_some(),
                defined_at: row.defined_at,
                counts: counts_text(
                    &row.service,
                    &row.sli,
                    &row.method,
                    [
                        row.slice.map(|slice| slice.microseconds.to_string()),
                        row.slice_target.map(|target| target.normalize().to_string()),
                    ],
                    &row.parts.unwrap_or_default(),
                ),
                asks: row.fingerprint,
            };
            (row.name, standing)
        })
        .collect())
}

async fn define(
    connection: &mut PgConnection,
    settings: &Settings,
    objective: &Objective,
    service_id: i64,
    before: Option<Standing>,
    now: DateTime<Utc>,
) -> Result<bool, EngineError> {
    let asks = asks_text(objective);
    let counts = counts_text(
        objective.service.as_str(),
        &objective.sli.to_string(),
        objective.method(),
        [
            objective.slice().map(|slice| slice.as_micros().to_string()),
            objective
                .budgeting
                .slice_target()
                .map(|target| target.normalize().to_string()),
        ],
        &composite::parts_text(connection, objective).await?,
    );
    let (objective_id, generation, from_at, change) = match before {
        None => {
            let id = sqlx::query_scalar!(
                "insert into objective (name, created_at, defined_at, generation) values ($1, $2, $2, 1)
                 returning objective_id",
                objective.name.as_str(),
                now
            )
            .fetch_one(&mut *connection)
            .await?;
            (id, 1, now, "is kept from now on")
        }
        Some(before) if before.withdrawn || before.counts != counts => {
            let from_at = now.max(before.defined_at + TimeDelta::microseconds(1));
            let change = if before.withdrawn {
                "is kept again"
            } else {
                "counts other events"
            };
            (before.objective_id, before.generation + 1, from_at, change)
        }
        Some(before) if before.asks != asks => {
            let from_at = now.max(before.defined_at + TimeDelta::microseconds(1));
            (
                before.objective_id,
                before.generation,
                from_at,
                "has another definition",
            )
        }
        Some(_) => return Ok(false),
    };
    let mut message = format!("objective `{}` {change}", objective.name);
    let is_new_generation = sqlx::query_scalar!(
        r#"select not exists (
               select from objective_generation where objective_id = $1 and generation = $2
           ) as "new!""#,
        objective_id,
        generation
    )
    .fetch_one(&mut *connection)
    .await?;
    if is_new_generation {
        // A first generation has nobody to take events from, so it may begin as early as a source's
        // clock may be behind ours.
        let started_at = if generation == 1 {
            now - TimeDelta::from_std(settings.offset_max).unwrap_or_default()
        } else {
            now
        };
        begin_generation(
            connection,
            objective,
            objective_id,
            generation,
            service_id,
            started_at,
        )
        .await?;
        match backfill::begin(connection, settings, (objective_id, generation), now).await? {
            Some(from) => message.push_str(&format!(
                ": its budget is counted back from what was measured, to {}",
                backfill::moment(from)
            )),
            None if generation > 1 => message.push_str(": its budget starts anew"),
            None => {}
        }
    }
    store_definition(connection, objective, objective_id, generation, from_at, &asks).await?;
    let event = Event {
        at: now,
        kind: EventKind::DefinitionChanged,
        subject: objective.name.to_string(),
        message,
        data: json!({
            "generation": generation,
            "target": objective.target.to_string(),
            "sli": objective.sli.to_string(),
        }),
        traceparent: None,
    };
    event::record(connection, &event).await?;
    Ok(true)
}

async fn begin_generation(
    connection: &mut PgConnection,
    objective: &Objective,
    objective_id: i64,
    generation: i32,
    service_id: i64,
    started_at: DateTime<Utc>,
) -> Result<(), EngineError> {
    sqlx::query!(
        "update objective_generation set ended_at = $2 where objective_id = $1 and ended_at is null",
        objective_id,
        started_at
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "insert into objective_generation
             (objective_id, generation, service_id, role, sli, started_at, method, slice, slice_target)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        objective_id,
        generation,
        service_id,
        objective.sli.role.as_str(),
        objective.sli.to_string(),
        started_at,
        objective.method(),
        objective.slice().map(interval),
        objective.budgeting.slice_target()
    )
    .execute(&mut *connection)
    .await?;
    composite::store(connection, objective, objective_id, generation).await?;
    excursion::forget(connection, objective_id).await?;
    let mut mapping = Vec::new();
    for (series_id, series) in series_of(connection, service_id, objective).await? {
        if let Some(side) = objective.sli.side(&series) {
            mapping.push((objective_id, generation, series_id, side));
        }
    }
    map_series(connection, &mapping).await
}

/// The service's series that exist already. One whose signal or route no longer reads counts for no
/// new objective.
async fn series_of(
    connection: &mut PgConnection,
    service_id: i64,
    objective: &Objective,
) -> Result<HashMap<i64, Series>, EngineError> {
    let role: Role = objective.sli.role;
    let rows = sqlx::query!(
        "select series_id, route, signal from series where service_id = $1 and role = $2",
        service_id,
        role.as_str()
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            let route = row.route.map(|route| route.parse()).transpose().ok()?;
            let series = Series {
                service: objective.service.clone(),
                role,
                route,
                signal: row.signal.parse().ok()?,
            };
            Some((row.series_id, series))
        })
        .collect())
}

async fn store_definition(
    connection: &mut PgConnection,
    objective: &Objective,
    objective_id: i64,
    generation: i32,
    from_at: DateTime<Utc>,
    fingerprint: &str,
) -> Result<(), EngineError> {
    sqlx::query!(
        "insert into objective_definition
             (objective_id, from_at, generation, display_name, description, target, period, fingerprint,
              calendar_starts, calendar_zone, calendar_every, evidence, owner, runbook_url)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        objective_id,
        from_at,
        generation,
        objective.display_name,
        objective.description,
        objective.target.ratio(),
        interval(objective.period),
        fingerprint,
        objective.calendar.map(|calendar| calendar.starts),
        objective.calendar.map(|calendar| calendar.zone.name()),
        objective.calendar.map(|calendar| step(calendar.every)),
        objective.evidence.map(|gate| gate.to_string()),
        objective.ownership.owner.as_ref().map(AsRef::as_ref),
        objective.ownership.runbook_url.as_ref().map(AsRef::as_ref)
    )
    .execute(&mut *connection)
    .await?;
    for (position, tier) in (0_i32..).zip(&objective.tiers) {
        sqlx::query!(
            "insert into objective_tier
                 (objective_id, from_at, tier, position, severity, long_window, short_window, burn_rate, budget_share,
                  fires_after)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            objective_id,
            from_at,
            tier.name.as_str(),
            position,
            tier.severity.as_str(),
            interval(tier.long),
            interval(tier.short),
            tier.burn_rate.value(),
            tier.budget_share,
            interval(tier.after)
        )
        .execute(&mut *connection)
        .await?;
    }
    if let Some(page) = &objective.fast_page {
        let test = Sequential::new(objective.target, page);
        sqlx::query!(
            "insert into objective_fast_page
                 (objective_id, from_at, burn_rate, false_pages_a_year, rate_min,
                  bad_adds, good_takes, intake_most, pages_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            objective_id,
            from_at,
            page.burn_rate.value(),
            page.false_pages_a_year,
            page.rate_min,
            test.bad,
            test.good,
            test.most(),
            test.limit
        )
        .execute(&mut *connection)
        .await?;
    }
    data_outage::keep(connection, objective_id, from_at, objective.missing_data.as_ref()).await?;
    budget_alert::keep(connection, objective_id, from_at, &objective.budget_alerts).await?;
    // What froze under a tier that is gone thaws with it.
    sqlx::query!(
        "delete from tier_freeze where objective_id = $1 and tier <> all ($2)",
        objective_id,
        &objective
            .tiers
            .iter()
            .map(|tier| tier.name.as_str())
            .chain(objective.budget_alerts.iter().map(|alert| alert.name.as_str()))
            .collect::<Vec<_>>() as &[&str]
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update objective set defined_at = $2, generation = $3, withdrawn_at = null where objective_id = $1",
        objective_id,
        from_at,
        generation
    )
    .execute(connection)
    .await?;
    Ok(())
}
