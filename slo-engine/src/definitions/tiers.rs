//! Alert tiers that a definition states: in the short form's list, or in an annotation of OpenSLO.

use std::time::Duration;

use rust_decimal::Decimal;

use super::default_tiers::default_name;
use super::metric_source::word;
use super::node::{Node, Position, Report, parse_decimal, quoted, shorten};
use super::ratio::{in_percent, percentage, share};
use crate::duration;
use crate::evaluate::DATA_OUTAGE;
use crate::objective::{BurnRate, Severity, Target, Tier, TierName};
use crate::sequential::FAST_PAGE;
use crate::settings::SLOT;

/// Tiers that one objective may have.
pub const TIERS_MAX: usize = 8;

/// A tier as stated, before target and period are known to suit it.
#[derive(Debug, Clone)]
pub(super) struct TierDraft {
    name: TierName,
    severity: Severity,
    long: Duration,
    short: Duration,
    burn: Burn,
    after: Duration,
    at: Position,
}

impl TierDraft {
    /// A tier over these windows, long and short, that fires above a burn rate once that has lasted.
    pub fn at_rate(
        name: TierName,
        severity: Severity,
        (long, short): (Duration, Duration),
        rate: BurnRate,
        after: Duration,
        at: Position,
    ) -> Self {
        let burn = Burn::Rate(rate);
        Self {
            name,
            severity,
            long,
            short,
            burn,
            after,
            at,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Burn {
    Rate(BurnRate),
    Share(Decimal),
}

/// Reads the list of the short form: `[{severity, long, short, budget | burnRate, after, name}]`.
pub(super) fn read_list(node: &Node, report: &mut Report) -> Vec<TierDraft> {
    let Some(items) = node.list("tiers", report) else {
        return Vec::new();
    };
    let drafts = items.iter().map(|item| read_item(item, report)).collect();
    check_list(drafts, node.at, report)
}

fn read_item(node: &Node, report: &mut Report) -> Option<TierDraft> {
    let mut fields = node.fields("tier", report)?;
    let severity = fields
        .required_such_as("severity", "severity: page", report)
        .and_then(|n| word(n, "severity", Severity::ALL, report));
    let long = fields
        .required_such_as("long", "long: 1h", report)
        .and_then(|n| n.duration("long", report));
    let short = fields
        .required_such_as("short", "short: 5m", report)
        .and_then(|n| n.duration("short", report));
    let budget = fields
        .optional("budget")
        .map(|n| share(n, "budget", report).and_then(|s| check_share(s, n.at, report)));
    let rate = fields.optional("burnRate").map(|n| {
        let rate = n.decimal("burnRate", report)?;
        check_rate(rate, n.at, report)
    });
    let after = fields.optional("after").map(|n| n.duration("after", report));
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
    let after = after.unwrap_or(Some(Duration::ZERO));
    draft(name, severity?, (long?, short?), burn?, after?, node.at)
}

/// Reads the annotation of an OpenSLO SLO: `page 1h+5m 2%, ticket 3d+6h 1x after 30m`.
pub(super) fn read_annotation(text: &str, at: Position, report: &mut Report) -> Vec<TierDraft> {
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
    let (words, after) = match words.as_slice() {
        [words @ .., "after", span] => match duration::parse(span) {
            Ok(after) => (words, after),
            Err(error) => {
                wrong(error.to_string(), report);
                return None;
            }
        },
        words => (words, Duration::ZERO),
    };
    let [severity, windows, burn] = words else {
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
    draft(name, severity, (long, short), burn, after, at)
}

fn draft(
    name: Option<TierName>,
    severity: Severity,
    (long, short): (Duration, Duration),
    burn: Burn,
    after: Duration,
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
        after,
        at,
    })
}

fn check_share(share: Decimal, at: Position, report: &mut Report) -> Option<Decimal> {
    if share > Decimal::ZERO && share <= Decimal::ONE {
        return Some(share.normalize());
    }
    let message = format!(
        "the share of the budget is {}, expected above 0 % and at most 100 %",
        in_percent(share)
    );
    report.error(at, message, None);
    None
}

pub(super) fn check_rate(rate: Decimal, at: Position, report: &mut Report) -> Option<BurnRate> {
    match BurnRate::try_from(rate) {
        Ok(rate) => Some(rate),
        Err(error) => {
            report.error(at, error.to_string(), None);
            None
        }
    }
}

/// What is left of the list without the mistakes.
pub(super) fn check_list(
    drafts: Vec<Option<TierDraft>>,
    at: Position,
    report: &mut Report,
) -> Vec<TierDraft> {
    if drafts.is_empty() {
        let hint = "remove it to get the default tiers".to_owned();
        report.error(at, "the list of alert tiers is empty", Some(hint));
    }
    if drafts.len() > TIERS_MAX {
        report.error(
            at,
            format!("{} alert tiers, at most {TIERS_MAX} are evaluated", drafts.len()),
            Some("remove some".to_owned()),
        );
    }
    let drafts: Vec<TierDraft> = drafts.into_iter().flatten().take(TIERS_MAX).collect();
    for (index, draft) in drafts.iter().enumerate() {
        if draft.name.as_str() == FAST_PAGE {
            let hint = "`fastPage` states the fast page; give this tier another name".to_owned();
            report.error(draft.at, format!("`{FAST_PAGE}` is no tier's name"), Some(hint));
        }
        if draft.name.as_str() == DATA_OUTAGE {
            let hint =
                "it is what the alert of missing data is called; give this tier another name".to_owned();
            report.error(draft.at, format!("`{DATA_OUTAGE}` is no tier's name"), Some(hint));
        }
        if drafts[..index].iter().any(|earlier| earlier.name == draft.name) {
            let hint = "give one of them a name of its own".to_owned();
            report.error(
                draft.at,
                format!("two alert tiers are named `{}`", draft.name),
                Some(hint),
            );
        }
    }
    drafts
}

/// Checks stated tiers against the target and the period, as far as these could be read.
pub(super) fn build(
    drafts: &[TierDraft],
    target: Option<Target>,
    period: Option<Duration>,
    report: &mut Report,
) -> Vec<Tier> {
    let mut tiers: Vec<Tier> = drafts
        .iter()
        .filter_map(|draft| build_one(draft, target, period, report))
        .collect();
    tiers.sort_by(|a, b| (a.severity, a.long, a.short, &a.name).cmp(&(b.severity, b.long, b.short, &b.name)));
    tiers
}

fn build_one(
    draft: &TierDraft,
    target: Option<Target>,
    period: Option<Duration>,
    report: &mut Report,
) -> Option<Tier> {
    let TierDraft {
        name,
        severity,
        long,
        short,
        burn,
        after,
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
    let period = period?;
    if long > period {
        let message = format!(
            "tier `{name}`: the window `{}` is longer than the period `{}`",
            spell(long),
            spell(period)
        );
        let hint = "look back on a part of the period".to_owned();
        report.error(at, message, Some(hint));
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
    let target = target?;
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
    if short < 2 * report.ledger.slot {
        let message = format!(
            "tier `{name}`: the short window `{}` holds less than two slots of the ledger, which are `{}`{}",
            spell(short),
            spell(report.ledger.slot),
            if report.ledger.slot == SLOT {
                " by default"
            } else {
                ""
            }
        );
        let least = spell(2 * report.ledger.slot);
        let hint = format!("write at least `{least}`, unless `run` is given a shorter `--slot`");
        report.warning(at, message, Some(hint));
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
        after,
    })
}
