//! Reading the definitions again on SIGHUP: all or nothing.
//!
//! A bad set changes nothing: the last good one stays in force, and the log and `/readyz` say so.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use chrono::Utc;
use remediation::Playbook;
use slo_engine::Engine;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::agent::SharedAgent;
use super::readiness::report;
use crate::definitions::{self, Set};

#[derive(Debug)]
pub struct Reload {
    pub paths: Vec<PathBuf>,
    pub engine: Engine,
    pub agent: SharedAgent,
    pub playbook: watch::Sender<Arc<Playbook>>,
    pub readiness: watch::Sender<api::Readiness>,
}

impl Reload {
    pub async fn run(self, mut hangup: Signal, cancel: CancellationToken) {
        loop {
            tokio::select! {
                received = hangup.recv() => if received.is_none() { return },
                () = cancel.cancelled() => return,
            }
            let outcome = self.step().await.context("the last good set is in force");
            match &outcome {
                Ok(()) => tracing::info!("read the definitions again"),
                Err(error) => tracing::error!("could not take up the definitions: {error:#}"),
            }
            report(&self.readiness, |readiness| &mut readiness.definitions, &outcome);
        }
    }

    async fn step(&self) -> Result<()> {
        let paths = self.paths.clone();
        let set = tokio::task::spawn_blocking(move || definitions::read(&paths)).await?;
        let set: Set = set.map_err(|found| anyhow::anyhow!("{found}"))?;
        self.engine
            .apply(&set.definitions, Utc::now())
            .await
            .context("apply the definitions")?;
        let services = set.definitions.services;
        self.agent
            .with(move |agent| agent.watch(&services))
            .await?
            .context("watch the services")?;
        self.playbook.send_replace(Arc::new(set.playbook));
        Ok(())
    }
}
