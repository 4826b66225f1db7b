//! Requests that wait behind the one in flight.
//!
//! The side that asks puts in, the side that answers takes out, on different CPUs if need be. Who may
//! fill the connection's record with the next request is whoever marks it as starting.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    bindings::{__sk_buff, BPF_SK_STORAGE_GET_F_CREATE, bpf_sock_ops},
    btf_maps::SkStorage,
    helpers::generated::bpf_sk_storage_get,
    macros::btf_map,
};
use probes_ebpf::wire::{Connection, Pipeline, QUEUE, Queued, asking, flight, loss};

use crate::{
    connection::{self, is_in_flight},
    count::{compare_swap, lose_of, swap},
    request::{begin, end, in_flight_now},
};

#[btf_map]
static PIPELINE: SkStorage<Pipeline> = SkStorage::new();

#[inline(always)]
pub fn find(sk: *mut c_void) -> Option<&'static mut Pipeline> {
    storage(sk, 0)
}

#[inline(always)]
pub fn find_or_create(sk: *mut c_void, connection: &mut Connection) -> Option<&'static mut Pipeline> {
    let found = storage(sk, u64::from(BPF_SK_STORAGE_GET_F_CREATE));
    if found.is_some() {
        connection.asking |= asking::PIPELINE;
    } else {
        lose_of(connection.settings, loss::STORAGE_FULL);
    }
    found
}

#[inline(always)]
fn storage(sk: *mut c_void, flags: u64) -> Option<&'static mut Pipeline> {
    // SAFETY: the verifier demands that `sk` is a socket; a new record is all zeros, which is one.
    unsafe {
        let map = (&raw const PIPELINE).cast_mut().cast();
        bpf_sk_storage_get(map, sk, ptr::null_mut(), flags)
            .cast::<Pipeline>()
            .as_mut()
    }
}

#[inline(always)]
pub fn is_busy(connection: &Connection) -> bool {
    in_flight_now(connection) & (flight::IN_FLIGHT | flight::STARTING) != 0
}

#[inline(always)]
pub fn is_empty(pipeline: &Pipeline) -> bool {
    // SAFETY: a live map value; an aligned word is never torn.
    unsafe { (&raw const pipeline.pushed).read_volatile() == (&raw const pipeline.taken).read_volatile() }
}

#[inline(always)]
fn place(pipeline: &mut Pipeline, number: u64) -> &mut Queued {
    &mut pipeline.queue[number as usize & (QUEUE - 1)]
}

/// The request that came last, if it waits.
#[inline(always)]
pub fn newest(pipeline: &mut Pipeline) -> Option<&mut Queued> {
    if is_empty(pipeline) {
        return None;
    }
    let last = pipeline.pushed.wrapping_sub(1);
    Some(place(pipeline, last))
}

#[inline(always)]
pub fn push(connection: &mut Connection, pipeline: &mut Pipeline, request: &Queued) {
    if pipeline.pushed.wrapping_sub(pipeline.taken) >= QUEUE as u64 {
        lose_of(connection.settings, loss::PIPELINED);
        return;
    }
    let next = pipeline.pushed;
    *place(pipeline, next) = *request;
    // An exchange, as it also keeps what stands before it before it.
    swap(&raw mut pipeline.pushed, next + 1);
    // The one ahead may have been answered meanwhile.
    take(connection, pipeline);
}

/// Puts the next request in flight, unless one is.
#[inline(always)]
pub fn take(connection: &mut Connection, pipeline: &mut Pipeline) {
    let mut tries = 0;
    while tries < 2 {
        let idle = connection.flight;
        if idle & (flight::IN_FLIGHT | flight::STARTING) != 0 || is_empty(pipeline) {
            return;
        }
        if compare_swap(&raw mut connection.flight, idle, idle | flight::STARTING) != idle {
            return;
        }
        let number = pipeline.taken;
        if number == pipeline.pushed {
            // The other side took it, and another may come before it sees that we do not.
            swap(&raw mut connection.flight, idle);
            tries += 1;
            continue;
        }
        let request = *place(pipeline, number);
        swap(&raw mut pipeline.taken, number + 1);
        connection.settings = request.settings;
        connection.route = request.route;
        connection.request = request.request;
        let role = connection.role;
        begin(connection, role, request.started_ns, request.last_byte_ns);
        return;
    }
}

/// Ends every request of the segment's connection: no more answers will be understood.
#[inline(always)]
pub fn abandon(skb: *mut __sk_buff, outcome: u16) {
    let mut ended = 0;
    while ended <= QUEUE && edge_end_next(skb, u32::from(outcome)) != 0 {
        ended += 1;
    }
}

/// Ends the request in flight and puts the next there; says whether there is one. Global, so that the
/// verifier looks at it once and not at every repetition.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn edge_end_next(skb: *mut __sk_buff, outcome: u32) -> u32 {
    // SAFETY: the program's own context.
    end_next(unsafe { (*skb).__bindgen_anon_2.sk }.cast(), outcome)
}

/// As [`edge_end_next`], where a socket ends.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn edge_end_next_of(ops: *mut bpf_sock_ops, outcome: u32) -> u32 {
    // SAFETY: the program's own context.
    end_next(unsafe { (*ops).__bindgen_anon_2.sk }.cast(), outcome)
}

#[inline(always)]
fn end_next(sk: *mut c_void, outcome: u32) -> u32 {
    if sk.is_null() {
        return 0;
    }
    let Some(connection) = connection::find(sk) else {
        return 0;
    };
    // SAFETY: a live map value.
    let connection = unsafe { &mut *connection };
    end(connection, outcome as u16, 0);
    if connection.asking & asking::PIPELINE == 0 {
        return 0;
    }
    if let Some(pipeline) = find(sk) {
        take(connection, pipeline);
    }
    u32::from(is_in_flight(connection))
}
