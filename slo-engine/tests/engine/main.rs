//! The engine on a real Postgres: one database a test, made from one migrated template.

#![expect(clippy::unwrap_used, reason = "tests panic")]

mod absence;
mod alert;
mod budget;
mod definition;
mod ingest;
mod maintain;
mod order;
mod plan;
mod read;
mod support;
