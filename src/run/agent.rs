//! The agent, shared: reading maps and walking `/proc` block, so they happen off the runtime's threads.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use probes::agent::{Agent, AgentError};
use probes::bpffs::BpffsError;
use probes::capability::NO_CGROUP;
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

/// What the agent refuses, with the way out.
pub fn explained(error: AgentError) -> anyhow::Error {
    let hint = match &error {
        AgentError::CgroupInUse { .. } => {
            "one slowburn measures a cgroup: stop the other, or name another with `--cgroup`"
        }
        AgentError::Pins(BpffsError::InUse { .. }) => "stop the other, or name this one with `--instance`",
        AgentError::Pins(BpffsError::InstanceName { .. }) => "see `--instance`",
        AgentError::Cgroup { .. } | AgentError::NotACgroup { .. } => "see `--cgroup`",
        AgentError::Mount(error) if error.kind == "cgroup2" => NO_CGROUP,
        _ => return error.into(),
    };
    anyhow::anyhow!("{:#}\nhint: {hint}", anyhow::Error::new(error))
}
