//! Whether a run may act, as a function of what is known: no clock, no SQL.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::run::RunId;
use crate::runbook::Guards;

/// What the guards look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GuardInput {
    pub now: DateTime<Utc>,
    /// The cool-down that stands on this runbook and service.
    pub cooldown: Option<(DateTime<Utc>, RunId)>,
    /// Runs of this runbook that acted in the last hour.
    pub runs_last_hour: u32,
    /// Runs of this runbook that acted in this incident.
    pub attempts: u32,
}

/// Why a run must not act. `Display` is the reason that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    CoolingDown {
        until: DateTime<Utc>,
        after: RunId,
    },
    HourlyBudget {
        most: u32,
    },
    Attempts {
        most: u32,
    },
    /// The alert is that data is missing: nobody knows what there is to act against.
    DataOutage,
    /// The alert is about what was spent, which may be long ago.
    Budget,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CoolingDown { until, after } => {
                let until = until.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
                write!(f, "cooling down after run {after} until {until}")
            }
            Self::HourlyBudget { most } => write!(f, "ran {most} times in the last hour, which is the most"),
            Self::DataOutage => f.write_str("data is missing, which no action mends"),
            Self::Budget => f.write_str("what was spent of a budget no action brings back"),
            Self::Attempts { most } => write!(f, "tried {most} times in this incident, which is the most"),
        }
    }
}

/// The first guard that says no.
pub(crate) fn guard(guards: &Guards, input: &GuardInput) -> Option<Refusal> {
    if let Some((until, after)) = input.cooldown
        && until > input.now
    {
        return Some(Refusal::CoolingDown { until, after });
    }
    if input.attempts >= guards.attempts_per_incident_max {
        let most = guards.attempts_per_incident_max;
        return Some(Refusal::Attempts { most });
    }
    if input.runs_last_hour >= guards.runs_per_hour_max {
        let most = guards.runs_per_hour_max;
        return Some(Refusal::HourlyBudget { most });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input() -> GuardInput {
        GuardInput {
            now: "2026-01-01T12:00:00Z".parse().unwrap(),
            cooldown: None,
            runs_last_hour: 0,
            attempts: 0,
        }
    }

    #[test]
    fn nothing_stands_in_the_way_of_a_first_run() {
        assert_eq!(guard(&Guards::default(), &input()), None);
    }

    #[test]
    fn each_guard_says_why() {
        let until = "2026-01-01T12:00:01Z".parse().unwrap();
        let cooling = GuardInput {
            cooldown: Some((until, RunId(7))),
            ..input()
        };
        assert_eq!(
            guard(&Guards::default(), &cooling).unwrap().to_string(),
            "cooling down after run 7 until 2026-01-01T12:00:01Z"
        );
        let tried = GuardInput {
            attempts: 3,
            ..input()
        };
        assert_eq!(
            guard(&Guards::default(), &tried).unwrap().to_string(),
            "tried 3 times in this incident, which is the most"
        );
        let spent = GuardInput {
            runs_last_hour: 5,
            ..input()
        };
        assert_eq!(
            guard(&Guards::default(), &spent).unwrap().to_string(),
            "ran 5 times in the last hour, which is the most"
        );
    }

    #[test]
    fn a_cool_down_ends_at_its_time() {
        let over = GuardInput {
            cooldown: Some((input().now, RunId(7))),
            ..input()
        };
        assert_eq!(guard(&Guards::default(), &over), None);
    }
}
