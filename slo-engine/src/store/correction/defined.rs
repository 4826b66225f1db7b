//! Keeps the corrections that files state in step with the files.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{insert, mark_undone, spelled};
use crate::correction::{CorrectionError, CorrectionId, Recurrence};
use crate::definitions::DefinedCorrection;
use crate::engine::EngineError;
use crate::store::micros;

/// What stands for an objective and the name of a definition.
struct Standing {
    id: i64,
    /// All that it says: another text is another correction.
    says: String,
}

pub(crate) async fn keep(
    connection: &mut PgConnection,
    defined: &[DefinedCorrection],
    now: DateTime<Utc>,
) -> Result<(), EngineError> {
    let mut standing = standing(connection).await?;
    let mut new = Vec::new();
    for each in defined {
        let key = (each.correction.objective.to_string(), each.definition.clone());
        if standing.get(&key).is_some_and(|before| before.says == says(each)) {
            standing.remove(&key);
        } else {
            new.push(each);
        }
    }
    for ((_, definition), gone) in standing {
        let by = format!("definition {definition}");
        mark_undone(connection, CorrectionId(gone.id), &by, now)
            .await
            .map_err(unfit)?;
    }
    for each in new {
        insert(connection, &each.correction, Some(&each.definition), now)
            .await
            .map_err(unfit)?;
    }
    Ok(())
}

fn says(each: &DefinedCorrection) -> String {
    let correction = &each.correction;
    let recurs = correction.recurrence.as_ref();
    text(
        correction.kind.as_str(),
        (micros(correction.starts_at), micros(correction.ends_at)),
        (recurs.map(Recurrence::rule), recurs.map(Recurrence::zone)),
        (
            &spelled(recurs.map(Recurrence::exdate)),
            &spelled(recurs.map(Recurrence::rdate)),
        ),
        correction.comment.trim(),
    )
}

fn text(
    kind: &str,
    (starts_at, ends_at): (DateTime<Utc>, DateTime<Utc>),
    recurs: (Option<&str>, Option<&str>),
    dates: (&[String], &[String]),
    comment: &str,
) -> String {
    format!("{kind} {starts_at} {ends_at} {recurs:?} {dates:?} {comment}")
}

async fn standing(connection: &mut PgConnection) -> Result<HashMap<(String, String), Standing>, EngineError> {
    let rows = sqlx::query!(
        r#"select o.name, c.definition as "definition!", c.correction_id, c.kind, c.starts_at, c.ends_at, c.rule, c.zone,
                  c.exdate, c.rdate, c.comment
           from correction c
           join objective o using (objective_id)
           where c.definition is not null and c.undone_at is null"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let says = text(
                &row.kind,
                (row.starts_at, row.ends_at),
                (row.rule.as_deref(), row.zone.as_deref()),
                (&row.exdate, &row.rdate),
                &row.comment,
            );
            let id = row.correction_id;
            ((row.name, row.definition), Standing { id, says })
        })
        .collect())
}

/// Definitions have been checked; what is refused here all the same is told as it is.
fn unfit(error: CorrectionError) -> EngineError {
    match error {
        CorrectionError::Engine(error) => error,
        other => EngineError::Unreadable {
            column: "correction",
            value: other.to_string(),
        },
    }
}
