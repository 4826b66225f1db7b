//! OpenSLO's composites: an SLO whose objectives each have an indicator and a `compositeWeight`.
//!
//! In: the objectives of such an SLO. Out: each as an objective of its own, which alerts nobody, and one named as
//! the SLO is, whose budget they spend and whose tiers alert.

use std::collections::HashMap;

use rust_decimal::Decimal;

use super::budget_alerts::{self, BudgetAlertDraft};
use super::budgeting::Period;
use super::collect;
use super::document::Place;
use super::fast_page::FastPageDraft;
use super::node::{Node, Position, Report, Value};
use super::objectives::Stated;
use super::tiers::TierDraft;
use crate::budgeting::Budgeting;
use crate::composite::{self, Part, Weight};
use crate::duration;
use crate::evaluate::{EvidenceGate, MissingData};
use crate::measurement::ServiceName;
use crate::objective::{Objective, ObjectiveName, Sli, SliKind};
use crate::ownership::Ownership;

/// Objectives that one composite may be made of.
pub(super) const PARTS_MAX: usize = 20;

/// The whole, before what its parts came to is known.
#[derive(Debug)]
pub(super) struct CompositeDraft {
    pub name: ObjectiveName,
    pub place: Place,
    /// `None`, here and below, for a mistake that has been reported.
    pub service: Option<ServiceName>,
    pub display_name: String,
    pub description: String,
    pub ownership: Ownership,
    pub period: Option<Period>,
    pub parts: Option<Vec<Part>>,
    pub tiers: Option<Vec<TierDraft>>,
    pub fast_page: Option<FastPageDraft>,
    pub budget_alerts: Vec<BudgetAlertDraft>,
    pub missing_data: Option<MissingData>,
    pub evidence: Option<EvidenceGate>,
}

/// Whether one of the `objectives` has an indicator of its own.
pub(super) fn is_stated(objectives: Option<&Node>) -> bool {
    let Some(Value::List(items)) = objectives.map(|node| &node.value) else {
        return false;
    };
    items.iter().any(|item| match &item.value {
        Value::Map(entries) => entries
            .iter()
            .any(|(key, _)| key.name == "indicator" || key.name == "indicatorRef"),
        _ => false,
    })
}

pub(super) fn weight(node: &Node, report: &mut Report) -> Option<Weight> {
    match Weight::try_from(node.decimal("compositeWeight", report)?) {
        Ok(weight) => Some(weight),
        Err(_) => {
            let expected = "a number above 0 and at most 1000, with at most 9 decimals";
            node.wrong("compositeWeight", expected, None, report);
            None
        }
    }
}

/// Whether there are as many parts as a composite may have.
pub(super) fn check_count(count: usize, at: Position, report: &mut Report) -> bool {
    if count > PARTS_MAX {
        let message = format!("a composite of {count} objectives, expected at most {PARTS_MAX}");
        report.error(at, message, Some("write several SLOs".to_owned()));
    }
    count <= PARTS_MAX
}

/// A slice of the whole is bad when one of its parts is: so there is one kind of slice, one target, and no weight.
pub(super) fn check_slices(
    parts: &[Stated<'_>],
    budgetings: &[Option<Budgeting>],
    report: &mut Report,
) -> bool {
    let Some(first) = parts.first() else { return true };
    let slice = |budgeting: &Option<Budgeting>| budgeting.and_then(Budgeting::slice);
    let of_first = budgetings.first().and_then(slice);
    let mut fits = true;
    for (part, budgeting) in parts.iter().zip(budgetings) {
        let at = part.place.at;
        let mut refuse = |message: String| {
            let hint = "a slice of a composite is bad when one of its parts is: state the same in every objective, or \
                        an SLO for each";
            report.error(at, message, Some(hint.to_owned()));
            fits = false;
        };
        if let (Some(this), Some(other)) = (part.target, first.target)
            && this != other
        {
            let (this, other) = (this.ratio(), other.ratio());
            refuse(format!(
                "`target` is `{this}`, and `{other}` in the first objective"
            ));
        }
        if let (Some(this), Some(other)) = (slice(budgeting), of_first)
            && this != other
        {
            let (this, other) = (duration::format(this), duration::format(other));
            refuse(format!(
                "`timeSliceWindow` is `{this}`, and `{other}` in the first objective"
            ));
        }
        if let Some((_, at)) = part.weight {
            let message =
                "`compositeWeight` is not used: a slice of the whole is bad when one of its parts is";
            report.warning(at, message, Some("remove it".to_owned()));
        }
    }
    fits
}

/// Puts a composite together from its parts. `None` without a word where one of them has a mistake of its own.
pub(super) fn objective(
    draft: CompositeDraft,
    collected: &HashMap<&ObjectiveName, &Objective>,
    report: &mut Report,
) -> Option<Objective> {
    report.switch(&draft.place.file);
    let at = draft.place.at;
    if let Some(FastPageDraft::On(_)) = draft.fast_page {
        let message = "the fast page tests requests one by one, but a composite counts what its parts burn";
        let hint = "remove it, or write `slowburn/fast-page: off`".to_owned();
        report.error(at, message, Some(hint));
    }
    let period = draft.period.map(|period| period.length);
    if let Some(period) = period {
        collect::warn_of_long_period(period, at, report);
    }
    let of = draft.parts?;
    let parts: Vec<&Objective> = of
        .iter()
        .map(|part| collected.get(&part.objective).copied())
        .collect::<Option<_>>()?;
    let first = parts.first()?;
    if let Some(other) = parts.iter().find(|part| part.sli.role != first.sli.role) {
        let message = format!(
            "the parts of `{}` are counted at both ends: `{}` as {}, `{}` as {}",
            draft.name, first.name, first.sli.role, other.name, other.sli.role
        );
        let hint = "write an SLO for each `role`".to_owned();
        report.error(at, message, Some(hint));
        return None;
    }
    let weighed: Vec<_> = of
        .iter()
        .zip(&parts)
        .map(|(part, objective)| (part.weight, objective.target))
        .collect();
    let counts_slices = matches!(first.budgeting, Budgeting::Timeslices { .. });
    let target = if counts_slices {
        Some(first.target)
    } else {
        composite::target(&weighed)
    };
    let Some(target) = target else {
        let most: Decimal = weighed
            .iter()
            .map(|(weight, target)| weight.value() / target.budget())
            .sum();
        let message = format!(
            "the parts of `{}` burn at {} together when all of them are out, expected more than 1 and less than 1000000000",
            draft.name,
            most.round_dp(4).normalize()
        );
        let hint = "a part burns at `compositeWeight / (1 - target)` at most: state other weights".to_owned();
        report.error(at, message, Some(hint));
        return None;
    };
    let (tiers, tier_notes) = collect::tiers(
        draft.tiers.as_deref(),
        &draft.name,
        Some(target),
        period,
        at,
        report,
    );
    if let Some(slice) = parts.iter().filter_map(|part| part.budgeting.slice()).max() {
        collect::warn_of_short_windows(&tiers, slice, at, report);
    }
    let budget_alerts = budget_alerts::build(
        &draft.budget_alerts,
        period,
        Some(first.budgeting),
        &tiers,
        report,
    );
    if let Some(alert) = budget_alerts
        .iter()
        .find(|alert| alert.rule.look_back().is_some() && !counts_slices)
    {
        // Shares of the whole are of one window, and say nothing of another.
        let message = format!(
            "budget alert `{}` compares spans of the period, which a composite does not count",
            alert.name
        );
        let hint = "alert on what is `remaining`, or on a burn rate by a tier".to_owned();
        report.error(at, message, Some(hint));
    }
    let sli = Sli {
        role: first.sli.role,
        route: None,
        kind: SliKind::Composite(of),
    };
    let Period { length, calendar } = draft.period?;
    Some(Objective {
        name: draft.name,
        service: draft.service?,
        display_name: draft.display_name,
        description: draft.description,
        ownership: draft.ownership,
        target,
        period: length,
        calendar,
        budgeting: match first.budgeting {
            // All of a slice's parts have to be good.
            Budgeting::Timeslices { slice, .. } => Budgeting::Timeslices {
                slice,
                target: Decimal::ONE,
            },
            other => other,
        },
        sli,
        tiers,
        fast_page: None,
        budget_alerts,
        missing_data: draft.missing_data,
        evidence: draft.evidence,
        tier_notes,
    })
}
