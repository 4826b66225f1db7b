//! The engine on a real Postgres: one database a test, made from one migrated template.

#![expect(clippy::unwrap_used, reason = "tests panic")]

mod alert;
mod ingest;
mod support;
