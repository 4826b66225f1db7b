//! Alert tiers: the defaults, and those that a definition states.
//!
//! A tier fires when `share` of the period's budget is spent within its long window, which is a burn
//! rate of `share * period / long` (Google SRE Workbook, chapter 5). The default shares are the
//! Workbook's: 2 % in 1 h and 5 % in 6 h page, 10 % in 1 d and 10 % in 3 d open tickets. Short
//! windows are a twelfth of the long ones; they let an alert end soon after its cause.

use std::time::Duration;

use rust_decimal::Decimal;

use super::indicator::word;
use super::node::{Node, Position, Report, parse_decimal, quoted, shorten};
use super::ratio::{percentage, share};
use crate::duration;
use crate::objective::{BurnRate, Severity, Target, Tier, TierChange, TierName, TierNote};

/// Tiers that one objective may have.
pub const TIERS_MAX: usize = 8;

const HOUR: u64 = 3600;
/// Severity, long and short window in seconds, share in percent.
const DEFAULTS: [(Severity, u64, u64, i64); 4] = [
    (Severity::Page, HOUR, HOUR / 12, 2),
    (Severity::Page, 6 * HOUR, HOUR / 2, 5),
    (Severity::Ticket, 24 * HOUR, 2 * HOUR, 10),
    (Severity::Ticket, 72 * HOUR, 6 * HOUR, 10),
];

/// The default tiers for a target and a period, and what became of those that do not suit them.
#[must_use]
pub fn default_tiers(target: Target, period: Duration) -> (Vec<Tier>, Vec<TierNote>) {
    let (mut tiers, mut notes) = (Vec::new(), Vec::new());
    for (severity, long, short, percent) in DEFAULTS {
        let (long, short) = (Duration::from_secs(long), Duration::from_secs(short));
        let budget_share = Decimal::new(percent, 2).normalize();
        let (Ok(name), Ok(computed)) = (
            default_name(severity, long),
            BurnRate::from_share(budget_share, period, long),
        ) else {
            continue;
        };
        let mut tier = Tier {
            name,
            severity,
            long,
            short,
            burn_rate: computed,
            budget_share: Some(budget_share),
        };
        let mut note = |change| {
            notes.push(TierNote {
                tier: tier.name.clone(),
                computed,
                change,
            });
        };
        if long > period {
            note(TierChange::LeftOutLongerThanPeriod);
            continue;
        }
        if computed.value() < Decimal::ONE {
            note(TierChange::ClampedToOne);
            let Ok(one) = BurnRate::try_from(Decimal::ONE) else {
                continue;
            };
            tier.burn_rate = one;
            tier.budget_share = Some(spent_share(one, period, long));
        }
        if target.reaches(tier.burn_rate) {
            tiers.push(tier);
        } else {
            note(TierChange::LeftOutUnreachable {
                max_burn_rate: target.max_burn_rate(),
            });
        }
    }
    (tiers, notes)
}

/// The share of the budget that a burn rate spends in a window: `rate * long / period`.
fn spent_share(rate: BurnRate, period: Duration, long: Duration) -> Decimal {
    let seconds = |span: Duration| Decimal::from(span.as_secs().max(1));
    (rate.value() * seconds(long) / seconds(period))
        .round_dp(9)
        .normalize()
}

pub(super) fn default_name(
    severity: Severity,
    long: Duration,
) -> Result<TierName, crate::measurement::NameError> {
    format!("{severity}-{}", duration::format(long)).parse()
}

/// A tier as stated, before target and period are known to suit it.
#[derive(Debug, Clone)]
pub(super) struct TierDraft {
    name: TierName,
    severity: Severity,
    long: Duration,
    short: Duration,
    burn: Burn,
    at: Position,
}

#[derive(Debug, Clone, Copy)]
enum Burn {
    Rate(BurnRate),
    Share(Decimal),
}

/// Reads the list of the short form: `[{severity, long, short, budget | burnRate, name}]`.
pub(super) fn read_list(node: &Node, report: &mut Report) -> Option<Vec<TierDraft>> {
    let drafts: Vec<_> = node
        .list("tiers", report)?
        .iter()
        .map(|item| read_item(item, report))
        .collect();
    check_list(drafts, node.at, report)
}

fn read_item(node: &Node, report: &mut Report) -> Option<TierDraft> {
    let mut fields = node.fields("tier", report)?;
    let severity = fields
        .required("severity", report)
        .and_then(|n| word(n, "severity", Severity::ALL, report));
    let long = fields
        .required("long", report)
        .and_then(|n| n.duration("long", report));
    let short = fields
        .required("short", report)
        .and_then(|n| n.duration("short", report));
    let budget = fields
        .optional("budget")
        .map(|n| share(n, "budget", report).and_then(|s| check_share(s, n.at, report)));
    let rate = fields.optional("burnRate").map(|n| {
        let rate = n.decimal("burnRate", report)?;
        check_rate(rate, n.at, report)
    });
    let name = fields
        .optional("name")
        .map(|n| n.parse::<TierName>("name", report));
    let burn = match (budget, rate) {
        (Some(share), None) => share.map(Burn::Share),
        (None, Some(rate)) => rate.map(Burn::Rate),
        (both, _) => {
            let count = if both.is_some() {
                "both `budget` and `burnRate`"
            } else {
                "neither `budget` nor `burnRate`"
            };
            let hint = "write the share of the budget, such as `budget: 2%`, or the burn rate, such as `burnRate: 14.4`";
            report.error(node.at, format!("tier has {count}"), Some(hint.to_owned()));
            None
        }
    };
    fields.finish(report);
    let name = name.map_or(Some(None), |name| name.map(Some))?;
    draft(name, severity?, long?, short?, burn?, node.at)
}

/// Reads the annotation of an OpenSLO SLO: `page 1h+5m 2%, ticket 3d+6h 1x`.
pub(super) fn read_annotation(text: &str, at: Position, report: &mut Report) -> Option<Vec<TierDraft>> {
    let parts = text
        .split([',', '\n'])
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let drafts: Vec<_> = parts.map(|part| read_annotated(part, at, report)).collect();
    check_list(drafts, at, report)
}

fn read_annotated(part: &str, at: Position, report: &mut Report) -> Option<TierDraft> {
    let (name, rest) = match part.split_once(':') {
        Some((name, rest)) => match name.trim().parse::<TierName>() {
            Ok(name) => (Some(name), rest),
            Err(error) => {
                report.error(at, format!("tier `{}`: {error}", shorten(part)), None);
                return None;
            }
        },
        None => (None, part),
    };
    let words: Vec<&str> = rest.split_whitespace().collect();
    let wrong = |what: String, report: &mut Report| {
        let hint = "such as `page 1h+5m 2%` or `ticket 3d+6h 1x`: severity, long and short window, \
                    share of the budget or burn rate";
        report.error(
            at,
            format!("tier `{}`: {what}", shorten(part)),
            Some(hint.to_owned()),
        );
    };
    let [severity, windows, burn] = words.as_slice() else {
        wrong("expected three words".to_owned(), report);
        return None;
    };
    let Ok(severity) = severity.parse::<Severity>() else {
        wrong(
            format!(
                "`{severity}` is no severity, expected {}",
                quoted(&["page", "ticket"])
            ),
            report,
        );
        return None;
    };
    let windows = windows
        .split_once('+')
        .map(|(long, short)| (duration::parse(long), duration::parse(short)));
    let (long, short) = match windows {
        Some((Ok(long), Ok(short))) => (long, short),
        Some((Err(error), _) | (_, Err(error))) => {
            wrong(error.to_string(), report);
            return None;
        }
        None => {
            wrong("expected two windows joined by `+`".to_owned(), report);
            return None;
        }
    };
    let burn = if let Some(share) = percentage(burn) {
        Burn::Share(check_share(share, at, report)?)
    } else if let Some(rate) = burn.strip_suffix('x').and_then(parse_decimal) {
        Burn::Rate(check_rate(rate, at, report)?)
    } else {
        wrong(
            format!("`{burn}` is neither a share such as `2%` nor a burn rate such as `14.4x`"),
            report,
        );
        return None;
    };
    draft(name, severity, long, short, burn, at)
}

fn draft(
    name: Option<TierName>,
    severity: Severity,
    long: Duration,
    short: Duration,
    burn: Burn,
    at: Position,
) -> Option<TierDraft> {
    let name = match name {
        Some(name) => name,
        None => default_name(severity, long).ok()?,
    };
    Some(TierDraft {
        name,
        severity,
        long,
        short,
        burn,
        at,
    })
}

fn check_share(share: Decimal, at: Position, report: &mut Report) -> Option<Decimal> {
    if share > Decimal::ZERO && share <= Decimal::ONE {
        return Some(share.normalize());
    }
    report.error(
        at,
        "the share of the budget is out of range, expected above 0 % and at most 100 %",
        None,
    );
    None
}

fn check_rate(rate: Decimal, at: Position, report: &mut Report) -> Option<BurnRate> {
    match BurnRate::try_from(rate) {
        Ok(rate) => Some(rate),
        Err(error) => {
            report.error(at, error.to_string(), None);
            None
        }
    }
}

fn check_list(drafts: Vec<Option<TierDraft>>, at: Position, report: &mut Report) -> Option<Vec<TierDraft>> {
    if drafts.is_empty() {
        let hint = "remove it to get the default tiers".to_owned();
        report.error(at, "the list of alert tiers is empty", Some(hint));
        return None;
    }
    if drafts.len() > TIERS_MAX {
        report.error(
            at,
            format!("{} alert tiers, at most {TIERS_MAX} are evaluated", drafts.len()),
            None,
        );
        return None;
    }
    let drafts: Vec<TierDraft> = drafts.into_iter().collect::<Option<_>>()?;
    for (index, draft) in drafts.iter().enumerate() {
        if drafts[..index].iter().any(|earlier| earlier.name == draft.name) {
            let hint = "give one of them a name of its own".to_owned();
            report.error(
                draft.at,
                format!("two alert tiers are named `{}`", draft.name),
                Some(hint),
            );
        }
    }
    Some(drafts)
}

/// Checks stated tiers against the target and the period.
pub(super) fn build(
    drafts: &[TierDraft],
    target: Target,
    period: Duration,
    report: &mut Report,
) -> Vec<Tier> {
    let mut tiers: Vec<Tier> = drafts
        .iter()
        .filter_map(|draft| build_one(draft, target, period, report))
        .collect();
    tiers.sort_by(|a, b| (a.severity, a.long, a.short, &a.name).cmp(&(b.severity, b.long, b.short, &b.name)));
    tiers
}

fn build_one(draft: &TierDraft, target: Target, period: Duration, report: &mut Report) -> Option<Tier> {
    let TierDraft {
        name,
        severity,
        long,
        short,
        burn,
        at,
    } = draft.clone();
    let spell = duration::format;
    let whole = |span: Duration| span.subsec_nanos() == 0 && span.as_secs() >= 2;
    if !whole(long) || !whole(short) {
        report.error(
            at,
            format!("tier `{name}`: windows are whole seconds, at least `2s`"),
            None,
        );
        return None;
    }
    if short >= long {
        let hint = format!(
            "a twelfth of the long window is usual: `{}`",
            spell(Duration::from_secs((long.as_secs() / 12).max(2)))
        );
        let message = format!(
            "tier `{name}`: the short window `{}` is not shorter than the long one, `{}`",
            spell(short),
            spell(long)
        );
        report.error(at, message, Some(hint));
        return None;
    }
    if long > period {
        let message = format!(
            "tier `{name}`: the window `{}` is longer than the period `{}`",
            spell(long),
            spell(period)
        );
        report.error(at, message, None);
        return None;
    }
    let (rate, budget_share) = match burn {
        Burn::Rate(rate) => (rate, None),
        Burn::Share(share) => match BurnRate::from_share(share, period, long) {
            Ok(rate) => (rate, Some(share)),
            Err(error) => {
                report.error(at, format!("tier `{name}`: {error}"), None);
                return None;
            }
        },
    };
    if !target.reaches(rate) {
        let most = target.max_burn_rate().round_dp(4).normalize();
        let hint = format!(
            "a total outage burns at 1 / (1 - {target}) = {most}; in `{}` it spends {} % of the budget",
            spell(long),
            (most * Decimal::from(long.as_secs()) / Decimal::from(period.as_secs().max(1))
                * Decimal::ONE_HUNDRED)
                .round_dp(2)
                .normalize()
        );
        report.error(
            at,
            format!("tier `{name}` can never fire: its burn rate {rate} cannot be exceeded"),
            Some(hint),
        );
        return None;
    }
    if rate.value() < Decimal::ONE {
        let message = format!("tier `{name}` fires at burn rate {rate}, while the objective is still met");
        report.warning(
            at,
            message,
            Some("a burn rate of at least 1 threatens the objective".to_owned()),
        );
    }
    Some(Tier {
        name,
        severity,
        long,
        short,
        burn_rate: rate,
        budget_share,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn defaults(target: &str, days: u64) -> (Vec<(String, String)>, Vec<String>) {
        let (tiers, notes) = default_tiers(target.parse().unwrap(), Duration::from_secs(days * DAY));
        let tiers = tiers
            .iter()
            .map(|t| (t.name.to_string(), t.burn_rate.to_string()))
            .collect();
        (tiers, notes.iter().map(ToString::to_string).collect())
    }

    fn named(rates: [&str; 4]) -> Vec<(String, String)> {
        let names = ["page-1h", "page-6h", "ticket-1d", "ticket-3d"];
        names
            .iter()
            .zip(rates)
            .map(|(name, rate)| ((*name).to_owned(), rate.to_owned()))
            .collect()
    }

    #[test]
    fn the_defaults_for_30_days_are_the_workbooks() {
        let (tiers, notes) = defaults("0.999", 30);
        assert_eq!(tiers, named(["14.4", "6", "3", "1"]));
        assert_eq!(notes, [""; 0]);
    }

    #[test]
    fn the_defaults_scale_with_the_period() {
        assert_eq!(defaults("0.999", 90).0, named(["43.2", "18", "9", "3"]));
        // 28 d: 0.9333; 7 d: 0.7 and 0.2333. Raised to 1, or they fire while the objective is met.
        let (tiers, notes) = defaults("0.999", 28);
        assert_eq!(tiers, named(["13.44", "5.6", "2.8", "1"]));
        assert_eq!(
            notes,
            [
                "default tier `ticket-3d` raised from burn rate 0.9333 to 1: below 1 it fires while the objective is met"
            ]
        );
        let (tiers, notes) = defaults("0.999", 7);
        assert_eq!(tiers, named(["3.36", "1.4", "1", "1"]));
        assert_eq!(notes.len(), 2);
    }

    #[test]
    fn the_burn_rate_is_exact_and_so_is_the_share_of_a_raised_tier() {
        let (tiers, notes) = default_tiers("0.999".parse().unwrap(), Duration::from_secs(28 * DAY));
        assert_eq!(notes[0].computed.to_string(), "0.933333333");
        assert_eq!(tiers[0].budget_share, Some(Decimal::new(2, 2)));
        assert_eq!(tiers[3].budget_share.unwrap().to_string(), "0.107142857");
    }

    #[test]
    fn a_default_that_a_total_outage_does_not_exceed_is_left_out() {
        // Ceilings of the 30 d defaults: 93.06 %, 83.33 %, 66.67 %.
        for (target, left) in [
            ("0.9306", 4),
            ("0.93", 3),
            ("0.8334", 3),
            ("0.8333", 2),
            ("0.6667", 2),
            ("0.6666", 1),
        ] {
            assert_eq!(defaults(target, 30).0.len(), left, "{target}");
        }
        assert_eq!(
            defaults("0.9", 30).1,
            [
                "default tier `page-1h` left out: its burn rate 14.4 cannot be exceeded, a total outage burns at 10"
            ]
        );
    }

    #[test]
    fn a_default_longer_than_the_period_is_left_out() {
        let (tiers, notes) = default_tiers("0.999".parse().unwrap(), Duration::from_secs(DAY));
        let names: Vec<&str> = tiers.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["page-1h", "page-6h", "ticket-1d"]);
        assert_eq!(
            notes.last().unwrap().to_string(),
            "default tier `ticket-3d` left out: its window is longer than the period"
        );
    }
}
