//! The clock of leases and deadlines: it counts through suspend, and nobody can set it.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds since boot, as `bpf_ktime_get_boot_ns` tells them.
pub(super) fn boot_nanoseconds() -> u64 {
    // Fails only for a clock the kernel does not have; this one is older than BPF.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| nanoseconds(Duration::from(time)))
}

pub(super) fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
