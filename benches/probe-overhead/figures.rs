//! Medians and how sure they are.

use std::fmt;

/// A median and an interval that holds it with at least 95 %, by order statistics.
#[derive(Clone, Copy, Debug)]
pub struct Interval {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

impl Interval {
    pub fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let n = values.len();
        // The largest rank k with P(Binomial(n, 1/2) < k) <= 2.5 %.
        let mut tail = 0.5_f64.powi(i32::try_from(n).unwrap_or(i32::MAX));
        let mut term = tail;
        let mut rank = 0;
        while tail <= 0.025 {
            rank += 1;
            term *= to_f64((n - rank + 1) as u64) / to_f64(rank as u64);
            tail += term;
        }
        let low = rank.saturating_sub(1);
        Self {
            low: values[low],
            median: f64::midpoint(values[(n - 1) / 2], values[n / 2]),
            high: values[n - 1 - low],
        }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        if f.sign_plus() {
            write!(
                f,
                "{:+.digits$} [{:+.digits$}, {:+.digits$}]",
                self.median, self.low, self.high
            )
        } else {
            write!(
                f,
                "{:.digits$} [{:.digits$}, {:.digits$}]",
                self.median, self.low, self.high
            )
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub fn to_f64(count: u64) -> f64 {
    count as f64
}
