//! Latency histograms as stored: sparse buckets by slot, and quantiles read from them.
//!
//! In: cumulative histograms. Out: what each slot added, bucket by bucket.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::booking::{Buckets, Head};
use super::memory::HistogramKey;
use crate::engine::EngineError;
use crate::measurement::{HISTOGRAM_SCALE, HistogramReading};

pub(crate) fn key(reading: &HistogramReading) -> HistogramKey {
    HistogramKey {
        service: reading.service.clone(),
        role: reading.role,
        route: reading.route.clone(),
        clock: reading.clock,
    }
}

/// `None` when a count or the sum cannot be kept.
pub(crate) fn buckets(reading: &HistogramReading) -> Option<Buckets> {
    let mut buckets = Buckets {
        sum_ns: u64::try_from(reading.sum.as_nanos())
            .ok()
            .filter(|ns| i64::try_from(*ns).is_ok())?,
        ..Buckets::default()
    };
    for (bucket, count) in &reading.buckets {
        let sum = buckets.counts.entry(*bucket).or_default();
        *sum = sum
            .checked_add(*count)
            .filter(|sum| i64::try_from(*sum).is_ok())?;
    }
    Some(buckets)
}

pub(crate) async fn heads(
    connection: &mut PgConnection,
    ids: &[i64],
) -> Result<HashMap<i64, Head<Buckets>>, EngineError> {
    let rows = sqlx::query!(
        "select histogram_id, started_at, at, buckets, counts, sum_ns
         from histogram_head where histogram_id = any($1)",
        ids
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let counts = row
                .buckets
                .into_iter()
                .zip(row.counts)
                .map(|(bucket, count)| Ok((bucket, super::count("histogram_head.counts", count)?)))
                .collect::<Result<_, EngineError>>()?;
            let head = Head {
                started_at: row.started_at,
                at: row.at,
                value: Buckets {
                    counts,
                    sum_ns: super::count("histogram_head.sum_ns", row.sum_ns)?,
                },
            };
            Ok((row.histogram_id, head))
        })
        .collect()
}

pub(crate) async fn add(
    connection: &mut PgConnection,
    slot_end: DateTime<Utc>,
    counted: &HashMap<i64, Buckets>,
) -> Result<(), EngineError> {
    if counted.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into histogram_slot (histogram_id, at, buckets, counts)
         select histogram_id, $1, buckets::int[], counts::bigint[]
         from unnest($2::bigint[], $3::text[], $4::text[]) as t (histogram_id, buckets, counts)
         on conflict (histogram_id, at) do update
         set (buckets, counts) = (
             select array_agg(bucket order by bucket), array_agg(count order by bucket)
             from (
                 select bucket, sum(count)::bigint as count
                 from unnest(histogram_slot.buckets || excluded.buckets, histogram_slot.counts || excluded.counts)
                     as t (bucket, count)
                 group by bucket
             ) sum
         )",
        slot_end,
        &counted.keys().copied().collect::<Vec<_>>(),
        &counted
            .values()
            .map(|buckets| literal(buckets.counts.keys()))
            .collect::<Vec<_>>(),
        &counted
            .values()
            .map(|buckets| literal(buckets.counts.values()))
            .collect::<Vec<_>>()
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(crate) async fn move_heads(
    connection: &mut PgConnection,
    heads: &HashMap<i64, Head<Buckets>>,
    moved: &HashSet<i64>,
) -> Result<(), EngineError> {
    let moved: Vec<(&i64, &Head<Buckets>)> = heads.iter().filter(|(id, _)| moved.contains(*id)).collect();
    if moved.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into histogram_head (histogram_id, started_at, at, buckets, counts, sum_ns)
         select histogram_id, started_at, at, buckets::int[], counts::bigint[], sum_ns
         from unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[], $4::text[], $5::text[], $6::bigint[])
             as t (histogram_id, started_at, at, buckets, counts, sum_ns)
         on conflict (histogram_id) do update
         set started_at = excluded.started_at, at = excluded.at, buckets = excluded.buckets,
             counts = excluded.counts, sum_ns = excluded.sum_ns",
        &moved.iter().map(|(id, _)| **id).collect::<Vec<_>>(),
        &moved.iter().map(|(_, head)| head.started_at).collect::<Vec<_>>(),
        &moved.iter().map(|(_, head)| head.at).collect::<Vec<_>>(),
        &moved
            .iter()
            .map(|(_, head)| literal(head.value.counts.keys()))
            .collect::<Vec<_>>(),
        &moved
            .iter()
            .map(|(_, head)| literal(head.value.counts.values()))
            .collect::<Vec<_>>(),
        &moved
            .iter()
            .map(|(_, head)| i64::try_from(head.value.sum_ns).unwrap_or(i64::MAX))
            .collect::<Vec<_>>()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// An array as Postgres reads it: of arrays of unequal lengths there are none.
fn literal<T: ToString>(values: impl Iterator<Item = T>) -> String {
    let values: Vec<String> = values.map(|value| value.to_string()).collect();
    format!("{{{}}}", values.join(","))
}

/// The latency in milliseconds that a share of the events stay within: the geometric middle of the
/// bucket it falls in, so off by at most half a bucket (2.2 %). `None` without events.
pub(crate) fn quantile_ms(buckets: &[(i32, u64)], share: f64) -> Option<f64> {
    debug_assert!(buckets.is_sorted_by_key(|(bucket, _)| *bucket));
    let total: u64 = buckets.iter().map(|(_, count)| count).sum();
    if total == 0 {
        return None;
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank of events, rounded up and bounded by the total"
    )]
    let rank = ((share * total as f64).ceil() as u64).clamp(1, total);
    let mut below = 0;
    for (bucket, count) in buckets {
        below += count;
        if below >= rank {
            let octaves = (f64::from(*bucket) + 0.5) / f64::from(1_i32 << HISTOGRAM_SCALE);
            return Some(octaves.exp2() / 1e6);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bucket of a latency, by the definition in `measurement`.
    fn bucket(nanos: f64) -> i32 {
        #[expect(clippy::cast_possible_truncation, reason = "a small number")]
        let index = (nanos.log2() * 16.0).ceil() as i32 - 1;
        index
    }

    #[test]
    fn a_quantile_is_within_half_a_bucket() {
        let buckets: Vec<(i32, u64)> = [(1e6, 90), (5e6, 9), (50e6, 1)]
            .map(|(nanos, count)| (bucket(nanos), count))
            .to_vec();
        for (share, expected) in [
            (0.5, 1.0),
            (0.9, 1.0),
            (0.91, 5.0),
            (0.99, 5.0),
            (0.991, 50.0),
            (1.0, 50.0),
        ] {
            let found = quantile_ms(&buckets, share).unwrap();
            assert!((found / expected - 1.0).abs() < 0.0222, "{share}: {found}");
        }
        assert_eq!(quantile_ms(&[], 0.5), None);
        assert_eq!(quantile_ms(&[(3, 0)], 0.5), None);
    }
}
