//! More than there is room for, in the kernel and on the way to the database, and a clock that is set back meanwhile: what
//! is not counted is counted as lost.

#![expect(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use support::eventually;
use support::network::{Network, SERVER, Side};
use support::nginx::{Nginx, statuses};
use support::slowburn::Slowburn;

const PATIENCE: Duration = Duration::from_secs(180);
/// As many as a service may have, each with as many answers: more than the kernel's map is given room for.
const ROUTES: u32 = 64;
const STATUSES: std::ops::Range<u32> = 210..230;

fn service() -> String {
    let mut text = String::from(
        "
apiVersion: slowburn/v1
kind: Service
metadata: {name: crowd}
spec:
  match: {port: 8080}
  objectives: [{availability: 99%}]
  window: 30d
  routes:
",
    );
    for route in 0..ROUTES {
        writeln!(text, "  - GET /{route}/").unwrap();
    }
    text
}

fn answers() -> String {
    let mut locations = String::new();
    for status in STATUSES {
        write!(
            locations,
            "location ~ ^/[0-9]+/{status}$ {{ return {status} 'so'; }} "
        )
        .unwrap();
    }
    locations
}

/// Every answer of every route, over and over on 64 connections, until `work` is done. All that is asked is answered.
fn under_load<T>(network: &Network, nginx: &Nginx, work: impl FnOnce() -> T) -> T {
    let mut addresses = String::new();
    for status in STATUSES {
        for route in 0..ROUTES {
            writeln!(addresses, "http://{SERVER}:8080/{route}/{status}").unwrap();
        }
    }
    let list = nginx.directory().join("addresses");
    fs::write(&list, addresses).unwrap();
    // Each connection goes through the list once.
    let number = 64 * STATUSES.len() * ROUTES as usize;
    let requests = format!("-n{number}");
    let arguments = ["--h1", "-c64", &requests, "-i", list.to_str().unwrap()];
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Relaxed) {
                network.output(Side::Client, "h2load", &arguments);
            }
        });
        // Ends the load also when the work panics.
        let _done = Done(&is_done);
        work()
    })
}

/// In seconds.
const SET_BACK: u32 = 10;

struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// What `/metrics` says of batches, in one scrape: read, and what became of them.
fn batches(slowburn: &Slowburn) -> BTreeMap<String, u64> {
    let page = slowburn.get("/metrics");
    let mut found = BTreeMap::new();
    for line in page.as_str().unwrap().lines() {
        let Some((name, value)) = line.rsplit_once(' ') else {
            continue;
        };
        let word = match name {
            "slowburn_ingest_reads_total" => "read",
            "slowburn_ingest_batches_waiting" => "waiting",
            _ => match name.strip_prefix("slowburn_ingest_batches_total{outcome=\"") {
                Some(outcome) => outcome.trim_end_matches("\"}"),
                None => continue,
            },
        };
        found.insert(word.to_string(), value.parse().unwrap());
    }
    found
}

/// Nobody gets in, and who is in is thrown out: intake is refused, as by a Postgres that is full.
fn shut_the_database(slowburn: &Slowburn) {
    slowburn.sql_of(
        "template1",
        "alter database slowburn with allow_connections false",
    );
    slowburn.sql_of(
        "template1",
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = 'slowburn'",
    );
}

/// A clock of slowburn's own, in a library that it loads before all others; and what sets it.
struct Clock(tempfile::TempDir);

impl Clock {
    fn new() -> Clock {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock(directory);
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(clock.library())
            .arg("tests/programs/clock.c")
            .status();
        assert!(built.unwrap().success());
        clock.set_back(0);
        clock
    }

    fn library(&self) -> PathBuf {
        self.0.path().join("clock.so")
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("step")
    }

    /// By so many seconds, all at once.
    fn set_back(&self, seconds: u32) {
        let next = self.0.path().join("next");
        fs::write(&next, format!("-{seconds}")).unwrap();
        fs::rename(next, self.file()).unwrap();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn what_is_produced_is_delivered_rejected_or_dropped() {
    let network = Network::create();
    let clock = Clock::new();
    let slowburn = Slowburn::start_with(
        &network,
        &service(),
        &["--map-counts=512", "--intake-buffer=10s"],
        &[
            ("LD_PRELOAD", text(&clock.library())),
            ("SLOWBURN_TEST_CLOCK", text(&clock.file())),
        ],
    );
    let nginx = Nginx::start_with(&network, &answers());
    let lost = || -> u64 {
        let lost = slowburn.sql("select coalesce(sum(count), 0) from loss where reason = 'map_full'");
        lost.parse().unwrap()
    };
    // Whatever is counted once a connection has its place in the map before it is full.
    let ok = format!("http://{SERVER}:8080/ok");
    network.output(Side::Client, "h2load", &["--h1", "-c64", "-n640", &ok]);
    eventually("the first requests to be booked", PATIENCE, || {
        (!statuses(&slowburn, "crowd").is_empty()).then_some(())
    });
    assert_eq!(lost(), 0);

    under_load(&network, &nginx, || {
        eventually("the kernel's map to be full", PATIENCE, || {
            (lost() > 0).then_some(())
        });
        shut_the_database(&slowburn);
        // One a second: long enough that what is read after the clock was set back is no older than what is booked.
        eventually("batches to be dropped", PATIENCE, || {
            (batches(&slowburn)["dropped"] > u64::from(SET_BACK)).then_some(())
        });
        // What waits lies in the future then.
        clock.set_back(SET_BACK);
        slowburn.sql_of("template1", "alter database slowburn with allow_connections true");
        eventually("batches to be refused", PATIENCE, || {
            (batches(&slowburn)["refused"] > 0).then_some(())
        });
        let before = batches(&slowburn)["booked"];
        eventually("batches to be booked again", PATIENCE, || {
            (batches(&slowburn)["booked"] > before + 1).then_some(())
        });
    });

    let produced: u64 = nginx.settled().values().sum();
    let (delivered, lost) = eventually("all requests to be accounted for", PATIENCE, || {
        let found = (statuses(&slowburn, "crowd").values().sum::<u64>(), lost());
        (found.0 + found.1 >= produced).then_some(found)
    });
    println!("{produced} requests produced = {delivered} delivered + {lost} lost for want of room");
    assert!(lost > 0 && delivered > 0);
    assert_eq!(delivered + lost, produced);
    let slo = slowburn.get("/api/v1/slos/crowd-availability");
    let counted = slo["good"].as_u64().unwrap() + slo["bad"].as_u64().unwrap();
    assert_eq!(counted, delivered);
    assert_eq!(
        slo["lost"].as_u64(),
        Some(lost),
        "the objective knows what it does not know"
    );

    let all = eventually("no batch to be on its way", PATIENCE, || {
        let found = batches(&slowburn);
        let accounted = found["booked"] + found["refused"] + found["dropped"] + found["waiting"];
        (found["read"] == accounted).then_some(found)
    });
    println!("batches: {all:?}");
    assert!(all["dropped"] > 0, "the database was never missed: {all:?}");
    assert!(all["refused"] > 0, "nothing came from the future: {all:?}");
    assert!(all["booked"] > 0, "{all:?}");
}
