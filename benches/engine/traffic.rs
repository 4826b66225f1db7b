//! What is asked of each service, in closed form: every count at every slot is known exactly, so history,
//! live traffic, the peer's series and the truth all come from here.

use chrono::{DateTime, TimeDelta, Timelike as _, Utc};

pub const SLOT_SECONDS: i64 = 10;
/// Slots a day.
pub const DAY: i64 = 8_640;
/// Objectives a service: availability and latency.
pub const A_SERVICE: usize = 2;

/// One of two objectives of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Availability,
    Latency,
}

impl Kind {
    pub const ALL: [Self; A_SERVICE] = [Self::Availability, Self::Latency];

    pub fn name(self) -> &'static str {
        match self {
            Self::Availability => "availability",
            Self::Latency => "latency",
        }
    }
}

/// A service with a quiet and a busy half of the day, and failures that come by the clock instead of by the
/// request: so the mean of ratios is not the ratio of counts. No objective burns faster than its budget: a calm day.
#[derive(Clone, Copy, Debug)]
pub struct Traffic(pub usize);

impl Traffic {
    pub fn service(self) -> String {
        format!("service-{:05}", self.0)
    }

    /// Requests a slot in the quiet half of the day.
    pub fn quiet(self) -> i64 {
        [60, 120, 300, 600, 1_200, 3_000][self.0 % 6]
    }

    /// Slots between one bad event and the next.
    pub fn apart(self, kind: Kind) -> i64 {
        let (least, spread) = match kind {
            Kind::Availability => (40, 30),
            Kind::Latency => (4, 20),
        };
        least + i64::try_from(self.0).unwrap_or(0) % spread
    }

    /// Requests in all after so many slots since a midnight. The busy half is asked twice as much.
    pub fn asked(self, slots: i64) -> i64 {
        let busy = slots / DAY * (DAY / 2) + (slots % DAY - DAY / 2).max(0);
        self.quiet() * (slots + busy)
    }

    /// Bad events in all after so many slots.
    pub fn bad(self, kind: Kind, slots: i64) -> i64 {
        slots / self.apart(kind)
    }

    /// Good and bad between two slots.
    pub fn between(self, kind: Kind, from: i64, to: i64) -> (i64, i64) {
        let bad = self.bad(kind, to) - self.bad(kind, from);
        (self.asked(to) - self.asked(from) - bad, bad)
    }
}

/// The midnight of a UTC day.
pub fn midnight(of: DateTime<Utc>) -> DateTime<Utc> {
    of.date_naive().and_time(chrono::NaiveTime::MIN).and_utc()
}

/// The last time at which the ledger was as large as it becomes: with every slot of the day before. It is also the edge
/// of five minutes, a row that every thinning keeps.
pub fn fullest(now: DateTime<Utc>) -> DateTime<Utc> {
    let late = TimeDelta::minutes(110);
    midnight(now - late) + late
}

/// The last five minutes' edge that has passed: a row that every thinning keeps.
pub fn last_kept_edge(now: DateTime<Utc>) -> DateTime<Utc> {
    let past = now.num_seconds_from_midnight() % 300;
    chrono::SubsecRound::trunc_subsecs(now - TimeDelta::seconds(i64::from(past)), 0)
}
