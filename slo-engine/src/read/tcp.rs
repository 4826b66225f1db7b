//! What TCP says of a service's connections: over a window for people, in total for a scrape.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use super::service::{GaugeValue, gauges};
use super::service_counts::{Counts, Latencies, Request};
use crate::engine::EngineError;
use crate::measurement::{Clock, ConnectError, Gauge, ResetReason, Role, ServiceName, Signal};
use crate::store::{count, parse, snapshot};

/// Connections of one service in one role, over a window.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tcp {
    /// Accepted by a server, opened by a client.
    pub opened: u64,
    pub open: Option<f64>,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    /// Segments with data, each when it was first sent.
    pub segments_sent: u64,
    pub retransmits: u64,
    pub syn_retransmits: u64,
    pub zero_windows_sent: u64,
    pub zero_windows_received: u64,
    pub resets_sent: u64,
    pub resets_received: u64,
    /// Part of `resets_sent`, where the kernel tells why.
    pub resets_sent_because: BTreeMap<ResetReason, u64>,
    /// Given up by TCP, as the peer acknowledged nothing any more.
    pub timeouts: u64,
    pub rtt_p50_ms: Option<f64>,
    pub rtt_p99_ms: Option<f64>,
    /// Of a server's listeners.
    pub accept_queue: Option<f64>,
    pub accept_backlog: Option<f64>,
    pub listen_drops: u64,
    /// Of a client.
    pub connect_failures: BTreeMap<ConnectError, u64>,
    pub connect_p50_ms: Option<f64>,
    pub connect_p99_ms: Option<f64>,
}

type Gauges = std::collections::HashMap<(ServiceName, Role, Gauge), GaugeValue>;

/// By role; one that nothing was counted for is not there.
pub(super) async fn of_service(
    connection: &mut PgConnection,
    service: &ServiceName,
    counts: &Counts,
    request: Request<'_>,
) -> Result<BTreeMap<Role, Tcp>, EngineError> {
    let connect = Latencies::read(connection, request, Clock::Connect).await?;
    let round_trip = Latencies::read(connection, request, Clock::RoundTrip).await?;
    let gauges = gauges(connection, request.to).await?;
    let mut found = BTreeMap::new();
    for role in Role::ALL {
        let mut tcp = Tcp::default();
        let mut is_there = false;
        for (signal, events) in counts.signals(service, *role) {
            is_there |= signal.is_tcp();
            tcp.add(signal, events);
        }
        is_there |= tcp.look(&gauges, service, *role);
        let quantile = |of: &Latencies, share| of.quantile(service, *role, None, None, share);
        (tcp.rtt_p50_ms, tcp.rtt_p99_ms) = (quantile(&round_trip, 0.5), quantile(&round_trip, 0.99));
        (tcp.connect_p50_ms, tcp.connect_p99_ms) = (quantile(&connect, 0.5), quantile(&connect, 0.99));
        if is_there || tcp.rtt_p50_ms.or(tcp.connect_p50_ms).is_some() {
            found.insert(*role, tcp);
        }
    }
    Ok(found)
}

impl Tcp {
    fn add(&mut self, signal: Signal, events: u64) {
        let cell = match signal {
            Signal::Accepted | Signal::Connected => &mut self.opened,
            Signal::BytesReceived => &mut self.bytes_received,
            Signal::BytesSent => &mut self.bytes_sent,
            Signal::SegmentsSent => &mut self.segments_sent,
            Signal::Retransmits => &mut self.retransmits,
            Signal::SynRetransmits => &mut self.syn_retransmits,
            Signal::ZeroWindowsSent => &mut self.zero_windows_sent,
            Signal::ZeroWindowsReceived => &mut self.zero_windows_received,
            Signal::ResetsSent => &mut self.resets_sent,
            Signal::ResetsReceived => &mut self.resets_received,
            Signal::ResetSent(reason) => self.resets_sent_because.entry(reason).or_default(),
            Signal::ConnectionTimeouts => &mut self.timeouts,
            Signal::ListenDrops => &mut self.listen_drops,
            Signal::ConnectFailed(error) => self.connect_failures.entry(error).or_default(),
            // The sum of those by error; requests are told elsewhere.
            _ => return,
        };
        *cell += events;
    }

    /// Whether there was any gauge.
    fn look(&mut self, gauges: &Gauges, service: &ServiceName, role: Role) -> bool {
        let sum = |gauge| gauges.get(&(service.clone(), role, gauge)).map(|found| found.sum);
        self.open = sum(Gauge::OpenConnections);
        self.accept_queue = sum(Gauge::AcceptQueue);
        self.accept_backlog = sum(Gauge::AcceptBacklog);
        self.open.or(self.accept_queue).or(self.accept_backlog).is_some()
    }
}

/// Everything that was ever counted of connections, and what is true of them now.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TcpTotals {
    pub counters: Vec<(ServiceName, Role, Signal, u64)>,
    pub gauges: Vec<(ServiceName, Role, Gauge, f64)>,
}

/// Totals over all sources, by service and role.
///
/// # Errors
/// When the database fails.
pub async fn tcp_totals(pool: &PgPool, now: DateTime<Utc>) -> Result<TcpTotals, EngineError> {
    let mut snapshot = snapshot(pool).await?;
    let rows = sqlx::query!(
        r#"select s.name as service, r.role, r.signal, sum(h.value)::bigint as "value!"
           from series r
           join series_head h using (series_id)
           join service s using (service_id)
           where r.route is null
           group by 1, 2, 3
           order by 1, 2, 3"#
    )
    .fetch_all(&mut *snapshot)
    .await?;
    let mut totals = TcpTotals::default();
    for row in rows {
        let signal: Signal = parse("series.signal", &row.signal)?;
        if signal.is_tcp() {
            totals.counters.push((
                parse("service.name", &row.service)?,
                parse("series.role", &row.role)?,
                signal,
                count("series_head.value", row.value)?,
            ));
        }
    }
    for ((service, role, gauge), value) in gauges(&mut snapshot, now).await? {
        let value = match gauge {
            Gauge::RttMicros => value.mean,
            Gauge::OpenConnections | Gauge::AcceptQueue | Gauge::AcceptBacklog => value.sum,
            Gauge::InFlight | Gauge::Overdue => continue,
        };
        totals.gauges.push((service, role, gauge, value));
    }
    totals
        .gauges
        .sort_by(|a, b| (&a.0, a.1, a.2).cmp(&(&b.0, b.1, b.2)));
    Ok(totals)
}
