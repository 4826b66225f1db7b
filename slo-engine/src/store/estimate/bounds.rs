//! What a counter of a threshold that nobody counted would have counted, as far as histograms and exact statuses tell.
//!
//! An exact counter of the threshold T on the turnaround counts
//!
//! - *good*: answered within T, and not with a server error;
//! - *bad*: ended past T however it ended, or timed out;
//! - *nothing*: a server error within T, or a request without an answer within T.
//!
//! Of one source, route and slot it is known how many were answered in buckets that lie within T (`within`), past it (`over`),
//! and in the one that holds it (`astride`); how many answers were server errors (`errors`), but not in which buckets; how
//! many requests ended without an answer (`unanswered`), but not when; and how many timed out, which is past T, as a
//! threshold is below its service's timeout. (Where that was shorter once, what timed out then is taken for bad, too.)
//!
//! Let `K` be the answers within T and `E` the errors in the histogram. Then `within <= K <= within + astride`, and with `e` of
//! the errors within T, good is `K - e`, where `e <= min(E, K)` and `E - e` are no more than the answers past T. So
//!
//! - `max(0, within - E) <= good <= min(within + astride, all - E)`, Frechet's bounds, `all` being all that the histogram has;
//! - `over + timed_out <= bad <= over + astride + unanswered + timed_out`, as an answer past T is bad with any status.
//!
//! Each bound of the one is reached together with the opposite one of the other, so ratios of them are bounds as well, and so
//! are sums over slots. Errors may differ from those that were counted: what is answered but in no histogram (requests that
//! are meant to wait, a map that was full) is in no exact counter either, and may be errors; what is in the histogram but in
//! no status (read a moment later) may be, too. So `errors - (answers - all) <= E <= errors + doubtful + (all - answers)`, where
//! differences below nothing are none. `doubtful` are answers that one protocol takes for errors and another does not.
//!
//! Requests are dated by their end: what was in flight past T at an edge is bad a little later here than in a counter.

use crate::measurement::HISTOGRAM_SCALE;

/// The last bucket of the probes, in which all is that took longer than 137 s.
const LAST_BUCKET: i32 = 592;

/// What is known of one source, route and slot.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    pub within: u64,
    pub astride: u64,
    pub over: u64,
    pub answers: u64,
    pub errors: u64,
    pub doubtful: u64,
    pub unanswered: u64,
    pub timed_out: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    pub good_min: u64,
    pub good_max: u64,
    pub bad_min: u64,
    pub bad_max: u64,
}

impl Counted {
    /// Answers whose time is known.
    pub fn timed(&self) -> u64 {
        self.within.saturating_add(self.astride).saturating_add(self.over)
    }

    pub fn bounds(&self) -> Bounds {
        let timed = self.timed();
        let errors_min = self
            .errors
            .saturating_sub(self.answers.saturating_sub(timed))
            .min(timed);
        let errors_max = self
            .errors
            .saturating_add(self.doubtful)
            .saturating_add(timed.saturating_sub(self.answers));
        let bad_min = self.over.saturating_add(self.timed_out);
        Bounds {
            good_min: self.within.saturating_sub(errors_max),
            good_max: self.within.saturating_add(self.astride).min(timed - errors_min),
            bad_min,
            bad_max: bad_min
                .saturating_add(self.astride)
                .saturating_add(self.unanswered),
        }
    }
}

impl Bounds {
    pub fn add(&mut self, other: &Self) {
        self.good_min = self.good_min.saturating_add(other.good_min);
        self.good_max = self.good_max.saturating_add(other.good_max);
        self.bad_min = self.bad_min.saturating_add(other.bad_min);
        self.bad_max = self.bad_max.saturating_add(other.bad_max);
    }
}

/// The last bucket that lies within a threshold, and the first that lies past it: one holds it at most.
pub(super) fn split(threshold_ns: u64) -> (i32, i32) {
    let within = (0..LAST_BUCKET)
        .rev()
        .find(|bucket| edge(bucket + 1) + slack(bucket + 1) <= threshold_ns);
    let over = (0..).find(|bucket| edge(*bucket) >= threshold_ns);
    (within.unwrap_or(-1), over.unwrap_or(i32::MAX))
}

/// Bucket `i` holds latencies above `edge(i)` up to `edge(i + 1)`: they are whole nanoseconds.
fn edge(bucket: i32) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number of nanoseconds, rounded down"
    )]
    let ns = (f64::from(bucket) / f64::from(1_i32 << HISTOGRAM_SCALE))
        .exp2()
        .floor() as u64;
    ns
}

/// So far past its upper edge a bucket of the probes may hold latencies: they tell 16 ns apart above 8 s.
fn slack(bucket: i32) -> u64 {
    if edge(bucket) > 8_000_000_000 { 16 } else { 0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, Copy)]
    enum End {
        Answered(u16),
        Died,
        TimedOut,
    }

    /// A request by how long it took and how it ended, and whether the histogram missed it.
    fn request() -> impl Strategy<Value = (u64, End, bool)> {
        let end = prop_oneof![
            6 => Just(End::Answered(200)),
            2 => Just(End::Answered(503)),
            1 => Just(End::Answered(404)),
            1 => Just(End::Died),
            1 => Just(End::TimedOut),
        ];
        (1_000_u64..400_000_000, end, prop::bool::weighted(0.05))
    }

    fn bucket(ns: u64) -> i32 {
        (0..).find(|bucket| ns <= edge(bucket + 1)).unwrap()
    }

    /// What the probes and the engine know, and what an exact counter has.
    fn count(requests: &[(u64, End, bool)], threshold: u64) -> (Counted, u64, u64) {
        let (last_within, first_over) = split(threshold);
        let (mut counted, mut good, mut bad) = (Counted::default(), 0, 0);
        for (ns, end, is_missed) in requests {
            match end {
                End::Answered(status) => {
                    counted.answers += 1;
                    counted.errors += u64::from(*status >= 500);
                    // Both are one cell's: where there is none, neither counts.
                    if *is_missed {
                        continue;
                    }
                    match bucket(*ns) {
                        bucket if bucket <= last_within => counted.within += 1,
                        bucket if bucket >= first_over => counted.over += 1,
                        _ => counted.astride += 1,
                    }
                    good += u64::from(*ns <= threshold && *status < 500);
                    bad += u64::from(*ns > threshold);
                }
                End::Died => {
                    counted.unanswered += 1;
                    bad += u64::from(*ns > threshold);
                }
                End::TimedOut => {
                    counted.timed_out += 1;
                    bad += 1;
                }
            }
        }
        (counted, good, bad)
    }

    proptest! {
        #[test]
        fn what_a_counter_would_have_counted_lies_within(
            requests in prop::collection::vec(request(), 0..60),
            threshold in 1_000_u64..400_000_000,
        ) {
            let (counted, good, bad) = count(&requests, threshold);
            let bounds = counted.bounds();
            prop_assert!(bounds.good_min <= good && good <= bounds.good_max, "{good}: {counted:?} {bounds:?}");
            prop_assert!(bounds.bad_min <= bad && bad <= bounds.bad_max, "{bad}: {counted:?} {bounds:?}");
        }

        #[test]
        fn an_edge_tells_exactly_where_all_are_answered_well(
            times in prop::collection::vec(1_000_u64..400_000_000, 0..60),
            of in 170_i32..450,
        ) {
            let requests: Vec<_> = times.iter().map(|ns| (*ns, End::Answered(200), false)).collect();
            let (counted, good, bad) = count(&requests, edge(of));
            let exact = Bounds { good_min: good, good_max: good, bad_min: bad, bad_max: bad };
            prop_assert_eq!(counted.bounds(), exact);
        }
    }

    #[test]
    fn one_bucket_at_most_holds_a_threshold() {
        // 2^(i/16) ns: 268.4 ms is an edge, 250 ms lies in a bucket.
        assert_eq!(split(1 << 28), (28 * 16 - 1, 28 * 16));
        let (within, over) = split(250_000_000);
        assert_eq!(over - within, 2);
        assert!(edge(within + 1) < 250_000_000 && edge(over) > 250_000_000);
        // What took longer than the last edge is in the last bucket, however long.
        assert_eq!(split(3_600_000_000_000).0, LAST_BUCKET - 1);
        assert_eq!(split(1_000).0 + 2, split(1_000).1);
    }

    #[test]
    fn errors_that_the_histogram_lacks_are_not_taken_off_its_good_ones() {
        let counted = Counted {
            within: 5,
            answers: 9,
            errors: 4,
            ..Counted::default()
        };
        let bounds = counted.bounds();
        assert_eq!((bounds.good_min, bounds.good_max), (1, 5));
        // Statuses that were read a moment before the histogram.
        let torn = Counted {
            answers: 4,
            errors: 0,
            ..counted
        };
        assert_eq!((torn.bounds().good_min, torn.bounds().good_max), (4, 5));
    }
}
