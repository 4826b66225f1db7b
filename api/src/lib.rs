//! The face: HTTP API, live events, metrics, dashboard.
//!
//! In: read models of `slo-engine` and `remediation`, and what the binary knows of its own
//! readiness. Out: JSON, Server-Sent Events, Prometheus text, and the dashboard's files.
//! Knows no arithmetic of budgets and no table of theirs.

mod door;
mod error;
mod exposition;
mod extract;
mod guard;
mod ingest;
mod live;
pub mod openapi;
mod probes;
mod readiness;
mod request_log;
mod router;
mod routes;
mod span;
mod state;
pub mod views;

pub use door::Door;
pub use error::{ApiError, ErrorEnvelope, ErrorView};
pub use ingest::IngestCounters;
pub use probes::{MapState, ProbeGauges, ProbeState, ProgramState};
pub use readiness::{Part, Readiness};
pub use router::router;
pub use state::AppState;
