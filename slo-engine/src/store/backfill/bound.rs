//! How far a generation can be counted back, and why no further.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use super::super::ledger::day_start;
use super::super::{parse, slot_start};
use super::Book;
use crate::engine::EngineError;
use crate::measurement::Signal;
use crate::objective::{Sli, SliKind};
use crate::settings::{Keep, Settings};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bound {
    pub at: DateTime<Utc>,
    pub because: Because,
}

/// Of two that fall on the same moment, the later one here is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Because {
    NothingMeasured,
    PartsBegin,
    NotToldApart,
    TooCoarse,
    NotKept,
}

impl Because {
    pub fn message(self) -> &'static str {
        match self {
            Self::NothingMeasured => "nothing older of it was measured",
            Self::PartsBegin => "a part of it counts from then on",
            Self::NotToldApart => "what it counts was not told apart before",
            Self::TooCoarse => {
                "of older days it is kept too coarsely who was watching to judge each slice of them"
            }
            Self::NotKept => "older measurements are kept no longer",
        }
    }
}

/// `None` when nothing can be known of the time before it began.
pub(super) async fn find(
    connection: &mut PgConnection,
    settings: &Settings,
    book: &Book,
    now: DateTime<Utc>,
) -> Result<Option<Bound>, EngineError> {
    // The oldest that can be known: its series, or who watched them. A composite counts from where all its parts do.
    let row = sqlx::query!(
        r#"select g.sli, g.service_id, g.role, g.started_at, least(
             (select min(s.first_seen_at)
              from objective_series c
              join series s using (series_id)
              where c.objective_id = g.objective_id and c.generation = g.generation),
             (select min(coalesce(x.counted_from_at, x.started_at))
              from objective_generation x
              where x.service_id = g.service_id and x.role = g.role
                and (x.objective_id, x.generation) <> (g.objective_id, g.generation))
         ) as oldest,
         -- Of a part that is still counted back, where it is to begin: the whole waits for it.
         (select max(coalesce(b.from_at, x.counted_from_at, x.started_at))
          from objective_part p
          join objective_generation x on x.objective_id = p.part_id and x.generation = p.part_generation
          left join backfill b
              on b.objective_id = p.part_id and b.generation = p.part_generation and b.finished_at is null
          where p.objective_id = g.objective_id and p.generation = g.generation) as parts_begin
         from objective_generation g
         where g.objective_id = $1 and g.generation = $2"#,
        book.objective_id,
        book.generation
    )
    .fetch_one(&mut *connection)
    .await?;
    let sli: Sli = parse("objective_generation.sli", &row.sli)?;
    let told = told_apart_from(connection, &sli, (row.service_id, &row.role), row.started_at).await?;
    let Some(oldest) = row.oldest else { return Ok(None) };
    let start = |at, because| {
        let at = slot_start(at, settings.slot)?;
        Ok::<_, EngineError>(Bound { at, because })
    };
    let mut bound = start(oldest, Because::NothingMeasured)?.max(Bound {
        at: kept_from(&settings.keep, now),
        because: Because::NotKept,
    });
    if let Some(at) = row.parts_begin {
        bound = bound.max(start(at, Because::PartsBegin)?);
    }
    if let Some(at) = told {
        bound = bound.max(start(at, Because::NotToldApart)?);
    }
    if let Some(at) = too_coarse_to(connection, book, bound.at).await? {
        let because = Because::TooCoarse;
        bound = bound.max(Bound { at, because });
    }
    Ok(Some(bound))
}

/// Since when without a break the probes count what the SLI asks for apart from all else: they know the routes and thresholds
/// of the definitions in force. What they did not know was counted as something else, and is no history of it. `None`:
/// always, as statuses are.
pub(in crate::store) async fn told_apart_from(
    connection: &mut PgConnection,
    sli: &Sli,
    (service_id, role): (i64, &str),
    started_at: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, EngineError> {
    if sli.kind == SliKind::Retransmits {
        // Before releases that count what first left, only what is bad of it was measured.
        let first = sqlx::query_scalar!(
            "select min(first_seen_at) from series where service_id = $1 and role = $2 and signal = $3",
            service_id,
            role,
            Signal::SegmentsSent.to_string()
        );
        return Ok(first.fetch_one(connection).await?.or(Some(started_at)));
    }
    let threshold = |sli: &Sli| match sli.kind {
        SliKind::Latency { clock, threshold } => Some((clock, threshold)),
        SliKind::Ratio { .. } | SliKind::Retransmits | SliKind::Composite(_) => None,
    };
    if sli.route.is_none() && threshold(sli).is_none() {
        return Ok(None);
    }
    let rows = sqlx::query!(
        "select sli, started_at, ended_at from objective_generation where service_id = $1 and role = $2
         order by started_at desc",
        service_id,
        role
    )
    .fetch_all(connection)
    .await?;
    let mut named = Vec::new();
    for row in rows {
        let other: Sli = parse("objective_generation.sli", &row.sli)?;
        named.push((other, row.started_at, row.ended_at));
    }
    let since = |names: &dyn Fn(&Sli) -> bool| {
        let mut since = started_at;
        // Latest first, so that each that reaches what is known so far extends it.
        for (_, from, to) in named.iter().filter(|(other, ..)| names(other)) {
            if *from < since && to.is_none_or(|to| to >= since) {
                since = *from;
            }
        }
        since
    };
    let route = sli
        .route
        .as_ref()
        .map(|_| since(&|other| other.route == sli.route));
    let threshold = threshold(sli).map(|asked| since(&|other| threshold(other) == Some(asked)));
    Ok(route.max(threshold))
}

/// The first day of which nothing is dropped yet.
pub(in crate::store) fn kept_from(keep: &Keep, now: DateTime<Utc>) -> DateTime<Utc> {
    TimeDelta::from_std(keep.measurements.min(keep.ledger))
        .ok()
        .and_then(|span| now.checked_sub_signed(span))
        .map_or(DateTime::UNIX_EPOCH, |at| day_start(at.date_naive()))
}

/// Requests are measured by the slot for as long as they are kept; who was watching is thinned sooner.
async fn too_coarse_to(
    connection: &mut PgConnection,
    book: &Book,
    not_before: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, EngineError> {
    if book.slice.is_none() || book.is_composite {
        return Ok(None);
    }
    let at = sqlx::query_file_scalar!(
        "queries/backfill_coarse.sql",
        book.objective_id,
        book.generation,
        book.counted_from,
        not_before
    )
    .fetch_one(connection)
    .await?;
    Ok(at)
}
