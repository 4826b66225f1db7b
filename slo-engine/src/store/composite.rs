//! Keeps what composites are made of, and reads what their parts counted.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::{PgConnection, PgPool};

use super::{convert, count, look_up, parse};
use crate::composite::Part;
use crate::engine::EngineError;
use crate::evaluate::PartCounts;
use crate::objective::{Objective, ObjectiveName, SliKind};

/// What stands for a composite's parts: another text is another generation, so that none is read beside a part of
/// another. Parts are defined before their composite.
pub(crate) async fn parts_text(
    connection: &mut PgConnection,
    objective: &Objective,
) -> Result<String, EngineError> {
    let SliKind::Composite(parts) = &objective.sli.kind else {
        return Ok(String::new());
    };
    let standing = generations(connection, parts).await?;
    let ids = parts.iter().map(|part| {
        let (id, generation) = found(&standing, part)?;
        Ok(format!("{id}/{generation}"))
    });
    Ok(ids.collect::<Result<Vec<_>, EngineError>>()?.join(","))
}

pub(crate) async fn store(
    connection: &mut PgConnection,
    objective: &Objective,
    objective_id: i64,
    generation: i32,
) -> Result<(), EngineError> {
    let SliKind::Composite(parts) = &objective.sli.kind else {
        return Ok(());
    };
    let standing = generations(connection, parts).await?;
    for (position, part) in (0_i32..).zip(parts) {
        let (part_id, part_generation) = found(&standing, part)?;
        sqlx::query!(
            "insert into objective_part (objective_id, generation, position, part_id, part_generation, weight)
             values ($1, $2, $3, $4, $5, $6)",
            objective_id,
            generation,
            position,
            part_id,
            part_generation,
            part.weight.value()
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

type Generations = HashMap<String, (i64, i32)>;

async fn generations(connection: &mut PgConnection, parts: &[Part]) -> Result<Generations, EngineError> {
    let names: Vec<&str> = parts.iter().map(|part| part.objective.as_str()).collect();
    let rows = sqlx::query!(
        "select name, objective_id, generation from objective where name = any($1) and withdrawn_at is null",
        &names as &[&str]
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.name, (row.objective_id, row.generation)))
        .collect())
}

fn found(standing: &Generations, part: &Part) -> Result<(i64, i32), EngineError> {
    standing
        .get(part.objective.as_str())
        .copied()
        .ok_or_else(|| EngineError::UnknownObjective(part.objective.clone()))
}

/// What one part counted.
#[derive(Debug)]
pub(crate) struct Row {
    name: String,
    tier: String,
    part: String,
    weight: Decimal,
    target: Decimal,
    unit: i64,
    good: i64,
    bad: i64,
}

/// What the parts of composites counted over the long window of each tier, by composite and tier.
pub(crate) async fn counts(
    pool: &PgPool,
    objective: Option<&ObjectiveName>,
    now: DateTime<Utc>,
) -> Result<HashMap<(String, String), Vec<Row>>, EngineError> {
    let rows = sqlx::query_as!(
        Row,
        r#"select o.name, t.tier, p.part as "part!", p.weight as "weight!", p.target as "target!", p.unit as "unit!",
                  p.good as "good!", p.bad as "bad!"
           from (select distinct objective_id, generation from objective_part) c
           join objective o using (objective_id, generation)
           join objective_tier t on t.objective_id = o.objective_id and t.from_at = o.defined_at
           cross join lateral composite_parts(o.objective_id, o.generation, $1::timestamptz - t.long_window, $1) p
           where o.withdrawn_at is null and ($2::text is null or o.name = $2)"#,
        now,
        objective.map(ObjectiveName::as_str)
    )
    .fetch_all(&mut *look_up(pool).await?)
    .await?;
    let mut counts: HashMap<_, Vec<_>> = HashMap::new();
    for row in rows {
        let key = (row.name.clone(), row.tier.clone());
        counts.entry(key).or_default().push(row);
    }
    Ok(counts)
}

impl TryFrom<Row> for PartCounts {
    type Error = EngineError;

    fn try_from(row: Row) -> Result<Self, EngineError> {
        Ok(Self {
            objective: parse("objective.name", &row.part)?,
            weight: convert("objective_part.weight", row.weight)?,
            target: convert("objective_definition.target", row.target)?,
            unit: count("unit", row.unit)?.max(1),
            good: count("good", row.good)?,
            bad: count("bad", row.bad)?,
        })
    }
}
