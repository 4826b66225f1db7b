//! Endpoints that discovery named, each finding dated.
//!
//! In: all that a source found listening. Out: rows of `endpoint`, and a watch: from now on the service is
//! idle rather than unknown while nothing is counted for it. What it found before and no longer does is gone.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgConnection;

use super::series;
use super::source::{self, SourceRow};
use crate::engine::EngineError;
use crate::event::{self, Event, EventKind};
use crate::measurement::{Role, SourceId};
use crate::service::Discovered;

pub(crate) async fn discovered(
    connection: &mut PgConnection,
    source: &SourceId,
    found: &[Discovered],
    now: DateTime<Utc>,
) -> Result<(), EngineError> {
    let mut found: Vec<&Discovered> = found.iter().collect();
    found.sort_by(|a, b| (a.port, &a.cgroup).cmp(&(b.port, &b.cgroup)));
    // One name an endpoint: two would take it from each other for ever.
    found.dedup_by(|a, b| (a.port, &a.cgroup) == (b.port, &b.cgroup));
    // The source before names, as batches lock them.
    let row = source::lock_or_create(connection, source, source::machine(source), now).await?;
    let names: BTreeSet<_> = found.iter().map(|endpoint| &endpoint.service).collect();
    let services = series::services(connection, &names, now).await?;
    let mut before = current(connection, row.source_id).await?;
    let mut seen = Vec::new();
    for endpoint in found {
        let Some(service_id) = services.get(&endpoint.service) else {
            continue;
        };
        let stands = before.remove(&(i32::from(endpoint.port), endpoint.cgroup.clone()));
        match stands {
            Some(stands) if stands.is(endpoint, *service_id) => seen.push(stands.endpoint_id),
            stands => {
                let finding = Finding {
                    endpoint,
                    source,
                    row: &row,
                    service_id: *service_id,
                };
                name(connection, finding, stands.as_ref(), now).await?;
            }
        }
    }
    // To the minute: this is asked every second.
    sqlx::query!(
        "update endpoint set last_seen_at = $2, gone_at = null
         where endpoint_id = any($1)
           and (last_seen_at < $2::timestamptz - interval '1 minute' or gone_at is not null)",
        &seen,
        now
    )
    .execute(&mut *connection)
    .await?;
    let gone: Vec<i64> = before
        .values()
        .filter(|endpoint| !endpoint.is_gone)
        .map(|endpoint| endpoint.endpoint_id)
        .collect();
    if !gone.is_empty() {
        sqlx::query!(
            "update endpoint set gone_at = $2 where endpoint_id = any($1)",
            &gone,
            now
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// The name that stands for an endpoint.
struct Current {
    endpoint_id: i64,
    service_id: i64,
    service: String,
    executable: Option<String>,
    because: String,
    is_gone: bool,
}

impl Current {
    fn is(&self, found: &Discovered, service_id: i64) -> bool {
        self.service_id == service_id && self.executable == found.executable && self.because == found.because
    }
}

/// Of a source, by port and cgroup.
async fn current(
    connection: &mut PgConnection,
    source_id: i64,
) -> Result<HashMap<(i32, String), Current>, EngineError> {
    let rows = sqlx::query!(
        r#"select e.endpoint_id, e.port, e.cgroup, e.service_id, s.name as service, e.executable, e.because,
                  e.gone_at is not null as "is_gone!"
           from endpoint e join service s using (service_id)
           where e.source_id = $1 and e.ended_at is null"#,
        source_id
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let current = Current {
                endpoint_id: row.endpoint_id,
                service_id: row.service_id,
                service: row.service,
                executable: row.executable,
                because: row.because,
                is_gone: row.is_gone,
            };
            ((row.port, row.cgroup), current)
        })
        .collect())
}

/// What a source found, and under which rows that is kept.
struct Finding<'a> {
    endpoint: &'a Discovered,
    source: &'a SourceId,
    row: &'a SourceRow,
    service_id: i64,
}

/// Gives an endpoint its name, or another one.
async fn name(
    connection: &mut PgConnection,
    finding: Finding<'_>,
    current: Option<&Current>,
    now: DateTime<Utc>,
) -> Result<(), EngineError> {
    let Finding {
        endpoint: found,
        source,
        row,
        service_id,
    } = finding;
    if let Some(current) = current {
        sqlx::query!(
            "update endpoint set ended_at = $2 where endpoint_id = $1",
            current.endpoint_id,
            now
        )
        .execute(&mut *connection)
        .await?;
    }
    sqlx::query!(
        "insert into endpoint
             (source_id, service_id, port, cgroup, executable, because, first_seen_at, last_seen_at)
         values ($1, $2, $3, $4, $5, $6, $7, $7)",
        row.source_id,
        service_id,
        i32::from(found.port),
        found.cgroup,
        found.executable,
        found.because,
        now
    )
    .execute(&mut *connection)
    .await?;
    // Watched since the batch before, as any service that a source names for the first time.
    let since = row
        .last_at
        .map_or(now, |at| at + TimeDelta::milliseconds(row.shift_ms))
        .min(now);
    sqlx::query!(
        "insert into watch (source_id, service_id, role, since_at, covered_to_at, expected_to_at)
         values ($1, $2, $3, $4, $4, $4)
         on conflict on constraint watch_pkey do nothing",
        row.source_id,
        service_id,
        Role::Server.as_str(),
        since
    )
    .execute(&mut *connection)
    .await?;
    let (kind, message) = match current {
        Some(current) if current.service_id != service_id => (
            EventKind::EndpointRenamed,
            format!(
                "port {} is `{}` now, it was `{}`: {}",
                found.port, found.service, current.service, found.because
            ),
        ),
        Some(_) => return Ok(()),
        None => (
            EventKind::EndpointFound,
            format!("port {} is `{}`: {}", found.port, found.service, found.because),
        ),
    };
    let event = Event {
        at: now,
        kind,
        subject: found.service.to_string(),
        message,
        data: json!({
            "source": source.as_str(),
            "port": found.port,
            "cgroup": found.cgroup,
            "executable": found.executable,
        }),
        traceparent: None,
    };
    event::record(connection, &event).await?;
    Ok(())
}
