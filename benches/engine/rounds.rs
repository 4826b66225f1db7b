//! The engine at work on its books: intake, evaluation, windows, and whether every count is right.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::ensure;
use chrono::{DateTime, TimeDelta, Utc};
use nix::time::{ClockId, clock_gettime};
use slo_engine::definitions::Definitions;
use slo_engine::measurement::{
    Batch, Clock, Hello, HistogramReading, Reading, Role, Route, Series, Signal, SourceId,
};
use slo_engine::objective::SliKind;
use slo_engine::{Engine, Settings};

use super::books::Books;
use super::burning::Burning;
use super::history::{self, Span};
use super::kept::Kept;
use super::traffic::{A_SERVICE, Kind, Traffic};

const ROUNDS: u32 = 16;
const WARM: u32 = 5;
/// Intakes a second apart: four slots.
const SECONDS: u32 = 40;
/// Windows asked for one by one, an objective each.
const ASKED: usize = 200;

/// What they are called, and hours.
const WINDOWS: [(&str, u64); 4] = [("1 h", 1), ("1 d", 24), ("7 d", 168), ("30 d", 720)];

/// What so many objectives cost. CPU is that of Postgres's backends unless it says otherwise; medians.
#[derive(Debug)]
pub struct Cost {
    pub evaluation: Duration,
    /// The engine's own part of an evaluation.
    pub decision: Duration,
    pub evaluation_wall: Duration,
    /// The period budgets of all.
    pub budgets: Duration,
    pub tick_wall: Duration,
    pub tick: Duration,
    /// Postgres and the engine, an intake a second: the mean over whole slots, as what is calm is booked once in each.
    pub second: Duration,
    /// All of that as time goes on.
    pub kept: Kept,
    /// A window of each length, with a calm ledger.
    pub windows: Vec<(&'static str, Duration)>,
    pub ledger_bytes: i64,
    pub resident: u64,
    /// When the calm is over, and everything was measured that needs it.
    pub burning: Burning,
}

pub struct World {
    pub books: Books,
    pub engine: Engine,
    pub definitions: Definitions,
    source: SourceId,
    pub span: Span,
}

impl World {
    pub async fn create(objectives: usize, span: Span, settings: Settings) -> anyhow::Result<Self> {
        let books = Books::create().await?;
        let engine = Engine::new(books.pool.clone(), settings);
        let definitions = history::define(objectives)?;
        engine.apply(&definitions, span.start).await?;
        history::write(&engine, objectives / A_SERVICE, span).await?;
        let source = SourceId::new("bench", "boot", 1)?;
        let hello = Hello {
            source: source.clone(),
            host: "bench".to_owned(),
            at: span.end,
        };
        engine.hello(&hello).await?;
        Ok(Self {
            books,
            engine,
            definitions,
            source,
            span,
        })
    }

    pub async fn drop(self) -> anyhow::Result<()> {
        self.books.drop().await
    }

    fn services(&self) -> usize {
        self.definitions.objectives.len() / A_SERVICE
    }

    /// Everything counted from the end of history to `at`, as a source sends it. For so many seconds of it,
    /// every service was asked ten times more than in a quiet time, and failed all of that.
    pub fn batch(&self, at: DateTime<Utc>, failing: i64) -> anyhow::Result<Batch> {
        let since = self.span.slots(self.span.end);
        let seconds = (at - self.span.end).num_seconds();
        let mut batch = Batch {
            source: self.source.clone(),
            at,
            sent_at: at,
            readings: Vec::new(),
            histograms: Vec::new(),
            gauges: Vec::new(),
            losses: Vec::new(),
        };
        let (clock, threshold) = (Clock::Turnaround, Duration::from_millis(250));
        let route: Route = "GET *".parse()?;
        for traffic in (0..self.services()).map(Traffic) {
            let service: slo_engine::measurement::ServiceName = traffic.service().parse()?;
            // Within a slot all is asked evenly: an intake a second has something new each time.
            let [availability, latency] = Kind::ALL.map(|kind| {
                let (good, bad) = traffic.between(kind, since, since + seconds / 10);
                let failed = traffic.quiet() * failing;
                (good + traffic.quiet() * (seconds % 10) / 10, bad + failed)
            });
            let count = |signal: Signal, value: i64| -> anyhow::Result<Reading> {
                Ok(Reading {
                    series: Series {
                        service: service.clone(),
                        role: Role::Server,
                        route: (!signal.is_tcp()).then(|| route.clone()),
                        signal,
                    },
                    start_time: self.span.end,
                    value: value.try_into()?,
                })
            };
            batch.readings.extend([
                count(Signal::Status(200), availability.0)?,
                count(Signal::Status(500), availability.1)?,
                count(Signal::Within { clock, threshold }, latency.0)?,
                count(Signal::Over { clock, threshold }, latency.1)?,
                count(Signal::Accepted, latency.0 / 10)?,
                count(Signal::BytesSent, latency.0 * 900)?,
            ]);
            batch.histograms.push(HistogramReading {
                service: service.clone(),
                role: Role::Server,
                route: Some(route.clone()),
                clock,
                start_time: self.span.end,
                buckets: (320..328)
                    .map(|bucket| (bucket, latency.0.unsigned_abs() / 8))
                    .collect(),
                sum: Duration::from_millis(latency.0.unsigned_abs()),
            });
        }
        Ok(batch)
    }

    /// The counts of the period up to `at`, of every objective, asked one by one and all at once, held against arithmetic.
    /// How many were compared.
    pub async fn check(&self, at: DateTime<Utc>) -> anyhow::Result<usize> {
        let budgets = self.ask_budgets(at).await?;
        let at_once: HashMap<&str, (i64, i64)> = budgets
            .iter()
            .map(|(name, good, bad)| (name.as_str(), (*good, *bad)))
            .collect();
        for objective in &self.definitions.objectives {
            let number = objective
                .service
                .as_str()
                .trim_start_matches("service-")
                .parse()?;
            let kind = match objective.sli.kind {
                SliKind::Ratio { .. } => Kind::Availability,
                SliKind::Latency { .. } => Kind::Latency,
                SliKind::Retransmits | SliKind::Composite(_) => unreachable!("the bench defines none"),
            };
            let counts = self.engine.burn(&objective.name, objective.period, at).await?;
            let to = self.span.slots(at);
            let from = to - i64::try_from(objective.period.as_secs())? / 10;
            let (good, bad) = Traffic(number).between(kind, from, to);
            let found = (i64::try_from(counts.good)?, i64::try_from(counts.bad)?);
            ensure!(
                found == (good, bad) && at_once.get(objective.name.as_str()) == Some(&found),
                "{}: {found:?} instead of {:?}",
                objective.name,
                (good, bad)
            );
        }
        Ok(self.definitions.objectives.len())
    }

    pub async fn measure(&self) -> anyhow::Result<Cost> {
        let mut now = self.span.end;
        let (mut ticks, mut evaluations, mut budgets) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            now += TimeDelta::seconds(10);
            let tick = self.intake(now).await?;
            let evaluation = self.evaluation(now).await?;
            let of_periods = self.budgets(now).await?;
            // The first ones learn what series there are, and plan; autovacuum would come within a minute.
            if round == WARM {
                self.books.tidy().await?;
            } else if round > WARM {
                ticks.push(tick);
                evaluations.push(evaluation);
                budgets.push(of_periods);
            }
        }
        let mut seconds = Duration::ZERO;
        for _ in 0..SECONDS {
            now += TimeDelta::seconds(1);
            let batch = self.batch(now, 0)?;
            let before = self.used().await?;
            self.engine.take_at(&batch, now).await?;
            let calm = self.engine.evaluate_fast_pages(now).await?;
            let used = self.used().await?.since(&before);
            ensure!(calm.is_empty(), "a calm day pages: {calm:?}");
            seconds += used.database + used.own;
        }
        self.engine.settle().await?;
        self.books.tidy().await?;
        let kept = self.keep_up(now).await?;
        now = kept.until;
        let windows = self.windows(&WINDOWS, now).await?;
        let ledger_bytes = self.books.bytes("ledger").await?
            + self.books.bytes("ledger_chunk").await?
            + self.books.bytes("ledger_day").await?;
        let resident = resident()?;
        Ok(Cost {
            burning: self.burn_all(now).await?,
            evaluation: median(evaluations.iter().map(|used| used.database)),
            decision: median(evaluations.iter().map(|used| used.own)),
            evaluation_wall: median(evaluations.iter().map(|used| used.wall)),
            budgets: median(budgets.iter().map(|used| used.database)),
            tick_wall: median(ticks.iter().map(|used| used.wall)),
            tick: median(ticks.iter().map(|used| used.database)),
            second: seconds / SECONDS,
            kept,
            windows,
            ledger_bytes,
            resident,
        })
    }

    /// What has been counted up to `now`, taken as it is sent.
    pub async fn take(&self, now: DateTime<Utc>) -> anyhow::Result<()> {
        self.engine.ingest_at(&self.batch(now, 0)?, now).await?;
        Ok(())
    }

    async fn intake(&self, now: DateTime<Utc>) -> anyhow::Result<Used> {
        let batch = self.batch(now, 0)?;
        let before = self.used().await?;
        self.engine.ingest_at(&batch, now).await?;
        let calm = self.engine.evaluate_fast_pages(now).await?;
        let used = self.used().await?.since(&before);
        ensure!(calm.is_empty(), "a calm day pages: {calm:?}");
        Ok(used)
    }

    async fn evaluation(&self, now: DateTime<Utc>) -> anyhow::Result<Used> {
        let before = self.used().await?;
        self.engine.judge_slices(now).await?;
        let evaluations = self.engine.evaluate(now).await?;
        let mut transaction = self.books.pool.begin().await?;
        let changed = self
            .engine
            .record(&mut transaction, &evaluations, None, now)
            .await?;
        transaction.commit().await?;
        let used = self.used().await?.since(&before);
        ensure!(changed.is_empty(), "a calm day alerts: {changed:?}");
        ensure!(evaluations.is_empty(), "a calm day is not calm: {evaluations:?}");
        Ok(used)
    }

    async fn budgets(&self, now: DateTime<Utc>) -> anyhow::Result<Used> {
        let before = self.used().await?;
        let budgets = self.ask_budgets(now).await?;
        let used = self.used().await?.since(&before);
        ensure!(budgets.len() == self.definitions.objectives.len());
        Ok(used)
    }

    async fn ask_budgets(&self, now: DateTime<Utc>) -> anyhow::Result<Vec<(String, i64, i64)>> {
        let all =
            "select o.name, b.good, b.bad from error_budgets($1) b join objective o using (objective_id)";
        Ok(sqlx::query_as(all).bind(now).fetch_all(&self.books.pool).await?)
    }

    /// A window of one objective, by its length.
    pub async fn windows(
        &self,
        lengths: &[(&'static str, u64)],
        now: DateTime<Utc>,
    ) -> anyhow::Result<Vec<(&'static str, Duration)>> {
        let mut costs = Vec::new();
        for (name, hours) in lengths {
            let length = Duration::from_secs(hours * 3600);
            costs.push((*name, self.window(length, now).await?));
        }
        Ok(costs)
    }

    async fn window(&self, length: Duration, now: DateTime<Utc>) -> anyhow::Result<Duration> {
        let asked = || self.definitions.objectives.iter().cycle().take(ASKED);
        // Once to have it planned and its pages read.
        for objective in asked() {
            self.engine.burn(&objective.name, length, now).await?;
        }
        let before = self.used().await?;
        for objective in asked() {
            self.engine.burn(&objective.name, length, now).await?;
        }
        Ok(self.used().await?.since(&before).database / u32::try_from(ASKED)?)
    }

    pub async fn used(&self) -> anyhow::Result<Used> {
        Ok(Used {
            database: self.books.cpu().await?,
            own: clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into(),
            at: Instant::now(),
            wall: Duration::ZERO,
        })
    }
}

/// What has been used so far, or between two looks.
pub struct Used {
    pub database: Duration,
    pub own: Duration,
    at: Instant,
    pub wall: Duration,
}

impl Used {
    pub fn since(&self, before: &Self) -> Self {
        Self {
            database: self.database.saturating_sub(before.database),
            own: self.own.saturating_sub(before.own),
            at: self.at,
            wall: self.at - before.at,
        }
    }
}

pub fn median(values: impl Iterator<Item = Duration>) -> Duration {
    let mut values: Vec<_> = values.collect();
    values.sort();
    values[values.len() / 2]
}

/// Of this process, which holds the engine and the bench's own batch.
fn resident() -> anyhow::Result<u64> {
    super::resident(std::process::id())
}
