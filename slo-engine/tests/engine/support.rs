//! One database a test, and short ways to say what happens in it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::ProptestConfig;
use rust_decimal::Decimal;
use slo_engine::alert::Transition;
use slo_engine::budgeting::Budgeting;
use slo_engine::definitions::Definitions;
use slo_engine::evaluate::{Decision, Evaluation, EvidenceGate, Rules};
use slo_engine::measurement::{
    Batch, Clock, Hello, HistogramReading, Reading, Role, Series, ServiceName, Signal, SourceId,
};
use slo_engine::objective::{BurnRate, Objective, Severity, Sli, Target, Tier};
use slo_engine::ownership::Ownership;
use slo_engine::{Engine, Ingested, MIGRATOR, Settings};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool};
use tokio::sync::OnceCell;

static TEMPLATE: OnceCell<String> = OnceCell::const_new();
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Where databases may be created.
fn server() -> PgConnectOptions {
    let url = std::env::var("DATABASE_URL").expect(
        "DATABASE_URL is not set: run `make test`, which starts a throw-away Postgres, or name one whose user may create databases",
    );
    url.parse().expect("DATABASE_URL is a Postgres URL")
}

/// Budgets that are read of all objectives at once are those that are read of each.
pub async fn budgets_of_all_are_each_ones(pool: &PgPool, moments: &[DateTime<Utc>]) {
    for moment in moments {
        let differing: Vec<String> = sqlx::query_scalar(
            "with at_once as materialized (
                 select format('%s: %s', o.name, b) as said from error_budgets($1) b join objective o using (objective_id)
             ),
             each as materialized (
                 select format('%s: %s', o.name, b) as said
                 from objective o
                 cross join lateral (
                     select o.objective_id, e.* from error_budget(o.name, greatest($1, o.defined_at)) e
                 ) b
                 where o.withdrawn_at is null
             )
             (select 'at once ' || said from (table at_once except all table each) a)
             union all
             (select 'each ' || said from (table each except all table at_once) e)",
        )
        .bind(moment)
        .fetch_all(pool)
        .await
        .unwrap();
        assert_eq!(differing, Vec::<String>::new(), "at {moment}");
    }
}

/// A migrated database, made once for all tests of these migrations: whoever comes first makes it
/// under a lock, and gives it its name when it is complete.
async fn template() -> &'static str {
    TEMPLATE
        .get_or_init(|| async {
            let checksum: u64 = MIGRATOR
                .iter()
                .flat_map(|migration| migration.checksum.iter())
                .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                    (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
                });
            let name = format!("slowburn_template_{checksum:016x}");
            let mut admin = admin().await;
            sqlx::query("select pg_advisory_lock(5105)")
                .execute(&mut admin)
                .await
                .unwrap();
            let exists: bool =
                sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
                    .bind(&name)
                    .fetch_one(&mut admin)
                    .await
                    .unwrap();
            if !exists {
                let draft = format!("{name}_draft");
                create(&mut admin, &draft, "template0").await;
                let mut connection = server().database(&draft).connect().await.unwrap();
                MIGRATOR.run(&mut connection).await.unwrap();
                connection.close().await.unwrap();
                tell(&mut admin, format!("alter database {draft} rename to {name}")).await;
            }
            admin.close().await.unwrap();
            name
        })
        .await
}

async fn admin() -> PgConnection {
    server()
        .connect()
        .await
        .expect("the Postgres that DATABASE_URL names answers")
}

async fn tell(admin: &mut PgConnection, statement: String) {
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(admin)
        .await
        .unwrap();
}

async fn create(admin: &mut PgConnection, name: &str, template: &str) {
    tell(admin, format!("drop database if exists {name} with (force)")).await;
    tell(admin, format!("create database {name} template {template}")).await;
}

/// A database of the test's own; dropped when the test passes, left to be looked at when it fails.
pub struct Database {
    name: String,
    pub pool: PgPool,
}

impl Database {
    pub async fn new() -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("slowburn_test_{}_{number}", std::process::id());
        let template = template().await;
        let mut admin = admin().await;
        create(&mut admin, &name, template).await;
        admin.close().await.unwrap();
        let pool = PgPoolOptions::new()
            .max_connections(8)
            .connect_with(server().database(&name))
            .await
            .unwrap();
        Self { name, pool }
    }

    pub async fn drop(self) {
        self.pool.close().await;
        let mut admin = admin().await;
        tell(&mut admin, format!("drop database {} with (force)", self.name)).await;
        admin.close().await.unwrap();
    }
}

/// Noon: far from midnight, and on the edge of every slot.
pub fn noon() -> DateTime<Utc> {
    "2026-11-02T12:00:00Z".parse().unwrap()
}

/// So many seconds after noon.
pub fn at(seconds: i64) -> DateTime<Utc> {
    noon() + TimeDelta::seconds(seconds)
}

pub fn at_ms(millis: i64) -> DateTime<Utc> {
    noon() + TimeDelta::milliseconds(millis)
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub const MINUTE: u64 = 60;
pub const HOUR: u64 = 3600;
pub const DAY: u64 = 86_400;

pub fn service(name: &str) -> ServiceName {
    name.parse().unwrap()
}

/// `host` is the machine; boot and generation are the first.
pub fn source(host: &str) -> SourceId {
    SourceId::new(host, "boot1", 1).unwrap()
}

pub fn series(service_name: &str, signal: Signal) -> Series {
    Series {
        service: service(service_name),
        role: Role::Server,
        route: (!signal.is_tcp()).then(|| "GET *".parse().unwrap()),
        signal,
    }
}

pub fn status(service_name: &str, code: u16) -> Series {
    series(service_name, Signal::Status(code))
}

pub fn reading(series: Series, start_time: DateTime<Utc>, value: u64) -> Reading {
    Reading {
        series,
        start_time,
        value,
    }
}

pub fn batch(source: &SourceId, at: DateTime<Utc>, readings: Vec<Reading>) -> Batch {
    Batch {
        source: source.clone(),
        at,
        sent_at: at,
        readings,
        histograms: Vec::new(),
        gauges: Vec::new(),
        losses: Vec::new(),
    }
}

pub fn histogram(service_name: &str, start_time: DateTime<Utc>, buckets: &[(i32, u64)]) -> HistogramReading {
    HistogramReading {
        service: service(service_name),
        role: Role::Server,
        route: Some("GET *".parse().unwrap()),
        clock: Clock::Turnaround,
        start_time,
        buckets: buckets.to_vec(),
        sum: Duration::from_millis(buckets.iter().map(|(_, count)| count).sum()),
    }
}

pub fn decimal(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}

pub fn tier(name: &str, severity: Severity, long: u64, short: u64, burn_rate: &str) -> Tier {
    Tier {
        name: name.parse().unwrap(),
        severity,
        long: seconds(long),
        short: seconds(short),
        burn_rate: BurnRate::try_from(decimal(burn_rate)).unwrap(),
        budget_share: None,
        after: seconds(0),
    }
}

/// The tiers of the Workbook's table 5-8, and its ticket over a day.
pub fn workbook_tiers() -> Vec<Tier> {
    vec![
        tier("page-1h", Severity::Page, HOUR, 5 * MINUTE, "14.4"),
        tier("page-6h", Severity::Page, 6 * HOUR, 30 * MINUTE, "6"),
        tier("ticket-1d", Severity::Ticket, DAY, 2 * HOUR, "3"),
        tier("ticket-3d", Severity::Ticket, 3 * DAY, 6 * HOUR, "1"),
    ]
}

/// Availability of `service_name` over 30 days, at 99.9 % and with the Workbook's tiers.
pub fn availability(name: &str, service_name: &str) -> Objective {
    Objective {
        name: name.parse().unwrap(),
        service: service(service_name),
        display_name: name.to_owned(),
        description: String::new(),
        ownership: Ownership::default(),
        target: Target::try_from(decimal("0.999")).unwrap(),
        period: seconds(30 * DAY),
        calendar: None,
        budgeting: Budgeting::Occurrences,
        sli: Sli::availability(),
        tiers: workbook_tiers(),
        fast_page: None,
        budget_alerts: Vec::new(),
        missing_data: None,
        evidence: None,
        tier_notes: Vec::new(),
    }
}

pub fn definitions(objectives: Vec<Objective>) -> Definitions {
    Definitions {
        objectives,
        ..Definitions::default()
    }
}

/// Ratios alone decide, so that numbers can be compared with the Workbook's.
pub fn without_evidence() -> Settings {
    Settings {
        rules: Rules {
            evidence: EvidenceGate::Off,
            clear_percent: 0,
            ..Rules::default()
        },
        ..Settings::default()
    }
}

/// One service `web`, one objective `web-availability`, one source that greeted at noon.
pub struct World {
    pub database: Database,
    pub engine: Engine,
    pub source: SourceId,
}

impl World {
    pub async fn new(settings: Settings) -> Self {
        Self::with(settings, vec![availability("web-availability", "web")]).await
    }

    pub async fn with(settings: Settings, objectives: Vec<Objective>) -> Self {
        let database = Database::new().await;
        let engine = Engine::new(database.pool.clone(), settings);
        engine.apply(&definitions(objectives), noon()).await.unwrap();
        let world = Self {
            database,
            engine,
            source: source("host1"),
        };
        world.hello("host1", noon()).await;
        world
    }

    pub async fn hello(&self, host: &str, at: DateTime<Utc>) {
        let hello = Hello {
            source: source(host),
            host: host.to_owned(),
            at,
        };
        self.engine.hello(&hello).await.unwrap();
    }

    pub async fn ingest(&self, batch: &Batch) -> Ingested {
        self.engine.ingest_at(batch, batch.sent_at).await.unwrap()
    }

    /// The source read so many 200s and 500s of `web`, in all since noon.
    pub async fn counted(&self, when: DateTime<Utc>, good: u64, bad: u64) -> Ingested {
        let readings = vec![
            reading(status("web", 200), noon(), good),
            reading(status("web", 500), noon(), bad),
        ];
        self.ingest(&batch(&self.source, when, readings)).await
    }

    /// Evaluates and records, as the loop does.
    pub async fn step(&self, now: DateTime<Utc>) -> Vec<Transition> {
        step(&self.engine, now, None).await
    }

    /// Good and bad of `web-availability` over the window that ends `now`.
    pub async fn window(&self, length: u64, now: DateTime<Utc>) -> (u64, u64) {
        let counts = self
            .engine
            .burn(&"web-availability".parse().unwrap(), seconds(length), now)
            .await
            .unwrap();
        (counts.good, counts.bad)
    }
}

/// Every row of the ledger with its base, as text: two books are equal when these are.
pub async fn books(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "select format('%s %s %s %s %s %s %s %s', o.name, t.generation, l.at at time zone 'UTC',
                       l.good + d.good, l.bad + d.bad, l.expected_ms + d.expected_ms,
                       l.covered_ms + d.covered_ms, l.lost + d.lost)
         from ledger_row l
         join ledger_day d on d.objective_id = l.objective_id and d.generation = l.generation
          and d.day = ledger_day_of(l.at)
         join objective o on o.objective_id = l.objective_id
         cross join lateral (select l.generation) t
         order by o.name, l.generation, l.at",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

/// What the engine evaluates, held against every tier that there is: what it leaves out is calm.
pub async fn evaluate(engine: &Engine, now: DateTime<Utc>) -> Vec<Evaluation> {
    let moving = engine.evaluate(now).await.unwrap();
    let (stated, left_out): (Vec<_>, Vec<_>) = engine
        .evaluate_all(now)
        .await
        .unwrap()
        .into_iter()
        .partition(|one| moving.contains(one));
    assert_eq!(stated, moving);
    for one in left_out {
        assert_eq!(
            (one.decision, one.open, one.frozen_since),
            (Decision::Quiet, None, None),
            "{} {}",
            one.objective,
            one.tier
        );
    }
    moving
}

pub async fn step(engine: &Engine, now: DateTime<Utc>, traceparent: Option<&str>) -> Vec<Transition> {
    engine.judge_slices(now).await.unwrap();
    let evaluations = evaluate(engine, now).await;
    let mut transaction = engine.pool().begin().await.unwrap();
    let transitions = engine
        .record(&mut transaction, &evaluations, traceparent, now)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    transitions
}

/// For properties, which are no futures.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

pub fn few(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        max_shrink_iters: 30,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
