//! What a cumulative value adds to the books (DESIGN rule 9).
//!
//! In: what was last seen of a counter, and what is read now. Out: what to book. The one place that
//! subtracts.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

/// What was last seen of something cumulative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head<V> {
    pub started_at: DateTime<Utc>,
    pub at: DateTime<Utc>,
    pub value: V,
}

/// What a reading comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Booking<V> {
    /// Events since the head; the reading becomes the head.
    Counted(V),
    /// Nobody knows when these were counted: the reading becomes the head, nothing is booked.
    Baseline,
    /// Nothing new: no effect.
    Unchanged,
    /// The same or an older `at`: no effect.
    Ignored,
    /// Impossible: no effect.
    Refused,
}

/// Something that only grows.
pub(crate) trait Cumulative: Clone + PartialEq {
    /// `self - earlier`; `None` when that would be negative anywhere.
    fn since(&self, earlier: &Self) -> Option<Self>;
}

impl Cumulative for u64 {
    fn since(&self, earlier: &Self) -> Option<Self> {
        self.checked_sub(*earlier)
    }
}

/// A histogram's buckets and its sum in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Buckets {
    pub counts: BTreeMap<i32, u64>,
    pub sum_ns: u64,
}

impl Cumulative for Buckets {
    fn since(&self, earlier: &Self) -> Option<Self> {
        let vanished = |(bucket, count): (&i32, &u64)| *count > 0 && !self.counts.contains_key(bucket);
        if earlier.counts.iter().any(vanished) {
            return None;
        }
        let mut counts = BTreeMap::new();
        for (bucket, count) in &self.counts {
            let delta = count.checked_sub(earlier.counts.get(bucket).copied().unwrap_or(0))?;
            if delta > 0 {
                counts.insert(*bucket, delta);
            }
        }
        Some(Self {
            counts,
            sum_ns: self.sum_ns.checked_sub(earlier.sum_ns)?,
        })
    }
}

/// Same or older `at`: no effect. A later start: counts from zero. No head, and a start before the
/// source's first contact: a baseline. Lower than before with the same start, or an earlier start
/// than before: refused.
pub(crate) fn book<V: Cumulative>(
    head: Option<&Head<V>>,
    reading: &Head<V>,
    first_contact_at: DateTime<Utc>,
) -> Booking<V> {
    let Some(head) = head else {
        return if reading.started_at < first_contact_at {
            Booking::Baseline
        } else {
            Booking::Counted(reading.value.clone())
        };
    };
    if reading.at <= head.at {
        return Booking::Ignored;
    }
    if reading.started_at > head.started_at {
        return Booking::Counted(reading.value.clone());
    }
    if reading.started_at < head.started_at {
        return Booking::Refused;
    }
    if reading.value == head.value {
        return Booking::Unchanged;
    }
    reading
        .value
        .since(&head.value)
        .map_or(Booking::Refused, Booking::Counted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(n)
    }

    fn head(started: i64, at: i64, value: u64) -> Head<u64> {
        Head {
            started_at: second(started),
            at: second(at),
            value,
        }
    }

    #[test]
    fn a_counter_is_booked_by_what_is_known_of_it() {
        let last = head(0, 10, 7);
        let contact = second(0);
        for (name, before, reading, booking) in [
            ("new since contact", None, head(0, 11, 3), Booking::Counted(3)),
            ("older than contact", None, head(-1, 11, 3), Booking::Baseline),
            ("grown", Some(&last), head(0, 11, 9), Booking::Counted(2)),
            ("equal", Some(&last), head(0, 11, 7), Booking::Unchanged),
            ("again", Some(&last), head(0, 10, 7), Booking::Ignored),
            (
                "again, other value",
                Some(&last),
                head(0, 10, 9),
                Booking::Ignored,
            ),
            ("older", Some(&last), head(0, 9, 9), Booking::Ignored),
            ("older, new start", Some(&last), head(5, 9, 9), Booking::Ignored),
            ("lower", Some(&last), head(0, 11, 6), Booking::Refused),
            ("started anew", Some(&last), head(10, 11, 6), Booking::Counted(6)),
            ("started before", Some(&last), head(-1, 11, 9), Booking::Refused),
        ] {
            assert_eq!(book(before, &reading, contact), booking, "{name}");
        }
    }

    fn buckets(counts: &[(i32, u64)], sum_ns: u64) -> Buckets {
        Buckets {
            counts: counts.iter().copied().collect(),
            sum_ns,
        }
    }

    #[test]
    fn a_histogram_grows_bucket_by_bucket_or_not_at_all() {
        let before = buckets(&[(10, 2), (11, 1)], 30);
        let grown = buckets(&[(10, 2), (11, 4), (12, 1)], 90);
        assert_eq!(grown.since(&before), Some(buckets(&[(11, 3), (12, 1)], 60)));
        assert_eq!(buckets(&[(10, 1), (11, 9)], 90).since(&before), None);
        assert_eq!(buckets(&[(10, 9)], 90).since(&before), None);
        assert_eq!(buckets(&[(10, 9), (11, 9)], 29).since(&before), None);
    }
}
