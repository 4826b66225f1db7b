//! What the customers felt, over some of their seconds.

use super::load::{Second, percentile};

/// Sums over whole seconds. Percentiles are of all answers in them, not of the seconds' percentiles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub sent: u64,
    /// Answered well and in time.
    pub ok: u64,
    pub late: u64,
    pub failed: u64,
    latency_us: Vec<u64>,
}

impl Figures {
    pub fn of<'a>(seconds: impl IntoIterator<Item = &'a Second>) -> Self {
        let mut sums = Self::default();
        for second in seconds {
            sums.sent += second.sent;
            sums.ok += second.ok;
            sums.late += second.late;
            sums.failed += second.failed;
            sums.latency_us.extend(&second.latency_us);
        }
        sums.latency_us.sort_unstable();
        sums
    }

    /// Share of requests answered well and in time; `None` when nothing was sent.
    pub fn share(&self) -> Option<f64> {
        (self.sent > 0).then(|| self.ok as f64 / self.sent as f64)
    }

    pub fn well(&self) -> bool {
        self.share().is_some_and(|share| share >= WELL)
    }

    pub fn p99_ms(&self) -> Option<u64> {
        percentile(&self.latency_us, 0.99).map(|micros| micros / 1_000)
    }

    pub fn share_text(&self) -> String {
        self.share()
            .map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
    }

    pub fn p99_text(&self) -> String {
        self.p99_ms()
            .map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"))
    }
}

/// From this share on customers count as served well.
const WELL: f64 = 0.99;

/// The first of `run` seconds in a row, from `candidates`, in which customers were served well.
pub fn first_of_run_well<'a>(candidates: impl Iterator<Item = &'a Second>, run: usize) -> Option<&'a Second> {
    let mut good: Vec<&Second> = Vec::new();
    for second in candidates {
        if Figures::of([second]).well() {
            good.push(second);
        } else {
            good.clear();
        }
        if good.len() == run {
            return good.first().copied();
        }
    }
    None
}

/// `12345` as `12,345`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;

    fn second(at: i64, ok: u64, failed: u64) -> Second {
        let at = DateTime::<Utc>::from_timestamp(at, 0).unwrap();
        let latency_us = vec![1_000; usize::try_from(ok).unwrap()];
        Second {
            at,
            sent: ok + failed,
            ok,
            late: 0,
            failed,
            p50_ms: None,
            p99_ms: None,
            latency_us,
        }
    }

    #[test]
    fn recovery_begins_with_the_first_good_second_of_an_unbroken_run() {
        let seconds = [
            second(1, 10, 0),
            second(2, 0, 10),
            second(3, 10, 0),
            second(4, 10, 0),
        ];
        let first = first_of_run_well(seconds.iter(), 2).map(|second| second.at.timestamp());
        assert_eq!(first, Some(3));
        assert_eq!(first_of_run_well(seconds.iter(), 3), None);
    }

    #[test]
    fn a_share_is_of_what_was_sent() {
        let sums = Figures::of(&[second(1, 30, 10), second(2, 60, 0)]);
        assert_eq!(sums.share_text(), "90.0 %");
        assert_eq!(sums.p99_text(), "1 ms");
        assert_eq!(Figures::default().share_text(), "-");
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(thousands(7), "7");
        assert_eq!(thousands(1_234), "1,234");
        assert_eq!(thousands(1_234_567), "1,234,567");
    }
}
