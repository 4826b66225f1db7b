//! How much the kernel's maps may hold, as flags of `run` and `doctor`.

use probes::agent::MapSizes;

#[derive(Debug, Clone, Copy, clap::Args)]
#[command(
    next_help_heading = "Kernel memory (set aside when the maps are made; `slowburn doctor` adds it up)"
)]
pub struct MapArgs {
    /// Plain counters: one for each status code of a route of a listening socket
    #[arg(long, env = "SLOWBURN_MAP_COUNTS", value_name = "ENTRIES", default_value_t = MapSizes::default().counts,
          value_parser = clap::value_parser!(u32).range(range(MapSizes::COUNTS)))]
    map_counts: u32,
    /// Memory of all latencies together: 3.8 KB a CPU for each route of a listening socket and a few beside its routes;
    /// `slowburn doctor` says how many fit
    #[arg(long, env = "SLOWBURN_MAP_LATENCY_MIB", value_name = "MIB", default_value_t = MapSizes::default().latency_mib,
          value_parser = clap::value_parser!(u32).range(range(MapSizes::LATENCY_MIB)))]
    map_latency_mib: u32,
    /// Remote addresses whose requests are counted; the ones seen least recently make room
    #[arg(long, env = "SLOWBURN_MAP_SOURCES", value_name = "ENTRIES", default_value_t = MapSizes::default().sources,
          value_parser = clap::value_parser!(u32).range(range(MapSizes::SOURCES)))]
    map_sources: u32,
    /// Listening sockets with a name
    #[arg(long, env = "SLOWBURN_MAP_ENDPOINTS", value_name = "ENTRIES", default_value_t = MapSizes::default().endpoints,
          value_parser = clap::value_parser!(u32).range(range(MapSizes::ENDPOINTS)))]
    map_endpoints: u32,
}

fn range(of: std::ops::RangeInclusive<u32>) -> std::ops::RangeInclusive<i64> {
    i64::from(*of.start())..=i64::from(*of.end())
}

impl From<MapArgs> for MapSizes {
    fn from(args: MapArgs) -> Self {
        Self {
            counts: args.map_counts,
            latency_mib: args.map_latency_mib,
            sources: args.map_sources,
            endpoints: args.map_endpoints,
        }
    }
}
