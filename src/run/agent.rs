//! The agent, shared: reading maps and walking `/proc` block, so they happen off the runtime's threads.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use probes::agent::Agent;
use slo_engine::service::WatchedService;

#[derive(Debug, Clone)]
pub struct SharedAgent(Arc<Mutex<Agent>>);

impl SharedAgent {
    pub fn new(agent: Agent) -> SharedAgent {
        SharedAgent(Arc::new(Mutex::new(agent)))
    }

    /// Runs `work` with the agent on a thread that may block.
    pub async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Agent) -> T + Send + 'static,
    ) -> Result<T> {
        let agent = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&mut agent.lock().unwrap_or_else(PoisonError::into_inner)))
            .await
            .context("use the agent")
    }
    pub async fn watch(&self, services: Vec<WatchedService>) -> Result<()> {
        Ok(self.with(move |agent| agent.watch(&services)).await??)
    }
}
