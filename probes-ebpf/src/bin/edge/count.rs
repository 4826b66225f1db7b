//! Adding one where it belongs, and saying so when there is no room.

use core::{arch::asm, mem, ptr};

use aya_ebpf::{bindings::BPF_NOEXIST, helpers::bpf_ktime_get_boot_ns};
use probes_ebpf::wire::{
    Connection, Count, CountKey, Endpoint, Latency, LatencyKey, SourceKey, birth, bucket, control,
    is_of_requests, loss, mode, spare, spare::sources, what,
};

pub use crate::exchange::{compare_swap, swap};
use crate::maps::{ANSWERED, BLANK, CONTROL, COUNTS, LATENCIES, LOSSES, LOST, SOURCES};

/// Programs nest on one CPU (egress runs preemptible), so even per-CPU values are added to
/// atomically.
#[inline(always)]
pub fn add(cell: *mut u64, by: u64) {
    // SAFETY: `cell` points into a live map value that is eight bytes aligned.
    unsafe { asm!("lock *(u64 *)({cell} + 0) += {by}", cell = in(reg) cell, by = in(reg) by) }
}

/// Something was lost of nobody knows which service.
#[inline(always)]
pub fn lose(reason: u32) {
    if let Some(cell) = LOSSES.get_ptr_mut(reason) {
        add(cell, 1);
    }
}

/// Something was lost of the service that these settings are of; 0 is nobody's.
#[inline(always)]
pub fn lose_of(settings: u32, reason: u32) {
    if reason == loss::HTTP2_RING_FULL {
        lose(loss::HTTP2_RING_DOUBT);
    }
    if settings == 0 {
        lose(reason);
        return;
    }
    if let Some(lost) = LOST.get_ptr_mut(settings) {
        // SAFETY: a live map value; every reason is below the number of words. Two that are first at once
        // store times as good as each other's.
        unsafe {
            if (*lost).first_ns == 0 {
                (*lost).first_ns = bpf_ktime_get_boot_ns();
            }
            add((&raw mut (*lost).by_reason).cast::<u64>().add(reason as usize), 1);
        }
    }
}

#[inline(always)]
pub fn count(endpoint: &Endpoint, settings: u32, route: u16, what: u16, by: u64) {
    let key = CountKey {
        endpoint: *endpoint,
        settings,
        route,
        what,
    };
    count_at(&key, by);
}

#[inline(always)]
pub fn count_at(key: &CountKey, by: u64) {
    match COUNTS.get_ptr_mut(key) {
        // SAFETY: a live map value.
        Some(entry) => add(unsafe { &raw mut (*entry).value }, by),
        None => appear(key, by),
    }
}

/// The key appears with its first time and a zero, then counts: the winner of a race between two CPUs
/// is the only one whose time is stored. Apart, as it is rare and takes room on the stack.
#[inline(never)]
fn appear(key: &CountKey, by: u64) {
    let fresh = Count {
        // SAFETY: takes nothing.
        first_ns: unsafe { bpf_ktime_get_boot_ns() },
        value: 0,
    };
    let _ = COUNTS.insert(key, &fresh, u64::from(BPF_NOEXIST));
    if key.what == what::ANSWERED {
        // Without room the counter itself says it, for as long as its settings hold.
        let _ = ANSWERED.insert(&key.endpoint, &1, 0);
    }
    match COUNTS.get_ptr_mut(key) {
        // SAFETY: a live map value.
        Some(entry) => add(unsafe { &raw mut (*entry).value }, by),
        None if what::is_of_requests(key.what) => lose_of(key.settings, loss::COUNTS_FULL),
        None => lose_of(key.settings, loss::SIGNALS_FULL),
    }
}

/// One more, in a cell that only this CPU counts in. It appears with its first time.
#[inline(always)]
pub fn count_here(cell: *mut Count) {
    // SAFETY: a live map value; a nested run stores another first time, which is as good.
    unsafe {
        if (*cell).first_ns == 0 {
            (*cell).first_ns = bpf_ktime_get_boot_ns();
        }
        add(&raw mut (*cell).value, 1);
    }
}

/// The latencies beside a count: the key but for `what`, which is the clock. That they have no room is a loss
/// when something `ends` with this, so that each request is lost once.
#[inline(always)]
pub fn latency(key: &CountKey, ends: bool) -> Option<*mut Latency> {
    // SAFETY: the same layout, as is asserted below.
    let key = unsafe { &*ptr::from_ref(key).cast::<LatencyKey>() };
    LATENCIES.get_ptr_mut(key).or_else(|| fresh_latency(key, ends))
}

const _: () = assert!(
    size_of::<LatencyKey>() == size_of::<CountKey>()
        && mem::offset_of!(LatencyKey, settings) == mem::offset_of!(CountKey, settings)
        && mem::offset_of!(LatencyKey, route) == mem::offset_of!(CountKey, route)
        && mem::offset_of!(LatencyKey, clock) == mem::offset_of!(CountKey, what)
);

#[inline(always)]
fn fresh_latency(key: &LatencyKey, ends: bool) -> Option<*mut Latency> {
    let blank = BLANK.get_ptr_mut(0)?;
    // SAFETY: this CPU's only element; a nested run stores another first time, which is as good.
    let copied = unsafe {
        (*blank).first_ns = bpf_ktime_get_boot_ns();
        LATENCIES.insert(key, &*blank, u64::from(BPF_NOEXIST))
    };
    let _ = copied;
    let entry = LATENCIES.get_ptr_mut(key);
    if entry.is_none() && ends {
        let reason = if is_of_requests(key.route) {
            loss::LATENCIES_FULL
        } else {
            loss::SIGNALS_FULL
        };
        lose_of(key.settings, reason);
    }
    entry
}

/// Adds one to the histogram that `route` stands for.
#[inline(always)]
pub fn observe(endpoint: &Endpoint, settings: u32, route: u16, ns: u64) {
    let key = CountKey {
        endpoint: *endpoint,
        settings,
        route,
        what: 0,
    };
    let Some(cells) = latency(&key, true) else {
        return;
    };
    // SAFETY: a live map value; the index is bounded.
    let cells = unsafe { &mut *cells };
    add(&raw mut cells.sum_ns, ns);
    let index = bucket(ns);
    if index < cells.buckets.len() {
        add((&raw mut cells.buckets).cast::<u64>().wrapping_add(index), 1);
    }
}

/// How much user space wants done: less, when it costs too much.
#[inline(always)]
pub fn mode() -> u64 {
    word(control::MODE)
}

/// What user space has set.
#[inline(always)]
pub fn word(index: u32) -> u64 {
    // SAFETY: a live map value; an aligned word is never torn.
    CONTROL
        .get_ptr(index)
        .map_or(0, |cell| unsafe { ptr::read_volatile(cell) })
}

/// One more request on a connection from this address. Who asks often is added to the table once in
/// 2^26 ns, which is 67 ms, and when the connection ends: looking an address up costs more than all else
/// that is counted of a request as it comes.
#[inline(always)]
pub fn ask_of(connection: &mut Connection, address: &[u32; 4], now: u64) {
    let when = now >> 26 << sources::COUNT_BITS;
    let word = connection.spare[spare::SOURCE];
    let count = word & sources::COUNT;
    // Nobody tells of the end of a socket older than the probe.
    if word - count == when && count < sources::COUNT && connection.birth != birth::UNSEEN {
        connection.spare[spare::SOURCE] = word + 1;
        return;
    }
    connection.spare[spare::SOURCE] = when;
    source(address, connection.settings, count + 1);
}

/// The connection ends: what is not in the table yet goes there.
#[inline(always)]
pub fn last_of(connection: &mut Connection, address: &[u32; 4]) {
    let count = connection.spare[spare::SOURCE] & sources::COUNT;
    if count != 0 && connection.settings != 0 {
        connection.spare[spare::SOURCE] -= count;
        source(address, connection.settings, count);
    }
}

/// Apart, as are all keys that would lie in the frame of a program: Linux 5.10 rounds each of the frames
/// that share 512 bytes up to a multiple of 32.
#[inline(never)]
pub fn source(address: &[u32; 4], settings: u32, by: u64) {
    let key = &SourceKey {
        address: *address,
        settings,
        pad: 0,
    };
    if mode() >= mode::NO_SOURCES {
        return;
    }
    if let Some(cell) = SOURCES.get_ptr_mut(key) {
        add(cell, by);
        return;
    }
    let _ = SOURCES.insert(key, &0, u64::from(BPF_NOEXIST));
    match SOURCES.get_ptr_mut(key) {
        Some(cell) => add(cell, by),
        None => lose_of(settings, loss::SOURCES_FULL),
    }
}
