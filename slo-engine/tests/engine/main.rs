//! The engine on a real Postgres: one database a test, made from one migrated template.

#![expect(clippy::unwrap_used, reason = "tests panic")]

mod absence;
mod absence_property;
mod alert;
mod annotation;
mod backfill;
mod backfill_property;
mod backfill_slices;
mod budget;
mod budget_alert;
mod calendar;
mod composite;
mod composite_calendar;
mod composite_evidence;
mod composite_slices;
mod correction;
mod correction_property;
mod data_outage;
mod defined_correction;
mod definition;
mod definition_property;
mod estimate;
mod evidence_gate;
mod exhaustion;
mod fast_page;
mod ingest;
mod inhibition;
mod maintain;
mod maintain_property;
mod order;
mod ownership;
mod patience;
mod periods;
mod plan;
mod prometheus;
mod rare_windows;
mod read;
mod retransmits;
mod silence;
mod slices;
mod support;
mod unreadable;
mod workbook;
