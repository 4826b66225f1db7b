//! What an engine remembers between batches, so that it need not ask again.
//!
//! Everything here but `seen`, which its source still counts, is also in Postgres, and never changes there without
//! `definition_version` moving: a restart, or a change by another engine, costs one reading of it and nothing else.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};

use super::ingest::patience::Seen;
use super::told::Told;
use crate::measurement::{Clock, Role, Route, Series, ServiceName, SourceId};
use crate::objective::{Side, Sli};

/// One generation of one objective.
#[derive(Debug, Clone)]
pub(crate) struct Generation {
    pub objective_id: i64,
    pub generation: i32,
    pub sli: Sli,
    /// Counts slices of this length instead of requests.
    pub slice: Option<Duration>,
    /// Where its ledger begins. Moves back in Postgres as the generation is counted back, without a change of definitions:
    /// what it holds by this it does hold.
    pub counted_from: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
}

impl Generation {
    /// Whether events of this moment are booked to it.
    pub fn holds_at(&self, at: DateTime<Utc>) -> bool {
        self.counted_from < at && !self.is_over_at(at)
    }

    /// Whether events of this moment are another generation's, or nobody's.
    pub fn is_over_at(&self, at: DateTime<Utc>) -> bool {
        self.ended_at.is_some_and(|end| end <= at)
    }
}

/// A generation that a series counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CountsFor {
    pub objective_id: i64,
    pub generation: i32,
    pub side: Side,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct HistogramKey {
    pub service: ServiceName,
    pub role: Role,
    pub route: Option<Route>,
    pub clock: Clock,
}

#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// What this was read at; anything else in the database makes it stale.
    pub version: Option<i64>,
    pub services: HashMap<ServiceName, i64>,
    pub generations: HashMap<(i64, Role), Vec<Generation>>,
    pub series: HashMap<i64, HashMap<Series, i64>>,
    pub histograms: HashMap<i64, HashMap<HistogramKey, i64>>,
    /// By source.
    pub told: HashMap<i64, Told>,
    pub seen: HashMap<SourceId, Seen>,
    /// By series.
    pub sides: HashMap<i64, Vec<CountsFor>>,
    /// Days that have partitions.
    pub days: HashSet<NaiveDate>,
}

impl Memory {
    /// Forgets what another version of the definitions said.
    pub fn forget_definitions(&mut self, version: i64) {
        self.version = Some(version);
        self.generations.clear();
        self.sides.clear();
    }
}
