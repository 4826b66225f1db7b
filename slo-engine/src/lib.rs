//! What good means: definitions, the ledger, error budgets, burn rates, alerts.
//!
//! In: measurements of probes and definition files. Out: alert transitions, budgets, reports.
//! Knows nothing about eBPF, HTTP, or how an alert is acted on.

pub mod definitions;
pub mod duration;
pub mod measurement;
mod name;
pub mod objective;
pub mod service;
mod status;
