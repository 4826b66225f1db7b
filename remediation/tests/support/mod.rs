//! What the tests of this crate share: a limiter in memory, counts by script, receivers on real
//! sockets, and alerts that fire.

#![allow(dead_code, unused_imports, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "tests panic")]

mod receiver;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use remediation::run::{StepKind, StepState};
use remediation::worker::Burns;
use remediation::{
    Applied, Error, Limit, LimitId, LimitMode, Limits, LimitsError, LiveLimit, Playbook, RunId, SourceRate,
    Worked, Worker,
};
use rust_decimal::Decimal;
use slo_engine::alert::{AlertId, AlertState, Burning, Evidence, Transition};
use slo_engine::definitions;
use slo_engine::measurement::ServiceName;
use slo_engine::objective::{BurnRate, ObjectiveName, Severity};
use slo_engine::window::WindowCounts;
use sqlx::PgPool;

pub use receiver::{Receiver, Seen};

/// A limiter that keeps its limits in memory, and counts what it is asked.
#[derive(Default)]
pub struct Limiter {
    pub sources: Mutex<Vec<SourceRate>>,
    pub live: Mutex<BTreeMap<u32, Limit>>,
    /// Every id that was ever applied, in order.
    pub applied: Mutex<Vec<u32>>,
    pub released: Mutex<Vec<u32>>,
    /// The next calls to apply fail so often.
    pub failures: Mutex<u32>,
    /// This one cannot be applied or released.
    pub broken: Mutex<Option<u32>>,
    /// The next call to apply waits for `go_on` before it takes effect.
    pub wait_before_effect: Mutex<bool>,
    pub go_on: tokio::sync::Notify,
    /// The next call to apply takes effect and never returns.
    pub hang_after_effect: Mutex<bool>,
}

impl Limiter {
    /// One source that floods, two that do not, and one that is on the allow list.
    pub fn flooded() -> Arc<Self> {
        let source = |address: &str, per_second: f64, share: f64, allow_listed: bool| SourceRate {
            source: address.parse().unwrap(),
            per_second,
            share,
            allow_listed,
        };
        let limiter = Self::default();
        *limiter.sources.lock().unwrap() = vec![
            source("10.0.0.2", 40.0, 0.04, false),
            source("10.0.0.66", 500.0, 0.5, false),
            source("10.0.0.3", 60.0, 0.06, false),
            source("10.0.0.1", 400.0, 0.4, true),
        ];
        Arc::new(limiter)
    }

    fn check(&self, id: LimitId) -> Result<(), LimitsError> {
        if *self.broken.lock().unwrap() == Some(id.0) {
            return Err(LimitsError::Failed("port is taken".into()));
        }
        Ok(())
    }

    pub fn live_ids(&self) -> Vec<u32> {
        self.live.lock().unwrap().keys().copied().collect()
    }
}

#[async_trait]
impl Limits for Limiter {
    async fn heaviest_sources(&self, _: &ServiceName) -> Result<Vec<SourceRate>, LimitsError> {
        Ok(self.sources.lock().unwrap().clone())
    }

    async fn apply(&self, limit: &Limit) -> Result<Applied, LimitsError> {
        if let failures @ 1.. = &mut *self.failures.lock().unwrap() {
            *failures -= 1;
            return Err(LimitsError::Failed("map is full".into()));
        }
        self.check(limit.id)?;
        let wait = std::mem::take(&mut *self.wait_before_effect.lock().unwrap());
        if wait {
            self.go_on.notified().await;
        }
        self.applied.lock().unwrap().push(limit.id.0);
        self.live.lock().unwrap().insert(limit.id.0, limit.clone());
        let hang = std::mem::take(&mut *self.hang_after_effect.lock().unwrap());
        if hang {
            std::future::pending::<()>().await;
        }
        Ok(Applied::Live {
            mode: LimitMode::Native,
        })
    }

    async fn release(&self, id: LimitId) -> Result<(), LimitsError> {
        self.check(id)?;
        self.released.lock().unwrap().push(id.0);
        self.live.lock().unwrap().remove(&id.0);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<LiveLimit>, LimitsError> {
        let live = self.live.lock().unwrap();
        Ok(live
            .values()
            .map(|limit| LiveLimit {
                limit: limit.clone(),
                passed: 7,
                dropped: 93,
                mode: LimitMode::Native,
            })
            .collect())
    }
}

/// Counts as the test says: good and bad of whatever window is asked for.
#[derive(Debug, Default)]
pub struct Counts(pub Mutex<(u64, u64)>);

#[async_trait]
impl Burns for Counts {
    async fn burn(
        &self,
        _: &ObjectiveName,
        window: Duration,
        now: DateTime<Utc>,
    ) -> Result<WindowCounts, Error> {
        let (good, bad) = *self.0.lock().unwrap();
        let millis = u64::try_from(window.as_millis()).unwrap();
        Ok(WindowCounts {
            good,
            bad,
            from: now - window,
            to: now,
            expected_ms: millis,
            covered_ms: millis,
            lost: 0,
        })
    }

    async fn requests(&self, _: &ObjectiveName, _: Duration, _: DateTime<Utc>) -> Result<u64, Error> {
        let (good, bad) = *self.0.lock().unwrap();
        Ok(good + bad)
    }
}

pub fn start() -> DateTime<Utc> {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

pub fn at(seconds: i64) -> DateTime<Utc> {
    start() + TimeDelta::seconds(seconds)
}

pub fn playbook(text: &str) -> Arc<Playbook> {
    let service = "apiVersion: slowburn/v1\nkind: Service\nmetadata: {name: web}\nspec:\n  \
                   match: {port: 80}\n  objectives: [{availability: 99%}]\n";
    let text = format!("{service}---\n{text}");
    let definitions = definitions::read_text(Path::new("test.yaml"), text.as_bytes()).unwrap();
    Arc::new(Playbook::read(&definitions).unwrap())
}

/// A runbook that limits whoever floods; `more` goes into its spec.
pub fn flood_runbook(more: &str) -> Arc<Playbook> {
    playbook(&format!(
        "apiVersion: slowburn/v1\nkind: Runbook\nmetadata: {{name: floods}}\nspec:\n  on: {{severity: page}}\n  \
         steps:\n    - xdp_limit: {{minShare: 0.3, keep: 2, burst: 20, ttl: 5m, renewals: 1}}\n    \
         - page: {{target: hook}}\n  verify: {{within: 60s, every: 10s}}\n{more}{HOOK}"
    ))
}

const HOOK: &str = "---\napiVersion: slowburn/v1\nkind: NotificationTarget\nmetadata: {name: hook}\nspec:\n  \
                    webhook: {url: \"http://127.0.0.1:9/\", secretFrom: {env: NOT_SET_ANYWHERE}}\n";

/// An alert of `web-availability` that burns at 40 times the budget of 1 %.
pub fn transition(alert: i64, to: AlertState, at: DateTime<Utc>) -> Transition {
    let counts = |good, bad| WindowCounts {
        good,
        bad,
        from: at - TimeDelta::seconds(60),
        to: at,
        expected_ms: 60_000,
        covered_ms: 60_000,
        lost: 0,
    };
    Transition {
        alert_id: AlertId(alert),
        objective: "web-availability".parse().unwrap(),
        service: "web".parse().unwrap(),
        tier: "page-1h".parse().unwrap(),
        severity: Severity::Page,
        from: Some(AlertState::Pending),
        to,
        at,
        evidence: Evidence::Windows(Burning {
            long: counts(900, 300),
            short: counts(600, 400),
            burn_rate_long: Decimal::from(25),
            burn_rate_short: Decimal::from(40),
            threshold: BurnRate::try_from(Decimal::from(10)).unwrap(),
            chance: None,
            bad_needed: None,
            unit: 1,
            parts: Vec::new(),
        }),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
    }
}

/// Records a transition as the engine's loop does: one transaction.
pub async fn happen(pool: &PgPool, transition: Transition, playbook: &Playbook) -> Vec<RunId> {
    happen_together(pool, &[transition], playbook).await
}

/// What one evaluation found.
pub async fn happen_together(pool: &PgPool, transitions: &[Transition], playbook: &Playbook) -> Vec<RunId> {
    let mut transaction = pool.begin().await.unwrap();
    let now = transitions[0].at;
    let runs = remediation::enqueue(&mut transaction, transitions, playbook, now)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    runs
}

pub struct Bench {
    pub pool: PgPool,
    pub limiter: Arc<Limiter>,
    pub counts: Arc<Counts>,
    pub worker: Worker,
}

pub fn bench(pool: &PgPool) -> Bench {
    let limiter = Limiter::flooded();
    let counts = Arc::new(Counts::default());
    let worker = Worker::new(
        pool.clone(),
        counts.clone(),
        limiter.clone(),
        remediation::outgoing::client().unwrap(),
        "node-a",
    );
    Bench {
        pool: pool.clone(),
        limiter,
        counts,
        worker,
    }
}

impl Bench {
    /// Works until nothing is due at `now`; returns what was done.
    pub async fn work(&self, now: DateTime<Utc>) -> Vec<(StepKind, StepState)> {
        let mut done = Vec::new();
        for _ in 0..50 {
            match self.worker.work_once(now).await.unwrap() {
                Worked::Idle => return done,
                Worked::Did { kind, state, .. } => done.push((kind, state)),
                Worked::Later { .. } | Worked::TakenOver { .. } => {}
            }
        }
        panic!("work does not end");
    }

    pub async fn run(&self, id: RunId) -> remediation::read::RunDetail {
        remediation::read::run(&self.pool, id).await.unwrap().unwrap()
    }
}
