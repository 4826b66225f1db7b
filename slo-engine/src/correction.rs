//! Corrections: time that an objective does not count.
//!
//! In: what somebody asks for. Out: the same, checked, and when a recurring one begins. Nothing in the ledger is
//! rewritten: what corrections leave out is subtracted by SQL (`ledger_window`, `left_out`) where windows are read.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use rrule::{RRule, RRuleError, RRuleSet, Unvalidated};

use crate::engine::EngineError;
use crate::measurement::words;
use crate::objective::ObjectiveName;
use crate::text::{self, UnfitText};

words!(
    CorrectionKind, "correction kind", {
        Maintenance => "maintenance",
        Deployment => "deployment",
        OutsideBusinessHours => "outside_business_hours",
        Other => "other",
    }
);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CorrectionId(pub i64);

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct NewCorrection {
    pub objective: ObjectiveName,
    pub kind: CorrectionKind,
    /// The one time, or the first of those that recur.
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub recurrence: Option<Recurrence>,
    pub author: String,
    pub comment: String,
}

/// A rule of RFC 5545 on the clocks of a zone: every Sunday at two is at two in summer, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recurrence {
    rule: String,
    zone: Tz,
}

/// Why a correction cannot be.
#[derive(Debug, thiserror::Error)]
pub enum CorrectionError {
    #[error(transparent)]
    Text(#[from] UnfitText),
    #[error("the correction ends before it begins, or as it begins")]
    Backwards,
    #[error(
        "the correction is longer than {LENGTH_MAX_DAYS} days, or begins more than {AHEAD_MAX_DAYS} days from now"
    )]
    TooLong,
    #[error("there is no time zone `{0}`")]
    Zone(String),
    #[error("the rule `{rule}` cannot be read: {problem}")]
    Rule { rule: String, problem: String },
    #[error("the rule begins more than {SPANS_MAX} times until {AHEAD_MAX_DAYS} days from now")]
    TooMany,
    #[error("`{0}` has {CORRECTIONS_MAX} corrections that stand")]
    Full(ObjectiveName),
    #[error("there is no correction {}", .0.0)]
    Unknown(CorrectionId),
    #[error("correction {} is undone already", .0.0)]
    Undone(CorrectionId),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<sqlx::Error> for CorrectionError {
    fn from(error: sqlx::Error) -> Self {
        Self::Engine(error.into())
    }
}

const LENGTH_MAX_DAYS: i64 = 366;
/// Recurring corrections are written down so far ahead, which is longer than any calendar's period.
const AHEAD_MAX_DAYS: i64 = 400;
/// Times that one rule may begin until then: once a day for longer than the ledger is kept, or five times a day.
const SPANS_MAX: u16 = 2_000;
/// Of one objective, that are not undone.
pub(crate) const CORRECTIONS_MAX: i64 = 200;

/// How far ahead the spans of a recurring correction are written.
pub(crate) fn horizon(now: DateTime<Utc>) -> DateTime<Utc> {
    now + TimeDelta::days(AHEAD_MAX_DAYS)
}

/// How far back the spans of one that a file states are written: as far as any budget looks.
pub(crate) fn looks_back(now: DateTime<Utc>) -> DateTime<Utc> {
    now - TimeDelta::days(AHEAD_MAX_DAYS)
}

impl NewCorrection {
    /// # Errors
    /// With the first thing that cannot be.
    pub fn check(&self, now: DateTime<Utc>) -> Result<(), CorrectionError> {
        text::check("author", &self.author, 1, 100)?;
        text::check("comment", &self.comment, 0, 1_000)?;
        if self.ends_at <= self.starts_at {
            return Err(CorrectionError::Backwards);
        }
        if self.ends_at - self.starts_at > TimeDelta::days(LENGTH_MAX_DAYS) || self.starts_at > horizon(now) {
            return Err(CorrectionError::TooLong);
        }
        Ok(())
    }
}

impl Recurrence {
    /// # Errors
    /// When there is no such zone, or the rule cannot be read or recurs more often than daily rules do.
    pub fn new(rule: &str, zone: &str) -> Result<Self, CorrectionError> {
        let refuse = |problem: &str| CorrectionError::Rule {
            rule: rule.escape_debug().take(120).collect(),
            problem: problem.to_owned(),
        };
        let zone: Tz = zone.parse().map_err(|_| CorrectionError::Zone(zone.to_owned()))?;
        let plain = rule.strip_prefix("RRULE:").unwrap_or(rule).to_ascii_uppercase();
        // The reader of rules would take several lines, and trips over letters that are not ASCII.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"=;,+-".contains(&byte);
        if plain.len() > 200 || !plain.bytes().all(is_plain) {
            return Err(refuse("it is too long, or holds what no rule does"));
        }
        let part = |name: &str| {
            plain
                .split(';')
                .find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        };
        if !matches!(part("FREQ"), Some("DAILY" | "WEEKLY" | "MONTHLY" | "YEARLY")) {
            return Err(refuse("`FREQ` has to be DAILY, WEEKLY, MONTHLY or YEARLY"));
        }
        if part("UNTIL").is_some_and(|until| !until.ends_with('Z')) {
            return Err(refuse("`UNTIL` has to be in UTC, as in `UNTIL=20261231T235959Z`"));
        }
        let recurrence = Self { rule: plain, zone };
        recurrence.parse()?;
        Ok(recurrence)
    }

    /// Whether it begins at all, and seldom enough for what is written of it behind and ahead.
    pub(crate) fn check(&self, starts_at: DateTime<Utc>) -> Result<(), CorrectionError> {
        let starts = self.starts(
            starts_at,
            starts_at,
            starts_at + TimeDelta::days(2 * AHEAD_MAX_DAYS),
        )?;
        if starts.is_empty() {
            return Err(CorrectionError::Rule {
                rule: self.rule.clone(),
                problem: "it never begins".to_owned(),
            });
        }
        Ok(())
    }

    #[must_use]
    pub fn rule(&self) -> &str {
        &self.rule
    }

    #[must_use]
    pub fn zone(&self) -> &'static str {
        self.zone.name()
    }

    fn parse(&self) -> Result<RRule<Unvalidated>, CorrectionError> {
        self.rule.parse().map_err(|error| self.refuse(&error))
    }

    fn refuse(&self, error: &RRuleError) -> CorrectionError {
        CorrectionError::Rule {
            rule: self.rule.clone(),
            problem: error.to_string(),
        }
    }

    /// When it begins in `after` to `before`, on the zone's clocks; the first time is that of `starts_at`. Rules are
    /// followed on the clocks as if they never changed: what is meant by a time that daylight saving skips or
    /// repeats, Postgres says as it does for calendars.
    pub(crate) fn starts(
        &self,
        starts_at: DateTime<Utc>,
        after: DateTime<Utc>,
        before: DateTime<Utc>,
    ) -> Result<Vec<NaiveDateTime>, CorrectionError> {
        let clocks = |at: DateTime<Utc>| {
            let local = at.with_timezone(&self.zone).naive_local();
            local.and_utc().with_timezone(&rrule::Tz::UTC)
        };
        let mut rule = self.parse()?;
        if let Some(until) = rule.get_until().map(DateTime::to_utc) {
            rule = rule.until(clocks(until));
        }
        let first = clocks(starts_at);
        let rule = rule.validate(first).map_err(|error| self.refuse(&error))?;
        let found = RRuleSet::new(first)
            .rrule(rule)
            .after(clocks(after))
            .before(clocks(before))
            .all(SPANS_MAX);
        if found.limited && found.dates.len() >= usize::from(SPANS_MAX) {
            return Err(CorrectionError::TooMany);
        }
        Ok(found.dates.iter().map(DateTime::naive_utc).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn starts(rule: &str, from: &str, to: &str) -> Result<Vec<String>, CorrectionError> {
        let found = Recurrence::new(rule, "Europe/Berlin")?.starts(at(from), at(from), at(to))?;
        Ok(found
            .iter()
            .map(|start| start.format("%m-%d %H:%M").to_string())
            .collect())
    }

    #[test]
    fn a_rule_is_followed_on_the_clocks_of_its_zone() {
        // Two o'clock in summer and in winter: the clocks go back on 25 October.
        let sundays = starts(
            "FREQ=WEEKLY;BYDAY=SU",
            "2026-10-18T00:00:00Z",
            "2026-11-02T00:00:00Z",
        )
        .unwrap();
        assert_eq!(sundays, ["10-18 02:00", "10-25 02:00", "11-01 02:00"]);
        let until = starts(
            "RRULE:FREQ=DAILY;UNTIL=20261102T010000Z",
            "2026-10-31T01:00:00Z",
            "2026-12-01T00:00:00Z",
        );
        assert_eq!(until.unwrap(), ["10-31 02:00", "11-01 02:00", "11-02 02:00"]);
        let last = starts(
            "freq=monthly;byday=-1fr;count=2",
            "2026-01-30T09:00:00Z",
            "2027-01-01T00:00:00Z",
        );
        assert_eq!(last.unwrap(), ["01-30 10:00", "02-27 10:00"]);
    }

    #[test]
    fn what_is_no_rule_is_refused_by_name() {
        for (rule, says) in [
            ("FREQ=SECONDLY", "`FREQ` has to be"),
            ("BYDAY=MO", "`FREQ` has to be"),
            ("FREQ=WEEKLY;BYDAY=XX", "BYDAY=XX"),
            ("FREQ=WEEKLY;BYDAY=\u{e9}\u{e9}", "holds what no rule does"),
            ("FREQ=DAILY\nDTSTART:19970902T090000Z", "holds what no rule does"),
            ("FREQ=DAILY;UNTIL=20261231", "has to be in UTC"),
            ("FREQ=DAILY;FREQ=SECONDLY", "FREQ"),
        ] {
            let refused = starts(rule, "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z").unwrap_err();
            assert!(refused.to_string().contains(says), "{rule:?}: {refused}");
        }
        let refused = Recurrence::new("FREQ=DAILY", "Europe/Atlantis").unwrap_err();
        assert_eq!(refused.to_string(), "there is no time zone `Europe/Atlantis`");
    }

    #[test]
    fn what_begins_too_often_is_refused_and_what_never_begins_ends() {
        let often = "FREQ=DAILY;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23";
        let refused = starts(often, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z").unwrap_err();
        assert!(matches!(refused, CorrectionError::TooMany), "{refused}");
        let never = starts(
            "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
            "2026-01-01T00:00:00Z",
            "2027-01-01T00:00:00Z",
        );
        assert_eq!(never.unwrap(), Vec::<String>::new());
    }
}
