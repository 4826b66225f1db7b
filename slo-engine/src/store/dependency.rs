//! Which services depend on which, and whose page inhibits whose tickets.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::alert::AlertId;
use crate::definitions::Dependencies;
use crate::engine::EngineError;
use crate::measurement::ServiceName;

/// Makes the dependencies those of the definitions; every service has its row already.
pub(crate) async fn keep(
    connection: &mut PgConnection,
    dependencies: &Dependencies,
    service_ids: &HashMap<ServiceName, i64>,
) -> Result<(), EngineError> {
    let id = |name: &ServiceName| {
        let id = service_ids.get(name).copied();
        id.ok_or_else(|| EngineError::UnknownService(name.clone()))
    };
    let (mut services, mut on) = (Vec::new(), Vec::new());
    for (service, needs) in dependencies {
        for need in needs {
            services.push(id(service)?);
            on.push(id(need)?);
        }
    }
    sqlx::query!("delete from service_dependency")
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "insert into service_dependency (service_id, on_service_id)
         select * from unnest($1::bigint[], $2::bigint[])",
        &services,
        &on
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Firing tickets, each with a page on the burn rate of a service that its own depends on, directly or through others.
/// One that fired within a slot waits for a page that is pending, too: counts of the dependency are often evidence an
/// evaluation later than those of who needs it.
/// Missing data is no consequence of a dependency; and of a page, neither it nor a spent budget, which stays spent for
/// weeks, says that the dependency is down now.
pub(crate) async fn inhibitors(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<HashMap<AlertId, AlertId>, EngineError> {
    let rows = sqlx::query!(
        r#"with recursive needs as (
               select service_id, on_service_id from service_dependency
               union
               select n.service_id, d.on_service_id
               from needs n
               join service_dependency d on d.service_id = n.on_service_id
           ),
           open as (
               select a.alert_id, a.state, a.fired_at, a.severity, a.evidence, g.service_id
               from alert a
               join objective_generation g on g.objective_id = a.objective_id and g.generation = a.generation
               where a.state in ('pending', 'firing')
           )
           select t.alert_id as "alert_id!",
                  (array_agg(p.alert_id order by p.state = 'firing' desc, p.alert_id))[1] as "inhibited_by!"
           from open t
           join needs n on n.service_id = t.service_id
           join open p on p.service_id = n.on_service_id and p.severity = 'page'
                and (p.state = 'firing' or t.fired_at > $1::timestamptz - (select slot from engine_state))
                and coalesce(p.evidence ->> 'test', 'windows') in ('windows', 'sequential')
           where t.state = 'firing' and t.severity = 'ticket' and coalesce(t.evidence ->> 'test', 'windows') <> 'coverage'
           group by t.alert_id"#,
        now
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (AlertId(row.alert_id), AlertId(row.inhibited_by)))
        .collect())
}
