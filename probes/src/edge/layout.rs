//! What the pinned maps look like, and where they are pinned.
//!
//! `<bpffs>/slowburn/<instance>/`
//! - `edge_source/`: the anchor of start times, and what else makes a source the same one; outlives every layout.
//! - `edge_connections_<version>/`: per-socket records; an ABI that outlives
//!   every upgrade until its own version changes.
//! - `edge_counters_<fingerprint>/`: everything counted and named under one layout. Directories of
//!   other layouts are read on, for ever; the total is the sum. What a build cannot read ends the source.
//! - `edge_links/`: what is attached.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use probes_ebpf::{
    http2_wire::{EARLY_SLOTS, Early, Http2, RING_BYTES, StreamKey},
    wire::{
        ANSWERED_MAX, CONNECTION_VERSION, Connection, Count, CountKey, Endpoint, Handshake, Latency,
        LatencyKey, Lost, Naming, Pending, PendingKey, Pipeline, RouteText, SETTINGS_MAX, Settings,
        SourceKey, VERSION, control, loss,
    },
};

use super::table::{GONE_COUNTS, GONE_LATENCIES};
use crate::bpffs::{self, BpffsError, MapLayout};
use crate::listeners::{BookEntry, BookKey, LISTENERS, LISTENERS_MAX};

pub(crate) const COUNTERS: &str = "edge_counters_";
pub(crate) const LINKS: &str = "edge_links";
pub(crate) const HTTP2: &str = "edge_http2_";

const HASH: u32 = 1;
const ARRAY: u32 = 2;
const PROGRAM_ARRAY: u32 = 3;
const PER_CPU_HASH: u32 = 5;
const PER_CPU_ARRAY: u32 = 6;
const LRU_HASH: u32 = 9;
const LRU_PER_CPU_HASH: u32 = 10;
const LPM_TRIE: u32 = 11;
const SK_STORAGE: u32 = 24;
const RING: u32 = 27;
/// `BPF_F_NO_PREALLOC`, which tries and socket storage must have.
pub(crate) const NO_PREALLOC: u32 = 1;

/// Where the start of every reported series is remembered, made by user space in the object's
/// stead: a start that moved would make the engine count twice.
pub(crate) const STARTS: &str = "STARTS";
pub(crate) const STARTS_MAX: u32 = 32_768;

/// Series of endpoints that are gone, made by user space too: memory is taken as they appear.
pub(crate) const GONE_COUNTS_MAX: u32 = 32_768;
pub(crate) const GONE_LATENCIES_MAX: u32 = 4096;

/// Where the programs that follow HTTP/2 are called from; pinned, for without a pin the kernel empties
/// them when the agent ends.
pub(crate) const HTTP2_IN: &str = "HTTP2_IN";
pub(crate) const HTTP2_OUT: &str = "HTTP2_OUT";
/// The ring buffer of `http2_wire::Record`s.
pub(crate) const RECORDS: &str = "HTTP2_RECORDS";

/// Where user space keeps what it knows of HTTP/2. Its name holds the version of what is written, and of what
/// records mean.
pub(crate) const BOOK: &str = "HTTP2_BOOK_6";
pub(crate) const BOOK_BLOCK: usize = 4096;
/// One block, and two halves of 4 MiB.
pub(crate) const BOOK_BLOCKS: u32 = 1 + 2 * 1024;
/// `BPF_F_MMAPABLE`.
pub(crate) const MMAPABLE: u32 = 1024;

/// How much the maps that grow with the host may hold. The kernel sets the memory aside when they are
/// made: this is the bound, whatever happens on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapSizes {
    /// Plain counters: one of each endpoint and route for a status that `probes_ebpf::wire::STATUSES` lacks, and for what is no latency.
    pub counts: u32,
    /// Memory of all latencies together, however many CPUs there are: one a route of each endpoint.
    pub latency_mib: u32,
    /// Remote addresses; the ones that ask least make room for others.
    pub sources: u32,
    /// Listening sockets with a name.
    pub endpoints: u32,
}

impl Default for MapSizes {
    fn default() -> Self {
        Self {
            counts: 16_384,
            latency_mib: 64,
            sources: 16_384,
            endpoints: 8192,
        }
    }
}

impl MapSizes {
    /// What each size may be. The least is what a host with a handful of services needs.
    pub const COUNTS: RangeInclusive<u32> = 512..=1_048_576;
    pub const LATENCY_MIB: RangeInclusive<u32> = 1..=4096;
    pub const SOURCES: RangeInclusive<u32> = 256..=1_048_576;
    pub const ENDPOINTS: RangeInclusive<u32> = 256..=262_144;

    /// How many latencies fit on this machine: one a route of each endpoint, and up to four beside its routes.
    #[must_use]
    pub fn latencies_here(&self) -> u32 {
        self.latencies(aya::util::nr_cpus().unwrap_or(1))
    }

    /// What a socket takes beside all maps, for as long as it lives: every one that is counted, those that speak HTTP/2,
    /// and those whose requests are pipelined or cut, or whose answers are followed to their last byte.
    #[must_use]
    pub fn bytes_of_socket() -> [(&'static str, u32); 3] {
        let of = |size: usize| number(size);
        [
            ("CONN", of(size_of::<Connection>())),
            ("HTTP2", of(size_of::<Http2>())),
            ("PIPELINE", of(size_of::<Pipeline>())),
        ]
    }

    /// How many route latencies fit.
    pub(crate) fn latencies(&self, cpus: usize) -> u32 {
        let entry = (size_of::<Latency>() + size_of::<LatencyKey>()) * cpus.max(1);
        let bytes = (self.latency_mib as usize) << 20;
        // Fewer would not hold the routes of one service; what more CPUs take then is stated by `doctor`.
        u32::try_from(bytes / entry).unwrap_or(u32::MAX).max(64)
    }

    /// Every map that is made, and how many bytes it may take.
    #[must_use]
    pub fn bytes(&self) -> Vec<(&'static str, u64)> {
        let cpus = aya::util::nr_cpus().unwrap_or(1);
        let maps = source_maps()
            .into_iter()
            .chain(connection_maps())
            .chain(http2_maps())
            .chain(counter_maps(self, cpus))
            .chain(own_maps());
        maps.map(|map| (map.name, map.bytes(cpus))).collect()
    }
}

/// Maps that never change: a new anchor would be a new source, which the engine takes up where it
/// finds it.
pub(crate) fn source_maps() -> [MapLayout; 1] {
    [map::<u32, u64>("CONTROL", ARRAY, control::WORDS)]
}

/// Maps pinned by the version of the connections' record.
pub(crate) fn connection_maps() -> [MapLayout; 5] {
    [
        of_sockets(map::<u32, Connection>("CONN", SK_STORAGE, 0)),
        of_sockets(map::<u32, Pipeline>("PIPELINE", SK_STORAGE, 0)),
        map::<Endpoint, u32>("ANSWERED", LRU_HASH, ANSWERED_MAX),
        map::<u32, u32>(HTTP2_IN, PROGRAM_ARRAY, 1),
        map::<u32, u32>(HTTP2_OUT, PROGRAM_ARRAY, 1),
    ]
}

fn of_sockets(layout: MapLayout) -> MapLayout {
    MapLayout {
        flags: NO_PREALLOC,
        ..layout
    }
}

/// What is known of connections that speak HTTP/2, in the kernel, on its way and in user space. All of it is pinned
/// together, under a fingerprint with the version of the connections' record: whoever begins anew with a part of it
/// has to with the rest. Counters of another layout change nothing here, as ids of settings mean the same in all.
pub(crate) fn http2_maps() -> [MapLayout; 4] {
    [
        of_sockets(map::<u32, Http2>("HTTP2", SK_STORAGE, 0)),
        map::<u32, Early>("HTTP2_EARLY", ARRAY, EARLY_SLOTS),
        map::<StreamKey, u64>("HTTP2_UPLOADS", LRU_HASH, 8192),
        map::<(), ()>(RECORDS, RING, RING_BYTES),
    ]
}

/// Maps pinned under the fingerprint.
pub(crate) fn counter_maps(sizes: &MapSizes, cpus: usize) -> [MapLayout; 11] {
    [
        map::<CountKey, Count>("COUNTS", PER_CPU_HASH, sizes.counts),
        map::<LatencyKey, Latency>("LATENCIES", PER_CPU_HASH, sizes.latencies(cpus)),
        map::<SourceKey, u64>("SOURCES", LRU_PER_CPU_HASH, sizes.sources),
        map::<Endpoint, Naming>("ENDPOINTS", HASH, sizes.endpoints),
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
        map::<u32, Lost>("LOST", ARRAY, SETTINGS_MAX),
    ]
}

/// Maps that user space makes for itself.
fn own_maps() -> [MapLayout; 5] {
    [
        map::<BookKey, BookEntry>(LISTENERS, HASH, LISTENERS_MAX),
        map::<u64, u64>(STARTS, HASH, STARTS_MAX),
        map::<CountKey, Count>(GONE_COUNTS, HASH, GONE_COUNTS_MAX),
        map::<LatencyKey, Latency>(GONE_LATENCIES, HASH, GONE_LATENCIES_MAX),
        book(),
    ]
}

fn book() -> MapLayout {
    MapLayout {
        flags: MMAPABLE,
        ..map::<u32, [u8; BOOK_BLOCK]>(BOOK, ARRAY, BOOK_BLOCKS)
    }
}

/// The directories of one instance.
#[derive(Clone, Debug)]
pub(crate) struct Directories {
    pub instance: PathBuf,
    pub source: PathBuf,
    pub connections: PathBuf,
    pub http2: PathBuf,
    pub counters: PathBuf,
    pub links: PathBuf,
}

impl Directories {
    pub fn new(bpffs: &Path, instance: &str, sizes: &MapSizes, cpus: usize) -> Result<Self, BpffsError> {
        let instance = bpffs::instance_path(bpffs, instance)?;
        let counters = bpffs::fingerprint(VERSION, &counter_maps(sizes, cpus));
        let mut maps = http2_maps().to_vec();
        maps.push(book());
        let http2 = bpffs::fingerprint(u32::from(CONNECTION_VERSION), &maps);
        Ok(Self {
            source: instance.join("edge_source"),
            connections: instance.join(format!("edge_connections_{CONNECTION_VERSION}")),
            http2: instance.join(format!("{HTTP2}{http2}")),
            counters: instance.join(format!("{COUNTERS}{counters}")),
            links: instance.join(LINKS),
            instance,
        })
    }
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

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::fd::{AsFd as _, AsRawFd as _},
    };

    use super::*;
    use crate::{edge::object, features::Features};

    #[test]
    fn the_kernel_sets_aside_what_is_stated() {
        let sizes = MapSizes {
            counts: 3000,
            latency_mib: 5,
            sources: 1000,
            endpoints: 600,
        };
        let cpus = aya::util::nr_cpus().unwrap();
        let stated = counter_maps(&sizes, cpus);
        let ebpf = object::open(None, &stated, Features::here(), 0).unwrap();
        let of_no_socket = http2_maps().into_iter().filter(|map| map.kind != SK_STORAGE);
        for map in stated.into_iter().chain(of_no_socket) {
            let (_, made) = ebpf.maps().find(|(name, _)| *name == map.name).unwrap();
            let data = match made {
                aya::maps::Map::Array(data)
                | aya::maps::Map::HashMap(data)
                | aya::maps::Map::LpmTrie(data)
                | aya::maps::Map::LruHashMap(data)
                | aya::maps::Map::PerCpuArray(data)
                | aya::maps::Map::PerCpuHashMap(data)
                | aya::maps::Map::PerCpuLruHashMap(data)
                | aya::maps::Map::RingBuf(data) => data,
                other => panic!("{}: {other:?}", map.name),
            };
            let path = format!("/proc/self/fdinfo/{}", data.fd().as_fd().as_raw_fd());
            let text = fs::read_to_string(path).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix("memlock:"));
            let taken: u64 = line.unwrap().trim().parse().unwrap();
            // Pages are whole, and a few elements more than asked for are made for each CPU.
            let bound = map.bytes(cpus) * 11 / 10 + (64 << 10);
            assert!(
                taken <= bound,
                "{}: {taken} bytes, stated {}",
                map.name,
                map.bytes(cpus)
            );
            let is_made_full = map.flags & NO_PREALLOC == 0;
            assert!(
                !is_made_full || taken * 2 >= map.bytes(cpus),
                "{}: {taken} bytes only",
                map.name
            );
        }
    }
}
