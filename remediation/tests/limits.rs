//! Limits on a real Postgres: taken up again, let go of, cancelled and cleared, also when things hang.

mod support;

use remediation::run::{StepKind, StepState};
use remediation::{LimitId, Limits as _, RunState, read};
use slo_engine::alert::AlertState;
use sqlx::PgPool;
use support::{at, bench, flood_runbook, happen, start, transition};

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_daemon_that_comes_back_makes_live_only_what_still_stands(pool: PgPool) {
    let bench = bench(&pool);
    happen(
        &pool,
        transition(1, AlertState::Firing, start()),
        &flood_runbook(""),
    )
    .await;
    bench.work(at(1)).await;
    let before = bench.limiter.live_ids();
    bench.limiter.live.lock().unwrap().clear();
    let reconciled = bench.worker.reconcile(at(100)).await.unwrap();
    assert_eq!((reconciled.applied, reconciled.released), (1, 0));
    assert_eq!(bench.limiter.live_ids(), before, "under the same identity");
    bench.limiter.live.lock().unwrap().clear();
    let reconciled = bench.worker.reconcile(at(400)).await.unwrap();
    assert_eq!(
        (reconciled.applied, reconciled.released),
        (0, 0),
        "its time is over"
    );
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn cancelling_takes_the_step_from_its_worker_and_undoes_it(pool: PgPool) {
    let bench = bench(&pool);
    let runs = happen(
        &pool,
        transition(1, AlertState::Firing, start()),
        &flood_runbook(""),
    )
    .await;
    *bench.limiter.hang_after_effect.lock().unwrap() = true;
    let hung = bench.worker.clone();
    let task = tokio::spawn(async move { hung.work_once(at(1)).await });
    while bench.limiter.live_ids().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        remediation::cancel(&pool, runs[0], at(2)).await.unwrap(),
        RunState::Releasing
    );
    assert_eq!(
        bench.work(at(2)).await,
        [(StepKind::XdpLimit, StepState::Released)]
    );
    assert_eq!(bench.run(runs[0]).await.run.state, RunState::Cancelled);
    assert_eq!(bench.limiter.live_ids(), [0_u32; 0]);
    assert!(
        remediation::cancel(&pool, runs[0], at(3)).await.is_err(),
        "it is over"
    );
    task.abort();
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn clearing_ends_limits_at_once_and_for_good(pool: PgPool) {
    let bench = bench(&pool);
    let runs = happen(
        &pool,
        transition(1, AlertState::Firing, start()),
        &flood_runbook(""),
    )
    .await;
    bench.work(at(1)).await;
    let owned = read::limits(&pool, &*bench.limiter).await.unwrap();
    assert_eq!(owned[0].run_id, Some(runs[0]));
    let cleared = remediation::clear_limits(&pool, &*bench.limiter, at(2))
        .await
        .unwrap();
    assert_eq!((cleared.limits, cleared.runs_cancelled), (1, 1));
    assert_eq!(bench.limiter.live_ids(), [0_u32; 0]);
    bench.worker.reconcile(at(2)).await.unwrap();
    assert_eq!(bench.limiter.live_ids(), [0_u32; 0]);
    bench.work(at(3)).await;
    assert_eq!(bench.run(runs[0]).await.run.state, RunState::Cancelled);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn one_limit_is_cleared_for_good_also_while_it_is_being_applied(pool: PgPool) {
    let bench = bench(&pool);
    let runs = happen(
        &pool,
        transition(1, AlertState::Firing, start()),
        &flood_runbook(""),
    )
    .await;
    *bench.limiter.hang_after_effect.lock().unwrap() = true;
    let hung = bench.worker.clone();
    let task = tokio::spawn(async move { hung.work_once(at(1)).await });
    while bench.limiter.live_ids().is_empty() {
        tokio::task::yield_now().await;
    }
    let id = LimitId(bench.limiter.live_ids()[0]);
    let limit = bench.limiter.live.lock().unwrap()[&id.0].clone();
    assert!(
        remediation::clear_limit(&pool, &*bench.limiter, id, at(2))
            .await
            .unwrap()
    );
    // The effect of the worker that is being overtaken.
    bench.limiter.apply(&limit).await.unwrap();
    bench.work(at(3)).await;
    assert_eq!(bench.limiter.live_ids(), [0_u32; 0]);
    assert_eq!(bench.run(runs[0]).await.run.state, RunState::Cancelled);
    task.abort();
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_limit_that_nobody_knows_is_not_there(pool: PgPool) {
    let bench = bench(&pool);
    for id in [1, u32::MAX] {
        let live = remediation::clear_limit(&pool, &*bench.limiter, LimitId(id), start()).await;
        assert!(!live.unwrap(), "{id}");
    }
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn limits_end_also_when_the_books_hang(pool: PgPool) {
    let bench = bench(&pool);
    happen(
        &pool,
        transition(1, AlertState::Firing, start()),
        &flood_runbook(""),
    )
    .await;
    bench.work(at(1)).await;
    let mut blocker = pool.begin().await.unwrap();
    sqlx::query("lock table run in access exclusive mode")
        .execute(&mut *blocker)
        .await
        .unwrap();
    let id = LimitId(bench.limiter.live_ids()[0]);
    assert!(
        remediation::clear_limit(&pool, &*bench.limiter, id, at(2))
            .await
            .is_err()
    );
    assert_eq!(bench.limiter.live_ids(), [0_u32; 0]);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn one_broken_limit_does_not_cost_the_others(pool: PgPool) {
    let bench = bench(&pool);
    bench.limiter.sources.lock().unwrap()[0].share = 0.4;
    happen(
        &pool,
        transition(1, AlertState::Firing, start()),
        &flood_runbook(""),
    )
    .await;
    bench.work(at(1)).await;
    let ids = bench.limiter.live_ids();
    assert_eq!(ids.len(), 2);
    *bench.limiter.broken.lock().unwrap() = Some(ids[0]);
    bench.limiter.live.lock().unwrap().clear();
    assert!(bench.worker.reconcile(at(2)).await.is_err());
    assert_eq!(bench.limiter.live_ids(), ids[1..]);
    assert!(
        remediation::clear_limits(&pool, &*bench.limiter, at(3))
            .await
            .is_ok()
    );
    assert_eq!(bench.limiter.live_ids(), [0_u32; 0]);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn what_is_let_go_of_while_limits_are_taken_up_stays_gone(pool: PgPool) {
    let bench = bench(&pool);
    let runs = happen(
        &pool,
        transition(1, AlertState::Firing, start()),
        &flood_runbook(""),
    )
    .await;
    bench.work(at(1)).await;
    bench.limiter.live.lock().unwrap().clear();
    *bench.limiter.wait_before_effect.lock().unwrap() = true;
    let worker = bench.worker.clone();
    let task = tokio::spawn(async move { worker.reconcile(at(2)).await });
    while *bench.limiter.wait_before_effect.lock().unwrap() {
        tokio::task::yield_now().await;
    }
    remediation::cancel(&pool, runs[0], at(3)).await.unwrap();
    bench.work(at(3)).await;
    bench.limiter.go_on.notify_one();
    assert_eq!(task.await.unwrap().unwrap().released, 1);
    assert_eq!(bench.limiter.live_ids(), [0_u32; 0]);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn nobody_stands_out_so_nobody_is_limited(pool: PgPool) {
    let bench = bench(&pool);
    bench.limiter.sources.lock().unwrap()[1].share = 0.1;
    let playbook = flood_runbook("");
    let runs = happen(&pool, transition(1, AlertState::Firing, start()), &playbook).await;
    for second in [1, 10, 20] {
        bench.work(at(second)).await;
    }
    let detail = bench.run(runs[0]).await;
    assert_eq!(
        (detail.run.state, detail.steps[0].state),
        (RunState::Holding, StepState::Skipped)
    );
    assert_eq!(
        detail.run.reason.as_deref(),
        Some("no source sent at least 0.3 of everything")
    );
    assert!(bench.limiter.applied.lock().unwrap().is_empty());
    happen(&pool, transition(1, AlertState::Resolved, at(30)), &playbook).await;
    assert_eq!(bench.run(runs[0]).await.run.state, RunState::Done);
}
