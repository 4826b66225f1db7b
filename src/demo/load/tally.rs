//! What became of each second's requests.
//!
//! A second is written when its arrivals are all scheduled and all settled, in order, so that the sum of
//! `ok`, `late` and `failed` is always exactly what was sent.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// One line of output: the requests that were due in the second beginning at `at`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Second {
    pub at: DateTime<Utc>,
    pub sent: u64,
    /// Answered well and in time.
    pub ok: u64,
    /// Answered well, but later than the limit.
    pub late: u64,
    /// Refused, not answered, or answered with an error.
    pub failed: u64,
    pub p50_ms: Option<u64>,
    pub p99_ms: Option<u64>,
    /// Latency of each good answer, in order of size. Every value, so that seconds can be joined exactly.
    pub latency_us: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Ok(Duration),
    Late(Duration),
    Failed,
}

impl Fate {
    pub fn answered(after: Duration, limit: Duration) -> Self {
        if after <= limit {
            Self::Ok(after)
        } else {
            Self::Late(after)
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Report {
    Settled {
        second: u32,
        fate: Fate,
    },
    /// All arrivals of this second are on their way.
    Scheduled {
        second: u32,
        arrivals: u32,
    },
}

/// Smallest value that at least `share` of all are no larger than. `sorted` is.
pub fn percentile(sorted: &[u64], share: f64) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank within the list"
    )]
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

#[derive(Debug)]
pub struct Tally {
    start: DateTime<Utc>,
    open: BTreeMap<u32, Open>,
}

#[derive(Debug, Default)]
struct Open {
    arrivals: Option<u32>,
    fates: Vec<Fate>,
}

impl Tally {
    pub fn new(start: DateTime<Utc>) -> Self {
        Self {
            start,
            open: BTreeMap::new(),
        }
    }

    /// Writes lines until every sender is gone.
    pub async fn write(mut self, mut reports: mpsc::UnboundedReceiver<Report>) -> Result<()> {
        while let Some(report) = reports.recv().await {
            for second in self.take(report) {
                let mut out = std::io::stdout().lock();
                serde_json::to_writer(&mut out, &second).context("write a second")?;
                writeln!(out)
                    .and_then(|()| out.flush())
                    .context("write a second")?;
            }
        }
        Ok(())
    }

    /// The seconds that this report completes.
    pub fn take(&mut self, report: Report) -> Vec<Second> {
        match report {
            Report::Settled { second, fate } => self.open.entry(second).or_default().fates.push(fate),
            Report::Scheduled { second, arrivals } => {
                self.open.entry(second).or_default().arrivals = Some(arrivals);
            }
        }
        let mut complete = Vec::new();
        while let Some(first) = self.open.first_entry() {
            if first
                .get()
                .arrivals
                .is_none_or(|arrivals| first.get().fates.len() < arrivals as usize)
            {
                break;
            }
            let at = self.start + Duration::from_secs((*first.key()).into());
            complete.push(Second::new(at, &first.remove().fates));
        }
        complete
    }
}

impl Second {
    fn new(at: DateTime<Utc>, fates: &[Fate]) -> Self {
        let mut second = Self {
            at,
            sent: 0,
            ok: 0,
            late: 0,
            failed: 0,
            p50_ms: None,
            p99_ms: None,
            latency_us: Vec::new(),
        };
        for fate in fates {
            second.sent += 1;
            match fate {
                Fate::Ok(_) => second.ok += 1,
                Fate::Late(_) => second.late += 1,
                Fate::Failed => second.failed += 1,
            }
            if let Fate::Ok(after) | Fate::Late(after) = fate {
                second
                    .latency_us
                    .push(u64::try_from(after.as_micros()).unwrap_or(u64::MAX));
            }
        }
        second.latency_us.sort_unstable();
        second.p50_ms = percentile(&second.latency_us, 0.5).map(|micros| micros / 1_000);
        second.p99_ms = percentile(&second.latency_us, 0.99).map(|micros| micros / 1_000);
        second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_complete_when_its_last_request_is_settled() {
        let mut tally = Tally::new(DateTime::UNIX_EPOCH);
        let ok = Fate::Ok(Duration::from_millis(3));
        assert_eq!(
            tally.take(Report::Settled {
                second: 1,
                fate: Fate::Failed
            }),
            []
        );
        assert_eq!(tally.take(Report::Settled { second: 0, fate: ok }), []);
        assert_eq!(
            tally.take(Report::Scheduled {
                second: 0,
                arrivals: 2
            }),
            []
        );
        assert_eq!(
            tally.take(Report::Scheduled {
                second: 1,
                arrivals: 1
            }),
            [],
            "seconds leave in order"
        );
        let late = Fate::answered(Duration::from_millis(300), Duration::from_millis(250));
        let complete = tally.take(Report::Settled {
            second: 0,
            fate: late,
        });
        let sums: Vec<_> = complete
            .iter()
            .map(|s| (s.sent, s.ok, s.late, s.failed))
            .collect();
        assert_eq!(sums, [(2, 1, 1, 0), (1, 0, 0, 1)]);
        assert_eq!(complete[0].latency_us, [3_000, 300_000]);
        assert_eq!(complete[1].p99_ms, None);
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<u64> = (1..=100).collect();
        assert_eq!(percentile(&values, 0.5), Some(50));
        assert_eq!(percentile(&values, 0.99), Some(99));
        assert_eq!(percentile(&[7], 0.99), Some(7));
        assert_eq!(percentile(&[], 0.99), None);
    }
}
