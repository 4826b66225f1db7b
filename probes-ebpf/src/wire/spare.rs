//! Words of [`Connection::spare`](super::Connection::spare) that are taken.

/// [`sources`].
pub const SOURCE: usize = 0;
/// Bytes received that are counted, with [`BYTES_KNOWN`]; before the connection is open the
/// monotonic time at which it began to be.
pub const BYTES_RECEIVED: usize = 3;
/// [`sent`].
pub const SENT: usize = 1;
pub const BYTES_KNOWN: u64 = 1 << 63;
/// Of those that speak HTTP/1: how far segments came that cannot be read before one is here that stands in
/// front of them, in the count of `asked`; nothing unless that is beyond it.
pub const AHEAD: usize = super::turn::WORD;

/// What is counted of what has left: bytes acknowledged below, segments with data above, those that left again
/// among them. Both go round, as they are looked at more often than either can.
pub mod sent {
    pub const BYTES_BITS: u32 = 40;
    pub const SEGMENTS_BITS: u32 = u64::BITS - BYTES_BITS;

    #[must_use]
    #[inline(always)]
    pub const fn word(bytes: u64, segments: u64) -> u64 {
        segments << BYTES_BITS | bytes & ((1 << BYTES_BITS) - 1)
    }

    /// So much more is counted.
    #[must_use]
    #[inline(always)]
    pub const fn advanced(counted: u64, bytes: u64, segments: u64) -> u64 {
        word(counted.wrapping_add(bytes), (counted >> BYTES_BITS) + segments)
    }

    /// Bytes and segments that `now` has, and `counted` has not.
    #[must_use]
    #[inline(always)]
    pub const fn fresh(now: u64, counted: u64) -> (u64, u64) {
        (
            ahead(now, counted, BYTES_BITS),
            ahead(now >> BYTES_BITS, counted >> BYTES_BITS, SEGMENTS_BITS),
        )
    }

    /// How far `now` is in front of `then`, in so many bits; 0 when it is behind.
    #[inline(always)]
    const fn ahead(now: u64, then: u64, bits: u32) -> u64 {
        let ahead = now.wrapping_sub(then) & ((1 << bits) - 1);
        if ahead >> (bits - 1) == 0 { ahead } else { 0 }
    }
}

/// Requests that are not counted yet for the address that asks, below when others last were.
pub mod sources {
    pub const COUNT_BITS: u32 = 16;
    pub const COUNT: u64 = (1 << COUNT_BITS) - 1;
}

#[cfg(test)]
mod tests {
    use super::sent::{advanced, fresh, word};

    #[test]
    fn what_has_left_is_told_once_however_often_it_goes_round() {
        let before = word((1 << 40) - 5, (1 << 24) - 2);
        let now = word((1 << 40) + 5, (1 << 24) + 1);
        assert_eq!(fresh(now, before), (10, 3));
        assert_eq!(advanced(before, 10, 3), now);
        assert_eq!(fresh(now, now), (0, 0));
    }

    #[test]
    fn what_left_again_is_none_that_first_did_nor_what_is_behind() {
        let counted = advanced(word(1_000, 7), 0, 2);
        assert_eq!(fresh(word(1_500, 10), counted), (500, 1));
        assert_eq!(fresh(word(999, 8), counted), (0, 0));
    }
}
