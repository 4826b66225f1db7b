//! The generic cell rate algorithm: a bucket is one word, the time at which the next packet would
//! be due if the rate were kept exactly.
//!
//! In: that word, the time, the rate. Out: the new word, or no. Time is in ticks of 1/64 ns, so
//! that the rounding of a packet's cost stays below 0.005 % at three million packets a second; a
//! `u64` of them wraps after nine years of uptime, and every comparison is by signed difference.

pub const TICK_SHIFT: u32 = 6;
pub const TICKS_PER_SECOND: u64 = 1_000_000_000 << TICK_SHIFT;

/// The slowest rate is one packet a second, whatever a map says: a limit never drops everything.
pub const INCREMENT_MAX: u64 = TICKS_PER_SECOND;
/// Half a year of ticks; keeps signed differences honest.
pub const TOLERANCE_MAX: u64 = 1 << 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Ticks a packet costs.
    pub increment: u64,
    /// Ticks a bucket may run ahead of the clock.
    pub tolerance: u64,
}

impl Rate {
    /// `None` for a rate of 0, which is no limit. Rounds so that the rate is never exceeded.
    pub const fn per_second(rate: u32, burst: u32) -> Option<Self> {
        if rate == 0 {
            return None;
        }
        let increment = TICKS_PER_SECOND.div_ceil(rate as u64);
        Some(
            Self {
                increment,
                tolerance: increment.saturating_mul(burst as u64),
            }
            .floored(),
        )
    }

    /// The same rate, at least one packet a second and at least one packet at once.
    #[inline(always)]
    pub const fn floored(self) -> Self {
        let increment = if self.increment > INCREMENT_MAX {
            INCREMENT_MAX
        } else {
            self.increment
        };
        let mut tolerance = self.tolerance;
        if tolerance > TOLERANCE_MAX {
            tolerance = TOLERANCE_MAX;
        }
        if tolerance < increment {
            tolerance = increment;
        }
        Self { increment, tolerance }
    }

    /// The bucket's next word if a packet may pass now. A bucket further ahead than this rate
    /// could have brought it belongs to an older or a neighbour's rule, and counts as full.
    #[inline(always)]
    pub const fn admit(self, due: u64, now: u64) -> Option<u64> {
        let ahead = due.wrapping_sub(now);
        let ahead = if is_later(due, now) && ahead <= self.tolerance {
            ahead
        } else {
            0
        };
        if ahead + self.increment > self.tolerance {
            return None;
        }
        Some(now.wrapping_add(ahead).wrapping_add(self.increment))
    }
}

#[inline(always)]
pub const fn ticks(nanoseconds: u64) -> u64 {
    nanoseconds << TICK_SHIFT
}

/// Whether `a` comes after `b`, across the wrap.
#[inline(always)]
pub const fn is_later(a: u64, b: u64) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}

/// Two cells of the per-source table for one source of one rule. Two sources share a bucket only
/// if they collide in both rows; an attacker who does not know the seed cannot aim.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "masked to a row")]
pub const fn cells(seed: u64, generation: u32, address: [u32; 4], row: u32) -> (u32, u32) {
    let low = address[0] as u64 | (address[1] as u64) << 32;
    let high = address[2] as u64 | (address[3] as u64) << 32;
    let mut hash = seed ^ low.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 32) ^ high).wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash = (hash ^ (hash >> 32) ^ generation as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^= hash >> 32;
    let first = (hash & (row as u64 - 1)) as u32;
    let second = ((hash >> 32).wrapping_mul(0x9e37_79b9) >> 16 & (row as u64 - 1)) as u32;
    (first, row + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Packets admitted out of a stream with one packet every `gap` nanoseconds.
    fn admitted(rate: Rate, start: u64, gap: u64, packets: u64) -> u64 {
        let mut due = 0;
        let mut passed = 0;
        for packet in 0..packets {
            let now = ticks(start.wrapping_add(packet * gap));
            if let Some(next) = rate.admit(due, now) {
                due = next;
                passed += 1;
            }
        }
        passed
    }

    #[test]
    fn a_flood_gets_its_burst_and_its_rate() {
        for (rate, burst) in [(10, 5), (1000, 1), (50_000, 500), (3_000_000, 3000)] {
            let limit = Rate::per_second(rate, burst).unwrap();
            let passed = admitted(limit, 77 * SECOND, 100, 10_000_000);
            let expected = u64::from(rate) + u64::from(burst);
            assert!(
                passed <= expected && (passed + 1) * 10_000 >= expected * 9_999,
                "{rate}: {passed}"
            );
        }
    }

    #[test]
    fn a_stream_below_the_rate_loses_nothing() {
        let limit = Rate::per_second(1000, 1).unwrap();
        assert_eq!(admitted(limit, SECOND, SECOND / 999, 5000), 5000);
    }

    #[test]
    fn the_wrap_of_the_clock_is_no_event() {
        let limit = Rate::per_second(100, 10).unwrap();
        let before = (u64::MAX >> TICK_SHIFT) - SECOND / 2;
        let mut due = ticks(before);
        let passed = (0..1000).filter(|packet| {
            let now = ticks(before).wrapping_add(ticks(packet * SECOND / 1000));
            let next = limit.admit(due, now);
            due = next.unwrap_or(due);
            next.is_some()
        });
        assert_eq!(passed.count(), 109);
    }

    #[test]
    fn nothing_a_map_can_hold_drops_everything() {
        for rate in [
            Rate {
                increment: u64::MAX,
                tolerance: 0,
            },
            Rate {
                increment: 1,
                tolerance: 0,
            },
            Rate {
                increment: u64::MAX,
                tolerance: u64::MAX,
            },
        ] {
            let rate = rate.floored();
            for due in [0, 1, u64::MAX, 1 << 62, 1 << 63] {
                let now = ticks(100 * SECOND);
                let later = now + rate.tolerance.min(ticks(2 * SECOND)) + rate.increment;
                assert!(
                    rate.admit(due, now).is_some() || rate.admit(due, later).is_some(),
                    "{rate:?} {due}"
                );
            }
        }
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        assert_eq!(Rate::per_second(0, 1), None);
        assert_eq!(Rate::per_second(1, 0).unwrap().tolerance, INCREMENT_MAX);
    }

    #[test]
    fn sources_spread_over_both_rows() {
        let row = 65_536;
        let mut first = std::collections::HashSet::new();
        let mut second = std::collections::HashSet::new();
        let mut both = std::collections::HashSet::new();
        for host in 0..4096_u32 {
            let address = (0x0a09_0000 | host).to_be();
            let pair = cells(42, 7, [address, 0, 0, 0], row);
            assert!(pair.0 < row && (row..2 * row).contains(&pair.1));
            first.insert(pair.0);
            second.insert(pair.1);
            both.insert(pair);
        }
        // 4096 balls in 65 536 bins leave about 3968 distinct ones.
        assert!(
            first.len() > 3900 && second.len() > 3900,
            "{} {}",
            first.len(),
            second.len()
        );
        assert_eq!(both.len(), 4096);
    }
}
