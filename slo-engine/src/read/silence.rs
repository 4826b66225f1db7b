//! Silences, newest first, and what there is to silence.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use crate::engine::EngineError;
use crate::evaluate::{DATA_OUTAGE, OutageRule};
use crate::partly::{self, Partly};
use crate::sequential::FAST_PAGE;
use crate::silence::{Labels, Silence, SilenceId};
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

/// One that may alert, as silences see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alerting {
    pub service: String,
    pub objective: String,
    pub tier: String,
    pub severity: String,
}

impl Alerting {
    #[must_use]
    pub fn labels(&self) -> Labels<'_> {
        Labels {
            service: &self.service,
            objective: &self.objective,
            tier: &self.tier,
            severity: &self.severity,
        }
    }
}

/// Every tier, fast page, alert on a budget and alert of missing data that the definitions in force have.
///
/// # Errors
/// When the database fails.
pub async fn alerting(pool: &PgPool) -> Result<Vec<Alerting>, EngineError> {
    let outage = OutageRule::default().severity;
    let found = sqlx::query_as!(
        Alerting,
        r#"select s.name as service, o.name as objective, t.tier as "tier!", t.severity as "severity!"
           from objective o
           join objective_generation g on g.objective_id = o.objective_id and g.generation = o.generation
           join service s using (service_id)
           cross join lateral (
               select d.tier, d.severity
               from objective_tier d
               where d.objective_id = o.objective_id and d.from_at = o.defined_at
               union all
               select b.name, b.severity
               from objective_budget_alert b
               where b.objective_id = o.objective_id and b.from_at = o.defined_at
               union all
               select $1::text, 'page'
               from objective_fast_page f
               where f.objective_id = o.objective_id and f.from_at = o.defined_at
               union all
               -- What nothing is said of is as it is by default; who says `off` is never told.
               select $2::text, case when m.objective_id is null then $3::text else m.severity end
               from (select) x
               left join objective_missing_data m on m.objective_id = o.objective_id and m.from_at = o.defined_at
           ) t
           where o.withdrawn_at is null and t.severity is not null
           order by o.name, t.tier"#,
        FAST_PAGE,
        DATA_OUTAGE,
        outage.as_str()
    )
    .fetch_all(pool)
    .await?;
    Ok(found)
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
