//! Books batches: one transaction each, and nothing at all when a batch was booked before.
//!
//! In: a batch, and when it arrived. Out: measurements, histograms, gauges, losses, and the ledger of
//! every objective they count for. A batch has one `at`, so everything it adds lands in one slot.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::{Acquire, PgConnection};

use super::ledger::{self, Deltas, day_of};
use super::memory::Generation;
use super::series::{Known, Named};
use super::source::{self, SourceRow, Watch};
use super::told::Told;
use super::{excursion, histogram, lock, maintain, micros, slice, slot_end};
use crate::engine::{Engine, EngineError, IngestError, Ingested};
use crate::event::{self, Event, EventKind};
use crate::measurement::{Batch, Role, ServiceName};
use crate::read::SourceState;
use crate::settings::Settings;
use unseen::Unseen;

mod beside;
mod counters;
pub(crate) mod patience;
mod unseen;

/// Which part of a batch is booked, and what it tells the fast pages.
#[derive(Debug, Clone, Copy)]
enum Scope<'a> {
    /// All of it: it has just been read, or comes late.
    Whole,
    /// What is left of it, nothing bad among it.
    Rest,
    /// What these services counted up to it, nothing bad among it.
    Before(&'a BTreeSet<ServiceName>),
    /// These services. Up to the batch of that time theirs is booked.
    Since(&'a BTreeSet<ServiceName>, DateTime<Utc>),
}

impl Scope<'_> {
    /// `None`: all.
    fn services(&self) -> Option<&BTreeSet<ServiceName>> {
        match self {
            Self::Whole | Self::Rest => None,
            Self::Before(services) | Self::Since(services, _) => Some(services),
        }
    }

    fn may_page(self) -> bool {
        matches!(self, Self::Whole | Self::Since(..))
    }

    fn of(self, batch: &Batch) -> Cow<'_, Batch> {
        let Some(services) = self.services() else {
            return Cow::Borrowed(batch);
        };
        Cow::Owned(Batch {
            source: batch.source.clone(),
            readings: kept(&batch.readings, |reading| {
                services.contains(&reading.series.service)
            }),
            histograms: kept(&batch.histograms, |reading| services.contains(&reading.service)),
            gauges: kept(&batch.gauges, |reading| services.contains(&reading.service)),
            losses: kept(&batch.losses, |loss| {
                loss.service.as_ref().is_some_and(|name| services.contains(name))
            }),
            ..*batch
        })
    }
}

fn kept<T: Clone>(values: &[T], keep: impl Fn(&&T) -> bool) -> Vec<T> {
    values.iter().filter(keep).cloned().collect()
}

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

/// All of a batch.
pub(crate) async fn ingest(
    engine: &Engine,
    batch: &Batch,
    received_at: DateTime<Utc>,
) -> Result<Ingested, IngestError> {
    book(engine, batch, received_at, Scope::Whole).await
}

async fn book(
    engine: &Engine,
    batch: &Batch,
    received_at: DateTime<Utc>,
    scope: Scope<'_>,
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
    let batch = &*scope.of(batch);
    let (batch, resting) = match engine.memory().told.get(&source.source_id) {
        // What comes again, or late, is known by its heads.
        Some(told) if source.last_at.is_some_and(|last_at| moment.at > last_at) => told.news(batch),
        _ => (batch.clone(), 0),
    };
    let batch = &batch;
    let day = day_of(moment.slot_end);
    if !engine.memory().days.contains(&day) {
        maintain::add_day(&mut transaction, day).await?;
    }

    let mut ingest = Ingest::begin(engine, &mut transaction, batch, scope, source, moment, version).await?;
    ingest.outcome.applied += resting;
    ingest.series(&mut transaction, batch).await?;
    ingest.histograms(&mut transaction, batch).await?;
    ingest.losses(&mut transaction, &batch.losses).await?;
    ingest.cover(&mut transaction).await?;
    ingest.gauges(&mut transaction, &batch.gauges).await?;
    slice::book(
        &mut transaction,
        engine.settings(),
        slice::all(&ingest.known.generations),
        moment.booked_at,
        received_at,
        &mut ingest.deltas,
    )
    .await?;
    ledger::book(&mut transaction, moment.slot_end, &ingest.deltas).await?;
    if scope.may_page() {
        ingest.fast_pages(&mut transaction, engine.settings()).await?;
    }
    if scope.services().is_none() {
        ingest.source(&mut transaction, batch).await?;
    }
    transaction.commit().await?;

    let Ingest {
        known,
        source,
        told,
        outcome,
        ..
    } = ingest;
    let mut memory = engine.memory();
    memory.told.entry(source.source_id).or_default().extend(told);
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
    /// When the source was read before, or first heard of; no later than this moment.
    since: DateTime<Utc>,
    known: Known,
    /// Generations that events of this moment are booked to.
    holding: HashSet<(i64, i32)>,
    watches: HashMap<(i64, Role), Watch>,
    deltas: Deltas,
    unseen: Unseen,
    /// What may be left out from now on, once this is committed.
    told: Told,
    outcome: Ingested,
}

impl Ingest {
    /// Learns what the batch names, and locks the books of its services.
    async fn begin(
        engine: &Engine,
        connection: &mut PgConnection,
        batch: &Batch,
        scope: Scope<'_>,
        source: SourceRow,
        moment: Moment,
        version: i64,
    ) -> Result<Self, EngineError> {
        let watches: HashMap<(i64, Role), Watch> =
            source::watches(connection, source.source_id, scope.services())
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
        known.look_back(connection, moment.booked_at).await?;
        let holding = known
            .generations
            .values()
            .flat_map(|generations| holding(generations, moment.booked_at))
            .map(|generation| (generation.objective_id, generation.generation))
            .collect();
        let read_before = match scope {
            Scope::Since(_, read_before) => micros(read_before),
            _ => source.last_at.unwrap_or(source.first_contact_at),
        };
        let mut ingest = Self {
            source,
            moment,
            since: (read_before + TimeDelta::milliseconds(moment.shift_ms)).min(moment.booked_at),
            known,
            holding,
            watches,
            deltas: Deltas::new(),
            unseen: Unseen::default(),
            told: Told::default(),
            outcome: Ingested::default(),
        };
        ingest.watch_more(batch)?;
        Ok(ingest)
    }

    /// A service that the source had not named before was watched since the last batch, or since the
    /// first contact: it was idle, and idle is covered.
    fn watch_more(&mut self, batch: &Batch) -> Result<(), EngineError> {
        let since = self.since;
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

    /// The batch covers everything that its source watches, back to the batch before: a kernel that
    /// counted through an absence is booked as covered at the return. Of time in which requests were lost it covers the
    /// share that was counted.
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
                delta.covered_ms += self.unseen.seen_of(covered_ms, watch.service_id, generation);
                delta.expected_ms += expected_ms;
            }
        }
        source::move_watches(connection, self.source.source_id, &self.watches).await
    }

    /// What comes late, or from an absence, belongs into the books; nobody is woken for it.
    async fn fast_pages(
        &self,
        connection: &mut PgConnection,
        settings: &Settings,
    ) -> Result<(), EngineError> {
        let Moment {
            booked_at,
            received_at,
            ..
        } = self.moment;
        let patience = TimeDelta::from_std(settings.patience).unwrap_or(TimeDelta::MAX);
        if booked_at - self.since > patience || received_at - booked_at > patience {
            return Ok(());
        }
        excursion::book(connection, self.since, booked_at, &self.deltas).await
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
}

fn holding(generations: &[Generation], at: DateTime<Utc>) -> impl Iterator<Item = &Generation> {
    generations
        .iter()
        .filter(move |generation| generation.holds_at(at))
}

fn names(batch: &Batch) -> BTreeSet<&ServiceName> {
    batch
        .readings
        .iter()
        .map(|reading| &reading.series.service)
        .chain(batch.histograms.iter().map(|reading| &reading.service))
        .chain(batch.gauges.iter().map(|reading| &reading.service))
        .chain(batch.losses.iter().filter_map(|loss| loss.service.as_ref()))
        .collect()
}
