//! Runs on a real Postgres: what is decided, done, undone, and survived.

mod support;

use remediation::outbox::NoticeAction;
use remediation::run::{StepKind, StepState};
use remediation::{RunState, Verdict, Worked, read};
use slo_engine::alert::AlertState;
use sqlx::PgPool;
use support::{at, bench, flood_runbook, happen, playbook, start, transition};

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_flood_is_limited_verified_held_and_released(pool: PgPool) {
    let bench = bench(&pool);
    let playbook = flood_runbook("");
    let runs = happen(&pool, transition(1, AlertState::Firing, start()), &playbook).await;
    let [id] = runs[..] else { panic!("{runs:?}") };

    let done = bench.work(at(1)).await;
    assert_eq!(done, [(StepKind::XdpLimit, StepState::Applied)]);
    let live = bench
        .limiter
        .live
        .lock()
        .unwrap()
        .values()
        .next()
        .cloned()
        .unwrap();
    assert_eq!(live.source.to_string(), "10.0.0.66/32");
    // Twice the median of 40 and 60: neither the flood nor the allow-listed source counts.
    assert_eq!((live.rate_per_second, live.burst), (100, 20));
    assert_eq!(bench.run(id).await.run.state, RunState::Verifying);

    *bench.counts.0.lock().unwrap() = (1_000, 1);
    assert_eq!(
        bench.work(at(20)).await,
        [],
        "the first look leaves out what was in flight"
    );
    assert_eq!(bench.work(at(22)).await, [(StepKind::Verify, StepState::Applied)]);
    let detail = bench.run(id).await;
    assert_eq!(
        (detail.run.state, detail.run.verdict),
        (RunState::Holding, Some(Verdict::Recovered))
    );

    // The alert still fires when the time to live ends: it begins again, once.
    bench.work(at(302)).await;
    assert_eq!(bench.limiter.live_ids().len(), 1);
    assert_eq!(
        bench
            .limiter
            .live
            .lock()
            .unwrap()
            .values()
            .next()
            .unwrap()
            .expires_at,
        at(602)
    );
    happen(&pool, transition(1, AlertState::Resolved, at(400)), &playbook).await;
    assert_eq!(bench.run(id).await.run.state, RunState::Holding);
    let done = bench.work(at(603)).await;
    assert_eq!(
        done,
        [
            (StepKind::XdpLimit, StepState::Releasing),
            (StepKind::XdpLimit, StepState::Released)
        ]
    );
    assert_eq!(bench.limiter.live_ids(), [0_u32; 0]);
    let detail = bench.run(id).await;
    assert_eq!(detail.run.state, RunState::Done);
    assert_eq!(
        detail.run.finished_at.map(|at| at.timestamp()),
        Some(at(603).timestamp())
    );
    let actions: Vec<_> = detail.deliveries.iter().map(|d| d.action.as_str()).collect();
    assert_eq!(actions, ["trigger", "resolve"]);
    assert_eq!(detail.run.trace_id(), Some("0af7651916cd43dd8448eb211c80319c"));
    let released = &detail.steps[0].result.as_ref().unwrap()["undone"]["released"][0];
    assert_eq!(released["dropped"], 93);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn no_effect_reverts_and_escalates(pool: PgPool) {
    let bench = bench(&pool);
    let runs = happen(
        &pool,
        transition(1, AlertState::Firing, start()),
        &flood_runbook(""),
    )
    .await;
    bench.work(at(1)).await;
    *bench.counts.0.lock().unwrap() = (600, 400);
    bench.work(at(30)).await;
    assert_eq!(
        bench.run(runs[0]).await.run.state,
        RunState::Verifying,
        "a look that decides nothing"
    );
    let done = bench.work(at(62)).await;
    assert_eq!(
        done,
        [
            (StepKind::Verify, StepState::Applied),
            (StepKind::XdpLimit, StepState::Released)
        ]
    );
    let detail = bench.run(runs[0]).await;
    assert_eq!(
        (detail.run.state, detail.run.verdict),
        (RunState::Reverted, Some(Verdict::NoEffect))
    );
    assert_eq!(bench.limiter.live_ids(), [0_u32; 0]);
    let actions: Vec<_> = detail.deliveries.iter().map(|d| d.action.as_str()).collect();
    assert_eq!(actions, ["trigger", "escalate"]);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn unknown_is_no_success_and_ends_expired(pool: PgPool) {
    let bench = bench(&pool);
    let runs = happen(
        &pool,
        transition(1, AlertState::Firing, start()),
        &flood_runbook(""),
    )
    .await;
    bench.work(at(1)).await;
    bench.work(at(62)).await;
    let detail = bench.run(runs[0]).await;
    assert_eq!(
        (detail.run.state, detail.run.verdict),
        (RunState::Holding, Some(Verdict::Unknown))
    );
    assert_eq!(detail.deliveries.last().unwrap().action.as_str(), "escalate");
    // Never renewed, although the alert still fires.
    bench.work(at(302)).await;
    assert_eq!(bench.run(runs[0]).await.run.state, RunState::Expired);
    assert_eq!(bench.limiter.live_ids(), [0_u32; 0]);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_crash_between_effect_and_result_leaves_one_effect(pool: PgPool) {
    let bench = bench(&pool);
    let runs = happen(
        &pool,
        transition(1, AlertState::Firing, start()),
        &flood_runbook(""),
    )
    .await;
    *bench.limiter.hang_after_effect.lock().unwrap() = true;
    let crashed = bench.worker.clone();
    let task = tokio::spawn(async move { crashed.work_once(at(1)).await });
    while bench.limiter.live_ids().is_empty() {
        tokio::task::yield_now().await;
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    let detail = bench.run(runs[0]).await;
    assert_eq!(
        detail.steps[0].state,
        StepState::Applying,
        "an intent without a result"
    );

    // Under lease nobody touches it. After it, another worker does the same again: what was meant
    // then, although someone else floods by now.
    assert_eq!(bench.worker.work_once(at(30)).await.unwrap(), Worked::Idle);
    bench.limiter.sources.lock().unwrap()[0].share = 0.9;
    assert_eq!(
        bench.work(at(32)).await,
        [(StepKind::XdpLimit, StepState::Applied)]
    );
    assert_eq!(
        *bench.limiter.applied.lock().unwrap(),
        [1, 1],
        "one identity, so one limit"
    );
    let live = bench
        .limiter
        .live
        .lock()
        .unwrap()
        .values()
        .next()
        .cloned()
        .unwrap();
    assert_eq!(
        live.expires_at,
        at(301),
        "a repetition does not begin the time to live anew"
    );
    assert_eq!(bench.run(runs[0]).await.run.state, RunState::Verifying);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn an_effect_that_is_done_again_has_the_same_identity(pool: PgPool) {
    let bench = bench(&pool);
    let runs = happen(
        &pool,
        transition(1, AlertState::Firing, start()),
        &flood_runbook(""),
    )
    .await;
    *bench.limiter.failures.lock().unwrap() = 2;
    bench.work(at(1)).await;
    bench.work(at(5)).await;
    bench.work(at(10)).await;
    let detail = bench.run(runs[0]).await;
    assert_eq!(
        (detail.steps[0].state, detail.steps[0].attempt),
        (StepState::Applied, 3)
    );
    assert_eq!(bench.limiter.applied.lock().unwrap().len(), 1);
    let rows: i64 = sqlx::query_scalar("select count(*) from rate_limit")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(rows, 1);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn an_effect_that_keeps_failing_fails_the_run_and_undoes_it(pool: PgPool) {
    let bench = bench(&pool);
    let runs = happen(
        &pool,
        transition(1, AlertState::Firing, start()),
        &flood_runbook(""),
    )
    .await;
    *bench.limiter.failures.lock().unwrap() = 100;
    for second in 1..60 {
        bench.work(at(second)).await;
    }
    let detail = bench.run(runs[0]).await;
    assert_eq!(detail.run.state, RunState::Failed);
    assert_eq!(
        detail.run.reason.as_deref(),
        Some("xdp_limit failed: limiter failed: map is full")
    );
    assert_eq!(detail.steps[0].state, StepState::Released);
    assert_eq!(detail.deliveries.last().unwrap().action.as_str(), "escalate");
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_limit_that_ends_before_the_next_step_is_done_ends_the_run(pool: PgPool) {
    let bench = bench(&pool);
    let playbook = playbook(
        "apiVersion: slowburn/v1\nkind: Runbook\nmetadata: {name: slow}\nspec:\n  on: {}\n  steps:\n    \
         - xdp_limit: {minShare: 0.3, ratePerSecond: 20, ttl: 5m}\n    \
         - scale: {command: [/bin/false], undo: [/bin/true]}\n",
    );
    let runs = happen(&pool, transition(1, AlertState::Firing, start()), &playbook).await;
    assert!(matches!(
        bench.worker.work_once(at(1)).await.unwrap(),
        Worked::Did { .. }
    ));
    assert!(matches!(
        bench.worker.work_once(at(2)).await.unwrap(),
        Worked::Later { .. }
    ));
    // The command took its time, and nobody else worked.
    let done = bench.work(at(302)).await;
    assert!(
        done.contains(&(StepKind::XdpLimit, StepState::Released)),
        "{done:?}"
    );
    let detail = bench.run(runs[0]).await;
    assert_eq!(detail.run.state, RunState::Expired);
    assert_eq!(detail.steps[1].state, StepState::Released);
    assert_eq!(bench.limiter.live_ids(), [0_u32; 0]);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_renewal_that_keeps_failing_ends(pool: PgPool) {
    let bench = bench(&pool);
    let runs = happen(
        &pool,
        transition(1, AlertState::Firing, start()),
        &flood_runbook(""),
    )
    .await;
    *bench.counts.0.lock().unwrap() = (1_000, 0);
    bench.work(at(1)).await;
    bench.work(at(40)).await;
    let detail = bench.run(runs[0]).await;
    assert_eq!(detail.run.verdict, Some(Verdict::Recovered));
    *bench.limiter.failures.lock().unwrap() = u32::MAX;
    bench.work(at(301)).await;
    assert_eq!(bench.run(runs[0]).await.run.state, RunState::Holding);
    let deadline = detail.run.deadline_at.unwrap();
    bench.work(deadline).await;
    assert_eq!(bench.run(runs[0]).await.run.state, RunState::Done);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn two_workers_never_hold_the_same_step(pool: PgPool) {
    let bench = bench(&pool);
    let playbook = flood_runbook("");
    happen(&pool, transition(1, AlertState::Firing, start()), &playbook).await;
    let workers: Vec<_> = (0..8)
        .map(|_| {
            let worker = bench.worker.clone();
            tokio::spawn(async move { worker.work_once(at(1)).await.unwrap() })
        })
        .collect();
    let mut busy = 0;
    for worker in workers {
        busy += usize::from(worker.await.unwrap() != Worked::Idle);
    }
    assert_eq!(busy, 1);
    assert_eq!(bench.limiter.applied.lock().unwrap().len(), 1);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn shadow_writes_down_and_touches_nothing(pool: PgPool) {
    let bench = bench(&pool);
    let runs = happen(
        &pool,
        transition(1, AlertState::Firing, start()),
        &flood_runbook("  mode: shadow\n"),
    )
    .await;
    assert_eq!(
        bench.work(at(1)).await,
        [(StepKind::XdpLimit, StepState::Shadowed)]
    );
    let detail = bench.run(runs[0]).await;
    assert_eq!(detail.run.state, RunState::Shadowed);
    assert_eq!(
        detail.steps[0].intent.as_ref().unwrap()["limits"][0]["source"],
        "10.0.0.66/32"
    );
    assert_eq!(detail.steps[1].state, StepState::Shadowed);
    assert_eq!(detail.deliveries, []);
    assert!(bench.limiter.applied.lock().unwrap().is_empty());
    let rows: i64 = sqlx::query_scalar("select count(*) from rate_limit")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(rows, 0);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn guards_refuse_acting_and_never_telling(pool: PgPool) {
    let bench = bench(&pool);
    let playbook = flood_runbook("  guards: {cooldown: 20m, maxAttemptsPerIncident: 2, maxRunsPerHour: 3}\n");
    let mut reasons = Vec::new();
    for (alert, seconds) in [(1, 0), (2, 100), (3, 2_000), (4, 4_000), (5, 20_000)] {
        let runs = happen(
            &pool,
            transition(alert, AlertState::Firing, at(seconds)),
            &playbook,
        )
        .await;
        let detail = bench.run(runs[0]).await;
        assert_eq!(detail.deliveries.len(), 1, "the page goes out");
        reasons.push(detail.run.reason.clone());
        if detail.run.state != RunState::Refused {
            remediation::cancel(&pool, runs[0], at(seconds + 1))
                .await
                .unwrap();
        }
        happen(
            &pool,
            transition(alert, AlertState::Resolved, at(seconds + 50)),
            &playbook,
        )
        .await;
    }
    assert_eq!(
        reasons,
        [
            None,
            Some("cooling down after run 1 until 2026-01-01T12:20:00Z".to_owned()),
            None,
            Some("tried 2 times in this incident, which is the most".to_owned()),
            None,
        ]
    );
    let refused: String = sqlx::query_scalar("select notice->>'remark' from outbox where run_id = 2 limit 1")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(
        refused,
        "no action: cooling down after run 1 until 2026-01-01T12:20:00Z"
    );
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_second_tier_joins_the_open_run_and_the_last_one_resolves_it(pool: PgPool) {
    let bench = bench(&pool);
    let playbook = flood_runbook("");
    let runs = happen(&pool, transition(1, AlertState::Firing, start()), &playbook).await;
    assert_eq!(
        happen(&pool, transition(2, AlertState::Firing, at(1)), &playbook).await,
        []
    );
    happen(&pool, transition(1, AlertState::Resolved, at(2)), &playbook).await;
    assert_eq!(
        bench.run(runs[0]).await.deliveries.len(),
        1,
        "one alert still fires"
    );
    happen(&pool, transition(2, AlertState::Resolved, at(3)), &playbook).await;
    let detail = bench.run(runs[0]).await;
    assert_eq!(detail.deliveries.len(), 2);
    // Nothing had been done, so there is nothing to do any more.
    assert_eq!(detail.run.state, RunState::Cancelled);
    assert_eq!(bench.work(at(4)).await, []);
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn an_alert_that_comes_back_while_the_limit_stands_is_told_again(pool: PgPool) {
    let bench = bench(&pool);
    let playbook = flood_runbook("");
    let runs = happen(&pool, transition(1, AlertState::Firing, start()), &playbook).await;
    bench.work(at(1)).await;
    happen(&pool, transition(1, AlertState::Resolved, at(30)), &playbook).await;
    assert_eq!(
        happen(&pool, transition(2, AlertState::Firing, at(60)), &playbook).await,
        []
    );
    happen(&pool, transition(2, AlertState::Resolved, at(90)), &playbook).await;
    let told: Vec<_> = bench
        .run(runs[0])
        .await
        .deliveries
        .iter()
        .map(|one| one.action)
        .collect();
    assert_eq!(
        told,
        [
            NoticeAction::Trigger,
            NoticeAction::Resolve,
            NoticeAction::Trigger,
            NoticeAction::Resolve
        ]
    );
}

#[sqlx::test(migrator = "slo_engine::MIGRATOR")]
async fn a_rolled_back_alert_leaves_no_run(pool: PgPool) {
    let mut transaction = pool.begin().await.unwrap();
    let transitions = [transition(1, AlertState::Firing, start())];
    let runs = remediation::enqueue(&mut transaction, &transitions, &flood_runbook(""), start())
        .await
        .unwrap();
    assert_eq!(runs.len(), 1);
    transaction.rollback().await.unwrap();
    assert_eq!(read::runs(&pool, &read::RunFilter::default()).await.unwrap(), []);
}
