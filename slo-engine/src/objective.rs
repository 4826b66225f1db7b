//! What is promised: objectives, the events that count for them, and the tiers that alert.
//!
//! In: definitions make these. Out: the ledger asks [`Sli::side`] which counter is good and which is
//! bad, evaluation asks the target and the tiers. That question is answered here and nowhere else.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rust_decimal::Decimal;

use crate::budget_alert::BudgetAlert;
use crate::budgeting::{Budgeting, Calendar};
use crate::composite::Part;
use crate::duration;
use crate::evaluate::{DATA_OUTAGE, EvidenceGate, MissingData};
use crate::measurement::{Clock, Role, Route, Series, ServiceName, Signal, UnknownWord, words};
use crate::name::{LABEL, checked_text, is_label};
use crate::ownership::Ownership;
use crate::sequential::{FAST_PAGE, FastPage};

pub use crate::status::{Outcome, StatusSet};
pub use crate::target::{BurnRate, RatioError, Target};
pub use tier_note::{TierChange, TierNote};

mod tier_note;

/// A promise about one service over one period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objective {
    pub name: ObjectiveName,
    pub service: ServiceName,
    pub display_name: String,
    pub description: String,
    pub ownership: Ownership,
    pub target: Target,
    /// Rolling, or the nominal length of the calendar's periods.
    pub period: Duration,
    pub calendar: Option<Calendar>,
    pub budgeting: Budgeting,
    pub sli: Sli,
    /// Pages before tickets, short before long.
    pub tiers: Vec<Tier>,
    pub fast_page: Option<FastPage>,
    pub budget_alerts: Vec<BudgetAlert>,
    /// `None`: as the engine's rules say.
    pub missing_data: Option<MissingData>,
    /// `None`: as the engine's rules say.
    pub evidence: Option<EvidenceGate>,
    /// What became of default tiers that do not suit this target and period.
    pub tier_notes: Vec<TierNote>,
}

impl Objective {
    /// The stored word for what its ledger counts: OpenSLO's method, or that its parts do.
    #[must_use]
    pub fn method(&self) -> &'static str {
        if self.is_read_off_parts() {
            "Composite"
        } else {
            self.budgeting.method()
        }
    }

    /// The slices that its ledger counts, if it does.
    #[must_use]
    pub fn slice(&self) -> Option<Duration> {
        self.budgeting.slice().filter(|_| !self.is_read_off_parts())
    }

    /// Composites have no ledger of what they count, but for those whose slices are good or bad.
    fn is_read_off_parts(&self) -> bool {
        matches!(self.sli.kind, SliKind::Composite(_))
            && !matches!(self.budgeting, Budgeting::Timeslices { .. })
    }
}

checked_text!(
    /// What people call an objective; unique in an installation.
    ObjectiveName, "objective name", is_label, LABEL
);

checked_text!(
    /// What people call an alert tier, such as `page-1h`; unique in its objective.
    TierName, "tier name", is_label, LABEL
);

impl TierName {
    /// The fast page's.
    #[must_use]
    pub fn fast_page() -> Self {
        Self(FAST_PAGE.into())
    }

    /// Missing data's.
    #[must_use]
    pub fn data_outage() -> Self {
        Self(DATA_OUTAGE.into())
    }
}

/// Which events an objective counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sli {
    pub role: Role,
    /// `None`: all routes. A route counts what is counted beneath it, too ([`Route::covers`]).
    pub route: Option<Route>,
    pub kind: SliKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SliKind {
    /// Good and total by how requests ended. What is in neither is left out.
    Ratio { good: StatusSet, total: StatusSet },
    /// Good within the threshold, bad past it.
    Latency { clock: Clock, threshold: Duration },
    /// Of connections' segments with data: good when first sent, bad when sent again. Knows no routes.
    Retransmits,
    /// No event of its own: what its parts burn.
    Composite(Vec<Part>),
}

/// What one counter means to one objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    Good,
    Bad,
}

impl Sli {
    /// Whether the series counts good or bad events of this SLI; `None` when it counts neither.
    /// The service is not looked at: an SLI belongs to the service of its objective.
    #[must_use]
    pub fn side(&self, series: &Series) -> Option<Side> {
        if series.role != self.role {
            return None;
        }
        if self.kind == SliKind::Retransmits {
            return match series.signal {
                Signal::SegmentsSent => Some(Side::Good),
                Signal::Retransmits => Some(Side::Bad),
                _ => None,
            };
        }
        let counted = series.route.as_ref()?;
        if self.route.as_ref().is_some_and(|route| !route.covers(counted)) {
            return None;
        }
        match &self.kind {
            SliKind::Ratio { good, total } => {
                let (in_good, in_total) = match series.signal {
                    Signal::Status(code) => (good.has_code(code), total.has_code(code)),
                    Signal::Grpc(code) => (good.has_grpc(code), total.has_grpc(code)),
                    other => {
                        let outcome = Outcome::of(other)?;
                        (good.has_outcome(outcome), total.has_outcome(outcome))
                    }
                };
                in_total.then_some(if in_good { Side::Good } else { Side::Bad })
            }
            SliKind::Latency { clock, threshold } => match series.signal {
                Signal::Within {
                    clock: c,
                    threshold: t,
                } if (c, t) == (*clock, *threshold) => Some(Side::Good),
                Signal::Over {
                    clock: c,
                    threshold: t,
                } if (c, t) == (*clock, *threshold) => Some(Side::Bad),
                _ => None,
            },
            SliKind::Retransmits | SliKind::Composite(_) => None,
        }
    }

    /// The default availability of a service.
    #[must_use]
    pub fn availability() -> Self {
        Self {
            role: Role::Server,
            route: None,
            kind: SliKind::Ratio {
                good: StatusSet::good_by_default(),
                total: StatusSet::all_by_default(),
            },
        }
    }
}

/// The stored spelling: two SLIs count the same exactly when their texts are equal.
impl fmt::Display for Sli {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            SliKind::Ratio { good, total } => write!(f, "{} ratio:{good}/{total} route:", self.role)?,
            SliKind::Latency { clock, threshold } => {
                write!(
                    f,
                    "{} latency:{clock}:{} route:",
                    self.role,
                    duration::format(*threshold)
                )?;
            }
            SliKind::Retransmits => write!(f, "{} segments:again/all route:", self.role)?,
            SliKind::Composite(parts) => {
                let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
                write!(f, "{} composite:{} route:", self.role, parts.join(","))?;
            }
        }
        match &self.route {
            Some(route) => write!(f, "{route}"),
            None => f.write_str("*"),
        }
    }
}

impl FromStr for Sli {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let unknown = || UnknownWord {
            what: "SLI",
            text: text.to_owned(),
        };
        let (role, rest) = text.split_once(' ').ok_or_else(unknown)?;
        let (kind, route) = rest.split_once(" route:").ok_or_else(unknown)?;
        let (word, detail) = kind.split_once(':').ok_or_else(unknown)?;
        let kind = match word {
            "ratio" => {
                let (good, total) = detail.split_once('/').ok_or_else(unknown)?;
                SliKind::Ratio {
                    good: good.parse().map_err(|_| unknown())?,
                    total: total.parse().map_err(|_| unknown())?,
                }
            }
            "latency" => {
                let (clock, threshold) = detail.split_once(':').ok_or_else(unknown)?;
                SliKind::Latency {
                    clock: clock.parse()?,
                    threshold: duration::parse(threshold).map_err(|_| unknown())?,
                }
            }
            "segments" if detail == "again/all" => SliKind::Retransmits,
            "composite" => {
                let parts = detail.split(',').map(|part| part.parse().map_err(|()| unknown()));
                SliKind::Composite(parts.collect::<Result<_, _>>()?)
            }
            _ => return Err(unknown()),
        };
        let route = match route {
            "*" => None,
            text => Some(text.parse().map_err(|_| unknown())?),
        };
        Ok(Self {
            role: role.parse()?,
            route,
            kind,
        })
    }
}

/// The stored spelling of the kind alone: `ratio`, `latency`, `retransmits` or `composite`.
impl SliKind {
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Ratio { .. } => "ratio",
            Self::Latency { .. } => "latency",
            Self::Retransmits => "retransmits",
            Self::Composite(_) => "composite",
        }
    }
}

words!(
    /// What an alert asks of people.
    Severity, "severity", {
        /// Wakes someone.
        Page => "page",
        /// Waits for working hours.
        Ticket => "ticket",
    }
);

/// One pair of windows: fires while the burn rate of both is above the threshold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    pub name: TierName,
    pub severity: Severity,
    pub long: Duration,
    pub short: Duration,
    /// Fires above this, not at it.
    pub burn_rate: BurnRate,
    /// The share of the period's budget that is spent when the long window fires. `None` when the
    /// definition gave a burn rate instead.
    pub budget_share: Option<Decimal>,
    /// How long both windows have to burn before it fires. Zero: it fires as soon as there is evidence.
    pub after: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(role: Role, route: Option<&str>, signal: Signal) -> Series {
        let route = route.map(|text| text.parse().unwrap());
        Series {
            service: "web".parse().unwrap(),
            role,
            route,
            signal,
        }
    }

    fn side(sli: &Sli, signal: Signal) -> Option<Side> {
        sli.side(&series(Role::Server, Some("GET /"), signal))
    }

    #[test]
    fn availability_counts_answers_and_deaths_and_leaves_out_what_the_client_did() {
        let sli = Sli::availability();
        for code in [100, 200, 301, 404, 499] {
            assert_eq!(side(&sli, Signal::Status(code)), Some(Side::Good), "{code}");
        }
        // RFC 9110 section 15: an invalid code is to be treated as a 5xx.
        for code in [500, 503, 599, 600, 999, 0, 99] {
            assert_eq!(side(&sli, Signal::Status(code)), Some(Side::Bad), "{code}");
        }
        for code in 0..=16 {
            let is_bad = [2, 4, 12, 13, 14, 15].contains(&code);
            let expected = if is_bad { Side::Bad } else { Side::Good };
            assert_eq!(side(&sli, Signal::Grpc(code)), Some(expected), "{code}");
        }
        for signal in [Signal::ResetByServer, Signal::ClosedUnanswered, Signal::TimedOut] {
            assert_eq!(side(&sli, signal), Some(Side::Bad), "{signal}");
        }
        for signal in [
            Signal::ClientGaveUp,
            Signal::Unknown,
            Signal::Retransmits,
            Signal::Accepted,
        ] {
            assert_eq!(side(&sli, signal), None, "{signal}");
        }
    }

    #[test]
    fn an_answer_whose_status_cannot_be_read_is_bad_only_when_somebody_says_so() {
        let explicit: StatusSet = "1xx,2xx,3xx,4xx".parse().unwrap();
        let ratio = |good: StatusSet, total| Sli {
            kind: SliKind::Ratio { good, total },
            ..Sli::availability()
        };
        assert_eq!(side(&Sli::availability(), Signal::Answered), Some(Side::Good));
        let unwritten = ratio(explicit, StatusSet::all_beside(&explicit, true));
        assert_eq!(side(&unwritten, Signal::Answered), None);
        assert_eq!(side(&unwritten, Signal::Grpc(0)), None);
        assert_eq!(side(&unwritten, Signal::TimedOut), Some(Side::Bad));
        let written = ratio(explicit, StatusSet::all_by_default());
        assert_eq!(side(&written, Signal::Answered), Some(Side::Bad));
        let bad: StatusSet = "5xx,unanswered".parse().unwrap();
        let total = StatusSet::all_beside(&bad, false);
        assert_eq!(
            side(&ratio(total.without(&bad), total), Signal::Answered),
            Some(Side::Good)
        );
    }

    #[test]
    fn a_latency_counts_its_own_threshold_and_clock_only() {
        let threshold = Duration::from_millis(250);
        let clock = Clock::Turnaround;
        let sli = Sli {
            kind: SliKind::Latency { clock, threshold },
            ..Sli::availability()
        };
        assert_eq!(side(&sli, Signal::Within { clock, threshold }), Some(Side::Good));
        assert_eq!(side(&sli, Signal::Over { clock, threshold }), Some(Side::Bad));
        assert_eq!(
            side(
                &sli,
                Signal::Within {
                    clock: Clock::FirstByte,
                    threshold
                }
            ),
            None
        );
        assert_eq!(
            side(
                &sli,
                Signal::Over {
                    clock,
                    threshold: Duration::from_millis(251)
                }
            ),
            None
        );
        assert_eq!(side(&sli, Signal::Status(500)), None);
    }

    #[test]
    fn of_retransmits_segments_are_counted_and_no_requests() {
        let sli = Sli {
            kind: SliKind::Retransmits,
            ..Sli::availability()
        };
        let side = |signal| sli.side(&series(Role::Server, None, signal));
        assert_eq!(side(Signal::SegmentsSent), Some(Side::Good));
        assert_eq!(side(Signal::Retransmits), Some(Side::Bad));
        for signal in [Signal::SynRetransmits, Signal::BytesSent, Signal::ResetsSent] {
            assert_eq!(side(signal), None, "{signal}");
        }
        assert_eq!(sli.side(&series(Role::Client, None, Signal::SegmentsSent)), None);
        assert_eq!(
            sli.side(&series(Role::Server, Some("GET *"), Signal::Status(200))),
            None
        );
    }

    #[test]
    fn role_and_route_are_part_of_what_is_counted() {
        let sli = Sli {
            route: Some("GET /api/".parse().unwrap()),
            ..Sli::availability()
        };
        let ok = Signal::Status(200);
        assert_eq!(
            sli.side(&series(Role::Server, Some("GET /api/"), ok)),
            Some(Side::Good)
        );
        assert_eq!(
            sli.side(&series(Role::Server, Some("GET /api/orders/"), ok)),
            Some(Side::Good)
        );
        assert_eq!(sli.side(&series(Role::Server, Some("GET *"), ok)), None);
        assert_eq!(sli.side(&series(Role::Server, Some("other"), ok)), None);
        assert_eq!(sli.side(&series(Role::Client, Some("GET /api/"), ok)), None);
        assert_eq!(sli.side(&series(Role::Server, None, ok)), None);
    }

    #[test]
    fn an_sli_reads_back_from_its_stored_spelling() {
        let threshold = Duration::from_millis(250);
        let latency = SliKind::Latency {
            clock: Clock::FirstByte,
            threshold,
        };
        let good: StatusSet = "2xx,404,timed_out".parse().unwrap();
        let ratio = SliKind::Ratio {
            good,
            total: StatusSet::all_by_default(),
        };
        for (sli, text) in [
            (
                Sli::availability(),
                "server ratio:1xx,2xx,3xx,4xx,grpc:no_server_error,answered/1xx,2xx,3xx,4xx,5xx,grpc,unanswered,answered route:*",
            ),
            (
                Sli {
                    role: Role::Client,
                    route: Some("GET /a/".parse().unwrap()),
                    kind: latency,
                },
                "client latency:first_byte:250ms route:GET /a/",
            ),
            (
                Sli {
                    kind: SliKind::Composite(vec!["2*a".parse().unwrap(), "0.5*b-c".parse().unwrap()]),
                    ..Sli::availability()
                },
                "server composite:2*a,0.5*b-c route:*",
            ),
            (
                Sli {
                    role: Role::Server,
                    route: Some(Route::other()),
                    kind: ratio,
                },
                "server ratio:2xx,404,timed_out/1xx,2xx,3xx,4xx,5xx,grpc,unanswered,answered route:other",
            ),
        ] {
            assert_eq!(sli.to_string(), text);
            assert_eq!(text.parse(), Ok(sli));
        }
        for bad in [
            "",
            "server",
            "server ratio:2xx route:*",
            "server latency:noon:1s route:*",
            "both ratio:2xx/2xx route:*",
            "server composite: route:*",
        ] {
            assert!(bad.parse::<Sli>().is_err(), "{bad}");
        }
    }
}
