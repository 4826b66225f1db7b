//! Silences: alerts of which nobody wants to be told for a while.
//!
//! In: what somebody asks for. Out: the same, checked, and whether it is about an alert. A silence changes no alert: it
//! fires and resolves as ever. It holds back what is done about one that fires, and when the silence ends while
//! the alert still fires, that is done then.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use regex::Regex;

use crate::engine::EngineError;
use crate::measurement::words;
use crate::text::{self, UnfitText};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SilenceId(pub i64);

words!(
    /// What is known of an alert before it fires.
    Label, "label of an alert", {
        Service => "service",
        Objective => "objective",
        Tier => "tier",
        Severity => "severity",
    }
);

/// The labels of one alert.
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a> {
    pub service: &'a str,
    pub objective: &'a str,
    pub tier: &'a str,
    pub severity: &'a str,
}

impl<'a> Labels<'a> {
    fn get(&self, label: Label) -> &'a str {
        match label {
            Label::Service => self.service,
            Label::Objective => self.objective,
            Label::Tier => self.tier,
            Label::Severity => self.severity,
        }
    }
}

/// As in Alertmanager: `=`, `!=`, `=~` and `!~`, expressions being about the whole text.
#[derive(Debug, Clone)]
pub struct Matcher {
    label: Label,
    is_negated: bool,
    text: String,
    /// `None`: the text itself.
    expression: Option<Regex>,
}

/// Compiled, in bytes. One that takes more is no name.
const EXPRESSION_MAX: usize = 64 * 1024;

impl Matcher {
    fn matches(&self, value: &str) -> bool {
        let is_it = match &self.expression {
            Some(expression) => expression.is_match(value),
            None => self.text == value,
        };
        is_it != self.is_negated
    }
}

impl FromStr for Matcher {
    type Err = SilenceError;

    fn from_str(text: &str) -> Result<Self, SilenceError> {
        let refuse = |problem: String| SilenceError::Matcher {
            text: text.escape_debug().take(120).collect(),
            problem,
        };
        let at = text
            .find(['=', '!'])
            .ok_or_else(|| refuse("it holds none of `=`, `!=`, `=~`, `!~`".to_owned()))?;
        let (label, rest) = text.split_at(at);
        let label: Label = label.trim().parse().map_err(|_| {
            let known: Vec<_> = Label::ALL.iter().map(|label| format!("`{label}`")).collect();
            refuse(format!("`{}` is none of {}", label.trim(), known.join(", ")))
        })?;
        let (is_negated, is_expression, value) = [
            ("=~", false, true),
            ("!~", true, true),
            ("!=", true, false),
            ("=", false, false),
        ]
        .into_iter()
        .find_map(|(sign, negated, expression)| Some((negated, expression, rest.strip_prefix(sign)?)))
        .ok_or_else(|| refuse("`!` is followed by neither `=` nor `~`".to_owned()))?;
        let value = value.trim();
        // As Alertmanager writes them.
        let value = value
            .strip_prefix('"')
            .and_then(|value| value.strip_suffix('"'))
            .unwrap_or(value);
        let expression = is_expression
            .then(|| {
                regex::RegexBuilder::new(&format!("^(?:{value})$"))
                    .size_limit(EXPRESSION_MAX)
                    .build()
            })
            .transpose()
            .map_err(|error| {
                // The last line says what, the ones before it show where.
                let said = error.to_string();
                let what = said.lines().next_back().unwrap_or(&said).trim();
                refuse(what.trim_start_matches("error: ").to_owned())
            })?;
        Ok(Self {
            label,
            is_negated,
            text: value.to_owned(),
            expression,
        })
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match (self.is_negated, self.expression.is_some()) {
            (false, false) => "=",
            (false, true) => "=~",
            (true, false) => "!=",
            (true, true) => "!~",
        };
        write!(f, "{}{sign}{}", self.label, self.text)
    }
}

/// What somebody asks for.
#[derive(Debug, Clone)]
pub struct NewSilence {
    /// All must hold.
    pub matchers: Vec<Matcher>,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub author: String,
    pub comment: String,
}

/// Why a silence cannot be.
#[derive(Debug, thiserror::Error)]
pub enum SilenceError {
    #[error(transparent)]
    Text(#[from] UnfitText),
    #[error("the matcher `{text}` cannot be read: {problem}")]
    Matcher { text: String, problem: String },
    #[error("a silence needs 1 to {MATCHERS_MAX} matchers")]
    Matchers,
    #[error("these matchers are about every alert there can be")]
    Everything,
    #[error("the silence ends before it begins, or as it begins")]
    Backwards,
    #[error("the silence ends in the past")]
    Over,
    #[error(
        "the silence is longer than {LENGTH_MAX_DAYS} days, or begins more than {LENGTH_MAX_DAYS} days from now"
    )]
    TooLong,
    #[error("there are {SILENCES_MAX} silences that stand")]
    Full,
    #[error("there is no silence {}", .0.0)]
    Unknown(SilenceId),
    #[error("silence {} is over already", .0.0)]
    Ended(SilenceId),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<sqlx::Error> for SilenceError {
    fn from(error: sqlx::Error) -> Self {
        Self::Engine(error.into())
    }
}

const MATCHERS_MAX: usize = 16;
const LENGTH_MAX_DAYS: i64 = 366;
/// Pending and active ones: each is held against each alert that fires.
pub(crate) const SILENCES_MAX: i64 = 500;

impl NewSilence {
    /// # Errors
    /// With the first thing that cannot be.
    pub fn check(&self, now: DateTime<Utc>) -> Result<(), SilenceError> {
        text::check("author", &self.author, 1, 100)?;
        text::check("comment", &self.comment, 1, 1_000)?;
        if self.matchers.is_empty() || self.matchers.len() > MATCHERS_MAX {
            return Err(SilenceError::Matchers);
        }
        // No label is ever empty: whoever matches the empty text, too, has ruled nothing out.
        if self.matchers.iter().all(|matcher| matcher.matches("")) {
            return Err(SilenceError::Everything);
        }
        if self.ends_at <= self.starts_at {
            return Err(SilenceError::Backwards);
        }
        if self.ends_at <= now {
            return Err(SilenceError::Over);
        }
        let most = TimeDelta::days(LENGTH_MAX_DAYS);
        if self.ends_at - self.starts_at > most || self.starts_at > now + most {
            return Err(SilenceError::TooLong);
        }
        Ok(())
    }
}

words!(
    SilenceState, "silence state", {
        /// Not begun.
        Pending => "pending",
        Active => "active",
        /// Over, by its time or by hand.
        Ended => "ended",
    }
);

/// As it is kept.
#[derive(Debug, Clone)]
pub struct Silence {
    pub id: SilenceId,
    pub matchers: Vec<Matcher>,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub author: String,
    pub comment: String,
    pub created_at: DateTime<Utc>,
    /// Ended by hand, before its time.
    pub ended_at: Option<DateTime<Utc>>,
    pub ended_by: Option<String>,
}

impl Silence {
    #[must_use]
    pub fn state(&self, now: DateTime<Utc>) -> SilenceState {
        if self.ended_at.is_some() || self.ends_at <= now {
            SilenceState::Ended
        } else if self.starts_at > now {
            SilenceState::Pending
        } else {
            SilenceState::Active
        }
    }

    #[must_use]
    pub fn is_about(&self, labels: &Labels<'_>) -> bool {
        self.matchers
            .iter()
            .all(|matcher| matcher.matches(labels.get(matcher.label)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: Labels<'static> = Labels {
        service: "web",
        objective: "web-availability",
        tier: "page-1h",
        severity: "page",
    };

    fn matcher(text: &str) -> Matcher {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn matchers_mean_what_they_mean_to_alertmanager() {
        for (text, expected) in [
            ("service=web", true),
            ("service = \"web\"", true),
            ("service=we", false),
            ("service!=web", false),
            ("service!=shop", true),
            ("tier=~page-.*", true),
            ("tier=~page", false),
            ("tier=~page|ticket", false),
            ("objective!~web-.*", false),
            ("objective!~shop-.*", true),
            ("severity=ticket", false),
        ] {
            let matcher = matcher(text);
            assert_eq!(matcher.matches(PAGE.get(matcher.label)), expected, "{text}");
        }
    }

    #[test]
    fn matchers_read_back_as_they_are_written() {
        for text in [
            "service=web",
            "tier!=page-1h",
            "tier=~page-.*",
            "objective!~a|b",
            "service=a=b",
        ] {
            assert_eq!(matcher(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_matcher_says_why() {
        for (text, problem) in [
            ("service", "it holds none of `=`, `!=`, `=~`, `!~`"),
            (
                "host=web",
                "`host` is none of `service`, `objective`, `tier`, `severity`",
            ),
            ("service!web", "`!` is followed by neither `=` nor `~`"),
            ("tier=~(page", "unclosed group"),
            (
                "tier=~(((a{50}){50}){50})",
                "Compiled regex exceeds size limit of 65536 bytes.",
            ),
        ] {
            let said = text.parse::<Matcher>().unwrap_err().to_string();
            assert_eq!(said, format!("the matcher `{text}` cannot be read: {problem}"));
        }
    }

    #[test]
    fn a_silence_of_everything_or_of_no_time_is_refused() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let silence = |matchers: &[&str], from: i64, to: i64| NewSilence {
            matchers: matchers.iter().map(|text| matcher(text)).collect(),
            starts_at: now + TimeDelta::minutes(from),
            ends_at: now + TimeDelta::minutes(to),
            author: "ann".to_owned(),
            comment: "a new release".to_owned(),
        };
        assert!(silence(&["service=web"], 0, 60).check(now).is_ok());
        assert!(silence(&["service=web"], -60, 60).check(now).is_ok());
        let refused = |silence: NewSilence| silence.check(now).unwrap_err().to_string();
        assert!(refused(silence(&[], 0, 60)).contains("1 to 16"));
        assert!(refused(silence(&["service=~.*"], 0, 60)).contains("every alert"));
        assert!(refused(silence(&["service!=web"], 0, 60)).contains("every alert"));
        assert!(refused(silence(&["service=web"], 60, 60)).contains("before it begins"));
        assert!(refused(silence(&["service=web"], -60, -1)).contains("in the past"));
        assert!(refused(silence(&["service=web"], 0, 367 * 1440)).contains("longer than 366 days"));
        let nobody = NewSilence {
            author: " ".to_owned(),
            ..silence(&["service=web"], 0, 60)
        };
        assert_eq!(refused(nobody), "`author` is empty");
    }
}
