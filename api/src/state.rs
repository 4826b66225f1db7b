//! What every handler may use.

use std::net::SocketAddr;
use std::sync::Arc;

use remediation::{Limits, Playbook};
use slo_engine::Engine;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ingest::IngestCounters;
use crate::probes::ProbeGauges;
use crate::readiness::Readiness;

/// Made by the binary. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    pub engine: Engine,
    pub pool: PgPool,
    pub limits: Arc<dyn Limits>,
    /// Changes when the definitions are read again.
    pub playbook: watch::Receiver<Arc<Playbook>>,
    /// The binary counts here what it hands to the engine.
    pub ingest: Arc<IngestCounters>,
    /// What the probes of this process cost, if it has any.
    pub probes: Arc<ProbeGauges>,
    pub readiness: watch::Receiver<Readiness>,
    /// The address that is really listened on, port 0 resolved.
    pub listen: SocketAddr,
    /// Host names, without a port, that this server may be called by besides loopback and `listen`.
    pub names: Vec<String>,
    /// Cancelled when the process stops: live streams end, so that a graceful shutdown can.
    pub stopping: CancellationToken,
}

impl std::fmt::Debug for AppState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppState")
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}
