//! Makes room: counters of endpoints that are gone move out of the maps that the kernel fills, into one
//! key a series.
//!
//! In: one directory of counters, and which endpoints are gone. Out: the same totals in fewer keys. A
//! total that was reported never changes by it, whenever the agent is killed: each move is written to
//! a pinned journal first, with its outcome, and doing it again changes nothing.

use std::path::Path;

use aya::{
    Pod,
    maps::{Array, HashMap, MapData, MapError, PerCpuHashMap},
};
use probes_ebpf::wire::{Count, CountKey, Endpoint, Latency, LatencyKey, ROUTE_OTHER};

use super::{
    settings::Definitions,
    table::{Counters, GONE_COUNTS, GONE_LATENCIES, Raw, open_or_create},
};
use crate::agent::AgentError;

const COUNT_JOURNAL: &str = "FOLD_COUNT";
const LATENCY_JOURNAL: &str = "FOLD_LATENCY";

/// Keys that one call may move: it happens between two reads.
const MOVES_MAX: usize = 1024;

/// The one move that may be half done.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Move<K, V> {
    from: K,
    to: K,
    /// What `to` holds once it is done.
    total: V,
}

// SAFETY: `repr(C)`, of records without padding whose sizes are multiples of eight.
unsafe impl Pod for Raw<Move<CountKey, Count>> {}
// SAFETY: as above.
unsafe impl Pod for Raw<Move<LatencyKey, Latency>> {}

/// A counter's key, apart from what it counts.
trait Key: Copy + PartialEq {
    fn endpoint(&self) -> Endpoint;
    fn settings(&self) -> u32;
    fn set(&mut self, endpoint: Endpoint, settings: u32);
    fn route(&mut self) -> &mut u16;
}

trait Share: Copy {
    fn add(&mut self, other: &Self);
}

macro_rules! key {
    ($record:ty) => {
        impl Key for $record {
            fn endpoint(&self) -> Endpoint {
                self.endpoint
            }
            fn settings(&self) -> u32 {
                self.settings
            }
            fn set(&mut self, endpoint: Endpoint, settings: u32) {
                self.endpoint = endpoint;
                self.settings = settings;
            }
            fn route(&mut self) -> &mut u16 {
                &mut self.route
            }
        }
    };
}
key!(CountKey);
key!(LatencyKey);

impl Share for Count {
    fn add(&mut self, other: &Self) {
        let Self { first_ns, value } = other;
        self.first_ns = earlier(self.first_ns, *first_ns);
        self.value += value;
    }
}

impl Share for Latency {
    fn add(&mut self, other: &Self) {
        // Every field by name: one that is added later must not be forgotten here.
        let Self {
            first_ns,
            within,
            over,
            sum_ns,
            rtt_sum_us,
            rtt_count,
            buckets,
        } = other;
        self.first_ns = earlier(self.first_ns, *first_ns);
        self.sum_ns += sum_ns;
        self.rtt_sum_us += rtt_sum_us;
        self.rtt_count += rtt_count;
        add_each(&mut self.within, within);
        add_each(&mut self.over, over);
        add_each(&mut self.buckets, buckets);
    }
}

fn add_each(cells: &mut [u64], others: &[u64]) {
    for (cell, other) in cells.iter_mut().zip(others) {
        *cell += other;
    }
}

fn earlier(a: u64, b: u64) -> u64 {
    match (a, b) {
        (0, other) | (other, 0) => other,
        _ => a.min(b),
    }
}

/// Moves keys of one directory.
pub(crate) struct Folder {
    counts: Journal<CountKey, Count>,
    latencies: Journal<LatencyKey, Latency>,
}

type Journal<K, V> = Array<MapData, Raw<Move<K, V>>>;

impl Folder {
    /// Opens or makes the journal of a directory, and does what it says was begun.
    pub fn open(directory: &Path, counters: &mut Counters) -> Result<Self, AgentError> {
        let mut folder = Self {
            counts: open_or_create!(
                directory,
                COUNT_JOURNAL,
                Array,
                Journal::<CountKey, Count>::create(1, 0)
            )?,
            latencies: open_or_create!(
                directory,
                LATENCY_JOURNAL,
                Array,
                Journal::<LatencyKey, Latency>::create(1, 0)
            )?,
        };
        folder.finish(counters)?;
        Ok(folder)
    }

    fn finish(&mut self, counters: &mut Counters) -> Result<(), AgentError> {
        finish(&mut self.counts, &mut counters.counts, &mut counters.gone_counts)
            .map_err(AgentError::map("write", "COUNTS"))?;
        finish(
            &mut self.latencies,
            &mut counters.latencies,
            &mut counters.gone_latencies,
        )
        .map_err(AgentError::map("write", "LATENCIES"))
    }

    /// Moves the counters of endpoints for which `is_gone`. Those without a name stay. Says how many
    /// keys have moved.
    pub fn fold(
        &mut self,
        counters: &mut Counters,
        definitions: &Definitions,
        is_gone: impl Fn(&Endpoint) -> bool,
    ) -> Result<usize, AgentError> {
        self.finish(counters)?;
        let mut left = MOVES_MAX;
        for (from, to) in moves(
            &counters.counts,
            "COUNTS",
            counters,
            definitions,
            &is_gone,
            &mut left,
        )? {
            shift(
                &mut self.counts,
                &mut counters.counts,
                &mut counters.gone_counts,
                from,
                to,
            )
            .map_err(AgentError::map("write", GONE_COUNTS))?;
        }
        for (from, to) in moves(
            &counters.latencies,
            "LATENCIES",
            counters,
            definitions,
            &is_gone,
            &mut left,
        )? {
            shift(
                &mut self.latencies,
                &mut counters.latencies,
                &mut counters.gone_latencies,
                from,
                to,
            )
            .map_err(AgentError::map("write", GONE_LATENCIES))?;
        }
        Ok(MOVES_MAX - left)
    }
}

type Table<K, V> = PerCpuHashMap<MapData, Raw<K>, Raw<V>>;
type Gone<K, V> = HashMap<MapData, Raw<K>, Raw<V>>;

/// What can move out of a table, and where to.
fn moves<K: Key, V>(
    table: &Table<K, V>,
    name: &'static str,
    counters: &Counters,
    definitions: &Definitions,
    is_gone: &impl Fn(&Endpoint) -> bool,
    left: &mut usize,
) -> Result<Vec<(K, K)>, AgentError>
where
    Raw<K>: Pod,
    Raw<V>: Pod,
{
    let mut found = Vec::new();
    for key in table.keys() {
        let Raw(from) = key.map_err(AgentError::map("read", name))?;
        if *left == 0 {
            break;
        }
        if is_gone(&from.endpoint())
            && let Some(to) = without_endpoint(&from, counters, definitions)
        {
            found.push((from, to));
            *left -= 1;
        }
    }
    Ok(found)
}

/// Routes from here on mean the same under all settings.
const FIXED_ROUTES: u16 = 0xff00;

/// The key that takes over: the same series, by the name the endpoint has now.
fn without_endpoint<K: Key>(from: &K, counters: &Counters, definitions: &Definitions) -> Option<K> {
    let mut to = *from;
    let endpoint = Endpoint {
        role: from.endpoint().role,
        ..Endpoint::default()
    };
    if definitions.get(from.settings()).is_some() {
        to.set(endpoint, from.settings());
    } else {
        let Raw(naming) = counters.endpoints.get(&Raw(from.endpoint()), 0).ok()?;
        definitions.get(naming.first)?;
        to.set(endpoint, naming.first);
        // Counted before it had a name, and so before it had routes.
        if *to.route() < FIXED_ROUTES {
            *to.route() = ROUTE_OTHER;
        }
    }
    Some(to)
}

fn shift<K: Key, V: Share>(
    journal: &mut Journal<K, V>,
    table: &mut Table<K, V>,
    gone: &mut Gone<K, V>,
    from: K,
    to: K,
) -> Result<(), MapError>
where
    Raw<K>: Pod,
    Raw<V>: Pod,
    Raw<Move<K, V>>: Pod,
{
    let shares = match table.get(&Raw(from), 0) {
        Ok(shares) => shares,
        // The walk may tell of a key twice.
        Err(MapError::KeyNotFound) => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut total = match gone.get(&Raw(to), 0) {
        Ok(Raw(total)) => total,
        Err(MapError::KeyNotFound) => {
            // Room first: what cannot move stays where it is, and is counted on there.
            let nothing = zeroed();
            gone.insert(Raw(to), Raw(nothing), 0)?;
            nothing
        }
        Err(error) => return Err(error),
    };
    for Raw(share) in shares.iter() {
        total.add(share);
    }
    journal.set(0, Raw(Move { from, to, total }), 0)?;
    finish(journal, table, gone)
}

/// Does the move that the journal tells of, if it tells of one.
fn finish<K: Key, V: Share>(
    journal: &mut Journal<K, V>,
    table: &mut Table<K, V>,
    gone: &mut Gone<K, V>,
) -> Result<(), MapError>
where
    Raw<K>: Pod,
    Raw<V>: Pod,
    Raw<Move<K, V>>: Pod,
{
    let Raw(step) = journal.get(&0, 0)?;
    // An empty journal is all zeros, and nothing moves to settings 0.
    if step.to.settings() == 0 {
        return Ok(());
    }
    gone.insert(Raw(step.to), Raw(step.total), 0)?;
    match table.remove(&Raw(step.from)) {
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => {}
        outcome => outcome?,
    }
    journal.set(0, Raw(zeroed()), 0)
}

fn zeroed<T>() -> T
where
    Raw<T>: Pod,
{
    // SAFETY: of a `Pod` every bit pattern is a value.
    unsafe { std::mem::zeroed() }
}

#[cfg(test)]
mod tests;
