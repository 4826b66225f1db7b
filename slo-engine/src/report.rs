//! The budget report: what was promised, what was spent, what alerted.
//!
//! In: SLOs as read, and the alerts of the time. Out: Markdown.

use std::fmt::Write;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use rust_decimal::Decimal;

use crate::alert::{AlertState, Evidence};
use crate::duration;
use crate::read::{Alert, Slo, SloState};

/// The report over everything given, least budget left first.
#[must_use]
pub fn markdown(slos: &[Slo], alerts: &[Alert], now: DateTime<Utc>) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, slos, alerts, now);
    text
}

fn write(text: &mut String, slos: &[Slo], alerts: &[Alert], now: DateTime<Utc>) -> std::fmt::Result {
    writeln!(text, "# Error budgets\n")?;
    writeln!(text, "As of {}.\n", moment(now))?;
    if slos.is_empty() {
        return writeln!(text, "No objective is defined.");
    }
    let mut slos: Vec<&Slo> = slos.iter().collect();
    slos.sort_by(|a, b| (a.budget_remaining, &a.name).cmp(&(b.budget_remaining, &b.name)));
    // Also of what is firing.
    let spent = slos
        .iter()
        .filter(|slo| slo.counts.bad > 0 && slo.budget_remaining <= Decimal::ZERO)
        .count();
    let firing = slos.iter().filter(|slo| slo.state == SloState::Firing).count();
    writeln!(
        text,
        "{} objectives: {firing} firing, {spent} with their budget spent.\n",
        slos.len()
    )?;
    writeln!(
        text,
        "| objective | service | target | period | SLI | budget left | bad / allowed | burn | state |"
    )?;
    writeln!(text, "|---|---|---:|---:|---:|---:|---:|---:|---|")?;
    for slo in &slos {
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            cell(&slo.display_name),
            slo.service,
            percent(slo.target.ratio()),
            duration::format(slo.period),
            slo.sli
                .map_or_else(|| "no events".to_owned(), |sli| percent(sli.round_dp(6))),
            percent(slo.budget_remaining.round_dp(4)),
            events(slo),
            burn(slo),
            slo.state.as_str().replace('_', " "),
        )?;
    }
    for slo in slos {
        about(text, slo, alerts, now)?;
    }
    Ok(())
}

fn about(text: &mut String, slo: &Slo, alerts: &[Alert], now: DateTime<Utc>) -> std::fmt::Result {
    let since = now - chrono::TimeDelta::from_std(slo.period).unwrap_or_default();
    let of_slo: Vec<&Alert> = alerts
        .iter()
        .filter(|alert| {
            alert.objective == slo.name
                && alert.fired_at.is_some()
                && alert.resolved_at.is_none_or(|resolved| resolved > since)
        })
        .collect();
    let uncovered = slo.counts.coverage().filter(|coverage| *coverage < Decimal::ONE);
    if of_slo.is_empty() && uncovered.is_none() && slo.exhausts_at.is_none() && slo.counts.lost == 0 {
        return Ok(());
    }
    writeln!(text, "\n## {}\n", slo.display_name)?;
    if let Some(at) = slo.exhausts_at {
        writeln!(
            text,
            "- At the present burn rate the budget is spent by {}.",
            moment(at)
        )?;
    }
    if let Some(coverage) = uncovered {
        writeln!(
            text,
            "- Only {} of the period was watched.",
            percent(coverage.round_dp(4))
        )?;
    }
    if slo.counts.lost > 0 {
        writeln!(text, "- {} events are known to be lost.", slo.counts.lost)?;
    }
    for alert in of_slo {
        let fired = alert.fired_at.map(moment).unwrap_or_default();
        let end = match (alert.state, alert.resolved_at) {
            (AlertState::Resolved, Some(resolved)) => {
                let lasted = alert
                    .fired_at
                    .and_then(|fired| (resolved - fired).to_std().ok())
                    .unwrap_or_default();
                format!(
                    "lasted {}",
                    duration::format(Duration::from_secs(lasted.as_secs()))
                )
            }
            _ => "still open".to_owned(),
        };
        let stands_on = match &alert.evidence {
            Evidence::Windows(burning) | Evidence::Sequential(burning) => format!(
                "burn rate {} over the long window, {} bad",
                burning.burn_rate_long.round_dp(2).normalize(),
                burning.bad_of(&burning.long),
            ),
            Evidence::Coverage(watched) => watched.to_string(),
            Evidence::Budget(spending) => spending.to_string(),
        };
        writeln!(
            text,
            "- `{}` ({}) fired at {fired}, {end}: {stands_on}.",
            alert.tier, alert.severity
        )?;
    }
    Ok(())
}

/// Bad events, and how many the budget allows; where shares of a slice or of a whole are counted, those are no events.
fn events(slo: &Slo) -> String {
    if slo.unit != 1 {
        return "-".to_owned();
    }
    let allowed = slo.budget_total_events.round_dp(1).normalize();
    format!("{} / {allowed}", slo.budget_spent_events)
}

fn burn(slo: &Slo) -> String {
    slo.burn
        .iter()
        .map(|burn| {
            format!(
                "{} in {}",
                burn.burn_rate.round_dp(2).normalize(),
                duration::format(burn.window)
            )
        })
        .collect::<Vec<_>>()
        .join(", ")
}

fn percent(share: Decimal) -> String {
    format!("{} %", (share * Decimal::ONE_HUNDRED).normalize())
}

fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A name that cannot break the table it stands in.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}
