//! Runbooks as they were loaded.

use remediation::Runbook;
use remediation::runbook::Action;
use serde::Serialize;
use slo_engine::duration;
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RunbookView {
    pub name: String,
    pub description: String,
    /// `active` or `shadow`.
    pub mode: String,
    /// Alerts it answers to: all of these hold. Empty: every alert.
    pub when: Vec<String>,
    /// What holds it back from acting, never from telling.
    pub guards: Vec<String>,
    pub steps: Vec<RunbookStepView>,
    /// How it finds out whether acting helped.
    pub verify: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RunbookStepView {
    pub kind: String,
    /// What the step would do, in words.
    pub summary: String,
}

impl From<&Runbook> for RunbookView {
    fn from(runbook: &Runbook) -> Self {
        Self {
            name: runbook.name.clone(),
            description: runbook.description.clone(),
            mode: runbook.mode.to_string(),
            when: conditions(runbook),
            guards: guards(runbook),
            steps: runbook.steps.iter().map(RunbookStepView::from).collect(),
            verify: format!(
                "burn rate since acting below {}, looked at every {} for {}",
                runbook.verify.recovered_below,
                duration::format(runbook.verify.every),
                duration::format(runbook.verify.within)
            ),
        }
    }
}

impl From<&Action> for RunbookStepView {
    fn from(action: &Action) -> Self {
        Self {
            kind: action.kind().to_string(),
            summary: action.summary(),
        }
    }
}

fn conditions(runbook: &Runbook) -> Vec<String> {
    let mut when = Vec::new();
    if !runbook.on.services.is_empty() {
        when.push(format!("service {}", joined(&runbook.on.services)));
    }
    if !runbook.on.objectives.is_empty() {
        when.push(format!("objective {}", joined(&runbook.on.objectives)));
    }
    when.extend(runbook.on.tier_words());
    if let Some(severity) = runbook.on.severity {
        when.push(format!("severity {severity}"));
    }
    when
}

fn guards(runbook: &Runbook) -> Vec<String> {
    let guards = &runbook.guards;
    vec![
        format!("cool-down of {}", duration::format(guards.cooldown)),
        format!("at most {} runs an hour", guards.runs_per_hour_max),
        format!(
            "at most {} attempts an incident",
            guards.attempts_per_incident_max
        ),
        format!("never below {} a second", guards.floor_per_second),
    ]
}

fn joined<T: ToString>(names: &[T]) -> String {
    names
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" or ")
}
