//! Room in the kernel's maps: who is gone makes it, and how much is left is told.

use std::path::Path;

use probes_ebpf::wire::{Endpoint, role};

use super::{
    fold::Folder,
    layout::MapSizes,
    quiet::{Activities, Presence, Quiet},
    settings::Registry,
    table::Counters,
};
use crate::{agent::AgentError, discovery::cgroup::Hierarchy, names::Names};

/// How full one map is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapUse {
    pub map: &'static str,
    pub entries: u64,
    pub capacity: u64,
}

/// Names without counters are looked for once in so many reads.
const FORGET_EVERY: u32 = 16;

pub(crate) struct Room {
    folder: Folder,
    quiet: Quiet,
    in_use: [MapUse; 3],
    endpoints: u64,
    reads: u32,
}

impl Room {
    pub fn open(directory: &Path, counters: &mut Counters, sizes: &MapSizes) -> Result<Self, AgentError> {
        let cpus = aya::util::nr_cpus().map_err(|(_, source)| AgentError::Cpus { source })?;
        let place = |map, capacity| MapUse {
            map,
            entries: 0,
            capacity: u64::from(capacity),
        };
        Ok(Self {
            folder: Folder::open(directory, counters)?,
            quiet: Quiet::default(),
            in_use: [
                place("COUNTS", sizes.counts),
                place("LATENCIES", sizes.latencies(cpus)),
                place("ENDPOINTS", sizes.endpoints),
            ],
            endpoints: 0,
            reads: 0,
        })
    }

    /// Folds what is gone, after a read that found `activities`.
    pub fn make(
        &mut self,
        activities: &Activities,
        counters: &mut Counters,
        registry: &mut Registry,
        names: &Names,
        cgroups: &Hierarchy,
    ) -> Result<(), AgentError> {
        for (place, entries) in
            self.in_use
                .iter_mut()
                .zip([activities.counts, activities.latencies, self.endpoints])
        {
            place.entries = entries;
        }
        let presence = |endpoint: &Endpoint| {
            if cgroups.is_gone(endpoint.cgroup) {
                Presence::Gone
            } else if endpoint.role == role::CLIENT {
                Presence::Caller
            } else if names.is_listening(endpoint) {
                Presence::Listening
            } else {
                Presence::Gone
            }
        };
        let is_crowded = self.in_use.iter().any(|place| place.entries * 2 > place.capacity);
        let gone = self.quiet.gone(activities, is_crowded, presence);
        if !gone.is_empty() {
            let definitions = &registry.definitions;
            self.folder
                .fold(counters, definitions, |endpoint| gone.contains(endpoint))?;
        }
        self.reads = self.reads.wrapping_add(1);
        if self.reads.is_multiple_of(FORGET_EVERY) {
            self.endpoints = registry.forget(|endpoint| {
                let is_wildcard = endpoint.port == 0 || (endpoint.netns == 0 && endpoint.cgroup == 0);
                is_wildcard || names.is_wanted(endpoint) || activities.contains(endpoint)
            })?;
        }
        Ok(())
    }

    pub fn in_use(&self) -> &[MapUse] {
        &self.in_use
    }
}
