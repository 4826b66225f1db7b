//! Intake: kernel counters to the engine, once a second.
//!
//! In: the agent. Out: batches the engine has taken. While the database does not answer, batches wait here.
//! They are cumulative: when the queue is full the oldest goes, which costs resolution in time and no count.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use api::{IngestCounters, MapState, ProbeGauges, ProbeState, ProgramState, Readiness};
use chrono::Utc;
use probes::agent::{Agent, AgentError, MapUse};
use probes::overhead::{Probe, ProgramCost};
use slo_engine::measurement::{Batch, SourceId};
use slo_engine::service::Discovered;
use slo_engine::{Engine, IngestError};
use tokio::sync::{Notify, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::agent::SharedAgent;
use super::readiness::report;

const EVERY: Duration = Duration::from_secs(1);
/// Who listens is looked for with each read, whether or not the kernel says that somebody began to: services appear within 2 s.
const _: () = assert!(EVERY.as_millis() <= 1000);
/// For all bookings of one read.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Intake {
    engine: Engine,
    agent: SharedAgent,
    waiting: VecDeque<Batch>,
    waiting_max: usize,
    counters: Arc<IngestCounters>,
    gauges: Arc<ProbeGauges>,
    /// Rung after a booking.
    booked: Arc<Notify>,
    readiness: watch::Sender<Readiness>,
    /// Who listens, as it was told last.
    told: Vec<Discovered>,
}

impl Intake {
    pub fn new(
        engine: Engine,
        agent: SharedAgent,
        buffer: Duration,
        counters: Arc<IngestCounters>,
        gauges: Arc<ProbeGauges>,
        booked: Arc<Notify>,
        readiness: watch::Sender<Readiness>,
    ) -> Intake {
        Intake {
            told: Vec::new(),
            engine,
            agent,
            waiting: VecDeque::new(),
            waiting_max: reads_in(buffer),
            counters,
            gauges,
            booked,
            readiness,
        }
    }

    /// Reads and books until cancelled, and books what waits once more before it ends.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut tick = tokio::time::interval(EVERY);
        // A late read is one longer span; a burst of reads to catch up would tell nothing more.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut outage = false;
        let mut blind = false;
        let scanned = self.scanned().await;
        loop {
            let last = tokio::select! {
                _ = tick.tick() => false,
                // While the database does not answer reads are not to wait for this, too: the next that is booked tells.
                () = scanned.notified(), if !outage => {
                    // What fails here the next read meets, and says.
                    if let Err(error) = self.tell_who_listens().await {
                        tracing::debug!(error = format!("{error:#}"), "cannot tell who listens, yet");
                    }
                    continue;
                }
                () = cancel.cancelled() => true,
            };
            let read = self.read().await;
            match &read {
                Ok(_) if blind => tracing::info!("the kernel's counters can be read again"),
                Err(error) if !blind => {
                    tracing::error!(error = format!("{error:#}"), "cannot read the kernel's counters");
                }
                _ => {}
            }
            blind = read.is_err();
            report(&self.readiness, |readiness| &mut readiness.probes, &read);

            let booked = self.book(read.ok()).await;
            match &booked {
                Ok(()) if outage => {
                    tracing::info!("the database answers again, all waiting batches are booked");
                }
                Ok(()) => {}
                Err(error) if outage => tracing::debug!(error = format!("{error:#}"), "still cannot book"),
                Err(error) => tracing::warn!(
                    error = format!("{error:#}"),
                    waiting_max = self.waiting_max,
                    "cannot book measurements, keeping them"
                ),
            }
            outage = booked.is_err();
            report(&self.readiness, |readiness| &mut readiness.database, &booked);
            if last {
                if outage {
                    return;
                }
                // Nothing is lost otherwise: it would be booked when the kernel's counters are read again.
                let settled = answered(self.engine.settle()).await;
                if let Err(error) = settled.and_then(|settled| settled.context("book what waits")) {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "the last seconds are not booked yet"
                    );
                }
                return;
            }
        }
    }

    /// Rung by the agent after each scan for who listens.
    async fn scanned(&self) -> Arc<Notify> {
        let scanned = self.agent.with(|agent| agent.scanned()).await;
        scanned.unwrap_or_else(|error| {
            tracing::error!(
                error = format!("{error:#}"),
                "who listens is told once a second only"
            );
            Arc::default()
        })
    }

    /// Whoever begins to listen is told to the engine at once, and not with the next reading; by nobody else, so that
    /// what is told last is what was seen last.
    async fn tell_who_listens(&mut self) -> Result<()> {
        let looking = self.agent.with(|agent| {
            agent.name();
            (agent.source(), agent.discovered())
        });
        let (source, found) = looking.await?;
        if found != self.told {
            self.discovered(&source, found).await?;
        }
        Ok(())
    }

    async fn discovered(&mut self, source: &SourceId, found: Vec<Discovered>) -> Result<()> {
        answered(self.engine.discovered(source, &found, Utc::now()))
            .await?
            .context("record what was discovered")?;
        self.told = found;
        Ok(())
    }

    /// One more batch waits; tells what was discovered.
    async fn read(&mut self) -> Result<(SourceId, Vec<Discovered>)> {
        let (batch, discovered, state) = self
            .agent
            .with(|agent| {
                let batch = agent.read(Utc::now())?;
                Ok::<_, AgentError>((batch, agent.discovered(), state_of(agent)))
            })
            .await?
            .context("read the kernel's counters")?;
        self.gauges.set(state);
        self.counters.count_read();
        if self.waiting.len() == self.waiting_max {
            self.waiting.pop_front();
            self.counters.count_dropped();
        }
        let source = batch.source.clone();
        self.waiting.push_back(batch);
        self.counters.set_waiting(self.waiting.len());
        Ok((source, discovered))
    }

    async fn book(&mut self, discovered: Option<(SourceId, Vec<Discovered>)>) -> Result<()> {
        match discovered {
            Some((source, found)) => self.discovered(&source, found).await?,
            // What waits for the next read might wait for long.
            None => answered(self.engine.settle()).await?.context("book what waits")?,
        }
        while let Some(batch) = self.waiting.front_mut() {
            batch.sent_at = Utc::now();
            let outcome = answered(self.engine.take(batch)).await?;
            self.counters.count(&outcome);
            match outcome {
                // Refused for good: keeping it would hold up all that follow, and the next batch has its counts.
                Err(error @ IngestError::FromTheFuture { .. }) => tracing::warn!(%error, "refused a batch"),
                outcome => {
                    outcome.context("book a batch")?;
                }
            }
            self.waiting.pop_front();
            self.counters.set_waiting(self.waiting.len());
        }
        self.booked.notify_one();
        Ok(())
    }
}

/// At least the one that is to be booked.
fn reads_in(buffer: Duration) -> usize {
    usize::try_from(buffer.as_secs() / EVERY.as_secs())
        .unwrap_or(usize::MAX)
        .max(1)
}

/// What the probes cost and hold, in the API's words.
fn state_of(agent: &Agent) -> ProbeState {
    let (costs, modes) = agent.overhead();
    let program = |cost: ProgramCost| ProgramState {
        program: cost.program,
        runs: cost.runs,
        seconds: Duration::from_nanos(cost.nanoseconds).as_secs_f64(),
        share: cost.share,
    };
    let map = |place: &MapUse| MapState {
        map: place.map,
        entries: place.entries,
        capacity: place.capacity,
    };
    ProbeState {
        programs: costs.into_iter().map(program).collect(),
        maps: agent.map_use().iter().map(map).collect(),
        modes: Probe::ALL.map(|probe| (probe.as_str(), modes.of(probe))).to_vec(),
    }
}

/// A connection that is cut without a word would be waited on for ever, and nobody told.
async fn answered<T>(work: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(ANSWER_PATIENCE, work)
        .await
        .context("the database does not answer")
}
