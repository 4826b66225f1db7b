//! When a recurring correction begins: a rule of RFC 5545, dates that are left out of it, and dates beside it.
//!
//! In: the texts somebody wrote. Out: beginnings on the clocks of a zone; Postgres says which moments these are.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeDelta, Utc};
use chrono_tz::Tz;
use rrule::{RRule, RRuleError, RRuleSet, Unvalidated};

use super::{AHEAD_MAX_DAYS, CorrectionError, SPANS_MAX};

/// Dates that one correction may leave out, and that it may add.
pub(crate) const DATES_MAX: usize = 200;

/// A rule of RFC 5545 on the clocks of a zone: every Sunday at two is at two in summer, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recurrence {
    rule: String,
    zone: Tz,
    exdate: Vec<RecurrenceDate>,
    rdate: Vec<RecurrenceDate>,
}

/// A date of EXDATE or RDATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecurrenceDate {
    /// A day of the zone. Left out, all that begins on it is; added, it begins as late in the day as the first time.
    Day(NaiveDate),
    At(DateTime<Utc>),
}

impl FromStr for RecurrenceDate {
    type Err = CorrectionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let day = || text.parse().map(Self::Day).ok();
        let at = DateTime::parse_from_rfc3339(text).ok();
        at.map(|at| Self::At(at.to_utc()))
            .or_else(day)
            .ok_or_else(|| CorrectionError::Date(text.escape_debug().take(60).collect()))
    }
}

impl Display for RecurrenceDate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(day) => day.fmt(f),
            Self::At(at) => f.write_str(&at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        }
    }
}

impl Recurrence {
    /// # Errors
    /// When there is no such zone, or the rule cannot be read or recurs more often than daily rules do.
    pub fn new(rule: &str, zone: &str) -> Result<Self, CorrectionError> {
        let zone: Tz = zone.parse().map_err(|_| CorrectionError::Zone(zone.to_owned()))?;
        Self::on_clocks_of(zone, rule)
    }

    pub(crate) fn on_clocks_of(zone: Tz, rule: &str) -> Result<Self, CorrectionError> {
        let refuse = |problem: &str| CorrectionError::Rule {
            rule: rule.escape_debug().take(120).collect(),
            problem: problem.to_owned(),
        };
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
        let recurrence = Self {
            rule: plain,
            zone,
            exdate: Vec::new(),
            rdate: Vec::new(),
        };
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

    /// The same without what begins on the dates of `exdate`, and with what those of `rdate` add.
    #[must_use]
    pub fn with_dates(self, exdate: Vec<RecurrenceDate>, rdate: Vec<RecurrenceDate>) -> Self {
        Self {
            exdate,
            rdate,
            ..self
        }
    }

    /// Dates that change nothing are mistakes of whoever wrote them.
    pub(super) fn check_dates(&self, starts_at: DateTime<Utc>) -> Result<(), CorrectionError> {
        if self.exdate.len() > DATES_MAX || self.rdate.len() > DATES_MAX {
            return Err(CorrectionError::ManyDates);
        }
        for date in &self.rdate {
            self.check_added(*date, starts_at)?;
        }
        for date in &self.exdate {
            self.check_left_out(*date, starts_at)?;
        }
        Ok(())
    }

    pub(crate) fn check_added(
        &self,
        date: RecurrenceDate,
        starts_at: DateTime<Utc>,
    ) -> Result<(), CorrectionError> {
        if self.added(date, starts_at) < self.clocks(starts_at) {
            return Err(CorrectionError::BeforeFirst(date));
        }
        Ok(())
    }

    pub(crate) fn check_left_out(
        &self,
        date: RecurrenceDate,
        starts_at: DateTime<Utc>,
    ) -> Result<(), CorrectionError> {
        let (from, to) = match date {
            RecurrenceDate::Day(day) => {
                let midnight = day.and_time(NaiveTime::MIN);
                (midnight, midnight + TimeDelta::days(1) - TimeDelta::seconds(1))
            }
            RecurrenceDate::At(at) => (self.clocks(at), self.clocks(at)),
        };
        let ruled = self.ruled(starts_at, from, to)?;
        let added = self.rdate.iter().map(|date| self.added(*date, starts_at));
        if ruled
            .into_iter()
            .chain(added)
            .any(|start| self.is_on(start, date))
        {
            return Ok(());
        }
        Err(CorrectionError::NothingBegins(date))
    }

    #[must_use]
    pub fn exdate(&self) -> &[RecurrenceDate] {
        &self.exdate
    }

    #[must_use]
    pub fn rdate(&self) -> &[RecurrenceDate] {
        &self.rdate
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
        let (after, before) = (self.clocks(after), self.clocks(before));
        let mut starts = self.ruled(starts_at, after, before)?;
        let added = self.rdate.iter().map(|date| self.added(*date, starts_at));
        starts.extend(added.filter(|start| (after..=before).contains(start)));
        starts.retain(|start| !self.exdate.iter().any(|date| self.is_on(*start, *date)));
        starts.sort();
        starts.dedup();
        Ok(starts)
    }

    /// What the rule alone says, ends included.
    fn ruled(
        &self,
        starts_at: DateTime<Utc>,
        after: NaiveDateTime,
        before: NaiveDateTime,
    ) -> Result<Vec<NaiveDateTime>, CorrectionError> {
        let plain = |clocks: NaiveDateTime| clocks.and_utc().with_timezone(&rrule::Tz::UTC);
        let mut rule = self.parse()?;
        if let Some(until) = rule.get_until().map(DateTime::to_utc) {
            rule = rule.until(plain(self.clocks(until)));
        }
        let first = plain(self.clocks(starts_at));
        let rule = rule.validate(first).map_err(|error| self.refuse(&error))?;
        let found = RRuleSet::new(first)
            .rrule(rule)
            .after(plain(after))
            .before(plain(before))
            .all(SPANS_MAX);
        if found.limited && found.dates.len() >= usize::from(SPANS_MAX) {
            return Err(CorrectionError::TooMany);
        }
        Ok(found.dates.iter().map(DateTime::naive_utc).collect())
    }

    fn added(&self, date: RecurrenceDate, starts_at: DateTime<Utc>) -> NaiveDateTime {
        match date {
            RecurrenceDate::Day(day) => day.and_time(self.clocks(starts_at).time()),
            RecurrenceDate::At(at) => self.clocks(at),
        }
    }

    fn is_on(&self, start: NaiveDateTime, date: RecurrenceDate) -> bool {
        match date {
            RecurrenceDate::Day(day) => start.date() == day,
            RecurrenceDate::At(at) => start == self.clocks(at),
        }
    }

    fn clocks(&self, at: DateTime<Utc>) -> NaiveDateTime {
        at.with_timezone(&self.zone).naive_local()
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

    #[test]
    fn dates_are_left_out_and_added_on_the_clocks_of_the_zone() {
        let dates = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        // Two o'clock is midnight in UTC in summer, an hour later in winter.
        let (first, last) = (at("2026-10-18T00:00:00Z"), at("2026-11-16T00:00:00Z"));
        let sundays = Recurrence::new("FREQ=WEEKLY;BYDAY=SU", "Europe/Berlin").unwrap();
        let sundays = sundays.with_dates(
            dates(&["2026-10-25", "2026-11-08T02:00:00+01:00", "2026-11-12"]),
            dates(&[
                "2026-11-03",
                "2026-11-12",
                "2026-11-01T01:00:00Z",
                "2026-11-04T22:30:00Z",
            ]),
        );
        sundays.check_dates(first).unwrap();
        let starts = |after| -> Vec<_> {
            let starts = sundays.starts(first, after, last).unwrap();
            starts
                .iter()
                .map(|at| at.format("%m-%d %H:%M").to_string())
                .collect()
        };
        let expected = [
            "10-18 02:00",
            "11-01 02:00",
            "11-03 02:00",
            "11-04 23:30",
            "11-15 02:00",
        ];
        assert_eq!(starts(first), expected);
        assert_eq!(starts(at("2026-11-04T00:00:00Z")), expected[3..]);
    }

    #[test]
    fn a_date_that_changes_nothing_is_refused() {
        let daily = || Recurrence::new("FREQ=DAILY;COUNT=3", "Europe/Berlin").unwrap();
        let first = at("2026-10-18T00:00:00Z");
        for date in [
            "2026-10-21",
            "2026-10-17",
            "2026-10-19T02:00:00Z",
            "2026-10-19T00:00:01Z",
        ] {
            let dated = daily().with_dates(vec![date.parse().unwrap()], Vec::new());
            let refused = dated.check_dates(first).unwrap_err().to_string();
            assert_eq!(
                refused,
                format!("nothing begins at `{date}` that could be left out")
            );
        }
        for date in ["2026-10-17", "2026-10-17T23:59:59Z"] {
            let dated = daily().with_dates(Vec::new(), vec![date.parse().unwrap()]);
            let refused = dated.check_dates(first).unwrap_err().to_string();
            assert_eq!(refused, format!("`{date}` is before the first time"));
        }
        for text in [
            "2026-02-30",
            "20261227",
            "2026-12-27 02:00",
            "2026-12-27T02:00:00",
            "",
        ] {
            let refused = text.parse::<RecurrenceDate>().unwrap_err().to_string();
            assert!(
                refused.starts_with(&format!("`{text}` is neither a day")),
                "{refused}"
            );
        }
        let many = vec!["2026-10-19".parse().unwrap(); DATES_MAX + 1];
        let refused = daily().with_dates(many, Vec::new()).check_dates(first);
        assert!(matches!(refused, Err(CorrectionError::ManyDates)));
    }
}
