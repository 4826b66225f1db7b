//! Corrections that files state: reloads keep them in step with the files, and leave no trace of what is in none.

use std::path::Path;

use chrono::{DateTime, Utc};
use slo_engine::correction::{CorrectionKind, NewCorrection};
use slo_engine::definitions::{self, Definitions};
use slo_engine::{Engine, Settings};
use sqlx::PgPool;

use crate::support::{Database, at};

const FILE: &str = include_str!("../../../tests/testdata/good/definitions/corrections.yaml");

fn read(text: &str) -> Definitions {
    definitions::read_text(Path::new("corrections.yaml"), text.as_bytes()).unwrap()
}

/// The file without the document of this name.
fn without(name: &str) -> Definitions {
    let documents: Vec<&str> = FILE
        .split("---\n")
        .filter(|document| !document.contains(name))
        .collect();
    read(&documents.join("---\n"))
}

/// Corrections that stand, by objective and author.
async fn standing(pool: &PgPool) -> Vec<(String, String)> {
    sqlx::query_as(
        "select o.name, c.author from correction c join objective o using (objective_id)
         where c.undone_at is null order by 1, 2",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

/// Spans that an objective leaves out between two times.
async fn left_out(pool: &PgPool, from: &str, to: &str) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    sqlx::query_as("select from_at, to_at from left_out('web-latency', $1::timestamptz, $2::timestamptz)")
        .bind(from.parse::<DateTime<Utc>>().unwrap())
        .bind(to.parse::<DateTime<Utc>>().unwrap())
        .fetch_all(pool)
        .await
        .unwrap()
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

#[tokio::test]
async fn a_reload_keeps_corrections_in_step_with_the_files() {
    let database = Database::new().await;
    let pool = &database.pool;
    let engine = Engine::new(pool.clone(), Settings::default());
    engine.apply(&read(FILE), at(0)).await.unwrap();
    let all = pairs(&[
        ("web-availability", "definition new-switch"),
        ("web-availability", "definition sundays"),
        ("web-latency", "definition new-switch"),
        ("web-latency", "definition sundays"),
    ]);
    assert_eq!(standing(pool).await, all);
    // What began years ago is left out now, at the same time on the clocks in summer and in winter.
    let utc = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    assert_eq!(
        left_out(pool, "2026-10-18T00:00:00Z", "2026-11-03T00:00:00Z").await,
        [
            (utc("2026-10-18T00:00:00Z"), utc("2026-10-18T02:00:00Z")),
            (utc("2026-10-25T01:00:00Z"), utc("2026-10-25T03:00:00Z")),
            (utc("2026-11-01T01:00:00Z"), utc("2026-11-01T03:00:00Z")),
            (utc("2026-11-02T11:01:00Z"), utc("2026-11-02T11:02:00Z")),
        ]
    );
    // The same again changes nothing, not even the rows.
    let rows = async || -> i64 {
        let count = sqlx::query_scalar("select count(*) from correction");
        count.fetch_one(pool).await.unwrap()
    };
    engine.apply(&read(FILE), at(10)).await.unwrap();
    assert_eq!(rows().await, 4);
    // Somebody's own correction is none of the files' business.
    let own = NewCorrection {
        objective: "web-latency".parse().unwrap(),
        kind: CorrectionKind::Other,
        starts_at: at(0),
        ends_at: at(60),
        recurrence: None,
        author: "ann".to_owned(),
        comment: String::new(),
    };
    engine.correct(&own, at(15)).await.unwrap();
    engine.apply(&without("new-switch"), at(20)).await.unwrap();
    let left = pairs(&[
        ("web-availability", "definition sundays"),
        ("web-latency", "ann"),
        ("web-latency", "definition sundays"),
    ]);
    assert_eq!(standing(pool).await, left);
    // Said in another way, it is undone and made anew; put back, it is back.
    engine
        .apply(&read(&FILE.replace("BYDAY=SU", "BYDAY=SA")), at(30))
        .await
        .unwrap();
    assert_eq!(standing(pool).await.len(), 5);
    assert_eq!(
        left_out(pool, "2026-10-31T00:00:00Z", "2026-11-02T00:00:00Z").await,
        [(utc("2026-10-31T01:00:00Z"), utc("2026-10-31T03:00:00Z"))]
    );
    let dated = FILE.replace(
        "BYDAY=SU",
        "BYDAY=SU\n  exdate: 2026-10-25\n  rdate: 2026-10-28T12:00:00Z",
    );
    let dated = read(&dated);
    engine.apply(&dated, at(33)).await.unwrap();
    assert_eq!(
        left_out(pool, "2026-10-24T00:00:00Z", "2026-11-02T00:00:00Z").await,
        [
            (utc("2026-10-28T12:00:00Z"), utc("2026-10-28T14:00:00Z")),
            (utc("2026-11-01T01:00:00Z"), utc("2026-11-01T03:00:00Z")),
        ]
    );
    let before = rows().await;
    engine.apply(&dated, at(36)).await.unwrap();
    assert_eq!(rows().await, before);
    // An objective that is withdrawn takes its corrections along.
    engine.apply(&Definitions::default(), at(40)).await.unwrap();
    assert_eq!(standing(pool).await, pairs(&[("web-latency", "ann")]));
    database.drop().await;
}

#[tokio::test]
async fn corrections_of_files_leave_room_for_those_that_people_make() {
    let database = Database::new().await;
    let engine = Engine::new(database.pool.clone(), Settings::default());
    let mut text = FILE.split("---\n").next().unwrap().to_owned();
    for number in 0..200 {
        text.push_str(&format!(
            "---\napiVersion: slowburn/v1\nkind: Correction\nmetadata: {{name: number-{number}}}\nspec: {{objectives: web-latency, \
             kind: other, startsAt: 2026-11-02T12:00:00Z, endsAt: 2026-11-02T12:01:00Z}}\n"
        ));
    }
    engine.apply(&read(&text), at(0)).await.unwrap();
    assert_eq!(standing(&database.pool).await.len(), 200);
    let own = NewCorrection {
        objective: "web-latency".parse().unwrap(),
        kind: CorrectionKind::Other,
        starts_at: at(0),
        ends_at: at(60),
        recurrence: None,
        author: "ann".to_owned(),
        comment: String::new(),
    };
    engine.correct(&own, at(15)).await.unwrap();
    database.drop().await;
}
