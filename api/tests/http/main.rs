//! The API over a real Postgres: what is asked of the engine is what was ingested through it.
//!
//! One database per test. `DATABASE_URL` names the server.

#![expect(clippy::unwrap_used, reason = "tests panic")]

mod corrections;
mod dashboard;
mod errors;
mod guard;
mod health;
mod metrics;
mod shop;
mod silences;
mod stream;
mod views;
