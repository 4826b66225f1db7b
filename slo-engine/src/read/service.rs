//! Services and sources.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use sqlx::{PgConnection, PgPool};

use super::service_counts::{Counted, Counts, Latencies, Request};
use super::slo::{COURSE_MAX, slo_series, slos};
use super::tcp;
use super::{Endpoint, RouteCounts, Service, ServiceCourse, ServiceDetail, Slo, SloState, Source};
use crate::engine::EngineError;
use crate::measurement::{Clock, Gauge, Role, ServiceName};
use crate::partly::Partly;
use crate::store::{interval, micros, parse, snapshot};

/// Every service over the window that ends now.
///
/// # Errors
/// When the database fails; with all services, when objectives cannot be read.
pub async fn services(
    pool: &PgPool,
    window: Duration,
    now: DateTime<Utc>,
) -> Result<Vec<Service>, Partly<Service>> {
    let request = Request::whole(None, window, micros(now));
    let measured = Measured::read(&mut *snapshot(pool).await?, request).await?;
    let (slos, left_out) = Partly::apart(slos(pool, request.to).await)?;
    Partly::of(measured.services(slos, request), left_out)
}

/// One service; `None` when there is none of this name.
///
/// # Errors
/// When the database fails.
pub async fn service(
    pool: &PgPool,
    name: &ServiceName,
    window: Duration,
    now: DateTime<Utc>,
) -> Result<Option<ServiceDetail>, EngineError> {
    let request = Request {
        step: step(window),
        ..Request::whole(Some(name), window, micros(now))
    };
    let mut snapshot = snapshot(pool).await?;
    let measured = Measured::read(&mut snapshot, request).await?;
    if measured.since.is_empty() {
        return Ok(None);
    }
    let queue = Latencies::read(&mut snapshot, request, Clock::Queue).await?;
    let last_byte = Latencies::read(&mut snapshot, request, Clock::LastByte).await?;
    let tcp = tcp::of_service(&mut snapshot, name, &measured.counts, request).await?;
    // The next reads take a connection of their own, and none waits for one while it holds another.
    drop(snapshot);
    // Whose objective it is that cannot be read is not known.
    let (slos, _) = Partly::apart(slos(pool, request.to).await)?;
    let Some(service) = measured.services(slos, request).pop() else {
        return Ok(None);
    };
    let Measured {
        counts, turnaround, ..
    } = &measured;
    let role = counts.role(name);
    let mut course = course(counts, turnaround, &queue, name, role, request);
    course.coverage = coverage(pool, &service, &course, request).await?;
    let routes = counts
        .routes(name, role)
        .into_iter()
        .map(|(route, counted)| RouteCounts {
            requests: counted.requests,
            errors: counted.errors,
            p50_ms: turnaround.quantile(name, role, Some(&route), None, 0.5),
            p99_ms: turnaround.quantile(name, role, Some(&route), None, 0.99),
            statuses: counted.statuses.into_iter().collect(),
            route,
        })
        .collect();
    Ok(Some(ServiceDetail {
        queue_p50_ms: queue.quantile(name, role, None, None, 0.5),
        queue_p99_ms: queue.quantile(name, role, None, None, 0.99),
        last_byte_p50_ms: last_byte.quantile(name, role, None, None, 0.5),
        last_byte_p99_ms: last_byte.quantile(name, role, None, None, 0.99),
        service,
        course,
        routes,
        tcp,
    }))
}

/// Sixty steps or more, of whole seconds that people like.
fn step(window: Duration) -> Duration {
    const STEPS: [u64; 9] = [1, 5, 10, 15, 30, 60, 300, 900, 3600];
    let finest = window.as_secs() / 90;
    let step = STEPS.into_iter().find(|step| *step >= finest).unwrap_or(86_400);
    Duration::from_secs(step).max(window / COURSE_MAX)
}

fn course(
    counts: &Counts,
    latencies: &Latencies,
    queue: &Latencies,
    name: &ServiceName,
    role: Role,
    request: Request<'_>,
) -> ServiceCourse {
    let mut course = ServiceCourse {
        step: request.step,
        ..ServiceCourse::default()
    };
    for (index, at) in (0_i32..).zip(request.ends()) {
        let counted = counts.sum(name, role, Some(index));
        course.at.push(at);
        course.requests.push(counted.requests);
        course.errors.push(counted.errors);
        course.retransmits.push(counted.retransmits);
        course
            .p50_ms
            .push(latencies.quantile(name, role, None, Some(index), 0.5));
        course
            .p99_ms
            .push(latencies.quantile(name, role, None, Some(index), 0.99));
        course
            .queue_p99_ms
            .push(queue.quantile(name, role, None, Some(index), 0.99));
    }
    course
}

/// Coverage is kept with the ledger: any objective of the service has it.
async fn coverage(
    pool: &PgPool,
    service: &Service,
    course: &ServiceCourse,
    request: Request<'_>,
) -> Result<Vec<Option<f64>>, EngineError> {
    let none = vec![None; course.at.len()];
    let Some(objective) = service.objectives.first() else {
        return Ok(none);
    };
    let of_objective = slo_series(pool, objective, request.from, request.to, request.step).await?;
    Ok(of_objective.map_or(none, |found| {
        let by_end: HashMap<_, _> = found.at.into_iter().zip(found.coverage).collect();
        course
            .at
            .iter()
            .map(|at| by_end.get(at).copied().flatten().and_then(|share| share.to_f64()))
            .collect()
    }))
}

/// What was measured of services, all of one moment: a latency is one of the requests that are counted beside it.
struct Measured {
    since: Vec<(ServiceName, DateTime<Utc>)>,
    counts: Counts,
    turnaround: Latencies,
    gauges: HashMap<(ServiceName, Role, Gauge), GaugeValue>,
    endpoints: BTreeMap<ServiceName, Vec<Endpoint>>,
}

impl Measured {
    async fn read(connection: &mut PgConnection, request: Request<'_>) -> Result<Self, EngineError> {
        let known = sqlx::query!(
            "select name, first_seen_at from service where $1::text is null or name = $1 order by name",
            request.service.map(ServiceName::as_str)
        )
        .fetch_all(&mut *connection)
        .await?;
        let since = known.into_iter();
        Ok(Self {
            since: since
                .map(|row| Ok((parse("service.name", &row.name)?, row.first_seen_at)))
                .collect::<Result<_, EngineError>>()?,
            counts: Counts::read(connection, request).await?,
            turnaround: Latencies::read(connection, request, Clock::Turnaround).await?,
            gauges: gauges(connection, request.to).await?,
            endpoints: endpoints(connection, request.service).await?,
        })
    }

    fn services(&self, slos: Vec<Slo>, request: Request<'_>) -> Vec<Service> {
        let mut of_service: HashMap<ServiceName, Vec<Slo>> = HashMap::new();
        for slo in slos {
            of_service.entry(slo.service.clone()).or_default().push(slo);
        }
        self.since
            .iter()
            .map(|(name, first_seen_at)| {
                // Time before anybody knew of the service dilutes no rate.
                let since = (*first_seen_at).clamp(request.from, request.to);
                let role = self.counts.role(name);
                let counted = self.counts.sum(name, role, None);
                let slos = of_service.remove(name).unwrap_or_default();
                let endpoints = self.endpoints.get(name).cloned().unwrap_or_default();
                let gauge = |gauge: Gauge| self.gauges.get(&(name.clone(), role, gauge)).copied();
                Service {
                    because: endpoints.first().map(|endpoint| endpoint.because.clone()),
                    endpoints,
                    requests: counted.requests,
                    errors: counted.errors,
                    requests_per_second: per_second(counted.requests, since, request.to),
                    error_ratio: ratio(&counted),
                    p50_ms: self.turnaround.quantile(name, role, None, None, 0.5),
                    p99_ms: self.turnaround.quantile(name, role, None, None, 0.99),
                    retransmits_per_second: per_second(counted.retransmits, since, request.to),
                    rtt_ms: gauge(Gauge::RttMicros).map(|gauge| gauge.mean / 1000.0),
                    in_flight: gauge(Gauge::InFlight).map(|gauge| gauge.sum),
                    overdue: gauge(Gauge::Overdue).map(|gauge| gauge.sum),
                    coverage: newest_coverage(&slos),
                    worst_state: slos.iter().map(|slo| slo.state).max().unwrap_or(SloState::Ok),
                    objectives: slos.into_iter().map(|slo| slo.name).collect(),
                    name: name.clone(),
                }
            })
            .collect()
    }
}

/// Coverage of the shortest window that any objective looks at: whether it is watched now.
fn newest_coverage(slos: &[Slo]) -> Option<Decimal> {
    slos.iter()
        .filter_map(|slo| slo.burn.first())
        .filter_map(|burn| burn.counts.coverage())
        .min()
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn per_second(count: u64, from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    let seconds = (to - from).num_milliseconds().max(1) as f64 / 1000.0;
    count as f64 / seconds
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
fn ratio(counted: &Counted) -> Option<f64> {
    (counted.requests > 0).then(|| counted.errors as f64 / counted.requests as f64)
}

#[derive(Debug, Clone, Copy)]
pub(super) struct GaugeValue {
    pub sum: f64,
    pub mean: f64,
}

/// The latest values of sources that are not silent.
pub(super) async fn gauges(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<HashMap<(ServiceName, Role, Gauge), GaugeValue>, EngineError> {
    let rows = sqlx::query!(
        r#"select s.name, g.role, g.gauge, sum(g.value) as "sum!", avg(g.value) as "mean!"
           from gauge g
           join service s using (service_id)
           cross join engine_state e
           where g.at >= $1::timestamptz - e.patience
           group by s.name, g.role, g.gauge"#,
        now
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let key = (
                parse("service.name", &row.name)?,
                parse("gauge.role", &row.role)?,
                parse("gauge.gauge", &row.gauge)?,
            );
            Ok((
                key,
                GaugeValue {
                    sum: row.sum,
                    mean: row.mean,
                },
            ))
        })
        .collect()
}

/// Endpoints of sources that are not retired, newest first.
async fn endpoints(
    connection: &mut PgConnection,
    service: Option<&ServiceName>,
) -> Result<BTreeMap<ServiceName, Vec<Endpoint>>, EngineError> {
    let rows = sqlx::query!(
        "select s.name as service, e.port, e.cgroup, e.executable, e.because, e.first_seen_at, e.last_seen_at,
                e.gone_at, src.name as source
         from endpoint e
         join service s using (service_id)
         join source src using (source_id)
         where e.ended_at is null and src.state <> 'retired' and ($1::text is null or s.name = $1)
         order by e.first_seen_at desc, e.endpoint_id desc",
        service.map(ServiceName::as_str)
    )
    .fetch_all(connection)
    .await?;
    let mut endpoints: BTreeMap<ServiceName, Vec<Endpoint>> = BTreeMap::new();
    for row in rows {
        let endpoint = Endpoint {
            port: u16::try_from(row.port).map_err(|_| EngineError::Unreadable {
                column: "endpoint.port",
                value: row.port.to_string(),
            })?,
            cgroup: row.cgroup,
            executable: row.executable,
            source: parse("source.name", &row.source)?,
            because: row.because,
            first_seen_at: row.first_seen_at,
            last_seen_at: row.last_seen_at,
            gone_at: row.gone_at,
        };
        endpoints
            .entry(parse("service.name", &row.service)?)
            .or_default()
            .push(endpoint);
    }
    Ok(endpoints)
}

/// Every source that is not retired.
///
/// # Errors
/// When the database fails.
pub async fn sources(pool: &PgPool, now: DateTime<Utc>) -> Result<Vec<Source>, EngineError> {
    let rows = sqlx::query!(
        r#"select name, host, first_contact_at, coalesce(last_at, first_contact_at) as "last_at!", shift_ms,
                  offset_ms, state,
                  (select (extract(epoch from patience) * 1000)::bigint from engine_state) as "patience_ms!"
           from source
           where state <> 'retired'
           order by host, name"#
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Source {
                id: parse("source.name", &row.name)?,
                host: row.host,
                first_contact_at: row.first_contact_at,
                last_at: row.last_at,
                lag_ms: (now - row.last_at).num_milliseconds() - row.shift_ms,
                patience_ms: row.patience_ms,
                offset_ms: -row.offset_ms,
                state: parse("source.state", &row.state)?,
            })
        })
        .collect()
}

impl<'a> Request<'a> {
    /// One step that is as long as the window.
    fn whole(service: Option<&'a ServiceName>, window: Duration, now: DateTime<Utc>) -> Self {
        Self {
            service,
            from: now - TimeDelta::from_std(window).unwrap_or_default(),
            to: now,
            step: window,
        }
    }

    fn ends(self) -> impl Iterator<Item = DateTime<Utc>> {
        let step = TimeDelta::from_std(self.step).unwrap_or(TimeDelta::days(1));
        std::iter::successors(Some(self.from + step), move |at| at.checked_add_signed(step))
            .take_while(move |at| *at <= self.to)
    }

    pub(super) fn step_interval(self) -> sqlx::postgres::types::PgInterval {
        interval(self.step)
    }
}
