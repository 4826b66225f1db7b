//! Counters and histograms: what a batch adds to each, to its slot and to the objectives.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::Ingest;
use crate::engine::EngineError;
use crate::measurement::Batch;
use crate::objective::Side;
use crate::store::booking::{Booking, Buckets, Head, book};
use crate::store::{count, histogram, micros};

impl Ingest {
    pub(super) async fn series(
        &mut self,
        connection: &mut PgConnection,
        batch: &Batch,
    ) -> Result<(), EngineError> {
        if batch.readings.is_empty() {
            return Ok(());
        }
        let ids: Vec<i64> = self.known.series.values().copied().collect();
        let heads = sqlx::query!(
            "select series_id, started_at, at, value from series_head where series_id = any($1)",
            &ids
        )
        .fetch_all(&mut *connection)
        .await?;
        let mut heads: HashMap<i64, Head<u64>> = heads
            .into_iter()
            .map(|row| {
                let head = Head {
                    started_at: row.started_at,
                    at: row.at,
                    value: count("series_head.value", row.value)?,
                };
                Ok((row.series_id, head))
            })
            .collect::<Result<_, EngineError>>()?;

        let mut counted: HashMap<i64, i64> = HashMap::new();
        let mut moved: HashSet<i64> = HashSet::new();
        for reading in &batch.readings {
            let Some(id) = self.known.series.get(&reading.series).copied() else {
                self.outcome.refused += 1;
                continue;
            };
            // A value that Postgres cannot hold is none that was counted.
            if i64::try_from(reading.value).is_err() {
                self.outcome.refused += 1;
                continue;
            }
            let head = Head {
                started_at: micros(reading.start_time),
                at: self.moment.at,
                value: reading.value,
            };
            match self.note(book(heads.get(&id), &head, self.source.first_contact_at)) {
                Booked::Nothing => continue,
                Booked::Rests => {
                    self.told.reading(reading);
                    continue;
                }
                Booked::Head => {}
                Booked::Counted(value) => {
                    let value = i64::try_from(value).unwrap_or(i64::MAX);
                    if value > 0 {
                        *counted.entry(id).or_default() += value;
                        self.count_for(id, value);
                        let service_id = self.known.service(&reading.series.service)?;
                        self.unseen.count(service_id, reading.series.signal, value);
                    }
                }
            }
            self.told.reading(reading);
            heads.insert(id, head);
            moved.insert(id);
        }
        measure(connection, self.moment.slot_end, &counted).await?;
        let moved: Vec<(&i64, &Head<u64>)> = heads.iter().filter(|(id, _)| moved.contains(*id)).collect();
        move_heads(connection, self.moment.at, &moved).await
    }

    /// Books events of one series to every objective that counts it.
    fn count_for(&mut self, series_id: i64, value: i64) {
        for counts_for in self.known.sides.get(&series_id).into_iter().flatten() {
            let key = (counts_for.objective_id, counts_for.generation);
            if self.holding.contains(&key) {
                let delta = self.deltas.entry(key).or_default();
                match counts_for.side {
                    Side::Good => delta.good += value,
                    Side::Bad => delta.bad += value,
                }
            }
        }
    }

    pub(super) async fn histograms(
        &mut self,
        connection: &mut PgConnection,
        batch: &Batch,
    ) -> Result<(), EngineError> {
        if batch.histograms.is_empty() {
            return Ok(());
        }
        let ids: Vec<i64> = self.known.histograms.values().copied().collect();
        let mut heads = histogram::heads(connection, &ids).await?;
        let mut counted: HashMap<i64, Buckets> = HashMap::new();
        let mut moved = HashSet::new();
        for reading in &batch.histograms {
            let Some(id) = self.known.histograms.get(&histogram::key(reading)).copied() else {
                self.outcome.refused += 1;
                continue;
            };
            let Some(value) = histogram::buckets(reading) else {
                self.outcome.refused += 1;
                continue;
            };
            let head = Head {
                started_at: micros(reading.start_time),
                at: self.moment.at,
                value,
            };
            match self.note(book(heads.get(&id), &head, self.source.first_contact_at)) {
                Booked::Nothing => continue,
                Booked::Rests => {
                    self.told.histogram(reading);
                    continue;
                }
                Booked::Head => {}
                // A sum alone, read between two stores of the kernel's program, moves the head and is no row.
                Booked::Counted(buckets) if buckets.counts.is_empty() => {}
                Booked::Counted(buckets) => {
                    counted.insert(id, buckets);
                }
            }
            self.told.histogram(reading);
            heads.insert(id, head);
            moved.insert(id);
        }
        histogram::add(connection, self.moment.slot_end, &counted).await?;
        histogram::move_heads(connection, &heads, &moved).await
    }

    pub(super) fn note<V>(&mut self, booking: Booking<V>) -> Booked<V> {
        match booking {
            Booking::Counted(value) => {
                self.outcome.applied += 1;
                Booked::Counted(value)
            }
            Booking::Baseline => {
                self.outcome.applied += 1;
                Booked::Head
            }
            // Heads of counters that rest stay where they are, so that the source says what is new.
            Booking::Unchanged => {
                if self
                    .source
                    .last_at
                    .is_some_and(|last_at| self.moment.at <= last_at)
                {
                    self.outcome.ignored += 1;
                    return Booked::Nothing;
                }
                self.outcome.applied += 1;
                Booked::Rests
            }
            Booking::Ignored => {
                self.outcome.ignored += 1;
                Booked::Nothing
            }
            Booking::Refused => {
                self.outcome.refused += 1;
                Booked::Nothing
            }
        }
    }
}

/// What is left to do after a booking was counted.
pub(super) enum Booked<V> {
    Counted(V),
    Head,
    /// Nothing is left to do, and this is what the books hold.
    Rests,
    Nothing,
}

async fn measure(
    connection: &mut PgConnection,
    slot_end: DateTime<Utc>,
    counted: &HashMap<i64, i64>,
) -> Result<(), EngineError> {
    if counted.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into measurement (series_id, at, value)
         select series_id, $1, value from unnest($2::bigint[], $3::bigint[]) as t (series_id, value)
         on conflict (series_id, at) do update set value = measurement.value + excluded.value",
        slot_end,
        &counted.keys().copied().collect::<Vec<_>>(),
        &counted.values().copied().collect::<Vec<_>>()
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn move_heads(
    connection: &mut PgConnection,
    at: DateTime<Utc>,
    moved: &[(&i64, &Head<u64>)],
) -> Result<(), EngineError> {
    if moved.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into series_head (series_id, started_at, at, value)
         select series_id, started_at, $1, value
         from unnest($2::bigint[], $3::timestamptz[], $4::bigint[]) as t (series_id, started_at, value)
         on conflict (series_id) do update
         set started_at = excluded.started_at, at = excluded.at, value = excluded.value",
        at,
        &moved.iter().map(|(id, _)| **id).collect::<Vec<_>>(),
        &moved.iter().map(|(_, head)| head.started_at).collect::<Vec<_>>(),
        &moved
            .iter()
            .map(|(_, head)| i64::try_from(head.value).unwrap_or(i64::MAX))
            .collect::<Vec<_>>()
    )
    .execute(connection)
    .await?;
    Ok(())
}
