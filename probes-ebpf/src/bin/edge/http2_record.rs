//! Telling user space, through the ring buffer, and what happens when it is full.

use core::{arch::asm, ptr};

use aya_ebpf::{helpers::bpf_ktime_get_ns, maps::ring_buf::RingBufEntry};
use probes_ebpf::{
    http2::{Direction, kind},
    http2_wire::{ANSWERS, ASKS, Http2, RING_BYTES, Record, StreamKey, event, part},
    wire::{Connection, loss},
};

use crate::{
    connection::endpoint,
    count::lose_of,
    http2::{Walk, count_unknown, lost},
    http2_early,
    maps::{HTTP2_RECORDS, HTTP2_UPLOADS},
};

/// The most of a payload that one record holds.
pub const CHUNK: u32 = 4096;

/// The reader sleeps until a quarter of the ring is full; until then it comes by itself each second.
const WAKE_AT: u64 = RING_BYTES as u64 / 4;
/// From there on it is woken again for each so many bytes, as waking it costs several times what all else of
/// a record does. Where two CPUs tell at once one step may be missed; the next is near.
const WAKE_EACH: u64 = 64 << 10;
/// What the ring itself puts in front of a record.
const HEADER: u64 = 8;
const AVAILABLE: u64 = 0;
const NO_WAKEUP: u64 = 1;
const FORCE_WAKEUP: u64 = 2;

/// A record with room for `N` bytes of a payload: one of a few sizes, for the verifier wants to know
/// them beforehand.
#[repr(C)]
struct Sized<const N: usize> {
    record: Record,
    bytes: [u8; N],
}

/// Tells the next `length` bytes of the segment, which are payload of the current frame.
#[inline(always)]
pub fn tell_piece(walk: &mut Walk, length: u32) {
    let direction = walk.direction();
    let is_request = direction.kind == kind::HEADERS && direction.is_first != 0;
    let is_told = if length == 0 {
        put::<0>(walk, length)
    } else if length <= 64 {
        put::<64>(walk, length)
    } else if length <= 256 {
        put::<256>(walk, length)
    } else if length <= 1024 {
        put::<1024>(walk, length)
    } else {
        put::<4096>(walk, length)
    };
    if is_told {
        return;
    }
    lost(walk, loss::HTTP2_RING_FULL);
    // The request whose first record is missing is known to nobody else.
    // SAFETY: live map values.
    let (http2, connection) = unsafe { (&*walk.http2, &*walk.connection) };
    if walk.asks != 0 && is_request && walk.direction().stream == http2.last_stream {
        count_unknown(connection);
    }
}

/// Tells where the direction stands as a hole opens in front of it.
#[inline(never)]
pub fn tell_hole(walk: &mut Walk) -> bool {
    let Some(mut entry) = reserve::<Hole>(walk.connection) else {
        return false;
    };
    let hole = entry.as_mut_ptr();
    let record = of_direction(walk, event::HOLE, 0, size_of::<Direction>() as u16);
    // SAFETY: a reserved record.
    unsafe {
        ptr::write(&raw mut (*hole).record, record);
        ptr::write(&raw mut (*hole).direction, *walk.direction());
    }
    submit(entry);
    true
}

#[repr(C)]
struct Hole {
    record: Record,
    direction: Direction,
}

/// Tells that all has come up to `seq`, where a frame begins.
#[inline(never)]
pub fn tell_whole(walk: &mut Walk, seq: u32) -> bool {
    let record = of_direction(walk, event::WHOLE, seq, 0);
    tell(walk.connection, &record)
}

/// The next record of the direction at hand.
#[inline(always)]
pub fn of_direction(walk: &mut Walk, kind: u8, stream: u32, length: u16) -> Record {
    // SAFETY: live map values.
    let (http2, connection) = unsafe { (&*walk.http2, &*walk.connection) };
    let (asks, now) = (walk.asks != 0, walk.now);
    let direction = walk.direction();
    let record = Record {
        cookie: http2.cookie,
        at_ns: now,
        endpoint: endpoint(connection, connection.role),
        settings: connection.settings,
        stream,
        number: direction.records,
        length,
        kind,
        direction: if asks { ASKS as u8 } else { ANSWERS as u8 },
        ..Record::default()
    };
    direction.records = direction.records.wrapping_add(1);
    record
}

/// Tells that the last byte of a stream's DATA has passed.
#[inline(always)]
pub fn tell_end(walk: &mut Walk) {
    if !put::<0>(walk, 0) {
        lost(walk, loss::HTTP2_RING_FULL);
    }
}

#[inline(always)]
fn put<const N: usize>(walk: &mut Walk, length: u32) -> bool {
    // SAFETY: live map values.
    let (http2, connection) = unsafe { (&*walk.http2, &*walk.connection) };
    let (asks, now) = (walk.asks != 0, walk.now);
    let direction = walk.direction();
    let mut upload_ns = 0;
    if !asks && http2.uploads != 0 && direction.kind == kind::HEADERS {
        let key = StreamKey {
            cookie: http2.cookie,
            stream: direction.stream,
            pad: 0,
        };
        if let Some(last) = HTTP2_UPLOADS.get_ptr(&key) {
            // SAFETY: a live map value.
            upload_ns = unsafe { *last };
        }
    }
    let Some(mut entry) = HTTP2_RECORDS.reserve::<Sized<N>>(0) else {
        return false;
    };
    let mut part = 0;
    if direction.is_first != 0 {
        part |= part::FIRST;
    }
    if direction.left == length {
        part |= part::LAST;
    }
    let record = Record {
        cookie: http2.cookie,
        at_ns: now,
        upload_ns,
        endpoint: endpoint(connection, connection.role),
        settings: connection.settings,
        stream: direction.stream,
        number: direction.records,
        pad: 0,
        length: length as u16,
        outcome: 0,
        kind: direction.kind,
        flags: direction.flags,
        direction: if asks { ASKS as u8 } else { ANSWERS as u8 },
        part,
    };
    direction.records = direction.records.wrapping_add(1);
    let sized = entry.as_mut_ptr();
    // SAFETY: `length` is between 1 and `N`.
    unsafe {
        ptr::write(&raw mut (*sized).record, record);
        if N != 0 {
            http2_early::read(walk, (&raw mut (*sized).bytes).cast(), bounded::<N>(length));
        }
    }
    submit(entry);
    true
}

/// `length`, which is between 1 and the power of two `N`, so that the verifier sees it, too. The compiler
/// knows it already, and would leave out a mask that it can see through.
#[inline(always)]
pub fn bounded<const N: usize>(length: u32) -> u32 {
    let mut less = u64::from(length.wrapping_sub(1));
    // SAFETY: arithmetic on a register.
    unsafe { asm!("{less} &= {mask}", less = inout(reg) less, mask = const N as i32 - 1) };
    less as u32 + 1
}

/// Room for what is told of a connection beside its frames; that there is none is a loss of its service.
#[inline(always)]
fn reserve<T: 'static>(connection: *const Connection) -> Option<RingBufEntry<T>> {
    let entry = HTTP2_RECORDS.reserve::<T>(0);
    if entry.is_none() {
        // SAFETY: a live map value.
        lose_of(unsafe { (*connection).settings }, loss::HTTP2_RING_FULL);
    }
    entry
}

#[inline(always)]
fn submit<T>(entry: RingBufEntry<T>) {
    let filled = HTTP2_RECORDS.query(AVAILABLE);
    let before = filled.saturating_sub(HEADER + size_of::<T>() as u64);
    let is_due = filled >= WAKE_AT && filled / WAKE_EACH != before / WAKE_EACH;
    entry.submit(if is_due { FORCE_WAKEUP } else { NO_WAKEUP });
}

/// Tells that the kernel counts from here on; owes it when there is no room even for that.
#[inline(always)]
pub fn tell_lost(walk: &mut Walk) {
    // SAFETY: live map values.
    let (http2, connection) = unsafe { (&mut *walk.http2, &*walk.connection) };
    let is_told = tell_event(http2, connection, event::LOST, 0);
    http2.owes_notice = u8::from(!is_told);
}

/// Whether there was room for it.
#[inline(always)]
pub fn tell_event(http2: &Http2, connection: &Connection, kind: u8, outcome: u16) -> bool {
    let record = Record {
        cookie: http2.cookie,
        // SAFETY: takes nothing.
        at_ns: unsafe { bpf_ktime_get_ns() },
        endpoint: endpoint(connection, connection.role),
        settings: connection.settings,
        outcome,
        kind,
        ..Record::default()
    };
    tell(connection, &record)
}

/// Whether there was room for a record that stands alone.
#[inline(always)]
pub fn tell(connection: *const Connection, record: &Record) -> bool {
    let Some(mut entry) = reserve::<Record>(connection) else {
        return false;
    };
    // SAFETY: a reserved record.
    unsafe { ptr::write(entry.as_mut_ptr(), *record) };
    submit(entry);
    true
}

/// Notes when the last byte so far of a request came that has not ended.
#[inline(always)]
pub fn uploads(walk: &mut Walk, stream: u32) {
    // SAFETY: a live map value.
    let http2 = unsafe { &mut *walk.http2 };
    http2.uploads = 1;
    let key = StreamKey {
        cookie: http2.cookie,
        stream,
        pad: 0,
    };
    // The least recently used goes when there is no room; it takes with it some precision, no count.
    let _ = HTTP2_UPLOADS.insert(&key, &walk.now, 0);
}
