//! Reading the definitions again, on SIGHUP and when their files change: all or nothing.
//!
//! A bad set changes nothing: the last good one stays in force, and the log, `/readyz` and the dashboard say so.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::Utc;
use remediation::Playbook;
use slo_engine::Engine;
use slo_engine::definitions::{LedgerLimits, Stamp};
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::agent::SharedAgent;
use super::readiness::report;
use super::take_up::take_up;
use crate::definitions::{self, Set};

/// A set that could not be taken up is tried again after so long, if nothing else changes.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// How often the files are looked at: their times and lengths, not what they say.
const LOOK_EVERY: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Reload {
    pub paths: Vec<PathBuf>,
    pub ledger: LedgerLimits,
    /// Of the files as they were read at the start.
    pub taken: Stamp,
    pub engine: Engine,
    pub agent: SharedAgent,
    pub playbook: watch::Sender<Arc<Playbook>>,
    pub readiness: watch::Sender<api::Readiness>,
}

impl Reload {
    pub async fn run(mut self, mut hangup: Signal, cancel: CancellationToken) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = self.taken.clone();
        let mut tried: Option<(Stamp, Instant)> = None;
        loop {
            let asked = tokio::select! {
                received = hangup.recv() => match received {
                    Some(()) => true,
                    None => return,
                },
                _ = look.tick() => false,
                () = cancel.cancelled() => return,
            };
            let now = self.stamp().await;
            // What still changes from one look to the next is being written.
            let is_settled = now == seen;
            seen = now;
            let waits = tried
                .as_ref()
                .is_some_and(|(stamp, at)| *stamp == seen && at.elapsed() < RETRY_AFTER);
            if asked || (is_settled && seen != self.taken && !waits) {
                self.take(seen.clone()).await;
                tried = Some((seen.clone(), Instant::now()));
            }
        }
    }

    async fn stamp(&self) -> Stamp {
        let paths = self.paths.clone();
        let stamp = tokio::task::spawn_blocking(move || Stamp::of(&paths)).await;
        // It ends without a stamp only when the runtime does.
        stamp.unwrap_or_else(|_| self.taken.clone())
    }

    async fn take(&mut self, stamp: Stamp) {
        let outcome = self.read().await;
        // Files that were refused are read again when they change; a database that was away is asked again.
        if outcome.is_err() {
            self.taken = stamp.clone();
        }
        let outcome = match outcome {
            Ok(set) => self.apply(set).await,
            Err(error) => Err(error),
        };
        let outcome = outcome.context("the last good set is in force");
        match &outcome {
            Ok(()) => {
                self.taken = stamp;
                tracing::info!("read the definitions again");
            }
            Err(error) => tracing::error!("could not take up the definitions: {error:#}"),
        }
        report(&self.readiness, |readiness| &mut readiness.definitions, &outcome);
    }

    async fn read(&self) -> Result<Set> {
        let (paths, ledger) = (self.paths.clone(), self.ledger);
        let set = tokio::task::spawn_blocking(move || definitions::read(&paths, ledger)).await?;
        let set = set.map_err(|found| anyhow::anyhow!("{found}"))?;
        for warning in &set.warnings {
            tracing::warn!("{warning}");
        }
        Ok(set)
    }

    async fn apply(&self, set: Set) -> Result<()> {
        take_up(&self.engine, &self.agent, &set.definitions, Utc::now()).await?;
        self.playbook.send_replace(Arc::new(set.playbook));
        Ok(())
    }
}
