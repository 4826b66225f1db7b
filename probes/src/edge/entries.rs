//! Reads whole hash maps, many entries a system call.
//!
//! In: a map. Out: each of its keys, with one value a CPU. Entries come bucket by bucket: none comes
//! twice and none is left out, whatever the kernel adds meanwhile.

use std::os::fd::{AsFd as _, BorrowedFd};

use aya::{
    Pod,
    maps::{HashMap, IterableMap, MapData, MapError, PerCpuHashMap},
    sys::SyscallError,
};

use super::table::Raw;
use crate::bpf_syscall::map_lookup_batch;

/// Of values that are asked for at once.
const ROOM_BYTES: usize = 256 << 10;
/// A bucket has hardly ever more entries; one that has makes room for itself.
const ROOM_LEAST: usize = 16;

/// Every entry of a map that has a value for each CPU.
pub(crate) fn of_each_cpu<K: Copy, V: Copy>(
    map: &PerCpuHashMap<MapData, Raw<K>, Raw<V>>,
    take: impl FnMut(&K, &[Raw<V>]),
) -> Result<(), MapError>
where
    Raw<K>: Pod,
    Raw<V>: Pod,
{
    const {
        assert!(
            size_of::<V>().is_multiple_of(8),
            "the kernel rounds up to eight bytes"
        );
    };
    let cpus = aya::util::nr_cpus().map_err(|(_, error)| error)?;
    // SAFETY: aya has compared the sizes when it opened the map, which has a value a possible CPU.
    unsafe { each(map.map().fd().as_fd(), cpus, take) }
}

/// Every entry of a map.
pub(crate) fn of<K: Copy, V: Copy>(
    map: &HashMap<MapData, Raw<K>, Raw<V>>,
    mut take: impl FnMut(&K, &Raw<V>),
) -> Result<(), MapError>
where
    Raw<K>: Pod,
    Raw<V>: Pod,
{
    // SAFETY: aya has compared the sizes when it opened the map.
    unsafe { each(map.map().fd().as_fd(), 1, |key, values| take(key, &values[0])) }
}

/// # Safety
///
/// `K` is the map's key, and `shares` times `V` its value.
unsafe fn each<K: Copy, V: Copy>(
    map: BorrowedFd<'_>,
    shares: usize,
    mut take: impl FnMut(&K, &[Raw<V>]),
) -> Result<(), MapError>
where
    Raw<K>: Pod,
    Raw<V>: Pod,
{
    let mut room = (ROOM_BYTES / (shares * size_of::<V>())).max(ROOM_LEAST);
    // SAFETY: of a `Pod` every bit pattern is a value.
    let mut keys: Vec<Raw<K>> = vec![unsafe { std::mem::zeroed() }; room];
    // SAFETY: as above.
    let mut values: Vec<Raw<V>> = vec![unsafe { std::mem::zeroed() }; room * shares];
    let mut from = None;
    loop {
        // SAFETY: as the caller says.
        let batch = match unsafe { map_lookup_batch(map, from, &mut keys, &mut values) } {
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                room *= 2;
                keys.resize(room, keys[0]);
                values.resize(room * shares, values[0]);
                continue;
            }
            other => other.map_err(|io_error| SyscallError {
                call: "bpf_map_lookup_batch",
                io_error,
            })?,
        };
        for (Raw(key), values) in keys.iter().zip(values.chunks_exact(shares)).take(batch.count) {
            take(key, values);
        }
        match batch.next {
            Some(next) => from = Some(next),
            None => return Ok(()),
        }
    }
}
