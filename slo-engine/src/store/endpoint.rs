//! Endpoints that discovery named, each finding dated.
//!
//! In: what a source found listening. Out: rows of `endpoint`, and a watch: from now on the service is
//! idle rather than unknown while nothing is counted for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

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
    found: &[Discovered],
    now: DateTime<Utc>,
) -> Result<(), EngineError> {
    let mut found: Vec<&Discovered> = found.iter().collect();
    found.sort_by(|a, b| (&a.source, a.port, &a.cgroup).cmp(&(&b.source, b.port, &b.cgroup)));
    // One name an endpoint: two would take it from each other for ever.
    found.dedup_by(|a, b| (&a.source, a.port, &a.cgroup) == (&b.source, b.port, &b.cgroup));
    // Sources before names, and always in the same order, as batches lock them.
    let mut sources: BTreeMap<&SourceId, SourceRow> = BTreeMap::new();
    for endpoint in &found {
        if !sources.contains_key(&endpoint.source) {
            let host = source::machine(&endpoint.source);
            let row = source::lock_or_create(connection, &endpoint.source, host, now).await?;
            sources.insert(&endpoint.source, row);
        }
    }
    let names: BTreeSet<_> = found.iter().map(|endpoint| &endpoint.service).collect();
    let services = series::services(connection, &names, now).await?;
    let current = current(connection, &sources).await?;
    let mut seen = Vec::new();
    for endpoint in found {
        let (Some(source), Some(service_id)) =
            (sources.get(&endpoint.source), services.get(&endpoint.service))
        else {
            continue;
        };
        let stands = current.get(&(
            source.source_id,
            i32::from(endpoint.port),
            endpoint.cgroup.clone(),
        ));
        match stands {
            Some(stands) if stands.is(endpoint, *service_id) => seen.push(stands.endpoint_id),
            stands => name(connection, endpoint, source, *service_id, stands, now).await?,
        }
    }
    // To the minute: this is asked every second.
    sqlx::query!(
        "update endpoint set last_seen_at = $2
         where endpoint_id = any($1) and last_seen_at < $2::timestamptz - interval '1 minute'",
        &seen,
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The name that stands for an endpoint.
struct Current {
    endpoint_id: i64,
    service_id: i64,
    service: String,
    executable: Option<String>,
    because: String,
}

impl Current {
    fn is(&self, found: &Discovered, service_id: i64) -> bool {
        self.service_id == service_id && self.executable == found.executable && self.because == found.because
    }
}

/// By source, port and cgroup.
async fn current(
    connection: &mut PgConnection,
    sources: &BTreeMap<&SourceId, SourceRow>,
) -> Result<HashMap<(i64, i32, String), Current>, EngineError> {
    let ids: Vec<i64> = sources.values().map(|source| source.source_id).collect();
    let rows = sqlx::query!(
        "select e.endpoint_id, e.source_id, e.port, e.cgroup, e.service_id, s.name as service, e.executable, e.because
         from endpoint e join service s using (service_id)
         where e.source_id = any($1) and e.ended_at is null",
        &ids
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
            };
            ((row.source_id, row.port, row.cgroup), current)
        })
        .collect())
}

/// Gives an endpoint its name, or another one.
async fn name(
    connection: &mut PgConnection,
    found: &Discovered,
    source: &SourceRow,
    service_id: i64,
    current: Option<&Current>,
    now: DateTime<Utc>,
) -> Result<(), EngineError> {
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
        source.source_id,
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
    let since = source
        .last_at
        .map_or(now, |at| at + TimeDelta::milliseconds(source.shift_ms))
        .min(now);
    sqlx::query!(
        "insert into watch (source_id, service_id, role, since_at, covered_to_at, expected_to_at)
         values ($1, $2, $3, $4, $4, $4)
         on conflict on constraint watch_pkey do nothing",
        source.source_id,
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
            "source": found.source.as_str(),
            "port": found.port,
            "cgroup": found.cgroup,
            "executable": found.executable,
        }),
        traceparent: None,
    };
    event::record(connection, &event).await?;
    Ok(())
}
