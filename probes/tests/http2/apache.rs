//! Apache as it comes: its listener waits for a client's first data (TCP_DEFER_ACCEPT), which passes
//! before there is a connection, and it upgrades connections from HTTP/1.

use std::{fs, path::Path};

use probes::agent::Agent;
use slo_engine::{
    measurement::{Batch, LossReason, Signal},
    service::WatchedService,
};

use crate::{
    program::{Files, Server},
    support::{Place, eventually, lost, read, route_value, value, watched},
};

const CONFIG: &str = "
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule http2_module /usr/lib/apache2/modules/mod_http2.so
Protocols h2c http/1.1
ServerName near
ServerRoot DIR
PidFile DIR/pid
DefaultRuntimeDir DIR
ErrorLog DIR/error.log
User www-data
Group www-data
Listen PORT
MaxKeepAliveRequests 0
DocumentRoot DIR
<Directory DIR>
  Require all granted
</Directory>
";

fn apache(place: &Place, port: u16) -> (Server, Files) {
    let files = Files::new(place, &[("one", b"1")]);
    let config = CONFIG
        .replace("DIR", files.path())
        .replace("PORT", &port.to_string());
    let path = Path::new(files.path()).join("apache.conf");
    fs::write(&path, config).unwrap();
    let command = ["apache2", "-f", path.to_str().unwrap(), "-D", "FOREGROUND"];
    (Server::start(place, port, &command), files)
}

fn shop(port: u16) -> WatchedService {
    WatchedService {
        routes: vec!["GET /one".parse().unwrap()],
        ..watched("shop", port)
    }
}

/// Once these have ended, nothing but these; and nothing lost.
fn exactly(agent: &mut Agent, expected: &[(&str, Signal, u64)]) {
    let of =
        |batch: &Batch, (route, signal, _): &(&str, Signal, u64)| route_value(batch, "shop", route, *signal);
    let batch = eventually("all requests have ended", || {
        let batch = read(agent);
        expected
            .iter()
            .all(|row| of(&batch, row) >= row.2)
            .then_some(batch)
    });
    for row in expected {
        assert_eq!(of(&batch, row), row.2, "{row:?}");
    }
    for signal in [
        Signal::Unknown,
        Signal::Answered,
        Signal::ClientGaveUp,
        Signal::ClosedUnanswered,
    ] {
        assert_eq!(value(&batch, "shop", signal), 0, "{signal}");
    }
    for reason in [LossReason::GapInSequence, LossReason::Unparsable] {
        assert_eq!(lost(&batch, reason), 0, "{reason}");
    }
}

#[test]
fn streams_whose_preface_waited_for_their_connection_are_counted_each() {
    let (place, port) = (Place::new("h2-deferred"), 8250);
    let mut agent = place.agent();
    agent.watch(&[shop(port)]).unwrap();
    let (server, _files) = apache(&place, port);
    for (streams, connections) in [("-m16", "-c4"), ("-m1", "-c20")] {
        server.run(&[
            "h2load",
            "-n1000",
            connections,
            streams,
            "http://127.0.0.1:8250/one",
            "http://127.0.0.1:8250/missing",
        ]);
    }
    let statuses = [200, 404].map(Signal::Status);
    exactly(
        &mut agent,
        &[("GET /one", statuses[0], 1000), ("other", statuses[1], 1000)],
    );
}

#[test]
fn connections_that_upgrade_from_http_1_count_each_of_their_streams() {
    let (place, port) = (Place::new("h2-upgrade"), 8251);
    let mut agent = place.agent();
    agent.watch(&[shop(port)]).unwrap();
    let (server, _files) = apache(&place, port);
    let (one, missing) = ("http://127.0.0.1:8251/one", "http://127.0.0.1:8251/missing");
    // One request a connection: Apache cuts off what it is asked for behind an upgrade now and then.
    for _ in 0..5 {
        for (url, answer) in [(one, "2 200"), (missing, "2 404")] {
            let told = "%{http_version} %{http_code}";
            let said = server.ask(&["curl", "-sS", "--http2", "-w", told, "-o", "/dev/null", url]);
            assert_eq!(said, answer);
        }
        let said = server.run(&["nghttp", "--upgrade", "--null-out", "--stat", one]);
        assert!(
            String::from_utf8_lossy(&said.stdout).contains(" 200 "),
            "{said:?}"
        );
    }
    // Each connection's request is answered twice: by 101, and on stream 1. Apache's log says so, too.
    let status = Signal::Status;
    exactly(
        &mut agent,
        &[
            ("GET /one", status(101), 10),
            ("GET /one", status(200), 10),
            ("other", status(101), 5),
            ("other", status(404), 5),
        ],
    );
}
