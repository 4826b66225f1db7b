//! Makes room: counters of endpoints that are gone move out of the maps that the kernel fills, into one
//! key a series.
//!
//! In: one directory of counters, and which endpoints are gone. Out: the same totals in fewer keys. A
//! total that was reported never changes by it, whenever the agent is killed: each move is written to
//! a pinned journal first, with its outcome, and doing it again changes nothing. What the kernel counts
//! under a key while that moves is moved after it. Two things are not: what another CPU adds in the
//! nanoseconds after it has found the key that is just then taken out, and, where the agent is killed
//! between that and the next system call, what was counted since the move began.

use std::{
    iter,
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
    sync::Once,
};

use aya::{
    Pod,
    maps::{Array, HashMap, MapData, MapError, PerCpuHashMap},
    sys::SyscallError,
};
use probes_ebpf::wire::{Count, CountKey, Endpoint, Latency, LatencyKey, ROUTE_UNTIMED};

use super::{
    settings::Definitions,
    table::{Counters, GONE_COUNTS, GONE_LATENCIES, Raw, open_or_create},
};
use crate::{agent::AgentError, bpf_syscall};

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
    /// What of that `from` held.
    moved: V,
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

/// One CPU's share of a counter, or the sum of them.
trait Share: Copy {
    /// When the key appeared; then when those of its counters did that have a time of their own.
    fn times(&mut self) -> impl Iterator<Item = &mut u64>;

    /// All that is counted.
    fn cells(&mut self) -> impl Iterator<Item = &mut u64>;

    fn add(&mut self, other: &Self) {
        let mut other = *other;
        for (cell, by) in self.cells().zip(other.cells()) {
            *cell += *by;
        }
        for (time, other) in self.times().zip(other.times()) {
            *time = earlier(*time, *other);
        }
    }

    /// What has come since `before`. A key that appeared at another time is another one: all of it.
    fn since(mut self, before: &Self) -> Self {
        let mut before = *before;
        if self.times().next() == before.times().next() {
            for (cell, by) in self.cells().zip(before.cells()) {
                *cell = cell.saturating_sub(*by);
            }
        }
        self
    }

    fn is_nothing(mut self) -> bool {
        self.cells().all(|cell| *cell == 0)
    }
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

// Every field by name: one that is added later must not be forgotten here.
impl Share for Count {
    fn times(&mut self) -> impl Iterator<Item = &mut u64> {
        iter::once(&mut self.first_ns)
    }
    fn cells(&mut self) -> impl Iterator<Item = &mut u64> {
        let Self { first_ns: _, value } = self;
        iter::once(value)
    }
}

impl Share for Latency {
    fn times(&mut self) -> impl Iterator<Item = &mut u64> {
        let statuses = self.statuses.iter_mut().map(|status| &mut status.first_ns);
        iter::once(&mut self.first_ns).chain(statuses)
    }
    fn cells(&mut self) -> impl Iterator<Item = &mut u64> {
        let Self {
            first_ns: _,
            within,
            over,
            sum_ns,
            statuses,
            buckets,
        } = self;
        let statuses = statuses.iter_mut().map(|status| &mut status.value);
        let counted = within.iter_mut().chain(over).chain(buckets);
        iter::once(sum_ns).chain(statuses).chain(counted)
    }
}

/// Of two times, 0 being none.
pub(super) fn earlier(a: u64, b: u64) -> u64 {
    match (a, b) {
        (0, other) | (other, 0) => other,
        _ => a.min(b),
    }
}

/// Moves keys of one directory.
pub(crate) struct Folder {
    counts: Mover<CountKey, Count>,
    latencies: Mover<LatencyKey, Latency>,
}

impl Folder {
    /// Opens or makes the journal of a directory, and does what it says was begun.
    pub fn open(directory: &Path, counters: &mut Counters) -> Result<Self, AgentError> {
        let mut folder = Self {
            counts: Mover::open(directory, "COUNTS", COUNT_JOURNAL)?,
            latencies: Mover::open(directory, "LATENCIES", LATENCY_JOURNAL)?,
        };
        folder.finish(counters)?;
        Ok(folder)
    }

    fn finish(&mut self, counters: &mut Counters) -> Result<(), AgentError> {
        self.counts
            .finish(&mut counters.gone_counts)
            .map_err(AgentError::map("write", GONE_COUNTS))?;
        self.latencies
            .finish(&mut counters.gone_latencies)
            .map_err(AgentError::map("write", GONE_LATENCIES))
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
            self.counts
                .shift(&counters.counts, &mut counters.gone_counts, from, to)
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
            self.latencies
                .shift(&counters.latencies, &mut counters.gone_latencies, from, to)
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
        // Counted before it had a name, and so before it had routes and thresholds.
        if *to.route() < FIXED_ROUTES {
            *to.route() = ROUTE_UNTIMED;
        }
    }
    Some(to)
}

/// Moves keys out of one table.
struct Mover<K, V>
where
    Raw<Move<K, V>>: Pod,
{
    journal: Array<MapData, Raw<Move<K, V>>>,
    /// The table, for what aya does not do with it.
    table: MapData,
}

impl<K: Key, V: Share> Mover<K, V>
where
    Raw<K>: Pod,
    Raw<V>: Pod,
    Raw<Move<K, V>>: Pod,
{
    fn open(directory: &Path, table: &'static str, journal: &'static str) -> Result<Self, AgentError> {
        Ok(Self {
            journal: open_or_create!(
                directory,
                journal,
                Array,
                Array::<MapData, Raw<Move<K, V>>>::create(1, 0)
            )?,
            table: MapData::from_pin(directory.join(table)).map_err(AgentError::map("open", table))?,
        })
    }

    fn shift(&mut self, table: &Table<K, V>, gone: &mut Gone<K, V>, from: K, to: K) -> Result<(), MapError> {
        if self.begin(table, gone, from, to)? {
            self.finish(gone)?;
        }
        Ok(())
    }

    /// Writes down what is to be done; `false` when that is nothing.
    fn begin(
        &mut self,
        table: &Table<K, V>,
        gone: &mut Gone<K, V>,
        from: K,
        to: K,
    ) -> Result<bool, MapError> {
        let shares = match table.get(&Raw(from), 0) {
            Ok(shares) => shares,
            // The walk may tell of a key twice.
            Err(MapError::KeyNotFound) => return Ok(false),
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
        let mut moved: V = zeroed();
        for Raw(share) in shares.iter() {
            moved.add(share);
        }
        total.add(&moved);
        let step = Move {
            from,
            to,
            total,
            moved,
        };
        self.journal.set(0, Raw(step), 0)?;
        Ok(true)
    }

    /// Does the move that the journal tells of, if it tells of one.
    fn finish(&mut self, gone: &mut Gone<K, V>) -> Result<(), MapError> {
        let Raw(mut step) = self.journal.get(&0, 0)?;
        // An empty journal is all zeros, and nothing moves to settings 0.
        if step.to.settings() == 0 {
            return Ok(());
        }
        gone.insert(Raw(step.to), Raw(step.total), 0)?;
        if let Some(taken) = take::<K, V>(self.table.fd().as_fd(), &step.from)? {
            let late = taken.since(&step.moved);
            if !late.is_nothing() {
                step.total.add(&late);
                self.journal.set(0, Raw(step), 0)?;
                gone.insert(Raw(step.to), Raw(step.total), 0)?;
            }
        }
        self.journal.set(0, Raw(zeroed()), 0)
    }
}

/// Takes a key out of a table; what it held at last, if it was there.
fn take<K, V: Share>(table: BorrowedFd<'_>, key: &K) -> Result<Option<V>, MapError>
where
    Raw<K>: Pod,
    Raw<V>: Pod,
{
    const { assert!(size_of::<V>().is_multiple_of(size_of::<u64>())) };
    static REFUSED: Once = Once::new();

    let failed = |call| move |io_error| MapError::from(SyscallError { call, io_error });
    let cpus = aya::util::nr_cpus().map_err(|(_, error)| failed("possible CPUs")(error))?;
    let mut words = vec![0_u64; size_of::<V>() / size_of::<u64>() * cpus];
    // SAFETY: of a `Pod` every byte may be read.
    let key = unsafe { std::slice::from_raw_parts(std::ptr::from_ref(key).cast::<u8>(), size_of::<K>()) };
    let is_there = match bpf_syscall::map_take(table, key, &mut words) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | ENOTSUPP)) => {
            REFUSED.call_once(|| {
                tracing::warn!(
                    "this kernel does not tell what a counter held as it was removed (Linux 5.14 does): what is counted for an endpoint in the microseconds in which its counters are folded is lost"
                );
            });
            let looked = bpf_syscall::map_look(table, key, &mut words);
            looked.and_then(|is_there| bpf_syscall::map_delete(table, key).map(|_| is_there))
        }
        outcome => outcome,
    }
    .map_err(failed("bpf_map_lookup_and_delete_elem"))?;
    if !is_there {
        return Ok(None);
    }
    let mut sum: V = zeroed();
    for share in words.chunks_exact(size_of::<V>() / size_of::<u64>()) {
        // SAFETY: as many bytes of a `Pod`, and aligned as its widest field.
        sum.add(unsafe { &*share.as_ptr().cast::<V>() });
    }
    Ok(Some(sum))
}

/// What the kernel says where it means `EOPNOTSUPP`.
const ENOTSUPP: i32 = 524;

fn zeroed<T>() -> T
where
    Raw<T>: Pod,
{
    // SAFETY: of a `Pod` every bit pattern is a value.
    unsafe { std::mem::zeroed() }
}

#[cfg(test)]
mod tests;
