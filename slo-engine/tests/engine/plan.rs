//! What evaluation costs: looked at in the plan, not on a clock.

use serde_json::Value;
use slo_engine::Settings;

use crate::support::{World, at};

const OBJECTIVES: i64 = 1000;

/// A thousand objectives with four tiers each and a row a minute for six hours, the last of which is open.
async fn fill(world: &World) {
    let pool = &world.database.pool;
    for day in 0..10 {
        world.engine.maintain(at(day * 86_400)).await.unwrap();
    }
    for statement in [
        "insert into objective (name, created_at, defined_at, generation)
         select 'slo-' || n, $1, $1, 1 from generate_series(1, 999) n where $1::timestamptz is not null",
        "insert into objective_generation (objective_id, generation, service_id, role, sli, started_at)
         select o.objective_id, 1, g.service_id, g.role, g.sli, $1
         from objective o, objective_generation g
         where o.name like 'slo-%'",
        "insert into objective_definition
         select o.objective_id, $1, 1, o.name, '', d.target, d.period, '' from objective o, objective_definition d
         where o.name like 'slo-%'",
        "insert into objective_tier
         select o.objective_id, $1, t.tier, t.position, t.severity, t.long_window, t.short_window, t.burn_rate, null
         from objective o, objective_tier t
         where o.name like 'slo-%'",
        "insert into ledger
         select o.objective_id, 1, $1 + make_interval(mins => n), n, 0, n * 60000, n * 60000, 0
         from objective o, generate_series(1, 360) n",
        "insert into ledger_day
         select o.objective_id, 1, ledger_day_of($1), 0, 0, 0, 0, 0 from objective o",
        // As after five hours and a half: what is over is packed.
        "select pack_ledger(array_agg(o.objective_id), array_agg(1), $1, $1 + interval '5 hours', null, interval '20 minutes')
         from objective o",
    ] {
        sqlx::query(statement).bind(at(0)).execute(pool).await.unwrap();
    }
    sqlx::query("analyze").execute(pool).await.unwrap();
}

/// Every node of a plan.
fn nodes(plan: &Value) -> Vec<&Value> {
    let mut all = vec![plan];
    for child in plan["Plans"].as_array().into_iter().flatten() {
        all.extend(nodes(child));
    }
    all
}

async fn explain(world: &World, query: &'static str, all: bool) -> Value {
    let plan: Value = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "explain (analyze, timing off, format json) {query}"
    )))
    .bind(at(360 * 60))
    .bind(None::<&str>)
    .bind(all)
    .fetch_one(&world.database.pool)
    .await
    .unwrap();
    plan[0]["Plan"].clone()
}

/// How often the ledger's rows and chunks are looked into, and how many are read.
fn look_ups(plan: &Value) -> (i64, f64) {
    let (mut scans, mut rows) = (0, 0.0);
    for node in nodes(plan) {
        let Some(relation) = node["Relation Name"].as_str() else {
            continue;
        };
        let loops = node["Actual Loops"].as_i64().unwrap();
        if !["ledger", "ledger_chunk", "ledger_day"].contains(&relation) || loops == 0 {
            continue;
        }
        assert!(
            node["Node Type"].as_str().unwrap().starts_with("Index") || relation == "ledger_day",
            "{relation} is read by {}: {}",
            node["Node Type"],
            serde_json::to_string_pretty(plan).unwrap()
        );
        if relation != "ledger_day" {
            scans += loops;
            #[expect(clippy::cast_precision_loss, reason = "thousands")]
            let found = node["Actual Rows"].as_f64().unwrap() * loops as f64;
            rows += found;
        }
    }
    (scans, rows)
}

#[tokio::test]
async fn an_evaluation_is_a_handful_of_index_look_ups_for_each_objective() {
    let world = World::new(Settings::default()).await;
    fill(&world).await;
    // One right edge, and for each of four tiers the left edge of its short window, or of both: in the open rows, and else
    // in the chunks. Were there fewer, they would be in functions that are called, and in no plan.
    for (all, edges) in [(false, 5), (true, 9)] {
        let plan = explain(&world, include_str!("../../queries/evaluation.sql"), all).await;
        let (scans, rows) = look_ups(&plan);
        assert!(
            (OBJECTIVES * edges..=OBJECTIVES * edges * 2).contains(&scans),
            "{scans} look-ups in the ledger for {OBJECTIVES} objectives"
        );
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let most = (OBJECTIVES * edges) as f64;
        assert!(rows <= most, "{rows} rows of the ledger were read");
    }
    let now = at(360 * 60);
    assert_eq!(world.engine.evaluate_all(now).await.unwrap().len(), 4000);
    assert_eq!(world.engine.evaluate(now).await.unwrap(), []);
    world.database.drop().await;
}

/// A function that is called and not planned with the query that asks is started anew for each objective.
#[tokio::test]
async fn when_many_budgets_are_exhausted_is_one_plan() {
    let world = World::new(Settings::default()).await;
    fill(&world).await;
    let plan: Value = sqlx::query_scalar(
        "explain (format json)
         select x.at from objective o left join lateral budget_exhaustion(o.name, $1, interval '1 hour') x on true",
    )
    .bind(at(360 * 60))
    .fetch_one(&world.database.pool)
    .await
    .unwrap();
    let plan = &plan[0]["Plan"];
    let all = nodes(plan);
    let called: Vec<_> = all
        .iter()
        .filter_map(|node| node["Function Name"].as_str())
        .collect();
    assert!(
        all.len() > 100 && !called.iter().any(|name| name.starts_with("budget")),
        "{} nodes, {called:?}",
        all.len()
    );
    world.database.drop().await;
}

#[tokio::test]
async fn one_window_is_looked_up_for_one_objective() {
    let world = World::new(Settings::default()).await;
    fill(&world).await;
    let plan: Value = sqlx::query_scalar(
        "explain (analyze, timing off, format json) select * from burn_rate('slo-7', '1 hour', $1)",
    )
    .bind(at(360 * 60))
    .fetch_one(&world.database.pool)
    .await
    .unwrap();
    let plan = &plan[0]["Plan"];
    let most = nodes(plan)
        .iter()
        .filter_map(|node| node["Actual Loops"].as_i64())
        .max();
    assert!(most <= Some(2), "{}", serde_json::to_string_pretty(plan).unwrap());
    world.database.drop().await;
}
