//! A request's beginning, its one end, and being overdue in between.

use aya_ebpf::helpers::bpf_ktime_get_ns;
pub use probes_ebpf::conversation::begin;
use probes_ebpf::{
    conversation::{SWITCHING_PROTOCOLS, in_flight_now},
    wire::{
        Connection, Count, CountKey, Settings, THRESHOLDS, asks, bucket, clock, flag, flight, is_long_poll,
        place_of_status, request, role, what,
    },
};

use crate::{
    connection::endpoint,
    count::{add, compare_swap, count_at, count_here, latency},
    maps::SETTINGS,
    turns::{is_opaque, judge},
};

/// Ends the request in flight. `outcome` is a status code or one of `what`. Only the first of several ends
/// counts anything. What was in flight, if it was answered; else 0.
#[inline(never)]
pub fn end(connection: &mut Connection, outcome: u16) -> u64 {
    let mut before = in_flight_now(connection);
    if before & flight::IN_FLIGHT == 0 {
        return 0;
    }
    // SAFETY: takes nothing.
    let now = unsafe { bpf_ktime_get_ns() };
    let (outcome, now) = if is_opaque(connection) {
        judge(connection, outcome, now).unwrap_or((NOTHING, now))
    } else {
        (outcome, now)
    };
    // Read while the record is this request's: once it has ended, the next may begin on another CPU.
    let mut key = key_of(connection);
    let turnaround = now.saturating_sub(connection.last_byte_ns);
    let first_byte = now.saturating_sub(connection.started_ns);
    let answered = is_answer(outcome);
    // A client that stops halfway through its request leaves no time to hold against the server.
    let is_timed = answered || arrived(connection);
    let mut held = compare_swap(&raw mut connection.flight, before, before & ORDINAL);
    let mut bookings = 0;
    while held != before && bookings < BOOKINGS {
        // What was booked of it meanwhile changes nothing; that it has ended does.
        if held & flight::IN_FLIGHT == 0 || (held ^ before) & ORDINAL != 0 {
            return 0;
        }
        before = held;
        held = compare_swap(&raw mut connection.flight, before, before & ORDINAL);
        bookings += 1;
    }
    if held != before || before & flight::TIMED_OUT != 0 || outcome == NOTHING {
        return 0;
    }
    let Some(settings) = SETTINGS.get_ptr(key.settings) else {
        return 0;
    };
    // SAFETY: a live map value; settings never change under an id.
    let settings = unsafe { &*settings };
    let may_wait = is_long_poll(key.route) || settings.asks & asks::LONG_POLL != 0;
    let timed_out = is_timed && !may_wait && turnaround >= timeout(settings);
    let outcome = if timed_out { what::TIMED_OUT } else { outcome };
    // How long a conversation took to begin, or until there was news, is no latency of this service.
    let cells = if outcome == SWITCHING_PROTOCOLS || may_wait {
        None
    } else {
        latency(&key, true)
    };
    // SAFETY: a live map value; every index is bounded.
    let Some(cells) = cells.map(|cells| unsafe { &mut *cells }) else {
        key.what = outcome;
        count_at(&key, 1);
        return 0;
    };
    let place = place_of_status(outcome);
    if place < cells.statuses.len() {
        count_here((&raw mut cells.statuses).cast::<Count>().wrapping_add(place));
    } else {
        key.what = outcome;
        count_at(&key, 1);
    }
    let mut index = 0;
    while index < THRESHOLDS {
        let clock = settings.clock[index];
        if clock != 0 && before & (1 << index) == 0 {
            let elapsed = if clock == clock::TURNAROUND {
                turnaround
            } else {
                first_byte
            };
            if clock == clock::LAST_BYTE && is_answer(outcome) {
                // It has only begun: see `last_byte`.
            } else if elapsed > settings.threshold_ns[index] {
                if is_timed {
                    add(&raw mut cells.over[index], 1);
                }
            } else if outcome < 500 || outcome == what::ANSWERED {
                add(&raw mut cells.within[index], 1);
            }
        }
        index += 1;
    }
    if is_answer(outcome) {
        add(&raw mut cells.sum_ns, turnaround);
        let index = bucket(turnaround);
        if index < cells.buckets.len() {
            add((&raw mut cells.buckets).cast::<u64>().wrapping_add(index), 1);
        }
    }
    if is_answer(outcome) { before } else { 0 }
}

/// What may be booked of a request just as it ends: that it was read, that it is over or has timed out.
const BOOKINGS: u32 = 2;

const ORDINAL: u64 = !0 << flight::ORDINAL_SHIFT;

/// No outcome: what ended is not counted.
const NOTHING: u16 = 0;

/// Books what the request in flight has become: over a threshold, or timed out. Returns whether it
/// is past its smallest threshold.
#[inline(always)]
pub fn book_overdue(connection: &mut Connection) -> bool {
    let before = connection.flight;
    if before & flight::IN_FLIGHT == 0 || !arrived(connection) {
        return false;
    }
    // SAFETY: takes nothing.
    let now = unsafe { bpf_ktime_get_ns() };
    let turnaround = now.saturating_sub(connection.last_byte_ns);
    let first_byte = now.saturating_sub(connection.started_ns);
    let Some(settings) = SETTINGS.get_ptr(connection.request_settings) else {
        return false;
    };
    // SAFETY: a live map value; settings never change under an id.
    let settings = unsafe { &*settings };
    if is_long_poll(connection.route) || settings.asks & asks::LONG_POLL != 0 {
        return false;
    }
    let mut after = before;
    let mut index = 0;
    while index < THRESHOLDS {
        let clock = settings.clock[index];
        if clock != 0 {
            let elapsed = if clock == clock::TURNAROUND {
                turnaround
            } else {
                first_byte
            };
            if elapsed > settings.threshold_ns[index] {
                after |= 1 << index;
            }
        }
        index += 1;
    }
    if turnaround >= timeout(settings) {
        after |= flight::TIMED_OUT;
    }
    let is_overdue = after & (flight::OVER | flight::TIMED_OUT) != 0;
    if after == before {
        return is_overdue;
    }
    let mut key = key_of(connection);
    if compare_swap(&raw mut connection.flight, before, after) != before {
        // It ended, or another began, while we looked.
        return false;
    }
    let fresh = after & !before;
    if fresh & flight::TIMED_OUT != 0 {
        key.what = what::TIMED_OUT;
        count_at(&key, 1);
        key.what = 0;
    }
    let Some(cells) = latency(&key, fresh & flight::TIMED_OUT != 0) else {
        return is_overdue;
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
    is_overdue
}

/// Answered with a status, or with something that has none to read.
#[inline(always)]
fn is_answer(outcome: u16) -> bool {
    outcome < 1000 || outcome == what::ANSWERED
}

/// What the request in flight is counted under, but for its outcome.
#[inline(always)]
fn key_of(connection: &Connection) -> CountKey {
    CountKey {
        endpoint: endpoint(connection, connection.role),
        settings: connection.request_settings,
        route: connection.route,
        what: 0,
    }
}

/// How a request ended that was not answered. Whoever closed first decides.
#[inline(always)]
pub fn closed(connection: &Connection, by_peer: bool, by_reset: bool) -> u16 {
    if connection.flags & flag::UNREADABLE != 0 {
        what::UNKNOWN
    } else if (connection.role == role::SERVER) == by_peer {
        what::CLIENT_GAVE_UP
    } else if by_reset {
        what::RESET_BY_SERVER
    } else {
        what::CLOSED_UNANSWERED
    }
}

/// Whether the server has all of the request, as far as can be told.
#[inline(always)]
fn arrived(connection: &Connection) -> bool {
    connection.request & request::COMPLETE != 0
}

const DEFAULT_TIMEOUT_NS: u64 = 30_000_000_000;

#[inline(always)]
fn timeout(settings: &Settings) -> u64 {
    if settings.timeout_ns == 0 {
        DEFAULT_TIMEOUT_NS
    } else {
        settings.timeout_ns
    }
}
