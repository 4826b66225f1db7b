//! What the engine may be told to do differently, and what it does otherwise.

use std::time::Duration;

use crate::evaluate::Rules;

/// Length of a slot of the ledger, unless it is told another.
pub const SLOT: Duration = Duration::from_secs(10);

/// How long the ledger is kept, unless it is told another: longer than any period.
pub const KEEP_LEDGER: Duration = Duration::from_secs(400 * 86_400);

/// What the engine may be told to do differently.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Length of a slot of the ledger. Must divide a minute.
    pub slot: Duration,
    /// A source that is expected and silent for longer is not covered.
    pub patience: Duration,
    /// A source that is silent for longer is expected no more.
    pub retire_after: Duration,
    /// Of a batch in which no more counters moved than this, nothing waits for the end of its slot.
    pub whole_up_to: usize,
    /// Offset between a source's clock and ours that is left alone.
    pub offset_max: Duration,
    pub rules: Rules,
    pub keep: Keep,
}

/// How long what is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// Every slot of the ledger's day, for so long after it is over; then one row a minute.
    pub slots: Duration,
    /// One row a minute, for so long after the day is over; then one every five minutes.
    pub minutes: Duration,
    /// One row every five minutes; then nothing. Events, too.
    pub ledger: Duration,
    /// Counts by series and histograms.
    pub measurements: Duration,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Default for Settings {
    fn default() -> Self {
        Self {
            slot: SLOT,
            patience: Duration::from_secs(30),
            retire_after: Duration::from_secs(3_600),
            // A few hundredths of a second of Postgres.
            whole_up_to: 1_000,
            offset_max: Duration::from_secs(2),
            rules: Rules::default(),
            keep: Keep {
                // The short windows of tiers, and a chart of the last hour, find every slot across midnight.
                slots: Duration::from_secs(2 * 3_600),
                // A window of a day begins within a minute of what was asked, one of three within five.
                minutes: DAY * 2,
                ledger: KEEP_LEDGER,
                measurements: DAY * 14,
            },
        }
    }
}
