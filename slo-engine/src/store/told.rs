//! What sources have told before, to the digit. Most counters rest from one second to the next: one that
//! reads as it was booked changes nothing, whoever booked since, and Postgres need not be asked.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::{histogram, memory::HistogramKey};
use crate::measurement::{Batch, HistogramReading, Loss, LossReason, Reading, Series, ServiceName};

/// By one source, as booked last.
#[derive(Debug, Default)]
pub(crate) struct Told {
    readings: HashMap<Series, (DateTime<Utc>, u64)>,
    histograms: HashMap<HistogramKey, HistogramReading>,
    losses: HashMap<(Option<ServiceName>, LossReason), (DateTime<Utc>, u64)>,
}

impl Told {
    /// The batch without what has been told, and how many values that leaves out.
    pub fn news(&self, batch: &Batch) -> (Batch, u64) {
        let is_new = |reading: &&Reading| {
            self.readings.get(&reading.series) != Some(&(reading.start_time, reading.value))
        };
        let is_new_histogram =
            |reading: &&HistogramReading| self.histograms.get(&histogram::key(reading)) != Some(*reading);
        let is_new_loss = |loss: &&Loss| {
            let key = (loss.service.clone(), loss.reason);
            self.losses.get(&key) != Some(&(loss.start_time, loss.value))
        };
        let news = Batch {
            source: batch.source.clone(),
            readings: batch.readings.iter().filter(is_new).cloned().collect(),
            histograms: batch
                .histograms
                .iter()
                .filter(is_new_histogram)
                .cloned()
                .collect(),
            gauges: batch.gauges.clone(),
            losses: batch.losses.iter().filter(is_new_loss).cloned().collect(),
            ..*batch
        };
        let values = |batch: &Batch| batch.readings.len() + batch.histograms.len() + batch.losses.len();
        let rest = values(batch) - values(&news);
        (news, u64::try_from(rest).unwrap_or(u64::MAX))
    }

    pub fn reading(&mut self, reading: &Reading) {
        self.readings
            .insert(reading.series.clone(), (reading.start_time, reading.value));
    }

    pub fn histogram(&mut self, reading: &HistogramReading) {
        self.histograms.insert(histogram::key(reading), reading.clone());
    }

    pub fn loss(&mut self, loss: &Loss) {
        let key = (loss.service.clone(), loss.reason);
        self.losses.insert(key, (loss.start_time, loss.value));
    }

    pub fn extend(&mut self, later: Self) {
        self.readings.extend(later.readings);
        self.histograms.extend(later.histograms);
        self.losses.extend(later.losses);
    }
}
