//! What good means: definitions, the ledger, error budgets, burn rates, alerts.
//!
//! In: measurements of probes and definition files. Out: alert transitions, budgets, reports.
//! Knows nothing about eBPF, HTTP, or how an alert is acted on.

pub mod alert;
pub mod annotation;
pub mod budget_alert;
pub mod budgeting;
pub mod composite;
pub mod correction;
pub mod definitions;
pub mod duration;
mod engine;
pub mod evaluate;
pub mod event;
pub mod evidence;
pub mod grpc;
pub mod measurement;
mod name;
pub mod objective;
pub mod ownership;
mod partly;
pub mod read;
pub mod report;
mod route;
pub mod sequential;
pub mod service;
mod settings;
pub mod silence;
mod status;
mod store;
mod target;
mod text;
pub mod window;

pub use engine::{Engine, EngineError, IngestError, Ingested, MIGRATOR, Maintained, TakenUp};
pub use partly::{Partly, Unreadable};
pub use settings::{Keep, Settings};
pub use text::UnfitText;
