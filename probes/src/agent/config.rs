//! What an agent is told, and the cgroup that this names.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{AgentError, MapSizes};
use crate::{
    bpffs::{self, BpffsError, DirectoryLock},
    discovery::cgroup::Hierarchy,
    mounts,
    overhead::OverheadConfig,
};

/// Where to attach, and under which name to pin.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// The root of the cgroup v2 hierarchy when `None`.
    pub cgroup: Option<PathBuf>,
    /// 1 to 63 lower-case letters, digits and dashes.
    pub instance: String,
    pub sizes: MapSizes,
    pub overhead: OverheadConfig,
}

impl AgentConfig {
    /// Refuses a cgroup that cannot be measured and a name that cannot be pinned, before anything is attached.
    pub fn check(&self) -> Result<(), AgentError> {
        bpffs::instance_path(Path::new(bpffs::DEFAULT_ROOT), &self.instance)?;
        self.place().map(|_| ())
    }

    /// Refuses what another agent that lives measures or pins by. It looks and holds nothing: [`super::Agent::start`] decides.
    pub fn check_free(&self) -> Result<(), AgentError> {
        let _free = lock(&self.place()?.path)?;
        let pins = bpffs::instance_path(Path::new(bpffs::DEFAULT_ROOT), &self.instance)?;
        if pins.exists() {
            let _free = bpffs::lock(&pins)?;
        }
        Ok(())
    }

    pub(super) fn place(&self) -> Result<Place, AgentError> {
        let root = mounts::cgroup_root()?;
        let cgroups = Hierarchy::open(&root).map_err(refused(&root))?;
        let (path, within) = match &self.cgroup {
            Some(path) => {
                // It may be told by another mount than ours, where it has another path.
                let id = mounts::cgroup_id(path).map_err(refused(path))?;
                match cgroups.path(id).filter(|_| mounts::is_cgroup(path)) {
                    Some(within) => (path.clone(), within),
                    None => {
                        let path = path.clone();
                        return Err(AgentError::NotACgroup { path, root });
                    }
                }
            }
            None => (root.clone(), String::new()),
        };
        Ok(Place {
            root,
            cgroups,
            path,
            within,
        })
    }
}

/// The cgroup that is measured, and the hierarchy it is in.
pub(super) struct Place {
    pub root: PathBuf,
    pub cgroups: Hierarchy,
    pub path: PathBuf,
    /// The path under the root.
    pub within: String,
}

/// One agent to a cgroup.
pub(super) fn lock(cgroup: &Path) -> Result<DirectoryLock, AgentError> {
    bpffs::lock(cgroup).map_err(|error| match error {
        BpffsError::InUse { path } => AgentError::CgroupInUse { path },
        other => other.into(),
    })
}

pub(super) fn refused(path: &Path) -> impl FnOnce(io::Error) -> AgentError {
    let path = path.to_owned();
    |source| AgentError::Cgroup { path, source }
}
