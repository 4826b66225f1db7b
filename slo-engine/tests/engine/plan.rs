//! What evaluation costs: looked at in the plan, not on a clock.

use serde_json::Value;
use slo_engine::{Engine, Settings};
use sqlx::postgres::PgPoolOptions;

use crate::support::{World, at, batch, noon, reading, status};

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

/// What one evaluation asked of a table: whole scans, index look-ups, and rows that these fetched.
#[derive(Debug, sqlx::FromRow)]
struct Asked {
    seq_scan: i64,
    idx_scan: i64,
    idx_tup_fetch: i64,
}

/// Asks `evaluation.sql` as the engine does, and Postgres what that took.
async fn evaluate(world: &World, all: bool) -> [Asked; 2] {
    let mut transaction = world.database.pool.begin().await.unwrap();
    sqlx::raw_sql("set local plan_cache_mode = force_generic_plan")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let tiers = sqlx::query(include_str!("../../queries/evaluation.sql"))
        .bind(at(360 * 60))
        .bind(None::<&str>)
        .bind(all)
        .fetch_all(&mut *transaction)
        .await
        .unwrap();
    assert_eq!(tiers.len(), if all { 4000 } else { 0 });
    let mut asked = Vec::new();
    for table in ["ledger", "ledger_chunk"] {
        let of_table = sqlx::query_as(
            "select seq_scan, idx_scan, idx_tup_fetch from pg_stat_xact_user_tables where relname = $1",
        )
        .bind(table)
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
        asked.push(of_table);
    }
    asked.try_into().unwrap()
}

#[tokio::test]
async fn where_many_windows_begin_is_read_of_all_objectives_at_once() {
    let world = World::new(Settings::default()).await;
    fill(&world).await;
    // The last row, and where windows of 5 min and of 30 min begin; the row 2 h ago is packed. Nobody has one 6 h ago,
    // which each is looked up for, in the rows and in the chunks; so is each beginning of a long window.
    for (all, look_ups) in [(false, 1), (true, 5)] {
        let [rows, chunks] = evaluate(&world, all).await;
        assert_eq!((rows.seq_scan, chunks.seq_scan), (0, 0));
        // A few more ask whether slots were shorter once.
        let most = look_ups * OBJECTIVES + 20;
        assert!(
            rows.idx_scan <= most && chunks.idx_scan <= most,
            "{rows:?} {chunks:?}"
        );
        let (fetched, packed) = if all { (5, 4) } else { (3, 1) };
        assert!(rows.idx_tup_fetch <= fetched * OBJECTIVES + 20, "{rows:?}");
        assert!(chunks.idx_tup_fetch <= packed * OBJECTIVES + 20, "{chunks:?}");
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

/// With its values, of a slot that statistics do not know, Postgres would join all objectives to it by loops.
#[tokio::test]
async fn a_booking_is_planned_without_its_values() {
    let world = World::new(Settings::default()).await;
    let server = world.database.pool.connect_options().as_ref().clone();
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_with(server)
        .await
        .unwrap();
    let engine = Engine::new(pool.clone(), Settings::default());
    for second in [10_i64, 15, 20] {
        let readings = vec![reading(status("web", 200), noon(), second.unsigned_abs())];
        let batch = batch(&world.source, at(second), readings);
        engine.ingest_at(&batch, at(second)).await.unwrap();
    }
    let plans: (i64, i64) = sqlx::query_as(
        "select sum(generic_plans)::bigint, sum(custom_plans)::bigint
         from pg_prepared_statements where statement like '-- Adds deltas to one slot%'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(plans, (3, 0));
    pool.close().await;
    world.database.drop().await;
}
