//! Real servers, real clients: what slowburn counts equals what they logged, and its times agree with a capture.

#![expect(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use support::network::{Network, SERVER, SERVER_V6, Side};
use support::nginx::{Nginx, booked_and_logged};
use support::slowburn::Slowburn;
use support::{delays, eventually, pause};

const PATIENCE: Duration = Duration::from_secs(30);

/// All five locations, over and over.
const WRK: &str = r#"
local paths, i = {"/ok", "/ok", "/ok", "/moved", "/missing", "/broken", "/busy"}, 0
request = function() i = i + 1; return wrk.format("GET", paths[i % #paths + 1]) end
"#;

const SERVICE: &str = "
apiVersion: slowburn/v1
kind: Service
metadata: {name: shop}
spec:
  match: {port: 8080}
  objectives:
    - availability: 99%
    - latency: {below: 250ms, target: 99%}
  window: 30d
";

#[test]
fn counts_by_status_equal_nginxs_access_log() {
    let network = Network::create();
    let slowburn = Slowburn::start(&network, SERVICE);
    let nginx = Nginx::start(&network);
    let script = nginx.directory().join("mix.lua");
    fs::write(&script, WRK).unwrap();
    let script = script.to_str().unwrap();
    for address in [SERVER.to_string(), format!("[{SERVER_V6}]")] {
        let url = format!("http://{address}:8080");
        network.output(Side::Client, "wrk", &["-t1", "-c16", "-d3s", "-s", script, &url]);
    }
    // One connection a request, too.
    network.output(
        Side::Client,
        "ab",
        &["-q", "-n", "2000", "-c", "8", &format!("http://{SERVER}:8080/ok")],
    );

    let (booked, logged) = booked_and_logged(&slowburn, "shop", &nginx);
    assert!(
        logged["200"] > 5_000,
        "too little traffic to prove anything: {logged:?}"
    );
    assert_eq!(booked, logged);

    let slo = slowburn.get("/api/v1/slos/shop-availability");
    let bad = logged["500"] + logged["503"];
    assert_eq!(slo["bad"].as_u64(), Some(bad));
    assert_eq!(slo["good"].as_u64(), Some(logged.values().sum::<u64>() - bad));
}

const DELAYS: &str = "
apiVersion: slowburn/v1
kind: Service
metadata: {name: delays}
spec:
  match: {port: 8081}
  routes: [GET /1, GET /5, GET /50]
  objectives: [{latency: {below: 20ms, target: 90%}}]
  window: 30d
";

#[test]
fn quantiles_agree_with_a_capture_at_the_servers_side() {
    let network = Network::create();
    let slowburn = Slowburn::start(&network, DELAYS);
    let _server = delays::start(&network, "8081");
    let scratch = tempfile::tempdir().unwrap();
    let capture = scratch.path().join("capture.pcap");
    let capture = capture.to_str().unwrap();
    let filter = "tcp port 8081";
    let mut tcpdump = network.spawn(
        Side::Server,
        "tcpdump",
        &[
            "-i",
            "eth0",
            "-w",
            capture,
            "-U",
            "-s",
            "256",
            "-B",
            "16384",
            "--immediate-mode",
            "-Z",
            "root",
            "--time-stamp-precision=nano",
            filter,
        ],
    );
    eventually("the capture to begin", PATIENCE, || {
        fs::metadata(capture).ok().filter(|file| file.len() >= 24)
    });
    // Routes are prefixes: /50 is not /5, since a prefix ends at the end of a path segment.
    for (milliseconds, count) in [(1, 3000), (5, 1500), (50, 300)] {
        let (count, url) = (count.to_string(), format!("http://{SERVER}:8081/{milliseconds}"));
        network.output(Side::Client, "ab", &["-q", "-k", "-n", &count, "-c", "4", &url]);
    }
    let size = || fs::metadata(capture).unwrap().len();
    eventually("the capture to be written", PATIENCE, || {
        let before = size();
        pause(Duration::from_secs(1));
        (before == size()).then_some(())
    });
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(tcpdump.0.id()).unwrap()),
        nix::sys::signal::Signal::SIGINT,
    )
    .unwrap();
    tcpdump.0.wait().unwrap();

    let pairs = network.output(
        Side::Server,
        "python3",
        &["tests/programs/pair.py", capture, "8081"],
    );
    let mut truth: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for line in pairs.lines() {
        let mut parts = line.split(' ');
        let path = parts.nth(1).unwrap();
        let time = parts.nth(1).unwrap();
        truth
            .entry(format!("GET {path}"))
            .or_default()
            .push(time.parse::<f64>().unwrap() / 1e6);
    }
    let detail = eventually("all requests to be booked", PATIENCE, || {
        let detail = slowburn.get("/api/v1/services/delays?window=1h");
        let requests: u64 = detail["routes"]
            .as_array()?
            .iter()
            .filter_map(|route| route["requests"].as_u64())
            .sum();
        (requests >= 4800).then_some(detail)
    });
    for (route, mut times) in truth {
        times.sort_by(f64::total_cmp);
        let seen = detail["routes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|seen| seen["route"] == *route);
        let seen = seen.unwrap_or_else(|| panic!("no route `{route}` in {detail}"));
        assert_eq!(seen["requests"].as_u64(), Some(times.len() as u64), "{route}");
        for (name, share) in [("p50_ms", 0.50), ("p99_ms", 0.99)] {
            let exact = quantile(&times, share);
            let measured = seen[name].as_f64().unwrap();
            let error = (measured - exact).abs() / exact;
            assert!(
                error <= HISTOGRAM_ERROR + 0.01,
                "{route} {name}: {measured} against {exact} in the capture"
            );
        }
    }
}

/// Half the width of a bucket of the histogram (16 an octave), relative.
const HISTOGRAM_ERROR: f64 = 0.022;

fn quantile(sorted: &[f64], share: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank within the slice"
    )]
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.max(1) - 1]
}

#[test]
fn loss_shows_as_retransmits_of_the_right_service_and_equals_the_kernels_counter() {
    let network = Network::create();
    let both = format!(
        "{SERVICE}\n---{}",
        SERVICE.replace("shop", "quiet").replace("8080", "8082")
    );
    let slowburn = Slowburn::start(&network, &both);
    let _nginx = Nginx::start(&network);
    let resent = || network.counter(Side::Server, "Tcp", "RetransSegs");
    let before = resent();
    // SYN-ACKs that are sent again are RetransSegs to the kernel, and a signal of their own here.
    // Drops 1 % of what leaves towards the client, after TCP has counted it as sent.
    network.output(
        Side::Client,
        "iptables-legacy",
        &[
            "-A",
            "INPUT",
            "-p",
            "tcp",
            "--sport",
            "8080",
            "-m",
            "statistic",
            "--mode",
            "random",
            "--probability",
            "0.01",
            "-j",
            "DROP",
        ],
    );
    network.output(
        Side::Client,
        "wrk",
        &["-t1", "-c8", "-d5s", &format!("http://{SERVER}:8080/ok")],
    );
    let lost = eventually("retransmits to settle", PATIENCE, || {
        let now = resent();
        pause(Duration::from_millis(700));
        (now == resent()).then_some(now - before)
    });
    assert!(lost > 20, "the loss did not bite: {lost} retransmits");
    let booked = |service: &str| {
        let total = "select coalesce(sum(value), 0) from series_head join series using (series_id)
                     join service using (service_id) where signal in ('tcp:retransmits', 'tcp:syn_retransmits') and service.name";
        slowburn
            .sql(&format!("{total} = '{service}'"))
            .parse::<u64>()
            .unwrap()
    };
    eventually("all retransmits to be booked", PATIENCE, || {
        (booked("shop") >= lost).then_some(())
    });
    assert_eq!(booked("shop"), lost);
    assert_eq!(booked("quiet"), 0);
}

#[test]
fn a_hung_server_burns_budget_before_it_answers() {
    let network = Network::create();
    let slowburn = Slowburn::start(&network, DELAYS);
    let _server = delays::start(&network, "8081");
    let hanging = network.spawn(
        Side::Client,
        "curl",
        &["-s", "-o", "/dev/null", &format!("http://{SERVER}:8081/20000")],
    );
    let bad = |slowburn: &Slowburn| slowburn.get("/api/v1/slos/delays-latency")["bad"].as_u64();
    eventually(
        "the overdue request to count as bad",
        Duration::from_secs(10),
        || (bad(&slowburn) == Some(1)).then_some(()),
    );
    drop(hanging);
    // The client is gone and the server has not noticed: it is still at work on the request.
    let now = slowburn.get("/api/v1/services/delays");
    assert_eq!(
        (now["in_flight"].as_u64(), now["overdue"].as_u64()),
        (Some(1), Some(1)),
        "{now}"
    );
}
