//! kill -9 in the middle of load, or of counting back: nothing is lost, nothing is counted twice, nobody is paged twice.

#![expect(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::fs;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use nix::sys::signal::{Signal, kill};
use slo_engine::measurement::{Batch, Hello, Reading, Role, Series, Signal as Counted, SourceId};
use slo_engine::{Engine, Settings};
use sqlx::postgres::PgPoolOptions;
use support::eventually;
use support::network::{Network, Running, SERVER, Side};
use support::nginx::{Nginx, booked_and_logged};
use support::slowburn::Slowburn;

const PATIENCE: Duration = Duration::from_secs(60);

const SERVICE: &str = "
apiVersion: slowburn/v1
kind: Service
metadata: {name: shop}
spec:
  match: {port: 8080}
  objectives: [{availability: 99%}]
  window: 30d
";

/// Load until it is interrupted: how long two restarts take is the machine's affair.
fn load(network: &Network) -> Running {
    let url = format!("http://{SERVER}:8080/ok");
    network.spawn(Side::Client, "wrk", &["-t1", "-c8", "-d180s", &url])
}

/// Nothing while the engine or its Postgres is away.
fn booked(slowburn: &Slowburn) -> Option<u64> {
    slowburn.try_get("/api/v1/slos/shop-availability").ok()?["good"].as_u64()
}

/// Kills are to land in the middle of intake.
fn until_500_more_are_booked(slowburn: &Slowburn) {
    let before = eventually("the books to open", PATIENCE, || booked(slowburn));
    eventually("load to be booked", PATIENCE, || {
        booked(slowburn).filter(|now| *now > before + 500)
    });
}

#[test]
fn starts_and_stops_are_events_and_the_next_start_tells_of_a_death() {
    let network = Network::create();
    let mut slowburn = Slowburn::start(&network, SERVICE);
    let told = |slowburn: &Slowburn| {
        slowburn.sql("select string_agg(kind, ' ' order by event_id) from event where kind like 'slowburn%'")
    };
    slowburn.stop();
    slowburn.launch();
    let ended_well = "slowburn_started slowburn_stopped slowburn_started";
    assert_eq!(told(&slowburn), ended_well);
    eventually("something to be measured", PATIENCE, || {
        let is_later = "select max(last_at) > (select max(at) + interval '1 s' from event where kind = 'slowburn_started') from source";
        (slowburn.sql(is_later) == "t").then_some(())
    });
    slowburn.kill();
    slowburn.launch();
    assert_eq!(
        told(&slowburn),
        format!("{ended_well} slowburn_died slowburn_started")
    );
    let died = slowburn.sql("select message from event where kind = 'slowburn_died'");
    assert!(
        died.contains("did not stop in order") && died.contains("the last it measured is of"),
        "{died}"
    );
    let subject = slowburn.sql("select distinct subject from event where kind like 'slowburn%'");
    assert!(subject.ends_with(&format!("/{}", network.name)), "{subject}");
}

#[test]
fn a_killed_slowburn_loses_and_doubles_no_request() {
    let network = Network::create();
    let mut slowburn = Slowburn::start(&network, SERVICE);
    let nginx = Nginx::start(&network);
    let mut load = load(&network);
    for _ in 0..2 {
        until_500_more_are_booked(&slowburn);
        slowburn.kill();
        // While nobody reads, the kernel goes on counting.
        let logged = nginx.counts()["200"];
        eventually("requests without an agent", PATIENCE, || {
            (nginx.counts()["200"] > logged + 500).then_some(())
        });
        slowburn.launch();
    }
    load.interrupt();
    let (booked, logged) = booked_and_logged(&slowburn, "shop", &nginx);
    assert_eq!(booked, logged);
}

#[test]
fn a_killed_postgres_costs_nothing() {
    let network = Network::create();
    let slowburn = Slowburn::start(&network, SERVICE);
    let nginx = Nginx::start(&network);
    let mut load = load(&network);
    for _ in 0..2 {
        until_500_more_are_booked(&slowburn);
        let postgres = slowburn.postgres().unwrap();
        kill(postgres, Signal::SIGKILL).unwrap();
        eventually("another Postgres", PATIENCE, || {
            slowburn.postgres().filter(|pid| *pid != postgres)
        });
    }
    load.interrupt();
    let (booked, logged) = booked_and_logged(&slowburn, "shop", &nginx);
    assert_eq!(booked, logged);
}

#[test]
fn an_orderly_stop_leaves_no_postgres_and_keeps_counting() {
    let network = Network::create();
    let mut slowburn = Slowburn::start(&network, SERVICE);
    let nginx = Nginx::start(&network);
    let postgres = slowburn.postgres().unwrap();
    slowburn.stop();
    assert!(kill(postgres, None).is_err(), "Postgres outlived an orderly stop");
    network.output(
        Side::Client,
        "ab",
        &["-q", "-n", "500", "-c", "4", &format!("http://{SERVER}:8080/ok")],
    );
    slowburn.launch();
    let (booked, logged) = booked_and_logged(&slowburn, "shop", &nginx);
    assert_eq!(booked, logged);
}

/// The shop, and what `shop-answers` counts.
fn shop(total: &str) -> String {
    format!(
        "
apiVersion: slowburn/v1
kind: Service
metadata: {{name: shop}}
spec: {{match: {{port: 8080}}}}
---
apiVersion: openslo/v1
kind: SLO
metadata: {{name: shop-answers}}
spec:
  service: shop
  budgetingMethod: Occurrences
  timeWindow: [{{duration: 30d, isRolling: true}}]
  objectives: [{{target: 0.99}}]
  indicator:
    metadata: {{name: shop-answers}}
    spec:
      ratioMetric:
        counter: true
        good: {{metricSource: {{type: slowburn, spec: {{status: [2xx]}}}}}}
        total: {{metricSource: {{type: slowburn, spec: {{status: [{total}]}}}}}}
"
    )
}

const HISTORY: TimeDelta = TimeDelta::days(5);
const READINGS: u64 = 600;

/// What another host measured of the shop in the days before the last hour: every twelve minutes seven answers and two errors.
async fn measure_before(slowburn: &Slowburn) {
    let socket = slowburn.state().join("postgres/socket");
    let url = format!("postgres://slowburn@localhost/slowburn?host={}", socket.display());
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect(&url)
        .await
        .unwrap();
    let settings = Settings {
        slot: Duration::from_secs(1),
        ..Settings::default()
    };
    let engine = Engine::new(pool, settings);
    let source = SourceId::new("another", "boot1", 1).unwrap();
    let to = Utc::now() - TimeDelta::hours(1);
    let from = to - HISTORY;
    let hello = Hello {
        source: source.clone(),
        host: "another".to_owned(),
        at: from,
    };
    engine.hello(&hello).await.unwrap();
    for n in 1..=READINGS {
        let at = from + HISTORY / i32::try_from(READINGS).unwrap() * i32::try_from(n).unwrap();
        let counted = |status, value| Reading {
            series: Series {
                service: "shop".parse().unwrap(),
                role: Role::Server,
                route: Some("GET *".parse().unwrap()),
                signal: Counted::Status(status),
            },
            start_time: from,
            value,
        };
        let batch = Batch {
            source: source.clone(),
            at,
            sent_at: at,
            readings: vec![counted(200, 7 * n), counted(500, 2 * n)],
            histograms: Vec::new(),
            gauges: Vec::new(),
            losses: Vec::new(),
        };
        engine.ingest_at(&batch, at).await.unwrap();
    }
    engine.goodbye(&source, to).await.unwrap();
}

/// Share that is counted back, while it is.
fn share_counted_back(slowburn: &Slowburn) -> Option<f64> {
    slowburn.try_get("/api/v1/slos/shop-answers").ok()?["backfill"]["share"].as_f64()
}

/// Good and bad of the measurements, of the ledger, and how many slots of the two differ.
const COMPARE: &str = "
    with objective as (select objective_id, generation from objective where name = 'shop-answers'),
    measured as (
        select m.at, coalesce(sum(m.value) filter (where s.side = 'good'), 0) as good,
               coalesce(sum(m.value) filter (where s.side = 'bad'), 0) as bad
        from objective o join objective_series s using (objective_id, generation) join measurement m using (series_id)
        group by m.at
    ),
    running as (
        select l.at, l.good + d.good as good, l.bad + d.bad as bad
        from objective o
        join ledger_row l using (objective_id, generation)
        join ledger_day d on d.objective_id = l.objective_id and d.generation = l.generation and d.day = ledger_day_of(l.at)
    ),
    booked as (
        select *
        from (
            select at, good - lag(good, 1, 0::bigint) over (order by at) as good,
                   bad - lag(bad, 1, 0::bigint) over (order by at) as bad
            from running
        ) b
        where (good, bad) <> (0, 0)
    )
    select format('%s %s, %s %s, %s', (select sum(good) from measured), (select sum(bad) from measured),
                  (select sum(good) from booked), (select sum(bad) from booked),
                  (select count(*) from measured m full join booked b using (at)
                   where (m.good, m.bad) is distinct from (b.good, b.bad)))";

#[test]
fn a_slowburn_that_is_killed_while_it_counts_back_counts_every_request_once() {
    let network = Network::create();
    let mut slowburn = Slowburn::start(&network, &shop("2xx, 3xx"));
    let nginx = Nginx::start(&network);
    let mut load = load(&network);
    tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(measure_before(&slowburn));
    let file = slowburn.state().with_file_name("definitions.yaml");
    fs::write(file, shop("2xx, 5xx")).unwrap();
    kill(slowburn.pid(), Signal::SIGHUP).unwrap();
    let mut last = 0.0;
    for _ in 0..2 {
        last = eventually("more to be counted back", PATIENCE, || {
            share_counted_back(&slowburn).filter(|share| *share > last)
        });
        slowburn.kill();
        let open = slowburn.sql("select count(*) from backfill where finished_at is null");
        assert_eq!(open, "1", "it was killed too late, at {last}");
        slowburn.launch();
    }
    eventually("all to be counted back", PATIENCE * 2, || {
        let slo = slowburn.try_get("/api/v1/slos/shop-answers").ok()?;
        slo["backfill"].is_null().then_some(())
    });
    load.interrupt();
    let logged = nginx.settled()["200"];
    let good = READINGS * 7 + logged;
    eventually("all to be booked", PATIENCE, || {
        let slo = slowburn.try_get("/api/v1/slos/shop-answers").ok()?;
        (slo["good"].as_u64()? >= good).then_some(())
    });
    let bad = READINGS * 2;
    assert_eq!(slowburn.sql(COMPARE), format!("{good} {bad}, {good} {bad}, 0"));
}
