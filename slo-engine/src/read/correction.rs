//! Corrections and what they leave out, and annotations.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::{Annotation, Correction, LeftOut, Recurs};
use crate::annotation::AnnotationId;
use crate::correction::CorrectionId;
use crate::engine::EngineError;
use crate::measurement::ServiceName;
use crate::objective::ObjectiveName;
use crate::store::{look_up, micros, parse};

/// Corrections that hold some time in `from` to `to`, of all objectives or one, those that are undone included;
/// newest first. Their spans are those in that time.
///
/// # Errors
/// When the database fails.
pub async fn corrections(
    pool: &PgPool,
    objective: Option<&ObjectiveName>,
    range: (DateTime<Utc>, DateTime<Utc>),
    limit: u32,
) -> Result<Vec<Correction>, EngineError> {
    read(pool, objective, None, range, limit).await
}

/// One correction, with its spans in `from` to `to`; `None` when there is none of this id.
///
/// # Errors
/// When the database fails.
pub async fn correction(
    pool: &PgPool,
    id: CorrectionId,
    range: (DateTime<Utc>, DateTime<Utc>),
) -> Result<Option<Correction>, EngineError> {
    Ok(read(pool, None, Some(id), range, 1).await?.pop())
}

async fn read(
    pool: &PgPool,
    objective: Option<&ObjectiveName>,
    id: Option<CorrectionId>,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    limit: u32,
) -> Result<Vec<Correction>, EngineError> {
    let rows = sqlx::query!(
        r#"select c.correction_id, o.name as objective, c.kind, c.starts_at, c.ends_at, c.rule, c.zone, c.exdate, c.rdate, c.author,
                  c.comment, c.created_at, c.undone_at, c.undone_by,
                  s.starts as "starts!: Vec<DateTime<Utc>>", s.ends as "ends!: Vec<DateTime<Utc>>"
           from correction c
           join objective o using (objective_id)
           cross join lateral (
               select coalesce(array_agg(s.from_at order by s.from_at), '{}') as starts,
                      coalesce(array_agg(s.to_at order by s.from_at), '{}') as ends
               from correction_span s
               where s.correction_id = c.correction_id and s.from_at < $3 and s.to_at > $2
           ) s
           where ($1::text is null or o.name = $1)
             and (c.correction_id = $5 or ($5 is null and cardinality(s.starts) > 0))
           order by c.correction_id desc
           limit $4"#,
        objective.map(ObjectiveName::as_str),
        micros(from),
        micros(to),
        i64::from(limit),
        id.map(|id| id.0)
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Correction {
                id: CorrectionId(row.correction_id),
                objective: parse("objective.name", &row.objective)?,
                kind: parse("correction.kind", &row.kind)?,
                starts_at: row.starts_at,
                ends_at: row.ends_at,
                recurs: row.rule.zip(row.zone).map(|(rule, zone)| Recurs {
                    rule,
                    zone,
                    exdate: row.exdate,
                    rdate: row.rdate,
                }),
                author: row.author,
                comment: row.comment,
                created_at: row.created_at,
                undone: row.undone_at.zip(row.undone_by),
                spans: row.starts.into_iter().zip(row.ends).collect(),
            })
        })
        .collect()
}

/// What corrections leave out of one objective, in order.
///
/// # Errors
/// When the database fails.
pub async fn left_out(
    pool: &PgPool,
    objective: &ObjectiveName,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Vec<LeftOut>, EngineError> {
    let spans = sqlx::query_as!(
        LeftOut,
        r#"select from_at as "from!", to_at as "to!", counted_from_at as counted_from, counted_to_at as counted_to,
                  good as "good!", bad as "bad!"
           from left_out($1, $2, $3)"#,
        objective.as_str(),
        micros(from),
        micros(to)
    )
    .fetch_all(&mut *look_up(pool).await?)
    .await?;
    Ok(spans)
}

/// Annotations of all services or one, newest first.
///
/// # Errors
/// When the database fails.
pub async fn annotations(
    pool: &PgPool,
    service: Option<&ServiceName>,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    limit: u32,
) -> Result<Vec<Annotation>, EngineError> {
    let rows = sqlx::query!(
        "select a.annotation_id, s.name as service, a.at, a.kind, a.text, a.author, a.created_at
         from annotation a
         join service s using (service_id)
         where ($1::text is null or s.name = $1) and a.at >= $2 and a.at <= $3
         order by a.at desc, a.annotation_id desc
         limit $4",
        service.map(ServiceName::as_str),
        micros(from),
        micros(to),
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Annotation {
                id: AnnotationId(row.annotation_id),
                service: parse("service.name", &row.service)?,
                at: row.at,
                kind: parse("annotation.kind", &row.kind)?,
                text: row.text,
                author: row.author,
                created_at: row.created_at,
            })
        })
        .collect()
}
