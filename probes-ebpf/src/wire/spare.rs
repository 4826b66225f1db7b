//! Words of [`Connection::spare`](super::Connection::spare) that are taken.

/// [`sources`].
pub const SOURCE: usize = 0;
/// Bytes received that are counted, with [`BYTES_KNOWN`]; before the connection is open the
/// monotonic time at which it began to be.
pub const BYTES_RECEIVED: usize = 3;
/// Bytes acknowledged that are counted.
pub const BYTES_SENT: usize = 1;
pub const BYTES_KNOWN: u64 = 1 << 63;
/// Of those that speak HTTP/1: how far segments came that cannot be read before one is here that stands in
/// front of them, in the count of `asked`; nothing unless that is beyond it.
pub const AHEAD: usize = super::turn::WORD;
/// Segments with data that are counted, those that left again among them, as TCP counts them.
pub const SEGMENTS_SENT: usize = 4;

/// Requests that are not counted yet for the address that asks, below when others last were.
pub mod sources {
    pub const COUNT_BITS: u32 = 16;
    pub const COUNT: u64 = (1 << COUNT_BITS) - 1;
}
