//! Why there is no agent, or no reading, in words for whoever runs it.

use std::{error::Error, io, path::PathBuf};

use aya::maps::MapError;
use slo_engine::measurement::ServiceName;

use crate::{bpffs::BpffsError, mounts::MountError};

#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error("the kernel refuses the probes: {reason}")]
    Load { reason: String },
    #[error("cannot attach the probes: {reason}")]
    Attach { reason: String },
    #[error("another slowburn already measures the cgroup `{}`", path.display())]
    CgroupInUse { path: PathBuf },
    #[error("cannot use the cgroup `{}`", path.display())]
    Cgroup { path: PathBuf, source: io::Error },
    #[error("`{}` is not inside of the cgroup v2 hierarchy at `{}`", path.display(), root.display())]
    NotACgroup { path: PathBuf, root: PathBuf },
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error(transparent)]
    Pins(#[from] BpffsError),
    #[error("cannot {action} the map {map}")]
    Map {
        action: &'static str,
        map: &'static str,
        #[source]
        source: Box<MapError>,
    },
    #[error("cannot count the CPUs")]
    Cpus { source: io::Error },
    #[error("cannot read `{path}`")]
    Identity { path: &'static str, source: io::Error },
    #[error("the source's name cannot be told")]
    Source {
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    #[error("cannot look for listening sockets")]
    Discovery { source: io::Error },
    #[error("no settings are left for `{service}`; `slowburn unload` starts over")]
    SettingsFull { service: ServiceName },
}

impl AgentError {
    pub(crate) fn map<E: Into<MapError>>(action: &'static str, map: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Map {
            action,
            map,
            source: Box::new(source.into()),
        }
    }
}
