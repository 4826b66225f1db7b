//! Words that two processors may write at once.

use core::arch::asm;

use probes_ebpf::is_plain;

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
