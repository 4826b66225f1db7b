//! Calendars as Postgres keeps them.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use sqlx::postgres::types::PgInterval;

use crate::budgeting::CalendarStep;
use crate::definitions::Definitions;
use crate::engine::EngineError;

/// Periods are worked out by Postgres: one that does not know a zone would fail at every evaluation.
pub(crate) async fn check_zones(
    connection: &mut PgConnection,
    definitions: &Definitions,
) -> Result<(), EngineError> {
    let zones: BTreeSet<&str> = definitions
        .objectives
        .iter()
        .filter_map(|objective| objective.calendar.map(|calendar| calendar.zone.name()))
        .collect();
    for zone in zones {
        check_zone(connection, zone).await?;
    }
    Ok(())
}

pub(crate) async fn check_zone(connection: &mut PgConnection, zone: &str) -> Result<(), EngineError> {
    let known = sqlx::query_scalar!("select now() at time zone $1", zone)
        .fetch_one(&mut *connection)
        .await;
    known.map_err(|error| match error.as_database_error() {
        Some(refused) if refused.code().as_deref() == Some("22023") => {
            EngineError::UnknownZone(zone.to_owned())
        }
        _ => error.into(),
    })?;
    Ok(())
}

pub(crate) fn step(every: CalendarStep) -> PgInterval {
    let (months, days) = match every {
        CalendarStep::Days(days) => (0, days),
        CalendarStep::Months(months) => (months, 0),
    };
    PgInterval {
        months: i32::from(months),
        days: i32::from(days),
        microseconds: 0,
    }
}
