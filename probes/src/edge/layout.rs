//! What the pinned maps look like, and where they are pinned.
//!
//! `<bpffs>/slowburn/<instance>/`
//! - `edge_connections_<version>/`: per-socket records and the anchor of start times; an ABI that outlives
//!   every upgrade until its own version changes.
//! - `edge_counters_<fingerprint>/`: everything counted and named under one layout. Directories of
//!   other layouts are read on, for ever; the total is the sum.
//! - `edge_links/`: what is attached.

use std::path::{Path, PathBuf};

use probes_ebpf::wire::{
    CONNECTION_VERSION, Connection, Count, CountKey, Endpoint, Handshake, Latency, LatencyKey, Naming,
    Pending, PendingKey, RouteText, SETTINGS_MAX, Settings, SourceKey, VERSION, control, loss,
};

use crate::bpffs::{self, BpffsError, MapLayout};

pub(crate) const COUNTERS: &str = "edge_counters_";
pub(crate) const LINKS: &str = "edge_links";

const HASH: u32 = 1;
const ARRAY: u32 = 2;
const PER_CPU_HASH: u32 = 5;
const PER_CPU_ARRAY: u32 = 6;
const LRU_HASH: u32 = 9;
const LRU_PER_CPU_HASH: u32 = 10;
const LPM_TRIE: u32 = 11;
const SK_STORAGE: u32 = 24;
/// `BPF_F_NO_PREALLOC`, which tries and socket storage must have.
const NO_PREALLOC: u32 = 1;

/// Where the start of every reported series is remembered, made by user space in the object's
/// stead: a start that moved would make the engine count twice.
pub(crate) const STARTS: &str = "STARTS";
pub(crate) const STARTS_MAX: u32 = 32_768;

pub(crate) const SOURCES_MAX: u32 = 16_384;

/// All latencies together may take this much memory, however many CPUs there are.
const LATENCY_BYTES: usize = 64 << 20;

/// How many route latencies fit.
pub(crate) fn latencies_max(cpus: usize) -> u32 {
    let entry = size_of::<Latency>() * cpus.max(1);
    u32::try_from((LATENCY_BYTES / entry).clamp(256, 4096)).unwrap_or(256)
}

/// Maps pinned beside the connections.
pub(crate) fn connection_maps() -> [MapLayout; 2] {
    [
        MapLayout {
            flags: NO_PREALLOC,
            ..map::<u32, Connection>("CONN", SK_STORAGE, 0)
        },
        map::<u32, u64>("CONTROL", ARRAY, control::WORDS),
    ]
}

/// Maps pinned under the fingerprint.
pub(crate) fn counter_maps(cpus: usize) -> [MapLayout; 10] {
    [
        map::<CountKey, Count>("COUNTS", PER_CPU_HASH, 16_384),
        map::<LatencyKey, Latency>("LATENCIES", PER_CPU_HASH, latencies_max(cpus)),
        map::<SourceKey, u64>("SOURCES", LRU_PER_CPU_HASH, SOURCES_MAX),
        map::<Endpoint, Naming>("ENDPOINTS", HASH, 8192),
        map::<u32, Settings>("SETTINGS", ARRAY, SETTINGS_MAX),
        MapLayout {
            key_size: number(size_of::<RouteText>() + 4),
            flags: NO_PREALLOC,
            ..map::<RouteText, u32>("ROUTES", LPM_TRIE, 16_384)
        },
        map::<u32, u32>("PORTS", HASH, 4096),
        map::<PendingKey, Pending>("PENDING", LRU_HASH, 4096),
        map::<u32, Handshake>("HANDSHAKE", PER_CPU_ARRAY, 1),
        map::<u32, u64>("LOSSES", PER_CPU_ARRAY, loss::WORDS),
    ]
}

/// The directories of one instance.
#[derive(Clone, Debug)]
pub(crate) struct Directories {
    pub instance: PathBuf,
    pub connections: PathBuf,
    pub counters: PathBuf,
    pub links: PathBuf,
}

impl Directories {
    pub fn new(bpffs: &Path, instance: &str, cpus: usize) -> Result<Self, BpffsError> {
        let instance = bpffs::instance_path(bpffs, instance)?;
        let fingerprint = bpffs::fingerprint(VERSION, &counter_maps(cpus));
        Ok(Self {
            connections: instance.join(format!("edge_connections_{CONNECTION_VERSION}")),
            counters: instance.join(format!("{COUNTERS}{fingerprint}")),
            links: instance.join(LINKS),
            instance,
        })
    }
}

/// Every map this build would pin, for `doctor`: name and bytes at most.
pub(crate) fn map_bytes() -> Vec<(&'static str, u64)> {
    let cpus = aya::util::nr_cpus().unwrap_or(1);
    let maps = connection_maps().into_iter().chain(counter_maps(cpus));
    maps.map(|map| {
        let per_cpu = matches!(map.kind, PER_CPU_HASH | PER_CPU_ARRAY | LRU_PER_CPU_HASH);
        let copies = if per_cpu { cpus as u64 } else { 1 };
        let entry = u64::from(map.key_size) + u64::from(map.value_size) * copies;
        (map.name, entry * u64::from(map.max_entries))
    })
    .collect()
}

const fn map<K, V>(name: &'static str, kind: u32, max_entries: u32) -> MapLayout {
    MapLayout {
        name,
        kind,
        key_size: number(size_of::<K>()),
        value_size: number(size_of::<V>()),
        max_entries,
        flags: 0,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "sizes of records, all below 4 KiB"
)]
const fn number(size: usize) -> u32 {
    size as u32
}
