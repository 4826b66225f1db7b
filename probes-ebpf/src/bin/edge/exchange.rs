//! Words that two processors may write at once.

use core::{arch::asm, mem, ptr};

use probes_ebpf::{is_plain, wire::Connection};

/// Linux before 5.12 refuses atomic exchanges even where no path leads to them. So this source is
/// compiled a second time, as `edge_plain`, whose exchanges are a read and a write: two CPUs that end
/// one request in the same nanoseconds may both count it.
const EXCHANGES: bool = !is_plain(env!("CARGO_BIN_NAME"));

/// Puts `new` into `cell` and returns what was there.
#[inline(always)]
pub fn swap(cell: *mut u64, new: u64) -> u64 {
    if !EXCHANGES {
        // SAFETY: an aligned word of a live map value.
        return unsafe {
            let held = cell.read_volatile();
            cell.write_volatile(new);
            held
        };
    }
    let mut value = new;
    // SAFETY: as above.
    unsafe { asm!("{value} = xchg_64({cell} + 0, {value})", cell = in(reg) cell, value = inout(reg) value) }
    value
}

/// Puts `new` into `cell` if it holds `old`; returns what it held.
#[inline(always)]
pub fn compare_swap(cell: *mut u64, old: u64, new: u64) -> u64 {
    if !EXCHANGES {
        // SAFETY: as above.
        return unsafe {
            let held = cell.read_volatile();
            if held == old {
                cell.write_volatile(new);
            }
            held
        };
    }
    let mut value = old;
    // SAFETY: as above.
    unsafe {
        asm!("r0 = cmpxchg_64({cell} + 0, r0, {new})", cell = in(reg) cell, new = in(reg) new, inout("r0") value);
    }
    value
}

/// Sets one of a connection's flags, where it is not set: what comes in and what leaves do so on two CPUs at once.
#[inline(always)]
pub fn raise(connection: &mut Connection, flag: u8) {
    if connection.flags & flag != 0 {
        return;
    }
    if !EXCHANGES {
        connection.flags |= flag;
        return;
    }
    let (cell, bits) = (word_of(connection), in_word(flag));
    // SAFETY: an aligned word of a live map value, whose other bytes stay as they are.
    unsafe { asm!("lock *(u64 *)({cell} + 0) |= {bits}", cell = in(reg) cell, bits = in(reg) bits) }
}

/// Takes one of them back, where it is set.
#[inline(always)]
pub fn lower(connection: &mut Connection, flag: u8) {
    if connection.flags & flag == 0 {
        return;
    }
    if !EXCHANGES {
        connection.flags &= !flag;
        return;
    }
    let (cell, bits) = (word_of(connection), !in_word(flag));
    // SAFETY: as above.
    unsafe { asm!("lock *(u64 *)({cell} + 0) &= {bits}", cell = in(reg) cell, bits = in(reg) bits) }
}

/// The kernel knows no exchange of a byte, so it is one of the word that the flags are in.
#[inline(always)]
fn word_of(connection: &mut Connection) -> *mut u64 {
    ptr::from_mut(connection).cast()
}

#[inline(always)]
const fn in_word(flag: u8) -> u64 {
    let mut bytes = [0; 8];
    bytes[mem::offset_of!(Connection, flags)] = flag;
    u64::from_ne_bytes(bytes)
}
