//! Turns inside TLS: with real servers and clients, as many as they say there were.

#![allow(clippy::unwrap_used, reason = "tests panic")]

#[path = "support/program.rs"]
mod program;
mod support;

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    time::Duration,
};

use program::{Scratch, certificate};
use slo_engine::{
    measurement::{Batch, Clock, Signal},
    service::WatchedService,
};
use support::{Place, Server, eventually, read, value, watched};

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/tls_client.py");

fn run(server: &Server, program: &str, arguments: &[&str]) {
    let mut command = Command::new("timeout");
    command.args(["60", program]).args(arguments);
    let output = server.beside(move || command.output().unwrap());
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

/// Every way a turn may end: `answered` as often as said, the others never. A client that closes may be seen
/// late, so this waits.
fn answered(agent: &mut probes::agent::Agent, service: &str, turns: u64) -> Batch {
    let mut batch = read(agent);
    let deadline = std::time::Instant::now() + support::PATIENCE;
    while value(&batch, service, Signal::Answered) < turns && std::time::Instant::now() < deadline {
        support::pause(Duration::from_millis(50));
        batch = read(agent);
    }
    assert_eq!(value(&batch, service, Signal::Answered), turns, "{batch:#?}");
    for signal in [
        Signal::ClosedUnanswered,
        Signal::ResetByServer,
        Signal::TimedOut,
        Signal::ClientGaveUp,
        Signal::Unknown,
    ] {
        assert_eq!(value(&batch, service, signal), 0, "{signal}");
    }
    batch
}

#[test]
fn handshakes_and_tickets_are_no_turns() {
    let place = Place::new("tls");
    let scratch = Scratch::new();
    let both = certificate(&scratch);
    let mut agent = place.agent();
    let cases: [(&str, u16, &[&str], &[&str]); 7] = [
        ("old", 8311, &["--version", "1.2"], &[]),
        ("new", 8312, &["--version", "1.3"], &[]),
        ("resumed", 8313, &["--version", "1.3"], &["resume"]),
        ("resumed-old", 8314, &["--version", "1.2"], &["resume"]),
        ("ticketless", 8315, &["--version", "1.3", "--tickets", "0"], &[]),
        ("multiplexed", 8316, &["--version", "1.3"], &["h2"]),
        (
            "mutual",
            8317,
            &["--version", "1.3", "--clients", &both],
            &["certificate"],
        ),
    ];
    let services: Vec<_> = cases
        .iter()
        .map(|(name, port, ..)| watched(name, *port))
        .collect();
    agent.watch(&services).unwrap();
    let shown = format!("certificate={both}");
    for (name, port, options, client) in cases {
        let options = [&["--certificate", &both], options].concat();
        let server = place.peer(port, &options);
        let port = port.to_string();
        let mut arguments = vec![CLIENT, &port, "6", "5"];
        arguments.extend(client.iter().map(|word| {
            if *word == "certificate" {
                shown.as_str()
            } else {
                word
            }
        }));
        run(&server, "python3", &arguments);
        answered(&mut agent, name, 30);
    }
}

#[test]
fn nginx_counts_as_many_requests() {
    let place = Place::new("tls-nginx");
    let scratch = Scratch::new();
    let both = certificate(&scratch);
    let mut agent = place.agent();
    // Where a listener waits for data, the hello passes before there is a connection.
    let cases = [
        ("old", 8321, "TLSv1.2", "ssl"),
        ("new", 8322, "TLSv1.3", "ssl"),
        ("old-deferred", 8323, "TLSv1.2", "ssl deferred"),
        ("new-deferred", 8324, "TLSv1.3", "ssl deferred"),
    ];
    agent
        .watch(&cases.map(|(name, port, ..)| watched(name, port)))
        .unwrap();
    for (name, port, version, options) in cases {
        let log = scratch.path(&format!("{name}.log"));
        let configuration = scratch.path(&format!("{name}.conf"));
        let text = format!(
            "pid {log}.pid; error_log /dev/null; daemon off; master_process off; user root;
            events {{ worker_connections 256; }}
            http {{
                access_log {log}; client_body_temp_path {log}.body; proxy_temp_path {log}.proxy;
                fastcgi_temp_path {log}.fastcgi; uwsgi_temp_path {log}.uwsgi; scgi_temp_path {log}.scgi;
                server {{
                    listen 127.0.0.1:{port} {options}; ssl_certificate {both}; ssl_certificate_key {both};
                    ssl_protocols {version}; ssl_session_cache shared:s:1m;
                    location / {{ return 200 \"hello\\n\"; }}
                    location /large {{ root {directory}; }}
                }}
            }}",
            directory = scratch.path(""),
        );
        fs::write(&configuration, text).unwrap();
        fs::write(scratch.path("large"), vec![b'x'; 3 << 20]).unwrap();
        let server = place.program(port, "nginx", &["-c", &configuration, "-p", &scratch.path("")]);
        let base = format!("https://127.0.0.1:{port}");
        // One connection each, with and without an offer of HTTP/2; answers short and long.
        for option in ["--http1.1", "--http2"] {
            for path in ["/[1-10]", "/large?[1-3]"] {
                run(
                    &server,
                    "curl",
                    &["-sSk", option, "-o", "/dev/null", &format!("{base}{path}")],
                );
            }
            for _ in 0..5 {
                run(&server, "curl", &["-sSk", option, "-o", "/dev/null", &base]);
            }
        }
        run(
            &server,
            "curl",
            &["-sSk", "-o", "/dev/null", "-d", "some=body", &base],
        );
        let ask = format!(
            "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | openssl s_client -quiet -connect 127.0.0.1:{port}"
        );
        run(&server, "sh", &["-c", &ask]);
        let script = format!(
            "const https = require('https'); \
             const agent = new https.Agent({{keepAlive: true, maxSockets: 2, rejectUnauthorized: false}}); \
             let left = 20; \
             for (let i = 0; i < 20; i++) https.get('{base}/' + i, {{agent}}, (answer) => \
                 answer.resume().on('end', () => {{ if (--left == 0) agent.destroy(); }}));"
        );
        run(&server, "node", &["-e", &script]);
        let requests = 2 * (10 + 3 + 5) + 1 + 1 + 20;
        eventually("nginx has logged", || {
            let lines = fs::read_to_string(&log).unwrap().lines().count();
            (lines >= requests).then(|| assert_eq!(lines, requests))
        });
        answered(&mut agent, name, u64::try_from(requests).unwrap());
    }
}

#[test]
fn a_server_that_hangs_behind_its_handshake_is_overdue() {
    let place = Place::new("tls-hang");
    let scratch = Scratch::new();
    let both = certificate(&scratch);
    let mut agent = place.agent();
    let threshold = Duration::from_millis(100);
    let clock = Clock::Turnaround;
    let service = WatchedService {
        thresholds: vec![(clock, threshold)],
        ..watched("hangs", 8331)
    };
    agent.watch(&[service]).unwrap();
    let server = place.peer(8331, &["--certificate", &both]);
    run(&server, "python3", &[CLIENT, "8331", "1", "1"]);
    // Its tickets are sent, its answer is not, until it may.
    let may = scratch.path("may-answer");
    let ask = format!("wait {may}\n");
    let mut client = server.beside(|| {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-no_ign_eof", "-connect", "127.0.0.1:8331"]);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::null()).spawn().unwrap()
    });
    let mut says = client.stdin.take().unwrap();
    says.write_all(ask.as_bytes()).unwrap();
    eventually("the turn is overdue while it hangs", || {
        let batch = read(&mut agent);
        let over = value(&batch, "hangs", Signal::Over { clock, threshold });
        (over >= 1 && value(&batch, "hangs", Signal::Answered) == 1).then_some(())
    });
    fs::write(&may, "").unwrap();
    let mut hears = BufReader::new(client.stdout.take().unwrap());
    let mut answer = String::new();
    hears.read_line(&mut answer).unwrap();
    assert_eq!(answer, "waited\n");
    drop(says);
    client.wait().unwrap();
    answered(&mut agent, "hangs", 2);
}

/// Were it not known that its client speaks no HTTP/2, so short an answer would be taken for a control frame until
/// either side says more.
#[test]
fn an_answer_behind_a_hello_that_a_listener_took_counts_at_once() {
    let place = Place::new("tls-deferred");
    let scratch = Scratch::new();
    let both = certificate(&scratch);
    let mut agent = place.agent();
    agent.watch(&[watched("deferred", 8332)]).unwrap();
    let options = [
        "--certificate",
        &both,
        "--version",
        "1.3",
        "--tickets",
        "0",
        "--defer",
    ];
    let server = place.peer(8332, &options);
    let mut client = server.beside(|| {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-no_ign_eof", "-connect", "127.0.0.1:8332"]);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::null());
        command.stderr(Stdio::null()).spawn().unwrap()
    });
    let mut says = client.stdin.take().unwrap();
    says.write_all(b"say something-not-too-short\n").unwrap();
    // The client stays.
    let answered = |agent: &mut _| value(&read(agent), "deferred", Signal::Answered) == 1;
    eventually("it is answered", || answered(&mut agent).then_some(()));
    drop(says);
    client.wait().unwrap();
    assert!(answered(&mut agent));
}

#[test]
fn serve_when_asked() {
    support::serve_when_asked();
}
