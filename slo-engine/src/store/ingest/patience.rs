//! What of a batch is booked as it is read, and what may wait until its slot is over.
//!
//! Counters are cumulative: one that is booked ten seconds later tells the same, if it is booked before the next slot begins, before it
//! starts anew and before it vanishes. In: a batch, and the one before of its source. Out: bookings, of the services that cannot wait now, and
//! of all at the slot's end. Nothing is ever on its way here and nowhere else: until it is booked, it is still in the counters.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Scope, book, moment};
use crate::engine::{Engine, EngineError, IngestError, Ingested};
use crate::measurement::{Batch, Loss, Series, ServiceName, Signal, SourceId};
use crate::objective::Side;
use crate::read::SourceState;
use crate::store::memory::Memory;
use crate::store::source::SourceRow;
use crate::store::{histogram, parse};

/// The batch that a source sent last.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    batch: Arc<Batch>,
    received_at: DateTime<Utc>,
    slot_end: DateTime<Utc>,
    booked: Who,
}

/// Services of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Who {
    Everyone,
    These(BTreeSet<ServiceName>),
}

/// Books what cannot wait of a batch that has just been read, and what waited for the end of a slot that is over.
pub(crate) async fn take(
    engine: &Engine,
    batch: &Batch,
    received_at: DateTime<Utc>,
) -> Result<Ingested, IngestError> {
    let state = State::read(engine, &batch.source).await?;
    let seen = engine.memory().seen.get(&batch.source).cloned();
    let (Some(source), Some(seen)) = (&state.source, seen) else {
        let outcome = book(engine, batch, received_at, Scope::Whole).await?;
        // What its source is called is known from now on.
        if let Some(source) = State::read(engine, &batch.source).await?.source {
            remember(engine, batch, received_at, &source, Who::Everyone)?;
        }
        return Ok(outcome);
    };
    if batch.at <= seen.batch.at {
        // It comes again, or late: heads know what of it is new, once they know all that was read after it.
        let mut outcome = rest(engine, &seen).await?;
        outcome += book(engine, batch, received_at, Scope::Whole).await?;
        return Ok(outcome);
    }
    let slot_end = moment(engine.settings(), batch, source, received_at)?.slot_end;
    let urgent = state.urgent(
        &engine.memory(),
        &seen.batch,
        batch,
        engine.settings().whole_up_to,
    );
    let mut outcome = Ingested::default();
    match &urgent {
        Who::Everyone => {
            outcome += rest(engine, &seen).await?;
            outcome += book(engine, batch, received_at, Scope::Whole).await?;
        }
        Who::These(services) => {
            if slot_end == seen.slot_end {
                let calm_before = seen.lacks(services);
                if !calm_before.is_empty() {
                    let scope = Scope::Before(&calm_before);
                    outcome += book(engine, &seen.batch, seen.received_at, scope).await?;
                }
            } else {
                outcome += rest(engine, &seen).await?;
            }
            if !services.is_empty() {
                let scope = Scope::Since(services, seen.batch.at);
                outcome += book(engine, batch, received_at, scope).await?;
            }
        }
    }
    remember(engine, batch, received_at, source, urgent)?;
    Ok(outcome)
}

/// Books what waits, of every source.
pub(crate) async fn settle(engine: &Engine) -> Result<(), IngestError> {
    let seen: Vec<Seen> = engine.memory().seen.values().cloned().collect();
    for seen in seen {
        rest(engine, &seen).await?;
    }
    Ok(())
}

async fn rest(engine: &Engine, seen: &Seen) -> Result<Ingested, IngestError> {
    if seen.booked == Who::Everyone {
        return Ok(Ingested::default());
    }
    let outcome = book(engine, &seen.batch, seen.received_at, Scope::Rest).await?;
    if let Some(seen) = engine.memory().seen.get_mut(&seen.batch.source) {
        seen.booked = Who::Everyone;
    }
    Ok(outcome)
}

fn remember(
    engine: &Engine,
    batch: &Batch,
    received_at: DateTime<Utc>,
    source: &SourceRow,
    booked: Who,
) -> Result<(), IngestError> {
    let seen = Seen {
        batch: Arc::new(batch.clone()),
        received_at,
        slot_end: moment(engine.settings(), batch, source, received_at)?.slot_end,
        booked,
    };
    engine.memory().seen.insert(batch.source.clone(), seen);
    Ok(())
}

impl Seen {
    fn lacks(&self, services: &BTreeSet<ServiceName>) -> BTreeSet<ServiceName> {
        match &self.booked {
            Who::Everyone => BTreeSet::new(),
            Who::These(booked) => services.difference(booked).cloned().collect(),
        }
    }
}

/// What stands in Postgres that decides who can wait.
struct State {
    version: i64,
    source: Option<SourceRow>,
    /// Services of whose objectives a fast page may come or go.
    excursions: BTreeSet<ServiceName>,
}

impl State {
    async fn read(engine: &Engine, source: &SourceId) -> Result<Self, EngineError> {
        let row = sqlx::query!(
            r#"select e.definition_version, s.source_id as "source_id?", s.first_contact_at as "first_contact_at?", s.last_at,
                      s.shift_ms as "shift_ms?", s.state as "state?",
                      array(
                          select v.name
                          from excursion x
                          join objective_generation g using (objective_id, generation)
                          join service v using (service_id)
                      ) as "excursions!"
               from engine_state e
               left join source s on s.name = $1"#,
            source.as_str()
        )
        .fetch_one(engine.pool())
        .await?;
        let source = match (row.source_id, row.first_contact_at, row.shift_ms, row.state) {
            (Some(source_id), Some(first_contact_at), Some(shift_ms), Some(state)) => Some(SourceRow {
                source_id,
                first_contact_at,
                last_at: row.last_at,
                shift_ms,
                state: parse("source.state", &state)?,
            }),
            _ => None,
        };
        let excursions = row.excursions.iter().map(|name| parse("service.name", name));
        Ok(Self {
            version: row.definition_version,
            source,
            excursions: excursions.collect::<Result<_, _>>()?,
        })
    }

    /// Who of a batch cannot wait: who counted something bad, has a fast page that errors are counted for, lost something, is new, or
    /// counts anew; and everyone, where that is little work or nobody knows what is bad.
    fn urgent(&self, memory: &Memory, before: &Batch, batch: &Batch, whole_up_to: usize) -> Who {
        let Some(source) = self
            .source
            .as_ref()
            .filter(|source| source.state == SourceState::Expected)
        else {
            return Who::Everyone;
        };
        if memory.version != Some(self.version) {
            return Who::Everyone;
        }
        let known = memory.series.get(&source.source_id);
        let is_bad = |series: &Series| {
            // No fast page waits for it, and something is sent again every second.
            if series.signal == Signal::Retransmits {
                return false;
            }
            let sides = known.and_then(|known| memory.sides.get(known.get(series)?));
            sides.is_none_or(|sides| sides.iter().any(|counts_for| counts_for.side == Side::Bad))
        };
        let mut urgent = BTreeSet::new();
        let mut moving = 0;
        let mut readings: HashMap<_, _> = before
            .readings
            .iter()
            .map(|reading| (&reading.series, reading))
            .collect();
        for reading in &batch.readings {
            let goes_on = match readings.remove(&reading.series) {
                Some(was) if was == reading => continue,
                Some(was) => was.start_time == reading.start_time && was.value < reading.value,
                None => false,
            };
            moving += 1;
            if !goes_on || is_bad(&reading.series) {
                urgent.insert(&reading.series.service);
            }
        }
        if moving <= whole_up_to {
            return Who::Everyone;
        }
        urgent.extend(readings.keys().map(|vanished| &vanished.service));

        let mut starts: HashMap<_, _> = before
            .histograms
            .iter()
            .map(|reading| (histogram::key(reading), reading.start_time))
            .collect();
        for reading in &batch.histograms {
            if starts.remove(&histogram::key(reading)) != Some(reading.start_time) {
                urgent.insert(&reading.service);
            }
        }
        let mut urgent: BTreeSet<ServiceName> = urgent.into_iter().cloned().collect();
        urgent.extend(starts.into_keys().map(|vanished| vanished.service));
        urgent.extend(self.excursions.iter().cloned());

        let lost_before: HashMap<_, _> = before
            .losses
            .iter()
            .map(|loss| ((&loss.service, loss.reason), loss))
            .collect();
        let is_lost = |loss: &&Loss| lost_before.get(&(&loss.service, loss.reason)) != Some(loss);
        for loss in batch.losses.iter().filter(is_lost) {
            match &loss.service {
                Some(service) => urgent.insert(service.clone()),
                // It may be anyone's.
                None => return Who::Everyone,
            };
        }
        Who::These(urgent)
    }
}
