//! What services counted over a window, step by step.
//!
//! In: a window and a step. Out: requests, errors, retransmits and latencies, by service, role, route.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::engine::EngineError;
use crate::grpc;
use crate::measurement::{Clock, Role, Route, ServiceName, Signal};
use crate::store::histogram::quantile_ms;
use crate::store::{count, parse};

#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub service: Option<&'a ServiceName>,
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub step: Duration,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub requests: u64,
    pub errors: u64,
    pub retransmits: u64,
    pub statuses: BTreeMap<u16, u64>,
}

impl Counted {
    /// A request is answered, or ends through the server's fault. One that its client left, or whose
    /// end nobody saw, is none that the service answers for.
    fn add(&mut self, signal: Signal, events: u64) {
        match signal {
            Signal::Status(code) => {
                self.requests += events;
                *self.statuses.entry(code).or_default() += events;
                if code >= 500 {
                    self.errors += events;
                }
            }
            Signal::Grpc(code) => {
                self.requests += events;
                if grpc::SERVER_ERRORS & grpc::bit(code) != 0 {
                    self.errors += events;
                }
            }
            Signal::ResetByServer | Signal::ClosedUnanswered | Signal::TimedOut => {
                self.requests += events;
                self.errors += events;
            }
            Signal::Retransmits | Signal::SynRetransmits => self.retransmits += events,
            _ => {}
        }
    }
}

#[derive(Debug)]
struct CountRow {
    service: ServiceName,
    role: Role,
    route: Option<Route>,
    signal: Signal,
    step: i32,
    events: u64,
}

#[derive(Debug)]
pub(super) struct Counts(Vec<CountRow>);

impl Counts {
    pub async fn read(connection: &mut PgConnection, request: Request<'_>) -> Result<Self, EngineError> {
        let rows = sqlx::query!(
            r#"select s.name as service, r.role, r.route, r.signal,
                      floor(extract(epoch from m.at - interval '1 microsecond' - $2::timestamptz)
                            / extract(epoch from $4::interval))::int as "step!",
                      sum(m.value)::bigint as "events!"
               from service s
               join series r using (service_id)
               join measurement m using (series_id)
               where ($1::text is null or s.name = $1) and m.at > $2 and m.at <= $3
               group by 1, 2, 3, 4, 5"#,
            request.service.map(ServiceName::as_str),
            request.from,
            request.to,
            request.step_interval()
        )
        .fetch_all(connection)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(CountRow {
                    service: parse("service.name", &row.service)?,
                    role: parse("series.role", &row.role)?,
                    route: row.route.map(|route| parse("series.route", &route)).transpose()?,
                    signal: parse("series.signal", &row.signal)?,
                    step: row.step,
                    events: count("measurement.value", row.events)?,
                })
            })
            .collect::<Result<_, EngineError>>()
            .map(Self)
    }

    /// A service answers; what is only called is shown as its callers see it.
    pub fn role(&self, service: &ServiceName) -> Role {
        let roles: BTreeSet<Role> = self
            .0
            .iter()
            .filter(|row| row.service == *service)
            .map(|row| row.role)
            .collect();
        if roles.contains(&Role::Server) || roles.is_empty() {
            Role::Server
        } else {
            Role::Client
        }
    }

    /// Of one step, or of all.
    pub fn sum(&self, service: &ServiceName, role: Role, step: Option<i32>) -> Counted {
        let mut counted = Counted::default();
        for row in &self.0 {
            if row.service == *service && row.role == role && step.is_none_or(|step| step == row.step) {
                counted.add(row.signal, row.events);
            }
        }
        counted
    }

    /// Of all steps and routes, by signal.
    pub fn signals(&self, service: &ServiceName, role: Role) -> impl Iterator<Item = (Signal, u64)> {
        self.0
            .iter()
            .filter(move |row| row.service == *service && row.role == role)
            .map(|row| (row.signal, row.events))
    }

    /// Of all steps, by route.
    pub fn routes(&self, service: &ServiceName, role: Role) -> BTreeMap<Route, Counted> {
        let mut routes: BTreeMap<Route, Counted> = BTreeMap::new();
        for row in &self.0 {
            if let Some(route) = &row.route
                && row.service == *service
                && row.role == role
            {
                routes
                    .entry(route.clone())
                    .or_default()
                    .add(row.signal, row.events);
            }
        }
        routes
    }
}

/// Latencies on one clock.
#[derive(Debug)]
pub(super) struct Latencies(HashMap<(ServiceName, Role), Vec<LatencyRow>>);

#[derive(Debug)]
struct LatencyRow {
    route: Option<Route>,
    step: i32,
    bucket: i32,
    events: u64,
}

impl Latencies {
    pub async fn read(
        connection: &mut PgConnection,
        request: Request<'_>,
        clock: Clock,
    ) -> Result<Self, EngineError> {
        let rows = sqlx::query!(
            r#"select s.name as service, h.role, h.route, b.bucket as "bucket!",
                      floor(extract(epoch from b.at - interval '1 microsecond' - $2::timestamptz)
                            / extract(epoch from $4::interval))::int as "step!",
                      sum(b.count)::bigint as "events!"
               from service s
               join histogram h using (service_id)
               join histogram_bucket b using (histogram_id)
               where ($1::text is null or s.name = $1) and h.clock = $5 and b.at > $2 and b.at <= $3
               group by 1, 2, 3, 4, 5"#,
            request.service.map(ServiceName::as_str),
            request.from,
            request.to,
            request.step_interval(),
            clock.as_str()
        )
        .fetch_all(connection)
        .await?;
        let mut latencies: HashMap<_, Vec<_>> = HashMap::new();
        for row in rows {
            let key = (
                parse("service.name", &row.service)?,
                parse("histogram.role", &row.role)?,
            );
            latencies.entry(key).or_default().push(LatencyRow {
                route: row
                    .route
                    .map(|route| parse("histogram.route", &route))
                    .transpose()?,
                step: row.step,
                bucket: row.bucket,
                events: count("histogram_bucket.count", row.events)?,
            });
        }
        Ok(Self(latencies))
    }

    pub fn quantile(
        &self,
        service: &ServiceName,
        role: Role,
        route: Option<&Route>,
        step: Option<i32>,
        share: f64,
    ) -> Option<f64> {
        let mut buckets: BTreeMap<i32, u64> = BTreeMap::new();
        for row in self.0.get(&(service.clone(), role))? {
            if route.is_none_or(|route| row.route.as_ref() == Some(route))
                && step.is_none_or(|step| step == row.step)
            {
                *buckets.entry(row.bucket).or_default() += row.events;
            }
        }
        quantile_ms(&buckets.into_iter().collect::<Vec<_>>(), share)
    }
}
