//! What to do: runbooks, guards, durable runs, actions, notifications.
//!
//! In: alert transitions of `slo-engine`, and runbooks. Out: limits, scaling, pages, and a row for
//! every decision, refusals included. Knows nothing about how a sample was measured.
//!
//! [`enqueue()`] decides inside the transaction that records an alert; a [`Worker`] carries out one
//! step at a time; an [`Outbox`] delivers one notification at a time. All three are safe to run
//! twice and to kill anywhere: an intent is committed before its effect, a result after it, and an
//! intent without a result is done again with the same idempotency key.

mod acknowledge;
mod control;
mod enqueue;
mod error;
mod lifecycle;
pub mod limits;
mod notice;
pub mod outbox;
pub mod outgoing;
mod plan;
pub mod read;
pub mod run;
pub mod runbook;
pub mod secret;
mod span_text;
mod store;
pub mod target;
mod trace;
mod words;
pub mod worker;

pub use acknowledge::acknowledged;
pub use control::{Cleared, cancel, clear_limit, clear_limits};
pub use enqueue::enqueue;
pub use error::{Error, Stored, chain};
pub use limits::{
    Applied, Limit, LimitId, LimitMode, Limits, LimitsError, LiveLimit, SourcePrefix, SourceRate,
};
pub use outbox::{Delivered, Outbox};
pub use run::{RunId, RunState, StepState, Verdict};
pub use runbook::{Playbook, Runbook};
pub use target::Target;
pub use worker::{Burns, Reconciled, Worked, Worker};
