//! Pinned maps, opened by their pins: a map opened so carries the kernel's own sizes, and aya
//! checks them.

use std::path::Path;

use aya::{
    Pod,
    maps::{Array, HashMap, MapData, PerCpuArray, PerCpuHashMap, lpm_trie::LpmTrie},
};
use probes_ebpf::wire;

use super::layout::{self, GONE_COUNTS_MAX, GONE_LATENCIES_MAX, NO_PREALLOC};
use crate::agent::AgentError;

pub(crate) const GONE_COUNTS: &str = "GONE_COUNTS";
pub(crate) const GONE_LATENCIES: &str = "GONE_LATENCIES";

/// A wire record as bytes to and from the kernel.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Raw<T>(pub T);

macro_rules! pod {
    ($($record:ty),+ $(,)?) => {
        $(
            // SAFETY: `repr(C)` without implicit padding, and every bit pattern is a value.
            unsafe impl Pod for Raw<$record> {}
        )+
    };
}

pod!(
    [u8; layout::BOOK_BLOCK],
    wire::Endpoint,
    wire::Naming,
    wire::Settings,
    wire::RouteText,
    wire::CountKey,
    wire::Count,
    wire::LatencyKey,
    wire::Latency,
    wire::Lost,
    wire::SourceKey,
);

pub(crate) type Control = Array<MapData, u64>;
pub(crate) type Counts = PerCpuHashMap<MapData, Raw<wire::CountKey>, Raw<wire::Count>>;
pub(crate) type Latencies = PerCpuHashMap<MapData, Raw<wire::LatencyKey>, Raw<wire::Latency>>;
pub(crate) type GoneCounts = HashMap<MapData, Raw<wire::CountKey>, Raw<wire::Count>>;
pub(crate) type GoneLatencies = HashMap<MapData, Raw<wire::LatencyKey>, Raw<wire::Latency>>;
pub(crate) type Sources = PerCpuHashMap<MapData, Raw<wire::SourceKey>, u64>;
pub(crate) type Endpoints = HashMap<MapData, Raw<wire::Endpoint>, Raw<wire::Naming>>;
pub(crate) type SettingsTable = Array<MapData, Raw<wire::Settings>>;
pub(crate) type Routes = LpmTrie<MapData, Raw<wire::RouteText>, u32>;
pub(crate) type Ports = HashMap<MapData, u32, u32>;
pub(crate) type Losses = PerCpuArray<MapData, u64>;
pub(crate) type LostTable = Array<MapData, Raw<wire::Lost>>;
pub(crate) type Starts = HashMap<MapData, u64, u64>;

/// Opens the map pinned as `name` in `directory`, as the kind the caller asks for.
macro_rules! open {
    ($directory:expr, $name:expr, $kind:ident) => {{
        let failed = $crate::agent::AgentError::map("open", $name);
        aya::maps::MapData::from_pin($directory.join($name))
            .map(aya::maps::Map::$kind)
            .map_err($crate::agent::AgentError::map("open", $name))
            .and_then(|map| map.try_into().map_err(failed))
    }};
}
pub(crate) use open;

/// As [`open`], for maps that user space makes for itself: the object does not know them.
macro_rules! open_or_create {
    ($directory:expr, $name:expr, $kind:ident, $create:expr) => {{
        let path = $directory.join($name);
        let made = if path.exists() {
            Ok(())
        } else {
            $create
                .map_err($crate::agent::AgentError::map("create", $name))
                .and_then(|map| {
                    map.pin(&path).map_err(|error| $crate::agent::AgentError::Attach {
                        reason: format!("cannot pin the map {}: {}", $name, $crate::agent::chain(&error)),
                    })
                })
        };
        made.and_then(|()| $crate::edge::table::open!($directory, $name, $kind))
    }};
}
pub(crate) use open_or_create;

/// The maps of one counter directory that are read.
pub(crate) struct Counters {
    pub counts: Counts,
    pub latencies: Latencies,
    /// Of endpoints that are gone, under keys without one: see `fold`.
    pub gone_counts: GoneCounts,
    pub gone_latencies: GoneLatencies,
    pub endpoints: Endpoints,
    pub settings: SettingsTable,
    pub routes: Routes,
    pub losses: Losses,
    pub lost: LostTable,
}

impl Counters {
    pub fn open(directory: &Path) -> Result<Self, AgentError> {
        Ok(Self {
            counts: open!(directory, "COUNTS", PerCpuHashMap)?,
            latencies: open!(directory, "LATENCIES", PerCpuHashMap)?,
            gone_counts: open_or_create!(
                directory,
                GONE_COUNTS,
                HashMap,
                GoneCounts::create(GONE_COUNTS_MAX, NO_PREALLOC)
            )?,
            gone_latencies: open_or_create!(
                directory,
                GONE_LATENCIES,
                HashMap,
                GoneLatencies::create(GONE_LATENCIES_MAX, NO_PREALLOC)
            )?,
            endpoints: open!(directory, "ENDPOINTS", HashMap)?,
            settings: open!(directory, "SETTINGS", Array)?,
            routes: open!(directory, "ROUTES", LpmTrie)?,
            losses: open!(directory, "LOSSES", PerCpuArray)?,
            lost: open!(directory, "LOST", Array)?,
        })
    }
}
