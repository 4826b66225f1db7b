//! slowburn itself, as the demo runs it: in this process, in a corner of its own.
//!
//! The one place of the demo that knows how slowburn is started and asked. Whatever it left in the kernel
//! is unloaded at its end, also when it did not come up.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::Utc;
use probes::agent::MapSizes;
use probes::limit::Interface;
use probes::overhead::OverheadConfig;
use remediation::read::{Run, RunDetail, RunFilter};
use remediation::{Limits as _, LiveLimit};
use slo_engine::alert::AlertId;
use slo_engine::definitions::LedgerLimits;
use slo_engine::objective::ObjectiveName;
use slo_engine::read::{Alert, Slo};
use tokio_util::sync::CancellationToken;

use super::definitions::{OBJECTIVE, SERVICE};
use super::world::{Place, World};
use crate::run::{Options, Running};

/// A tenth of a real one: the demo's windows are short.
pub const SLOT: Duration = Duration::from_secs(1);
const INTAKE_BUFFER: Duration = Duration::from_secs(60);
/// Never while the demo runs: a report at the first second of the year.
const REPORT_SCHEDULE: &str = "0 0 0 1 1 *";
const ALERTS_MAX: u32 = 100;

#[derive(Debug)]
pub struct Stack {
    running: Running,
    objective: ObjectiveName,
    /// Dropped last: what reads the kernel is gone by then.
    _loaded: Loaded,
}

/// What this demo's slowburn has in the kernel, until dropped.
#[derive(Debug)]
struct Loaded {
    instance: String,
}

impl Drop for Loaded {
    fn drop(&mut self) {
        unload(&self.instance);
    }
}

#[derive(Debug)]
pub struct Wanted {
    pub config: PathBuf,
    pub state: PathBuf,
    pub listen: SocketAddr,
}

impl Stack {
    pub async fn start(world: &World, wanted: Wanted, interrupt: CancellationToken) -> Result<Self> {
        let loaded = Loaded {
            instance: instance(std::process::id()),
        };
        let options = Options {
            config: vec![wanted.config],
            database_url: None,
            state_dir: wanted.state,
            listen: wanted.listen,
            names: Vec::new(),
            cgroup: Some(world.cgroup().to_owned()),
            instance: loaded.instance.clone(),
            slot: SLOT,
            keep_ledger: LedgerLimits::default().keep,
            intake_buffer: INTAKE_BUFFER,
            limit_interfaces: Some(vec![Interface::within(
                world.interface(),
                world.namespace(Place::Web),
            )]),
            allow: Vec::new(),
            report_schedule: crate::schedule::parse(REPORT_SCHEDULE).map_err(anyhow::Error::msg)?,
            maps: MapSizes::default(),
            overhead: OverheadConfig::default(),
        };
        let objective = OBJECTIVE.parse().context("name the objective")?;
        let running = crate::run::start_with(options, interrupt).await?;
        Ok(Self {
            running,
            objective,
            _loaded: loaded,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.running.address()
    }

    pub async fn slo(&self) -> Result<Slo> {
        let slo = slo_engine::read::slo(self.running.pool(), &self.objective, Utc::now()).await;
        slo.context("read the objective")?
            .context("the objective is not in the database")
    }

    /// Alerts of the demo's objective, newest first.
    pub async fn alerts(&self) -> Result<Vec<Alert>> {
        let mut alerts = slo_engine::read::alerts(self.running.pool(), None, ALERTS_MAX)
            .await
            .context("read alerts")?;
        alerts.retain(|alert| alert.objective == self.objective);
        Ok(alerts)
    }

    pub async fn alert(&self, id: AlertId) -> Result<Alert> {
        let alert = slo_engine::read::alert(self.running.pool(), id)
            .await
            .context("read the alert")?;
        alert.context("the alert is gone from the database")
    }

    /// The newest run that answers to the alert.
    pub async fn run(&self, alert: AlertId) -> Result<Option<RunDetail>> {
        let filter = RunFilter {
            alert_id: Some(alert),
            ..RunFilter::default()
        };
        let runs = remediation::read::runs(self.running.pool(), &filter)
            .await
            .context("read runs")?;
        let Some(Run { id, .. }) = runs.first() else {
            return Ok(None);
        };
        remediation::read::run(self.running.pool(), *id)
            .await
            .context("read the run")
    }

    /// What the kernel enforces on the flooded service now.
    pub async fn limits(&self) -> Result<Vec<LiveLimit>> {
        let mut limits = self
            .running
            .limits()
            .list()
            .await
            .context("read the kernel's limits")?;
        limits.retain(|live| live.limit.service.as_str() == SERVICE);
        Ok(limits)
    }

    /// Ends it in order, and takes everything out of the kernel.
    pub async fn stop(self) -> Result<()> {
        self.running
            .shutdown(crate::run::ASKED)
            .await
            .context("stop slowburn")
    }
}

/// Unloads what dead demos left in the kernel.
pub fn sweep(dead: &[u32]) {
    for &pid in dead {
        unload(&instance(pid));
    }
}

/// The address if it is free, else any free port of the loopback.
pub fn free(address: SocketAddr) -> Result<SocketAddr> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(address),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Ok((Ipv4Addr::LOCALHOST, 0).into()),
        Err(error) => Err(error).with_context(|| format!("listen on {address}")),
    }
}

fn instance(pid: u32) -> String {
    format!("demo-{pid}")
}

fn unload(instance: &str) {
    if let Err(error) = probes::unload(instance) {
        tracing::warn!(
            instance,
            error = format!("{error:#}"),
            "programs of the demo stay in the kernel"
        );
    }
}
