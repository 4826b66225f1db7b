//! The engine's tables: the only module that names them.
//!
//! In: values of this crate, and a connection. Out: the same, as stored. Numbers are checked where
//! they leave Postgres, so that the rest can trust the types.

use std::time::Duration;

use chrono::{DateTime, DurationRound, SubsecRound, TimeDelta, Utc};
use rust_decimal::Decimal;
use sqlx::postgres::types::PgInterval;
use sqlx::{PgPool, Postgres, Transaction};

use crate::engine::EngineError;
use crate::window::WindowCounts;

pub(crate) mod acknowledge;
pub(crate) mod alert;
pub(crate) mod annotation;
pub(crate) mod backfill;
pub(crate) mod booking;
pub(crate) mod budget_alert;
pub(crate) mod calendar;
pub(crate) mod composite;
pub(crate) mod correction;
pub(crate) mod data_outage;
pub(crate) mod definition;
pub(crate) mod dependency;
pub(crate) mod endpoint;
pub(crate) mod estimate;
pub(crate) mod evaluation;
pub(crate) mod excursion;
pub(crate) mod histogram;
pub(crate) mod ingest;
pub(crate) mod ledger;
pub(crate) mod maintain;
pub(crate) mod memory;
pub(crate) mod series;
pub(crate) mod silence;
pub(crate) mod slice;
pub(crate) mod source;
pub(crate) mod thinning;
pub(crate) mod told;

/// Keys of advisory locks, as `hashtext` would make them if it were stable across releases.
pub(crate) mod lock {
    /// Shared while a batch is booked, exclusive while definitions change.
    pub const DEFINITIONS: i64 = 0x0051_0b42_0001;
    /// First key of the pair with a service's id: books of one service are written one at a time.
    pub const SERVICE: i32 = 0x5105;
    /// Held while transitions are recorded, and while definitions change.
    pub const ALERTS: i64 = 0x0051_0b42_0002;
    /// Held while one engine does the housekeeping.
    pub const MAINTAIN: i64 = 0x0051_0b42_0003;
}

/// A transaction for reads of many index look-ups: they are planned once a connection, and never
/// compiled, which would take longer than they do.
pub(crate) async fn look_up(pool: &PgPool) -> Result<Transaction<'static, Postgres>, EngineError> {
    let mut transaction = pool.begin().await?;
    sqlx::raw_sql("set local jit = off; set local plan_cache_mode = force_generic_plan")
        .execute(&mut *transaction)
        .await?;
    Ok(transaction)
}

/// As [`look_up`], for several reads of one moment: what is booked between them is in none of them.
pub(crate) async fn snapshot(pool: &PgPool) -> Result<Transaction<'static, Postgres>, EngineError> {
    let mut transaction = look_up(pool).await?;
    sqlx::raw_sql("set transaction isolation level repeatable read, read only")
        .execute(&mut *transaction)
        .await?;
    Ok(transaction)
}

/// The end of the slot that `at` falls in; an edge belongs to the slot it ends.
pub(crate) fn slot_end(at: DateTime<Utc>, slot: Duration) -> Result<DateTime<Utc>, EngineError> {
    let slot_delta = TimeDelta::from_std(slot).map_err(|_| EngineError::Slot(slot))?;
    let floor = at
        .duration_trunc(slot_delta)
        .map_err(|_| EngineError::Slot(slot))?;
    Ok(if floor == at { at } else { floor + slot_delta })
}

/// The start of the same slot.
pub(crate) fn slot_start(at: DateTime<Utc>, slot: Duration) -> Result<DateTime<Utc>, EngineError> {
    let span = TimeDelta::from_std(slot).map_err(|_| EngineError::Slot(slot))?;
    Ok(slot_end(at, slot)? - span)
}

/// As Postgres keeps it: whole microseconds.
pub(crate) fn micros(at: DateTime<Utc>) -> DateTime<Utc> {
    at.trunc_subsecs(6)
}

pub(crate) fn interval(span: Duration) -> PgInterval {
    PgInterval {
        months: 0,
        days: 0,
        microseconds: i64::try_from(span.as_micros()).unwrap_or(i64::MAX),
    }
}

pub(crate) fn span(column: &'static str, interval: &PgInterval) -> Result<Duration, EngineError> {
    let micros = i64::from(interval.days)
        .checked_mul(86_400_000_000)
        .and_then(|days| days.checked_add(interval.microseconds))
        .filter(|_| interval.months == 0)
        .and_then(|micros| u64::try_from(micros).ok());
    micros
        .map(Duration::from_micros)
        .ok_or_else(|| EngineError::Unreadable {
            column,
            value: format!("{interval:?}"),
        })
}

/// A count that cannot be negative unless someone wrote to the tables.
pub(crate) fn count(column: &'static str, value: i64) -> Result<u64, EngineError> {
    u64::try_from(value).map_err(|_| EngineError::Unreadable {
        column,
        value: value.to_string(),
    })
}

/// A stored word or number, read by its type's own parser.
pub(crate) fn parse<T: std::str::FromStr>(column: &'static str, text: &str) -> Result<T, EngineError> {
    text.parse().map_err(|_| EngineError::Unreadable {
        column,
        value: text.to_owned(),
    })
}

pub(crate) fn convert<T: TryFrom<Decimal>>(column: &'static str, value: Decimal) -> Result<T, EngineError> {
    T::try_from(value).map_err(|_| EngineError::Unreadable {
        column,
        value: value.to_string(),
    })
}

/// The columns of `ledger_window`, as every query selects them.
#[derive(Debug)]
pub(crate) struct WindowRow {
    pub good: i64,
    pub bad: i64,
    pub from_at: DateTime<Utc>,
    pub to_at: DateTime<Utc>,
    pub expected_ms: i64,
    pub covered_ms: i64,
    pub lost: i64,
}

impl TryFrom<WindowRow> for WindowCounts {
    type Error = EngineError;

    fn try_from(row: WindowRow) -> Result<Self, EngineError> {
        Ok(Self {
            good: count("good", row.good)?,
            bad: count("bad", row.bad)?,
            from: row.from_at,
            to: row.to_at,
            expected_ms: count("expected_ms", row.expected_ms)?,
            covered_ms: count("covered_ms", row.covered_ms)?,
            lost: count("lost", row.lost)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_belongs_to_the_slot_it_ends() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let slot = Duration::from_secs(10);
        assert_eq!(
            slot_end(at("2026-11-22T10:00:10Z"), slot).unwrap(),
            at("2026-11-22T10:00:10Z")
        );
        assert_eq!(
            slot_end(at("2026-11-22T10:00:10.000001Z"), slot).unwrap(),
            at("2026-11-22T10:00:20Z")
        );
        assert_eq!(
            slot_end(at("2026-11-22T23:59:59Z"), slot).unwrap(),
            at("2026-11-23T00:00:00Z")
        );
    }

    #[test]
    fn a_span_reads_back_from_its_interval() {
        for seconds in [0, 1, 300, 86_400 * 28] {
            let duration = Duration::from_secs(seconds);
            assert_eq!(span("long", &interval(duration)).unwrap(), duration);
        }
        let month = PgInterval {
            months: 1,
            days: 0,
            microseconds: 0,
        };
        assert!(span("period", &month).is_err());
    }
}
