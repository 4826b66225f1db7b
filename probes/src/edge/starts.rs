//! When each series began.

use std::{
    collections::HashMap,
    fmt::{self, Write as _},
};

use chrono::{DateTime, Utc};
use foldhash::fast::RandomState;
use slo_engine::measurement::{Clock, Role, Route, Series, ServiceName};

use super::table::Starts;
use crate::agent::AgentError;

/// When each series began, as it was first told. Remembered in a pinned map: to the engine, another
/// start is another counter.
pub(crate) struct StartTimes {
    map: Starts,
    /// By the hash of a name.
    known: HashMap<u64, u64>,
    /// The same by what is named: thousands are asked for each second, and a name takes long to write out.
    series: HashMap<Series, u64, RandomState>,
    histograms: HashMap<HistogramKey, u64, RandomState>,
    anchor_ns: u64,
}

pub(crate) type HistogramKey = (ServiceName, Role, Clock, Option<Route>);

impl StartTimes {
    pub fn open(map: Starts, anchor_ns: u64) -> Result<Self, AgentError> {
        let mut known = HashMap::new();
        for entry in map.iter() {
            let (series, first_ns) = entry.map_err(AgentError::map("read", "STARTS"))?;
            known.insert(series, first_ns);
        }
        Ok(Self {
            map,
            known,
            series: HashMap::default(),
            histograms: HashMap::default(),
            anchor_ns,
        })
    }

    pub fn of_series(&mut self, series: &Series, first_ns: u64) -> DateTime<Utc> {
        let first_ns = match self.series.get(series) {
            Some(known) => *known,
            None => {
                let Series {
                    service,
                    role,
                    route,
                    signal,
                } = series;
                let route = route.as_ref().map_or("", Route::as_str);
                let first_ns = self.first(format_args!("{service}|{role}|{route}|{signal}"), first_ns);
                self.series.insert(series.clone(), first_ns);
                first_ns
            }
        };
        self.at(first_ns)
    }

    pub fn of_histogram(&mut self, key: &HistogramKey, first_ns: u64) -> DateTime<Utc> {
        let first_ns = match self.histograms.get(key) {
            Some(known) => *known,
            None => {
                let (service, role, clock, route) = key;
                let first_ns = match route {
                    Some(route) if *clock == Clock::Turnaround => {
                        self.first(format_args!("{service}|{role}|{route}|histogram"), first_ns)
                    }
                    Some(route) => self.first(
                        format_args!("{service}|{role}|{route}|{clock}|histogram"),
                        first_ns,
                    ),
                    None => self.first(format_args!("{service}|{role}||{clock}|histogram"), first_ns),
                };
                self.histograms.insert(key.clone(), first_ns);
                first_ns
            }
        };
        self.at(first_ns)
    }

    /// `series` is its name, written out only as far as its hash needs it.
    pub fn of(&mut self, series: fmt::Arguments<'_>, first_ns: u64) -> DateTime<Utc> {
        let first_ns = self.first(series, first_ns);
        self.at(first_ns)
    }

    fn first(&mut self, series: fmt::Arguments<'_>, first_ns: u64) -> u64 {
        let mut name = Fnv::default();
        // Never fails, as `write_str` does not.
        let _ = name.write_fmt(series);
        let key = name.0;
        match self.known.get(&key) {
            Some(known) => *known,
            None => {
                // Remembered here at least: what no restart moves is the oldest of its counters.
                if let Err(error) = self.map.insert(key, first_ns, 0) {
                    tracing::warn!(%series, %error, "no room to remember when a series began");
                }
                self.known.insert(key, first_ns);
                first_ns
            }
        }
    }

    /// Wall time of a moment counted from boot.
    pub fn at(&self, boot_ns: u64) -> DateTime<Utc> {
        let ns = self.anchor_ns.saturating_add(boot_ns);
        DateTime::from_timestamp_nanos(i64::try_from(ns).unwrap_or(i64::MAX))
    }
}

/// FNV-1a of what is written: stable between builds.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl fmt::Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = text.bytes().fold(self.0, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Ok(())
    }
}

pub(crate) fn hash(text: &str) -> u64 {
    let mut hash = Fnv::default();
    let _ = hash.write_str(text);
    hash.0
}
