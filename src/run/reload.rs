//! Reading the definitions again, on SIGHUP and when their files change: all or nothing.
//!
//! A bad set changes nothing: the last good one stays in force, and the log, `/readyz` and the dashboard say so for as
//! long as it is there. That it was refused is an event, once, however often it is read again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use api::Part;
use chrono::Utc;
use remediation::Playbook;
use serde_json::json;
use slo_engine::Engine;
use slo_engine::definitions::{DiagnosticSeverity, Diagnostics, LedgerLimits, Stamp};
use slo_engine::event::{self, Event, EventKind};
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::agent::SharedAgent;
use super::readiness::{in_force, report, set};
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
    /// Why the last set was refused, once that is an event.
    pub refused: Option<String>,
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
            // A secret that was missing may be there by now.
            let lacks = matches!(self.readiness.borrow().definitions, Part::Lacking { .. });
            if lacks {
                self.say_in_force().await;
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
        match &outcome {
            Ok(()) => {
                self.taken = stamp;
                self.refused = None;
                tracing::info!("read the definitions again");
            }
            Err(error) => self.refuse(error).await,
        }
        match outcome.context("the last good set is in force") {
            Ok(()) => self.say_in_force().await,
            refused => report(&self.readiness, |readiness| &mut readiness.definitions, &refused),
        }
    }

    async fn say_in_force(&self) {
        let playbook = Arc::clone(&self.playbook.borrow());
        let now = in_force(&playbook).await;
        set(&self.readiness, |readiness| &mut readiness.definitions, now);
    }

    async fn read(&self) -> Result<Set> {
        let (paths, ledger) = (self.paths.clone(), self.ledger);
        let set = tokio::task::spawn_blocking(move || definitions::read(&paths, ledger)).await?;
        let set = set?;
        set.warn().await;
        Ok(set)
    }

    async fn refuse(&mut self, error: &anyhow::Error) {
        let reason = format!("{error:#}");
        tracing::error!("could not take up the definitions: the last good set is in force: {reason}");
        if self.refused.as_ref() == Some(&reason) {
            return;
        }
        let record = async {
            let mut connection = self.engine.pool().acquire().await?;
            event::record(&mut connection, &told(error)).await
        };
        match record.await {
            Ok(_) => self.refused = Some(reason),
            Err(error) => tracing::warn!(%error, "could not record that the definitions were refused"),
        }
    }

    async fn apply(&self, set: Set) -> Result<()> {
        take_up(&self.engine, &self.agent, &set.definitions, Utc::now()).await?;
        self.playbook.send_replace(Arc::new(set.playbook));
        Ok(())
    }
}

/// One sentence, and in the data the first mistake: all of them are at `/readyz`, and in the files.
fn told(error: &anyhow::Error) -> Event {
    let (why, data) = match error.downcast_ref::<Diagnostics>() {
        Some(found) => {
            let is_mistake = |severity| severity == DiagnosticSeverity::Error;
            let mut mistakes = found.iter().filter(|found| is_mistake(found.severity));
            let first = mistakes.next();
            let count = usize::from(first.is_some()) + mistakes.count();
            let word = if count == 1 { "mistake" } else { "mistakes" };
            (
                format!("{count} {word}"),
                json!({ "mistakes": count, "first": first }),
            )
        }
        None => {
            let reason = format!("{error:#}");
            let why = reason.lines().next().unwrap_or_default().to_owned();
            (why, json!({ "reason": reason }))
        }
    };
    Event {
        at: Utc::now(),
        kind: EventKind::DefinitionsRefused,
        subject: event::DEFINITIONS.to_owned(),
        message: format!("definitions refused: {why}, the last good set stays"),
        data,
        traceparent: None,
    }
}
