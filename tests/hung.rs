//! A server that hangs burns its budget while it hangs, not when it ends.

#![expect(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use support::network::{Network, SERVER, Side};
use support::slowburn::Slowburn;
use support::{delays, eventually};

const PATIENCE: Duration = Duration::from_secs(30);

const HUNG: &str = "
apiVersion: slowburn/v1
kind: Service
metadata: {name: hung}
spec:
  match: {port: 8084}
  objectives: [{latency: {below: 250ms, target: 90%}}]
  window: 30d
";
const THRESHOLD: TimeDelta = TimeDelta::milliseconds(250);
const HANGING: u64 = 20;

#[test]
fn a_stopped_server_burns_budget_within_two_seconds_of_the_first_overdue_request() {
    burns_within_two_seconds("1s");
}

/// What is bad does not wait for the slot's end.
#[test]
fn it_does_so_with_slots_of_ten_seconds_as_well() {
    burns_within_two_seconds("10s");
}

#[expect(clippy::print_stdout, reason = "what was measured")]
fn burns_within_two_seconds(slot: &str) {
    let network = Network::create();
    let slowburn = Slowburn::start_with(&network, HUNG, &[format!("--slot={slot}").as_str()], &[]);
    let server = delays::start(&network, "8084");
    let url = format!("http://{SERVER}:8084/1");
    network.output(Side::Client, "ab", &["-q", "-k", "-n", "300", "-c", "2", &url]);
    let objective = || slowburn.get("/api/v1/slos/hung-latency");
    let calm = eventually("the calm before", PATIENCE, || {
        let now = objective();
        let booked = now["good"].as_u64()? + now["bad"].as_u64()?;
        (booked == 300).then_some(now)
    });

    let pid = Pid::from_raw(i32::try_from(server.0.id()).unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    // Until all of its threads have stopped: they may run on for a while on a busy machine.
    let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap();
    assert!(matches!(stopped, WaitStatus::Stopped(..)), "{stopped:?}");
    let (first_sent, hanging) = ask(&network);
    let (burning, seen) = eventually("the budget to burn", PATIENCE, || {
        let now = objective();
        (now["bad"].as_u64() > calm["bad"].as_u64()).then(|| (now, Utc::now()))
    });
    let booked = booked(&slowburn, calm["bad"].as_u64().unwrap());
    let overdue = first_sent + THRESHOLD;
    println!(
        "the first request was overdue; its budget burned {:.2} s later by the books, and the API said so at {:.2} s",
        (booked - overdue).as_seconds_f64(),
        (seen - overdue).as_seconds_f64()
    );
    assert!(booked - overdue <= TimeDelta::seconds(2), "{overdue} {booked}");
    let left = |slo: &serde_json::Value| slo["budget_remaining"].as_f64().unwrap();
    assert!(left(&burning) < left(&calm), "{burning}");

    let bad = || objective()["bad"].as_u64().unwrap() - calm["bad"].as_u64().unwrap();
    eventually("every overdue request to be bad", PATIENCE, || {
        (bad() == HANGING).then_some(())
    });
    // Each has been counted: its answer is no second event.
    kill(pid, Signal::SIGCONT).unwrap();
    for mut stream in hanging {
        let mut answer = [0; 64];
        stream.read_exact(&mut answer).unwrap();
        assert!(answer.ends_with(b"\r\n\r\nok"), "{answer:?}");
    }
    eventually("the answers to be seen", PATIENCE, || {
        let seen = slowburn.get("/api/v1/services/hung");
        (seen["in_flight"].as_u64() == Some(0) && seen["overdue"].as_u64() == Some(0)).then_some(())
    });
    let after = objective();
    let events = after["good"].as_u64().unwrap() + after["bad"].as_u64().unwrap();
    assert_eq!((bad(), events), (HANGING, 300 + HANGING));
}

/// Sends requests that nobody answers; tells when the first one left.
fn ask(network: &Network) -> (DateTime<Utc>, Vec<TcpStream>) {
    let namespace = fs::File::open(network.namespace_path(Side::Client)).unwrap();
    let asking = thread::spawn(move || {
        setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
        let mut first = None;
        let streams = (0..HANGING)
            .map(|_| {
                let mut stream = TcpStream::connect((SERVER, 8084)).unwrap();
                first.get_or_insert_with(Utc::now);
                stream
                    .write_all(b"GET /1 HTTP/1.1\r\nHost: hung\r\n\r\n")
                    .unwrap();
                stream
            })
            .collect();
        (first.unwrap(), streams)
    });
    asking.join().unwrap()
}

/// When the first reading that knew of more than `before` bad requests was taken. Both accounts say
/// so at the latest: a ledger row is dated by its slot's end, a series by its last reading.
fn booked(slowburn: &Slowburn, before: u64) -> DateTime<Utc> {
    let earliest = slowburn.sql(&format!(
        "select (extract(epoch from least(
            (select min(at) from ledger where bad > {before}),
            (select min(head.at) from series_head head join series using (series_id)
             where series.signal like 'over:%' and head.value > {before}))) * 1e6)::bigint"
    ));
    DateTime::from_timestamp_micros(earliest.parse().unwrap()).unwrap()
}
