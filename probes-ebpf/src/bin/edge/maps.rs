//! The maps, and what is fixed when the object is loaded.

use core::ptr;

use aya_ebpf::{
    btf_maps::SkStorage,
    macros::{btf_map, map},
    maps::{
        Array, HashMap, LpmTrie, LruHashMap, LruPerCpuHashMap, PerCpuArray, PerCpuHashMap, ProgramArray,
        RingBuf,
    },
};
use probes_ebpf::{
    http2_wire::{Http2, Opening, RING_BYTES, StreamKey},
    wire::{
        ANSWERED_MAX, Connection, Count, CountKey, Endpoint, Handshake, Latency, LatencyKey, Lost, Naming,
        Pending, PendingKey, RouteText, SETTINGS_MAX, Settings, SourceKey, control, kernel, loss,
    },
};

#[btf_map]
pub static CONN: SkStorage<Connection> = SkStorage::new();
/// Beside `CONN`, of connections that speak HTTP/2.
#[btf_map]
pub static HTTP2: SkStorage<Http2> = SkStorage::new();

/// Endpoints that have answered a turn. Pinned with the connections: it stays so under other settings, and where the
/// counters are others.
#[map]
pub static ANSWERED: LruHashMap<Endpoint, u32> = LruHashMap::with_max_entries(ANSWERED_MAX, 0);

#[map]
pub static COUNTS: PerCpuHashMap<CountKey, Count> = PerCpuHashMap::with_max_entries(16384, 0);
/// Sized by user space: a value is 3.8 KB a CPU.
#[map]
pub static LATENCIES: PerCpuHashMap<LatencyKey, Latency> = PerCpuHashMap::with_max_entries(1024, 0);
/// What a new entry of `LATENCIES` is copied from: too large for the stack.
#[map]
pub static BLANK: PerCpuArray<Latency> = PerCpuArray::with_max_entries(1, 0);
#[map]
pub static SOURCES: LruPerCpuHashMap<SourceKey, u64> = LruPerCpuHashMap::with_max_entries(16384, 0);

#[map]
pub static ENDPOINTS: HashMap<Endpoint, Naming> = HashMap::with_max_entries(8192, 0);
#[map]
pub static SETTINGS: Array<Settings> = Array::with_max_entries(SETTINGS_MAX, 0);
#[map]
pub static ROUTES: LpmTrie<RouteText, u32> = LpmTrie::with_max_entries(16384, 0);
/// Settings by listening port, for tracepoints; only ports that one service has to itself.
#[map]
pub static PORTS: HashMap<u32, u32> = HashMap::with_max_entries(4096, 0);

#[map]
pub static PENDING: LruHashMap<PendingKey, Pending> = LruHashMap::with_max_entries(4096, 0);
#[map]
pub static HANDSHAKE: PerCpuArray<Handshake> = PerCpuArray::with_max_entries(1, 0);

/// Beside `HANDSHAKE`.
#[map]
pub static OPENING: PerCpuArray<Opening> = PerCpuArray::with_max_entries(1, 0);

/// The programs that follow HTTP/2, by direction: their kinds differ, so each has an array.
#[map]
pub static HTTP2_IN: ProgramArray = ProgramArray::with_max_entries(1, 0);
#[map]
pub static HTTP2_OUT: ProgramArray = ProgramArray::with_max_entries(1, 0);
#[map]
pub static HTTP2_RECORDS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);
/// When the last byte so far came of requests that began an upload and have not ended it.
#[map]
pub static HTTP2_UPLOADS: LruHashMap<StreamKey, u64> = LruHashMap::with_max_entries(8192, 0);

#[map]
pub static CONTROL: Array<u64> = Array::with_max_entries(control::WORDS, 0);

/// When somebody began to listen last. Of the agent that loads it: pinned nowhere.
#[map]
pub static LISTENED: Array<u64> = Array::with_max_entries(1, 0);
#[map]
pub static LOSSES: PerCpuArray<u64> = PerCpuArray::with_max_entries(loss::WORDS, 0);
/// By settings: never full, and so rarely written that no CPU needs a share of its own.
#[map]
pub static LOST: Array<Lost> = Array::with_max_entries(SETTINGS_MAX, 0);

/// Whether cgroup_skb programs may ask for the network namespace's cookie (Linux 6.16).
#[unsafe(no_mangle)]
static SKB_NETNS: u32 = 1;
/// Whether sock_ops programs may (Linux 5.15).
#[unsafe(no_mangle)]
static SOCKET_NETNS: u32 = 1;
/// Where `sport` stands in `tcp_retransmit_synack`; 0 when it does not.
#[unsafe(no_mangle)]
static SYNACK_SPORT: u32 = 0;

#[inline(always)]
pub fn skb_netns() -> bool {
    // SAFETY: the loader may have changed the value, so it must be read and not folded.
    unsafe { ptr::read_volatile(&raw const SKB_NETNS) != 0 }
}

#[inline(always)]
pub fn socket_netns() -> bool {
    // SAFETY: as above.
    unsafe { ptr::read_volatile(&raw const SOCKET_NETNS) != 0 }
}

#[inline(always)]
pub fn synack_sport() -> u32 {
    // SAFETY: as above.
    unsafe { ptr::read_volatile(&raw const SYNACK_SPORT) }
}

/// What this kernel says of itself, by [`kernel`]; 0 where it does not say. One array, because the
/// linker makes one of globals that are alike.
#[unsafe(no_mangle)]
static KERNEL: [u32; kernel::WORDS] = [0; kernel::WORDS];

#[inline(always)]
pub fn of_kernel(word: usize) -> usize {
    // SAFETY: as above; only called with words of `kernel`.
    unsafe { ptr::read_volatile((&raw const KERNEL).cast::<u32>().add(word)) as usize }
}
