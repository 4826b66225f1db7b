//! The last byte of answers: only for services that ask for it, and only where it shows where an answer
//! ends (a length, chunks, or the end of the connection).
//!
//! The request has ended with the first byte of its answer, its status is counted. What is left is its time.
//! An answer that is cut off is held against the server once it has taken too long, as are all others.

use core::ffi::c_void;

use aya_ebpf::helpers::bpf_ktime_get_ns;
use probes_ebpf::wire::{
    Connection, CountKey, Ending, Settings, THRESHOLDS, answering, bucket, clock, flight, is_long_poll,
};

use crate::{
    connection::endpoint,
    count::{add, compare_swap, latency, swap},
    maps::SETTINGS,
    pipeline,
};

/// The answer has passed: all of it, or as much as there will be.
#[inline(never)]
pub fn over(connection: &Connection, ending: &mut Ending, is_whole: bool) {
    let before = swap(&raw mut ending.flight, 0);
    if before & flight::IN_FLIGHT == 0 || is_long_poll(ending.route) {
        return;
    }
    // SAFETY: takes nothing.
    let elapsed = unsafe { bpf_ktime_get_ns() }.saturating_sub(ending.started_ns);
    let Some(settings) = SETTINGS.get_ptr(ending.settings) else {
        return;
    };
    // SAFETY: a live map value; settings never change under an id.
    let settings = unsafe { &*settings };
    let Some(cells) = latency(&key_of(connection, ending), true) else {
        return;
    };
    // SAFETY: a live map value; every index is bounded.
    let cells = unsafe { &mut *cells };
    let mut index = 0;
    while index < THRESHOLDS {
        if settings.clock[index] == clock::LAST_BYTE && before & (1 << index) == 0 {
            if elapsed > settings.threshold_ns[index] {
                add(&raw mut cells.over[index], 1);
            } else if is_whole && ending.status < 500 {
                add(&raw mut cells.within[index], 1);
            }
        }
        index += 1;
    }
    if is_whole {
        add(&raw mut cells.sum_ns, elapsed);
        let index = bucket(elapsed);
        if index < cells.buckets.len() {
            add((&raw mut cells.buckets).cast::<u64>().wrapping_add(index), 1);
        }
    }
}

/// The connection ends while its socket has sent or received the end of one direction: of the answer's, when
/// `ends_answer`.
#[inline(always)]
pub fn closes(sk: *mut c_void, connection: &Connection, ends_answer: bool) {
    if let Some(pipeline) = pipeline::find(sk)
        && pipeline.ending.flight != 0
    {
        let is_whole = ends_answer && pipeline.answering == answering::REST;
        over(connection, &mut pipeline.ending, is_whole);
    }
}

/// Nothing more will come.
#[inline(always)]
pub fn cut(sk: *mut c_void, connection: &Connection) {
    closes(sk, connection, false);
}

/// Books an answer on its way as over the thresholds that it is past.
#[inline(always)]
pub fn book_overdue(sk: *mut c_void, connection: &Connection) {
    if let Some(pipeline) = pipeline::find(sk)
        && pipeline.ending.flight != 0
    {
        book(connection, &mut pipeline.ending);
    }
}

#[inline(never)]
fn book(connection: &Connection, ending: &mut Ending) {
    let before = ending.flight;
    if before & flight::IN_FLIGHT == 0 || is_long_poll(ending.route) {
        return;
    }
    // SAFETY: takes nothing.
    let elapsed = unsafe { bpf_ktime_get_ns() }.saturating_sub(ending.started_ns);
    let Some(settings) = SETTINGS.get_ptr(ending.settings) else {
        return;
    };
    // SAFETY: a live map value; settings never change under an id.
    let fresh = is_past(unsafe { &*settings }, elapsed) & !before;
    let key = key_of(connection, ending);
    if fresh == 0 || compare_swap(&raw mut ending.flight, before, before | fresh) != before {
        // Nothing is, or it ended while we looked.
        return;
    }
    let Some(cells) = latency(&key, false) else {
        return;
    };
    // SAFETY: a live map value; every index is bounded.
    let cells = unsafe { &mut *cells };
    let mut index = 0;
    while index < THRESHOLDS {
        if fresh & (1 << index) != 0 {
            add(&raw mut cells.over[index], 1);
        }
        index += 1;
    }
}

#[inline(always)]
fn is_past(settings: &Settings, elapsed: u64) -> u64 {
    let mut past = 0;
    let mut index = 0;
    while index < THRESHOLDS {
        if settings.clock[index] == clock::LAST_BYTE && elapsed > settings.threshold_ns[index] {
            past |= 1 << index;
        }
        index += 1;
    }
    past
}

#[inline(always)]
fn key_of(connection: &Connection, ending: &Ending) -> CountKey {
    CountKey {
        endpoint: endpoint(connection, connection.role),
        settings: ending.settings,
        route: ending.route,
        what: u16::from(clock::LAST_BYTE),
    }
}
