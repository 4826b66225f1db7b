//! Runbooks as they were loaded.

use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RunbookView {
    pub name: String,
    pub description: String,
    /// `active` or `shadow`.
    pub mode: String,
    /// Alerts it answers to, one condition each.
    pub when: Vec<String>,
    pub steps: Vec<RunbookStepView>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RunbookStepView {
    pub kind: String,
    /// What the step would do, in words.
    pub summary: String,
}
