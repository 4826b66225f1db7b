//! Discovery: whoever begins to listen is told to the engine at once, and not with the next reading.
//!
//! In: a bell that the agent rings after each scan. Out: all that listens, where that has changed. The intake tells it with
//! each reading, too, changed or not: what fails here it meets a moment later, and says.

use anyhow::{Context as _, Result};
use chrono::Utc;
use slo_engine::Engine;
use slo_engine::service::Discovered;
use tokio_util::sync::CancellationToken;

use super::agent::SharedAgent;

/// Tells until cancelled.
pub async fn run(engine: Engine, agent: SharedAgent, cancel: CancellationToken) {
    let scanned = match agent.with(|agent| agent.scanned()).await {
        Ok(scanned) => scanned,
        Err(error) => return tracing::error!(error = format!("{error:#}"), "nobody tells of scans"),
    };
    let mut told = Vec::new();
    loop {
        tokio::select! {
            () = scanned.notified() => {}
            () = cancel.cancelled() => return,
        }
        if let Err(error) = tell(&engine, &agent, &mut told).await {
            tracing::debug!(error = format!("{error:#}"), "cannot tell who listens, yet");
        }
    }
}

async fn tell(engine: &Engine, agent: &SharedAgent, told: &mut Vec<Discovered>) -> Result<()> {
    let looking = agent.with(|agent| {
        agent.name();
        (agent.source(), agent.discovered())
    });
    let (source, found) = looking.await?;
    if found != *told {
        engine
            .discovered(&source, &found, Utc::now())
            .await
            .context("record what was discovered")?;
        *told = found;
    }
    Ok(())
}
