//! A record of the ring buffer, as the kernel lays it out.

use probes_ebpf::http2_wire::Record;

/// The record and the piece of payload that follows it; `None` for what is none.
pub(super) fn read(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (head, rest) = bytes.split_at_checked(size_of::<Record>())?;
    // SAFETY: the record has no padding, every bit pattern is one, and its length was checked.
    let record = unsafe { head.as_ptr().cast::<Record>().read_unaligned() };
    let piece = rest.get(..usize::from(record.length))?;
    Some((record, piece))
}
