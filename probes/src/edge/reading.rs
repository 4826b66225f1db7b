//! Turns kernel counters into measurements.
//!
//! In: the pinned maps of every generation, and what their ids mean. Out: one cumulative value per
//! series. Several endpoints of one service are one series: the sum, since the start that was
//! reported first. Nothing is subtracted here. What has no name yet is handed back, not dropped.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use chrono::{DateTime, Utc};
use foldhash::fast::RandomState;
use probes_ebpf::wire::{
    self, BUCKET_FIRST, BUCKETS, CountKey, Endpoint, LatencyKey, ROUTE_CONNECT, ROUTE_QUEUE,
    ROUTE_ROUND_TRIP, ROUTE_UNTIMED, STATUSES, role, what,
};
use slo_engine::measurement::{
    Clock, Gauge, GaugeReading, HistogramReading, Loss, LossReason, Reading, ResetReason, Role, Route,
    Series, ServiceName, Signal,
};

use super::{
    entries,
    fold::earlier,
    meaning::{REASONS, signal_of},
    quiet::Activities,
    settings::Definitions,
    starts::{HistogramKey, StartTimes},
    table::{Counters, GONE_COUNTS, GONE_LATENCIES, Raw},
};
use crate::{agent::AgentError, http2::tally::Tally};

/// Counters that belong to no service: what only the host can tell.
pub const HOST: &str = "host";

/// One directory of counters and the meaning of its ids.
pub(crate) struct Generation<'a> {
    pub counters: &'a Counters,
    pub definitions: &'a Definitions,
    /// Of the kernel that runs, by number.
    pub reset_reasons: &'a [ResetReason],
    /// The kernel counts here; others are what other builds left.
    pub is_current: bool,
}

/// Sums of all generations, by what they mean.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    // Keyed by names, thousands a read: std's hash took a tenth of it.
    series: HashMap<Series, Sum, RandomState>,
    histograms: HashMap<HistogramKey, Histogram, RandomState>,
    /// Closed connections; the gauge is what was opened less these.
    closed: HashMap<(ServiceName, Role), u64>,
    rtt: HashMap<(ServiceName, Role), (u64, u64)>,
    losses: BTreeMap<(Option<ServiceName>, LossReason), Sum>,
    /// Endpoints counted without a name, and since when.
    pub unnamed: HashMap<Endpoint, u64>,
    pub activities: Activities,
}

#[derive(Debug, Default, Clone, Copy)]
struct Sum {
    first_ns: u64,
    value: u64,
}

#[derive(Debug, Default)]
struct Histogram {
    first_ns: u64,
    sum_ns: u64,
    /// Only those that count something, in their order.
    buckets: Vec<(i32, u64)>,
}

impl Totals {
    /// `tallies` are what user space counts of HTTP/2; the first of the generations knows all their ids.
    pub fn read(generations: &[Generation<'_>], tallies: &[&Tally]) -> Result<Self, AgentError> {
        let mut totals = Self::default();
        for generation in generations {
            totals.add_counts(generation)?;
            totals.add_latencies(generation)?;
            totals.add_losses(generation)?;
        }
        if let Some(now) = generations.first() {
            for tally in tallies {
                totals.add_tally(now, tally);
            }
        }
        Ok(totals)
    }

    fn add_counts(&mut self, generation: &Generation<'_>) -> Result<(), AgentError> {
        let counters = generation.counters;
        entries::of_each_cpu(&counters.counts, |key, shares| {
            let mut sum = Sum::default();
            for Raw(share) in shares {
                sum.first_ns = sum.first_ns.max(share.first_ns);
                sum.value += share.value;
            }
            self.activities.count(key, sum.value, generation.is_current);
            self.add_count(generation, key, sum);
        })
        .map_err(AgentError::map("read", "COUNTS"))?;
        entries::of(&counters.gone_counts, |key, Raw(share)| {
            let sum = Sum {
                first_ns: share.first_ns,
                value: share.value,
            };
            self.add_count(generation, key, sum);
        })
        .map_err(AgentError::map("read", GONE_COUNTS))
    }

    fn add_count(&mut self, generation: &Generation<'_>, key: &CountKey, sum: Sum) {
        let named = self.name(generation, &key.endpoint, (key.settings, key.route), sum.first_ns);
        let Some((service, settings, is_untimed)) = named else {
            return;
        };
        if is_untimed && what::is_of_requests(key.what) && key.what != what::UNKNOWN {
            self.lose(Some(service.clone()), LossReason::Untimed, sum);
        }
        let role = role_of(&key.endpoint);
        if key.what == what::CLOSED {
            *self.closed.entry((service, role)).or_default() += sum.value;
            return;
        }
        let Some(signal) = signal_of(key.what, generation.reset_reasons) else {
            return;
        };
        let route = (!signal.is_tcp()).then(|| route_of(generation, settings, key.settings, key.route));
        let series = Series {
            service,
            role,
            route,
            signal,
        };
        self.add(series, sum);
    }

    fn add_latencies(&mut self, generation: &Generation<'_>) -> Result<(), AgentError> {
        let counters = generation.counters;
        entries::of_each_cpu(&counters.latencies, |key, shares| {
            let first_ns = shares.iter().map(|share| share.0.first_ns).max().unwrap_or(0);
            if first_ns == 0 {
                return;
            }
            self.activities
                .latency(&key.endpoint, shares, generation.is_current);
            self.add_latency(generation, key, first_ns, shares);
        })
        .map_err(AgentError::map("read", "LATENCIES"))?;
        entries::of(&counters.gone_latencies, |key, share| {
            self.add_latency(generation, key, share.0.first_ns, std::slice::from_ref(share));
        })
        .map_err(AgentError::map("read", GONE_LATENCIES))
    }

    fn add_tally(&mut self, generation: &Generation<'_>, tally: &Tally) {
        for (settings, lost) in tally.lost() {
            let definition = generation.definitions.get(settings);
            let service = definition.map(|definition| definition.service.clone());
            let sum = Sum {
                first_ns: lost.first_ns,
                value: lost.value,
            };
            self.lose(service, LossReason::GapInSequence, sum);
        }
        for (key, count) in tally.counts() {
            let sum = Sum {
                first_ns: count.first_ns,
                value: count.value,
            };
            self.add_count(generation, &key, sum);
        }
        for (key, latency) in tally.latencies() {
            self.add_latency(generation, &key, latency.first_ns, &[Raw(latency)]);
        }
    }

    fn add_latency(
        &mut self,
        generation: &Generation<'_>,
        key: &LatencyKey,
        first_ns: u64,
        shares: &[Raw<wire::Latency>],
    ) {
        let named = self.name(generation, &key.endpoint, (key.settings, key.route), first_ns);
        let Some((service, settings, is_untimed)) = named else {
            return;
        };
        let role = role_of(&key.endpoint);
        let total = |of: fn(&wire::Latency) -> u64| shares.iter().map(|share| of(&share.0)).sum::<u64>();

        let (route, clock) = match key.route {
            ROUTE_CONNECT => (None, Clock::Connect),
            ROUTE_ROUND_TRIP => (None, Clock::RoundTrip),
            ROUTE_QUEUE => (None, Clock::Queue),
            number => {
                let route = route_of(generation, settings, key.settings, number);
                let is_last_byte = key.clock == u16::from(wire::clock::LAST_BYTE);
                let clock = if is_last_byte {
                    Clock::LastByte
                } else {
                    Clock::Turnaround
                };
                (Some(route), clock)
            }
        };
        if let Some(definition) = generation.definitions.get(key.settings)
            && route.is_some()
        {
            for (index, (clock, ns)) in definition.thresholds.iter().enumerate() {
                let threshold = Duration::from_nanos(*ns);
                let clock = *clock;
                let within: u64 = shares.iter().map(|share| share.0.within[index]).sum();
                let over: u64 = shares.iter().map(|share| share.0.over[index]).sum();
                for (signal, value) in [
                    (Signal::Within { clock, threshold }, within),
                    (Signal::Over { clock, threshold }, over),
                ] {
                    let series = Series {
                        service: service.clone(),
                        role,
                        route: route.clone(),
                        signal,
                    };
                    self.add(series, Sum { first_ns, value });
                }
            }
        }
        for (place, status) in STATUSES.iter().enumerate() {
            let mut sum = Sum::default();
            for Raw(share) in shares {
                sum.first_ns = earlier(sum.first_ns, share.statuses[place].first_ns);
                sum.value += share.statuses[place].value;
            }
            if sum.value > 0 {
                if is_untimed {
                    self.lose(Some(service.clone()), LossReason::Untimed, sum);
                }
                let series = Series {
                    service: service.clone(),
                    role,
                    route: route.clone(),
                    signal: Signal::Status(*status),
                };
                self.add(series, sum);
            }
        }
        if key.route == ROUTE_ROUND_TRIP {
            let rtt = self.rtt.entry((service.clone(), role)).or_default();
            rtt.0 += total(|share| share.sum_ns) / 1000;
            rtt.1 += total(|share| share.buckets.iter().sum());
        }
        let histogram = self.histograms.entry((service, role, clock, route)).or_default();
        histogram.first_ns = earlier(histogram.first_ns, first_ns);
        histogram.sum_ns += total(|share| share.sum_ns);
        add_buckets(&mut histogram.buckets, shares);
    }

    fn add_losses(&mut self, generation: &Generation<'_>) -> Result<(), AgentError> {
        let counters = generation.counters;
        for (index, reason) in REASONS {
            let shares = counters
                .losses
                .get(&index, 0)
                .map_err(AgentError::map("read", "LOSSES"))?;
            self.losses.entry((None, reason)).or_default().value += shares.iter().sum::<u64>();
        }
        for (id, definition) in generation.definitions.iter() {
            let Raw(lost) = counters
                .lost
                .get(&id, 0)
                .map_err(AgentError::map("read", "LOST"))?;
            for (index, reason) in REASONS {
                let value = lost.by_reason[index as usize];
                if value > 0 {
                    let first_ns = lost.first_ns;
                    self.lose(Some(definition.service.clone()), reason, Sum { first_ns, value });
                }
            }
        }
        Ok(())
    }

    /// The service, the id by which its routes are looked up, and whether it has thresholds, but had none known when this
    /// was counted.
    fn name(
        &mut self,
        generation: &Generation<'_>,
        endpoint: &Endpoint,
        (settings, route): (u32, u16),
        first_ns: u64,
    ) -> Option<(ServiceName, u32, bool)> {
        if let Some(definition) = generation.definitions.get(settings) {
            let is_untimed = route == ROUTE_UNTIMED && !definition.thresholds.is_empty();
            return Some((definition.service.clone(), settings, is_untimed));
        }
        if endpoint.netns == 0 && endpoint.cgroup == 0 && endpoint.port == 0 {
            return HOST.parse().ok().map(|name| (name, 0, false));
        }
        let naming = generation.counters.endpoints.get(&Raw(*endpoint), 0).ok();
        let first = naming.and_then(|Raw(naming)| generation.definitions.get(naming.first));
        if let Some(definition) = first {
            return Some((definition.service.clone(), 0, !definition.thresholds.is_empty()));
        }
        let since = self.unnamed.entry(*endpoint).or_insert(first_ns);
        *since = earlier(*since, first_ns);
        None
    }

    fn lose(&mut self, service: Option<ServiceName>, reason: LossReason, sum: Sum) {
        let total = self.losses.entry((service, reason)).or_default();
        total.first_ns = earlier(total.first_ns, sum.first_ns);
        total.value += sum.value;
    }

    fn add(&mut self, series: Series, sum: Sum) {
        let total = self.series.entry(series).or_default();
        total.first_ns = earlier(total.first_ns, sum.first_ns);
        total.value += sum.value;
    }

    /// A counter that user space keeps: since when, and how many.
    pub fn add_service(&mut self, service: ServiceName, signal: Signal, first_ns: u64, value: u64) {
        let series = Series {
            service,
            role: Role::Server,
            route: None,
            signal,
        };
        self.add(series, Sum { first_ns, value });
    }

    pub fn readings(&self, starts: &mut StartTimes) -> Vec<Reading> {
        self.series
            .iter()
            .map(|(series, sum)| Reading {
                series: series.clone(),
                start_time: starts.of_series(series, sum.first_ns),
                value: sum.value,
            })
            .collect()
    }

    pub fn histograms(&mut self, starts: &mut StartTimes) -> Vec<HistogramReading> {
        self.histograms
            .drain()
            .map(|(key, histogram)| {
                let start_time = starts.of_histogram(&key, histogram.first_ns);
                let (service, role, clock, route) = key;
                HistogramReading {
                    service,
                    role,
                    route,
                    clock,
                    start_time,
                    buckets: histogram.buckets,
                    sum: Duration::from_nanos(histogram.sum_ns),
                }
            })
            .collect()
    }

    /// Those of nobody knows which service began with the pins, at `start_time`.
    pub fn losses(&self, absent: usize, start_time: DateTime<Utc>, starts: &mut StartTimes) -> Vec<Loss> {
        let mut losses: Vec<Loss> = self
            .losses
            .iter()
            .map(|((service, reason), sum)| Loss {
                service: service.clone(),
                reason: *reason,
                value: sum.value,
                start_time: match service {
                    Some(service) => starts.of(format_args!("{service}|lost|{reason}"), sum.first_ns),
                    None => start_time,
                },
            })
            .collect();
        if absent > 0 {
            losses.push(Loss {
                service: None,
                reason: LossReason::ProbeAbsent,
                value: u64::try_from(absent).unwrap_or(u64::MAX),
                start_time,
            });
        }
        losses
    }

    /// Connections opened since their sockets were seen to be born, less those that ended.
    pub fn open_connections(&self) -> Vec<GaugeReading> {
        let mut open: BTreeMap<(ServiceName, Role), u64> = BTreeMap::new();
        for (series, sum) in &self.series {
            if matches!(series.signal, Signal::Accepted | Signal::Connected) {
                *open.entry((series.service.clone(), series.role)).or_default() += sum.value;
            }
        }
        open.into_iter()
            .map(|(key, opened)| {
                let closed = self.closed.get(&key).copied().unwrap_or(0);
                gauge(key, Gauge::OpenConnections, to_f64(opened.saturating_sub(closed)))
            })
            .collect()
    }

    /// The mean of the round trips of connections since `before`, which becomes what is read now.
    pub fn round_trips(&self, before: &mut HashMap<(ServiceName, Role), (u64, u64)>) -> Vec<GaugeReading> {
        let mut gauges = Vec::new();
        for (key, now) in &self.rtt {
            let last = before.insert(key.clone(), *now).unwrap_or_default();
            let (sum, count) = (now.0.saturating_sub(last.0), now.1.saturating_sub(last.1));
            if count > 0 {
                gauges.push(gauge(key.clone(), Gauge::RttMicros, to_f64(sum) / to_f64(count)));
            }
        }
        gauges
    }

    /// Every service and role that anything was counted for.
    pub fn services(&self) -> Vec<(ServiceName, Role)> {
        let named = self
            .series
            .keys()
            .filter(|series| series.service.as_str() != HOST);
        let found: HashSet<_> = named.map(|series| (&series.service, series.role)).collect();
        let found = found.into_iter();
        found.map(|(service, role)| (service.clone(), role)).collect()
    }
}

/// Buckets that are passed over at once while they are empty.
const ROW: usize = 14;

/// Adds what every CPU counted to what other endpoints have.
fn add_buckets(sum: &mut Vec<(i32, u64)>, shares: &[Raw<wire::Latency>]) {
    // Thousands of these are read each second and nearly all of their buckets are empty: whole rows are added and passed over.
    let mut counts = [0; BUCKETS];
    for Raw(share) in shares {
        for (count, more) in counts.iter_mut().zip(&share.buckets) {
            *count += more;
        }
    }
    let first = BUCKET_FIRST.cast_signed();
    if !sum.is_empty() {
        let mut before = sum.drain(..).peekable();
        for (count, index) in counts.iter_mut().zip(first..) {
            *count += before
                .next_if(|(known, _)| *known == index)
                .map_or(0, |(_, more)| more);
        }
    }
    for (row, first) in counts.chunks(ROW).zip((first..).step_by(ROW)) {
        if row.iter().fold(0, |any, count| any | count) > 0 {
            let counted = (first..).zip(row.iter().copied());
            sum.extend(counted.filter(|(_, count)| *count > 0));
        }
    }
}

pub(crate) fn role_of(endpoint: &Endpoint) -> Role {
    if endpoint.role == role::CLIENT {
        Role::Client
    } else {
        Role::Server
    }
}

fn route_of(generation: &Generation<'_>, named: u32, settings: u32, route: u16) -> Route {
    if named != settings {
        return Route::other();
    }
    generation
        .definitions
        .get(settings)
        .map_or_else(Route::other, |definition| definition.route(route))
}

pub(crate) fn gauge((service, role): (ServiceName, Role), gauge: Gauge, value: f64) -> GaugeReading {
    GaugeReading {
        service,
        role,
        gauge,
        value,
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are for people")]
pub(crate) fn to_f64(count: u64) -> f64 {
    count as f64
}
