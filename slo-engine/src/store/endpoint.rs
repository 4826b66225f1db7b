//! Endpoints that discovery named, each finding dated.
//!
//! In: what a source found listening. Out: rows of `endpoint`, and a watch: from now on the service is
//! idle rather than unknown while nothing is counted for it.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgConnection;

use super::series;
use super::source;
use crate::engine::EngineError;
use crate::event::{self, Event, EventKind};
use crate::measurement::Role;
use crate::service::Discovered;

pub(crate) async fn discovered(
    connection: &mut PgConnection,
    found: &[Discovered],
    now: DateTime<Utc>,
) -> Result<(), EngineError> {
    let names: BTreeSet<_> = found.iter().map(|endpoint| &endpoint.service).collect();
    let services = series::services(connection, &names, now).await?;
    let mut found: Vec<&Discovered> = found.iter().collect();
    // Sources are always locked in the same order.
    found.sort_by(|a, b| (&a.source, a.port, &a.cgroup).cmp(&(&b.source, b.port, &b.cgroup)));
    for endpoint in found {
        if let Some(service_id) = services.get(&endpoint.service) {
            one(connection, endpoint, *service_id, now).await?;
        }
    }
    Ok(())
}

async fn one(
    connection: &mut PgConnection,
    found: &Discovered,
    service_id: i64,
    now: DateTime<Utc>,
) -> Result<(), EngineError> {
    let source =
        source::lock_or_create(connection, &found.source, source::machine(&found.source), now).await?;
    let current = sqlx::query!(
        "select endpoint_id, e.service_id, s.name as service, executable, because
         from endpoint e join service s using (service_id)
         where source_id = $1 and port = $2 and cgroup = $3 and ended_at is null",
        source.source_id,
        i32::from(found.port),
        found.cgroup
    )
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(current) = &current
        && current.service_id == service_id
        && current.executable == found.executable
        && current.because == found.because
    {
        sqlx::query!(
            "update endpoint set last_seen_at = $2 where endpoint_id = $1",
            current.endpoint_id,
            now
        )
        .execute(&mut *connection)
        .await?;
        return Ok(());
    }
    if let Some(current) = &current {
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
    let (kind, message) = match &current {
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
