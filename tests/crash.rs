//! kill -9 in the middle of load, or of counting back, and databases that go away: nothing is lost, nothing is counted twice,
//! nobody is paged twice.

#![expect(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use slo_engine::measurement::{Batch, Hello, Reading, Role, Series, Signal as Counted, SourceId};
use slo_engine::{Engine, Settings};
use sqlx::postgres::PgPoolOptions;
use support::eventually;
use support::network::{Network, Running, SERVER, Side};
use support::nginx::{Nginx, booked_and_logged};
use support::slowburn::{Slowburn, database_in};

const PATIENCE: Duration = Duration::from_secs(60);

/// One budget of requests and one of minutes.
const SERVICE: &str = "
apiVersion: slowburn/v1
kind: Service
metadata: {name: shop}
spec:
  match: {port: 8080}
  objectives: [{availability: 99%}]
  window: 30d
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: shop-minutes}
spec:
  service: shop
  budgetingMethod: Timeslices
  timeWindow: [{duration: 30d, isRolling: true}]
  objectives: [{target: 0.99, timeSliceTarget: 0.99, timeSliceWindow: 1m}]
  indicator:
    spec:
      ratioMetric:
        bad: {metricSource: {type: slowburn, spec: {status: [5xx, unanswered]}}}
        total: {metricSource: {type: slowburn, spec: {}}}
";

/// Load of which a part fails, until it is interrupted: how long two restarts take is the machine's affair.
struct Load([Running; 2]);

impl Load {
    fn start(network: &Network) -> Load {
        Load([("/ok", "-c8"), ("/broken", "-c2")].map(|(path, connections)| {
            let url = format!("http://{SERVER}:8080{path}");
            network.spawn(Side::Client, "wrk", &["-t1", connections, "-d600s", &url])
        }))
    }

    fn interrupt(&mut self) {
        for client in &mut self.0 {
            client.interrupt();
        }
    }
}

/// Nothing while the engine or its Postgres is away.
fn booked(slowburn: &Slowburn) -> Option<u64> {
    let slo = slowburn.try_get("/api/v1/slos/shop-availability").ok()?;
    Some(slo["good"].as_u64()? + slo["bad"].as_u64()?)
}

/// Kills are to land in the middle of intake.
fn until_500_more_are_booked(slowburn: &Slowburn) {
    let before = eventually("the books to open", PATIENCE, || booked(slowburn));
    eventually("load to be booked", PATIENCE, || {
        booked(slowburn).filter(|now| *now > before + 500)
    });
}

/// What every book says once the load is over: of services, of requests, of minutes, and who was told.
fn every_book_says_what_nginx_logged(slowburn: &Slowburn, nginx: &Nginx) {
    let (booked, logged) = booked_and_logged(slowburn, "shop", nginx);
    assert_eq!(booked, logged);
    let (good, bad) = (logged["200"], logged["500"]);
    let slo = slowburn.get("/api/v1/slos/shop-availability");
    assert_eq!(
        (slo["good"].as_u64(), slo["bad"].as_u64()),
        (Some(good), Some(bad))
    );
    assert_eq!(
        slowburn.sql(&compare("shop-availability")),
        format!("{good} {bad}, {good} {bad}, 0")
    );
    assert_eq!(slowburn.sql(MINUTES), format!("{good} {bad}"));
    // What is not over is judged as if it were, so that all that was booked is worth something.
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let now = Utc::now() + TimeDelta::minutes(2);
        engine(slowburn).await.judge_slices(now).await.unwrap();
    });
    let worth = slowburn.sql(WORTH);
    let mut parts = worth.split(", ");
    let (minutes, ledger, differ) = (parts.next(), parts.next(), parts.next());
    assert_eq!((minutes, differ), (ledger, Some("0")), "{worth}");
    assert_ne!(minutes, Some("0 0"), "no minute was judged");
    // One that had resolved may fire anew.
    let twice = "select count(*) - count(distinct (objective_id, tier)) from alert where state <> 'resolved'";
    assert_eq!(slowburn.sql(twice), "0", "somebody was paged twice");
}

/// Requests of all minutes.
const MINUTES: &str = "
    select format('%s %s', sum(s.good), sum(s.bad))
    from slice s join objective o using (objective_id, generation)
    where o.name = 'shop-minutes'";

/// Good and bad minutes as they are booked, as the ledger has them, and how many are booked as what they are not worth by what
/// was counted in them, where enough was watched.
const WORTH: &str = "
    select format('%s %s, %s %s, %s', sum(s.booked_good), sum(s.booked_bad), max(b.good), max(b.bad),
                  count(*) filter (where not s.is_stale and (s.booked_good, s.booked_bad) <> (w.good, w.bad)))
    from objective o
    join slice s using (objective_id, generation)
    cross join lateral (
        select (s.covered_ms >= 54000 and s.good >= 0.99 * (s.good + s.bad))::int as good,
               (s.covered_ms >= 54000 and s.good < 0.99 * (s.good + s.bad))::int as bad
    ) w
    cross join lateral error_budget(o.name, now() + interval '2 minutes') b
    where o.name = 'shop-minutes'";

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
    let mut load = Load::start(&network);
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
    ask_until_a_minute_was_watched(&network, &slowburn);
    every_book_says_what_nginx_logged(&slowburn, &nginx);
}

#[test]
fn a_postgres_that_is_killed_or_restarted_or_killed_with_slowburn_costs_nothing() {
    let network = Network::create();
    let mut slowburn = Slowburn::start(&network, SERVICE);
    let nginx = Nginx::start(&network);
    let mut load = Load::start(&network);
    let ends: [fn(&mut Slowburn, Pid); 3] = [
        |_, postgres| kill(postgres, Signal::SIGKILL).unwrap(),
        // slowburn starts what ended, too: either may come first.
        |slowburn, postgres| {
            control(slowburn, &programs(postgres), &["-m", "fast", "restart"]);
        },
        |slowburn, postgres| {
            kill(postgres, Signal::SIGKILL).unwrap();
            slowburn.kill();
            slowburn.launch();
        },
    ];
    for end in ends {
        until_500_more_are_booked(&slowburn);
        let postgres = slowburn.postgres().unwrap();
        end(&mut slowburn, postgres);
        eventually("another Postgres", PATIENCE, || {
            slowburn.postgres().filter(|pid| *pid != postgres)
        });
    }
    load.interrupt();
    ask_until_a_minute_was_watched(&network, &slowburn);
    every_book_says_what_nginx_logged(&slowburn, &nginx);
}

/// Where its programs are.
fn programs(postgres: Pid) -> PathBuf {
    let program = fs::read_link(format!("/proc/{postgres}/exe")).unwrap();
    program.parent().unwrap().to_owned()
}

/// Tells the cluster in the state directory, as its owner does; whether that worked.
fn control(slowburn: &Slowburn, programs: &Path, words: &[&str]) -> bool {
    let directory = slowburn.state().join("postgres");
    let data = directory.join("data");
    let owner = fs::metadata(&data).unwrap();
    let status = Command::new(programs.join("pg_ctl"))
        .arg("-D")
        .arg(&data)
        .args(["-w", "-s"])
        .args(words)
        .uid(owner.uid())
        .gid(owner.gid())
        .current_dir("/")
        // A server that it starts would hold them.
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.unwrap().success()
}

/// Asks a little until a whole minute lies in the books, so that there is one to be judged.
fn ask_until_a_minute_was_watched(network: &Network, slowburn: &Slowburn) {
    let [ok, broken] = ["ok", "broken"].map(|path| format!("http://{SERVER}:8080/{path}"));
    let watched = "select count(*) from slice where covered_ms >= 54000 and good + bad > 0";
    eventually("a minute to be watched", PATIENCE * 3, || {
        let twice = ["-s", "-o", "/dev/null", &ok, "-o", "/dev/null", &broken];
        network.output(Side::Client, "curl", &twice);
        (slowburn.sql(watched) != "0").then_some(())
    });
}

#[test]
fn an_orderly_stop_leaves_no_postgres_and_its_books_are_taken_up_on_a_server_that_others_restart() {
    let network = Network::create();
    let mut slowburn = Slowburn::start(&network, SERVICE);
    let nginx = Nginx::start(&network);
    let postgres = slowburn.postgres().unwrap();
    let programs = programs(postgres);
    slowburn.stop();
    assert!(kill(postgres, None).is_err(), "Postgres outlived an orderly stop");
    for (path, count) in [("ok", "500"), ("broken", "50")] {
        let url = format!("http://{SERVER}:8080/{path}");
        network.output(Side::Client, "ab", &["-q", "-n", count, "-c", "4", &url]);
    }

    // A server as any: slowburn neither starts nor ends it.
    let socket = slowburn.state().join("postgres/socket");
    let options = format!("-k {} -c listen_addresses=''", socket.display());
    assert!(control(&slowburn, &programs, &["-o", &options, "start"]));
    slowburn.use_database_in(&socket);
    slowburn.launch();
    let mut load = Load::start(&network);
    for how in ["fast", "immediate"] {
        until_500_more_are_booked(&slowburn);
        assert!(control(&slowburn, &programs, &["-m", how, "restart"]), "{how}");
    }
    until_500_more_are_booked(&slowburn);
    load.interrupt();
    ask_until_a_minute_was_watched(&network, &slowburn);
    every_book_says_what_nginx_logged(&slowburn, &nginx);
    slowburn.stop();
    let postgres = slowburn.postgres().unwrap();
    assert!(kill(postgres, None).is_ok(), "it ended somebody's Postgres");
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

/// One more engine on its books.
async fn engine(slowburn: &Slowburn) -> Engine {
    let url = database_in(&slowburn.state().join("postgres/socket"));
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect(&url)
        .await
        .unwrap();
    let settings = Settings {
        slot: Duration::from_secs(1),
        ..Settings::default()
    };
    Engine::new(pool, settings)
}

/// What another host measured of the shop in the days before the last hour: every twelve minutes seven answers and two errors.
async fn measure_before(slowburn: &Slowburn) {
    let engine = engine(slowburn).await;
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
fn compare(objective: &str) -> String {
    format!(
        "with objective as (select objective_id, generation from objective where name = '{objective}'), {COMPARED}"
    )
}

const COMPARED: &str = "
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
    let mut load = Load::start(&network);
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
    let logged = nginx.settled();
    let (good, bad) = (READINGS * 7 + logged["200"], READINGS * 2 + logged["500"]);
    eventually("all to be booked", PATIENCE, || {
        let slo = slowburn.try_get("/api/v1/slos/shop-answers").ok()?;
        (slo["good"].as_u64()? >= good && slo["bad"].as_u64()? >= bad).then_some(())
    });
    assert_eq!(
        slowburn.sql(&compare("shop-answers")),
        format!("{good} {bad}, {good} {bad}, 0")
    );
}
