//! The buckets of latency histograms.

use super::{BUCKET_FIRST, BUCKETS};

/// The index of the latency bucket for `ns`: `(2^(j/16), 2^((j+1)/16)]` with `j` of [`BUCKET_FIRST`] on.
#[inline(always)]
#[must_use]
pub fn bucket(ns: u64) -> usize {
    if ns <= 1 << 10 {
        return 0;
    }
    if ns > 1 << 37 {
        return BUCKETS - 1;
    }
    let octave = octave_of(ns);
    // Bounds are inclusive above; of all bounds only powers of two are whole numbers.
    if ns & (ns - 1) == 0 {
        return (octave * 16 - 1 - BUCKET_FIRST) as usize;
    }
    // Never more, by what is above. Linux 5.10 takes 38 for possible, and then knows no bounds at all.
    let octave = if octave > 36 { 36 } else { octave };
    // The fraction of the mantissa, in 32 bits: exact up to 8 s, to 16 ns above.
    let fraction = (ns << (63 - octave) << 1) >> 32;
    // One bound at most falls into each of 32 equal slices of an octave.
    let slice = (fraction >> 27) as usize & 31;
    // As a comparison it would be a branch, taken every other time.
    let above = 1 - (fraction.wrapping_sub(BOUND[slice]) >> 63) as u32;
    (octave * 16 + u32::from(STEPS[slice]) + above - BUCKET_FIRST) as usize
}

/// The position of the highest bit of `value`, which is not 0 and below 2^63. The instruction set counts
/// no bits, and a search by halves is a branch for each that no processor foretells: so all bits below
/// the highest are set, and what that makes of [`SEQUENCE`] is looked up.
#[inline(always)]
fn octave_of(value: u64) -> u32 {
    let mut below = value | value >> 1;
    below |= below >> 2;
    below |= below >> 4;
    below |= below >> 8;
    below |= below >> 16;
    below |= below >> 32;
    u32::from(OCTAVE[((below + 1).wrapping_mul(SEQUENCE) >> 58) as usize])
}

/// De Bruijn's: each of its 64 runs of six bits is another.
const SEQUENCE: u64 = 0x03f7_9d71_b4cb_0a89;

/// By the run that [`SEQUENCE`] begins with once it is shifted past a bit, that bit.
static OCTAVE: [u8; 64] = {
    let mut places = [0; 64];
    let mut bit = 0;
    while bit < 63 {
        places[((2_u64 << bit).wrapping_mul(SEQUENCE) >> 58) as usize] = bit;
        bit += 1;
    }
    places
};

/// Bounds `2^(k/16)` at or below the start of each slice of an octave.
static STEPS: [u8; 32] = [
    0, 0, 1, 2, 2, 3, 3, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 12, 13, 13, 14, 14, 14, 15,
    15,
];

const NO_BOUND: u64 = 1 << 32;

/// The fraction of the bound `2^(k/16)` inside each slice.
static BOUND: [u64; 32] = [
    NO_BOUND,
    190_154_448,
    388_727_752,
    NO_BOUND,
    596_092_648,
    NO_BOUND,
    812_638_372,
    1_038_771_394,
    NO_BOUND,
    1_274_916_180,
    NO_BOUND,
    1_521_515_989,
    NO_BOUND,
    1_779_033_704,
    NO_BOUND,
    2_047_952_703,
    NO_BOUND,
    2_328_777_763,
    NO_BOUND,
    2_622_036_011,
    NO_BOUND,
    2_928_277_910,
    NO_BOUND,
    NO_BOUND,
    3_248_078_297,
    NO_BOUND,
    3_582_037_456,
    NO_BOUND,
    NO_BOUND,
    3_930_782_251,
    NO_BOUND,
    NO_BOUND,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounds between 1 us and 137 s"
    )]
    fn every_bucket_holds_exactly_what_lies_between_its_bounds() {
        for index in 1..BUCKETS - 1 {
            let j = f64::from(BUCKET_FIRST + u32::try_from(index).unwrap_or(0));
            let lower = (j / 16.0).exp2();
            let upper = ((j + 1.0) / 16.0).exp2();
            let slack = if upper > 8e9 { 16 } else { 0 };
            assert_eq!(bucket(lower.floor() as u64 + 1 + slack), index, "above {lower}");
            assert_eq!(bucket(upper.floor() as u64), index, "below {upper}");
        }
    }

    #[test]
    fn a_power_of_two_belongs_to_the_bucket_below_it() {
        assert_eq!(bucket(1 << 20), 20 * 16 - 1 - BUCKET_FIRST as usize);
        assert_eq!(bucket((1 << 20) + 1), 20 * 16 - BUCKET_FIRST as usize);
    }

    #[test]
    fn what_is_out_of_range_falls_into_the_outermost_buckets() {
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(1024), 0);
        assert_eq!(bucket(1025), 1);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }
}
