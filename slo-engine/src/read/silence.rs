//! Silences, newest first.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use crate::engine::EngineError;
use crate::partly::{self, Partly};
use crate::silence::{Silence, SilenceId};
use crate::store::parse;

#[derive(Debug, Clone)]
struct Row {
    silence_id: i64,
    matchers: Vec<String>,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    author: String,
    comment: String,
    created_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    ended_by: Option<String>,
}

impl TryFrom<Row> for Silence {
    type Error = EngineError;

    fn try_from(row: Row) -> Result<Self, EngineError> {
        let matchers = row.matchers.iter();
        Ok(Self {
            id: SilenceId(row.silence_id),
            matchers: matchers
                .map(|text| parse("silence.matchers", text))
                .collect::<Result<_, _>>()?,
            starts_at: row.starts_at,
            ends_at: row.ends_at,
            author: row.author,
            comment: row.comment,
            created_at: row.created_at,
            ended_at: row.ended_at,
            ended_by: row.ended_by,
        })
    }
}

/// The latest, newest first; unless `ended`, only those that are not over.
///
/// # Errors
/// When the database fails.
pub async fn silences(
    pool: &PgPool,
    ended: bool,
    now: DateTime<Utc>,
    limit: u32,
) -> Result<Vec<Silence>, EngineError> {
    let rows = sqlx::query_as!(
        Row,
        "select silence_id, matchers, starts_at, ends_at, author, comment, created_at, ended_at, ended_by
         from silence
         where $1 or (ended_at is null and ends_at > $2)
         order by silence_id desc
         limit $3",
        ended,
        now,
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Silence::try_from).collect()
}

/// One silence; `None` when there is none with this id.
///
/// # Errors
/// When the database fails.
pub async fn silence(pool: &PgPool, id: SilenceId) -> Result<Option<Silence>, EngineError> {
    let row = sqlx::query_as!(
        Row,
        "select silence_id, matchers, starts_at, ends_at, author, comment, created_at, ended_at, ended_by
         from silence
         where silence_id = $1",
        id.0
    )
    .fetch_optional(pool)
    .await?;
    row.map(Silence::try_from).transpose()
}

/// Those that hold now and can be read, the oldest first.
pub(crate) async fn active_silences(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<Vec<Silence>, Partly<Silence>> {
    let rows = sqlx::query_as!(
        Row,
        "select silence_id, matchers, starts_at, ends_at, author, comment, created_at, ended_at, ended_by
         from silence
         where ended_at is null and starts_at <= $1 and ends_at > $1
         order by silence_id",
        now
    )
    .fetch_all(connection)
    .await?;
    partly::read(
        &rows,
        |row| format!("silence {}", row.silence_id),
        |row| row.clone().try_into(),
    )
}
