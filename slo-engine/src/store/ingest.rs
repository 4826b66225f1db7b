//! Books batches: one transaction each, and nothing at all when a batch was booked before.
//!
//! In: a batch, and when it arrived. Out: measurements, histograms, gauges, losses, and the ledger of
//! every objective they count for. A batch has one `at`, so everything it adds lands in one slot.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::{Acquire, PgConnection};

use super::booking::{Booking, Buckets, Head, book};
use super::ledger::{self, Deltas, day_of};
use super::memory::Generation;
use super::series::{Known, Named};
use super::source::{self, SourceRow, Watch};
use super::{histogram, lock, maintain, micros, slot_end};
use crate::engine::{Engine, EngineError, IngestError, Ingested, Settings};
use crate::event::{self, Event, EventKind};
use crate::measurement::{Batch, GaugeReading, Loss, LossReason, Role};
use crate::objective::Side;
use crate::read::SourceState;

/// When a batch was read, in the two clocks that matter.
#[derive(Debug, Clone, Copy)]
struct Moment {
    /// On the source's clock: decides what is new.
    at: DateTime<Utc>,
    /// On ours: decides the slot.
    booked_at: DateTime<Utc>,
    /// The end of the slot.
    slot_end: DateTime<Utc>,
    received_at: DateTime<Utc>,
    offset_ms: i64,
    shift_ms: i64,
}

pub(crate) async fn ingest(
    engine: &Engine,
    batch: &Batch,
    received_at: DateTime<Utc>,
) -> Result<Ingested, IngestError> {
    let mut connection = engine.pool().acquire().await?;
    let mut transaction = connection.begin().await?;
    sqlx::query!("select pg_advisory_xact_lock_shared($1)", lock::DEFINITIONS)
        .execute(&mut *transaction)
        .await?;
    let version = sqlx::query_scalar!("select definition_version from engine_state")
        .fetch_one(&mut *transaction)
        .await?;
    let source = source::lock_or_create(
        &mut transaction,
        &batch.source,
        source::machine(&batch.source),
        micros(batch.at),
    )
    .await?;
    let moment = moment(engine.settings(), batch, &source, received_at)?;
    let day = day_of(moment.slot_end);
    if !engine.memory().days.contains(&day) {
        maintain::add_day(&mut transaction, day).await?;
    }

    let mut ingest = Ingest::begin(engine, &mut transaction, batch, source, moment, version).await?;
    ingest.series(&mut transaction, batch).await?;
    ingest.histograms(&mut transaction, batch).await?;
    ingest.losses(&mut transaction, &batch.losses).await?;
    ingest.cover(&mut transaction).await?;
    ingest.gauges(&mut transaction, &batch.gauges).await?;
    ledger::book(&mut transaction, moment.slot_end, &ingest.deltas).await?;
    ingest.source(&mut transaction, batch).await?;
    transaction.commit().await?;

    let Ingest {
        known,
        source,
        outcome,
        ..
    } = ingest;
    let mut memory = engine.memory();
    memory.days.insert(day);
    known.remember(&mut memory, source.source_id, version);
    Ok(outcome)
}

/// Where a batch belongs in time. A clock that is off by more than the tolerance is shifted by what
/// it is off; what still lies in the future then is refused.
fn moment(
    settings: &Settings,
    batch: &Batch,
    source: &SourceRow,
    received_at: DateTime<Utc>,
) -> Result<Moment, IngestError> {
    let tolerance = i64::try_from(settings.offset_max.as_millis()).unwrap_or(i64::MAX);
    let offset_ms = (received_at - batch.sent_at).num_milliseconds();
    let shift_ms = if offset_ms.abs() <= tolerance {
        0
    } else if (offset_ms - source.shift_ms).abs() <= tolerance {
        // Jitter of the network is no new offset.
        source.shift_ms
    } else {
        offset_ms
    };
    let at = micros(batch.at);
    let booked_at = at + TimeDelta::milliseconds(shift_ms);
    let ahead_ms = (booked_at - received_at).num_milliseconds();
    if ahead_ms > tolerance {
        return Err(IngestError::FromTheFuture {
            source_id: batch.source.clone(),
            ahead_ms,
        });
    }
    Ok(Moment {
        at,
        booked_at,
        slot_end: slot_end(booked_at, settings.slot)?,
        received_at,
        offset_ms,
        shift_ms,
    })
}

struct Ingest {
    source: SourceRow,
    moment: Moment,
    known: Known,
    watches: HashMap<(i64, Role), Watch>,
    deltas: Deltas,
    outcome: Ingested,
}

impl Ingest {
    /// Learns what the batch names, and locks the books of its services.
    async fn begin(
        engine: &Engine,
        connection: &mut PgConnection,
        batch: &Batch,
        source: SourceRow,
        moment: Moment,
        version: i64,
    ) -> Result<Self, EngineError> {
        let watches: HashMap<(i64, Role), Watch> = source::watches(connection, source.source_id)
            .await?
            .into_iter()
            .map(|watch| ((watch.service_id, watch.role), watch))
            .collect();
        let named = Named {
            services: names(batch),
            series: batch.readings.iter().map(|reading| &reading.series).collect(),
            histograms: batch.histograms.iter().map(histogram::key).collect(),
            watched: watches.keys().copied().collect(),
        };
        let mut known = {
            let mut memory = engine.memory();
            if memory.version != Some(version) {
                memory.forget_definitions(version);
            }
            Known::recall(&memory, source.source_id, &named)
        };
        known
            .complete(connection, source.source_id, &named, moment.booked_at)
            .await?;
        let services: HashSet<i64> = watches
            .keys()
            .map(|(service_id, _)| *service_id)
            .chain(known.services.values().copied())
            .collect();
        ledger::lock_services(connection, services).await?;
        let mut ingest = Self {
            source,
            moment,
            known,
            watches,
            deltas: Deltas::new(),
            outcome: Ingested::default(),
        };
        ingest.watch_more(batch)?;
        Ok(ingest)
    }

    /// A service that the source had not named before was watched since the last batch, or since the
    /// first contact: it was idle, and idle is covered.
    fn watch_more(&mut self, batch: &Batch) -> Result<(), EngineError> {
        let since = self.source.last_at.unwrap_or(self.source.first_contact_at)
            + TimeDelta::milliseconds(self.moment.shift_ms);
        let since = since.min(self.moment.booked_at);
        let named = batch
            .readings
            .iter()
            .map(|reading| (&reading.series.service, reading.series.role))
            .chain(
                batch
                    .histograms
                    .iter()
                    .map(|reading| (&reading.service, reading.role)),
            )
            .chain(
                batch
                    .gauges
                    .iter()
                    .map(|reading| (&reading.service, reading.role)),
            );
        for (service, role) in named {
            let service_id = self.known.service(service)?;
            self.watches.entry((service_id, role)).or_insert(Watch {
                service_id,
                role,
                covered_to: since,
                expected_to: since,
            });
        }
        Ok(())
    }

    async fn series(&mut self, connection: &mut PgConnection, batch: &Batch) -> Result<(), EngineError> {
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
                    value: super::count("series_head.value", row.value)?,
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
                Booked::Head => {}
                Booked::Counted(value) => {
                    let value = i64::try_from(value).unwrap_or(i64::MAX);
                    if value > 0 {
                        *counted.entry(id).or_default() += value;
                        self.count_for(id, value);
                    }
                }
            }
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
            let holds = self.known.generations.values().flatten().any(|generation| {
                (generation.objective_id, generation.generation)
                    == (counts_for.objective_id, counts_for.generation)
                    && generation.holds_at(self.moment.booked_at)
            });
            if holds {
                let delta = self
                    .deltas
                    .entry((counts_for.objective_id, counts_for.generation))
                    .or_default();
                match counts_for.side {
                    Side::Good => delta.good += value,
                    Side::Bad => delta.bad += value,
                }
            }
        }
    }

    async fn histograms(&mut self, connection: &mut PgConnection, batch: &Batch) -> Result<(), EngineError> {
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
                Booked::Head => {}
                Booked::Counted(buckets) => {
                    counted.insert(id, buckets);
                }
            }
            heads.insert(id, head);
            moved.insert(id);
        }
        histogram::add(connection, self.moment.slot_end, &counted).await?;
        histogram::move_heads(connection, &heads, &moved).await
    }

    /// Losses count for the objectives of their service; where nobody knows whose they were, for all
    /// that the source watches. What has no name belongs to nobody's objective.
    async fn losses(&mut self, connection: &mut PgConnection, losses: &[Loss]) -> Result<(), EngineError> {
        for loss in losses {
            let service_id = loss
                .service
                .as_ref()
                .map(|name| self.known.service(name))
                .transpose()?;
            let head = sqlx::query!(
                "select started_at, at, value from loss_head
                 where source_id = $1 and service_id is not distinct from $2 and reason = $3",
                self.source.source_id,
                service_id,
                loss.reason.as_str()
            )
            .fetch_optional(&mut *connection)
            .await?;
            let head = head
                .map(|row| {
                    Ok::<_, EngineError>(Head {
                        started_at: row.started_at,
                        at: row.at,
                        value: super::count("loss_head.value", row.value)?,
                    })
                })
                .transpose()?;
            let now = Head {
                started_at: micros(loss.start_time),
                at: self.moment.at,
                value: loss.value,
            };
            let lost = match self.note(book(head.as_ref(), &now, self.source.first_contact_at)) {
                Booked::Nothing => continue,
                Booked::Head => 0,
                Booked::Counted(value) => i64::try_from(value).unwrap_or(i64::MAX),
            };
            let value = i64::try_from(loss.value).unwrap_or(i64::MAX);
            sqlx::query!(
                "insert into loss_head (source_id, service_id, reason, started_at, at, value)
                 values ($1, $2, $3, $4, $5, $6)
                 on conflict on constraint loss_head_key do update
                 set started_at = excluded.started_at, at = excluded.at, value = excluded.value",
                self.source.source_id,
                service_id,
                loss.reason.as_str(),
                now.started_at,
                now.at,
                value
            )
            .execute(&mut *connection)
            .await?;
            if lost > 0 {
                sqlx::query!(
                    "insert into loss (source_id, service_id, reason, at, count) values ($1, $2, $3, $4, $5)
                     on conflict on constraint loss_key do update set count = loss.count + excluded.count",
                    self.source.source_id,
                    service_id,
                    loss.reason.as_str(),
                    self.moment.slot_end,
                    lost
                )
                .execute(&mut *connection)
                .await?;
                if loss.reason != LossReason::Unnamed {
                    self.lose(service_id, lost);
                }
            }
        }
        Ok(())
    }

    fn lose(&mut self, service_id: Option<i64>, lost: i64) {
        let at = self.moment.booked_at;
        for ((service, _), generations) in &self.known.generations {
            if service_id.is_none_or(|wanted| wanted == *service) {
                for generation in holding(generations, at) {
                    self.deltas
                        .entry((generation.objective_id, generation.generation))
                        .or_default()
                        .lost += lost;
                }
            }
        }
    }

    /// The batch covers everything that its source watches, back to the batch before: a kernel that
    /// counted through an absence is booked as covered at the return.
    async fn cover(&mut self, connection: &mut PgConnection) -> Result<(), EngineError> {
        let to = self.moment.booked_at;
        let ahead = |since: DateTime<Utc>| (to.timestamp_millis() - since.timestamp_millis()).max(0);
        for (key, watch) in &mut self.watches {
            let (covered_ms, expected_ms) = (ahead(watch.covered_to), ahead(watch.expected_to));
            watch.covered_to = watch.covered_to.max(to);
            watch.expected_to = watch.expected_to.max(to);
            for generation in holding(self.known.generations.get(key).map_or(&[], Vec::as_slice), to) {
                let delta = self
                    .deltas
                    .entry((generation.objective_id, generation.generation))
                    .or_default();
                delta.covered_ms += covered_ms;
                delta.expected_ms += expected_ms;
            }
        }
        source::move_watches(connection, self.source.source_id, &self.watches).await
    }

    async fn gauges(
        &self,
        connection: &mut PgConnection,
        gauges: &[GaugeReading],
    ) -> Result<(), EngineError> {
        let gauges: HashMap<_, _> = gauges
            .iter()
            .filter(|reading| reading.value.is_finite())
            .map(|reading| ((&reading.service, reading.role, reading.gauge), reading.value))
            .collect();
        if gauges.is_empty() {
            return Ok(());
        }
        let services = gauges
            .keys()
            .map(|(name, ..)| self.known.service(name))
            .collect::<Result<Vec<_>, _>>()?;
        sqlx::query!(
            "insert into gauge (source_id, service_id, role, gauge, at, value)
             select $1, service_id, role, gauge, $2, value
             from unnest($3::bigint[], $4::text[], $5::text[], $6::double precision[])
                 as t (service_id, role, gauge, value)
             on conflict on constraint gauge_pkey do update
             set at = excluded.at, value = excluded.value
             where gauge.at < excluded.at",
            self.source.source_id,
            self.moment.booked_at,
            &services,
            &gauges
                .keys()
                .map(|(_, role, _)| role.as_str())
                .collect::<Vec<_>>() as &[&str],
            &gauges
                .keys()
                .map(|(.., gauge)| gauge.as_str())
                .collect::<Vec<_>>() as &[&str],
            &gauges.values().copied().collect::<Vec<_>>(),
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    /// The source was heard of; one that was given up is expected again.
    async fn source(&self, connection: &mut PgConnection, batch: &Batch) -> Result<(), EngineError> {
        let Moment {
            at,
            received_at,
            offset_ms,
            shift_ms,
            ..
        } = self.moment;
        if self.source.last_at.is_some_and(|last_at| at <= last_at) {
            return Ok(());
        }
        let returned = self.source.state != SourceState::Expected;
        let host = sqlx::query_scalar!(
            "update source
             set last_at = $2, shift_ms = $3, offset_ms = $4, state = 'expected',
                 state_at = case when state = 'expected' then state_at else $5 end
             where source_id = $1
             returning host",
            self.source.source_id,
            at,
            shift_ms,
            offset_ms,
            received_at
        )
        .fetch_one(&mut *connection)
        .await?;
        let data = json!({ "source": batch.source.as_str(), "offset_ms": offset_ms, "shift_ms": shift_ms });
        let mut events = Vec::new();
        if returned {
            events.push((EventKind::SourceSeen, format!("source on `{host}` returned")));
        }
        if shift_ms != self.source.shift_ms {
            let message = if shift_ms == 0 {
                format!("clock of `{host}` agrees with ours again")
            } else {
                format!("clock of `{host}` is off by {shift_ms} ms: its times are shifted by as much")
            };
            events.push((EventKind::ClockStepped, message));
        }
        for (kind, message) in events {
            let event = Event {
                at: received_at,
                kind,
                subject: host.clone(),
                message,
                data: data.clone(),
                traceparent: None,
            };
            event::record(connection, &event).await?;
        }
        Ok(())
    }

    fn note<V>(&mut self, booking: Booking<V>) -> Booked<V> {
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
                } else {
                    self.outcome.applied += 1;
                }
                Booked::Nothing
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
enum Booked<V> {
    Counted(V),
    Head,
    Nothing,
}

fn holding(generations: &[Generation], at: DateTime<Utc>) -> impl Iterator<Item = &Generation> {
    generations
        .iter()
        .filter(move |generation| generation.holds_at(at))
}

fn names(batch: &Batch) -> BTreeSet<&crate::measurement::ServiceName> {
    batch
        .readings
        .iter()
        .map(|reading| &reading.series.service)
        .chain(batch.histograms.iter().map(|reading| &reading.service))
        .chain(batch.gauges.iter().map(|reading| &reading.service))
        .chain(batch.losses.iter().filter_map(|loss| loss.service.as_ref()))
        .collect()
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
