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

const CONFIG: &str = r#"
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule http2_module /usr/lib/apache2/modules/mod_http2.so
Protocols h2c http/1.1
ServerName near
ServerRoot DIR
PidFile DIR/pid
DefaultRuntimeDir DIR
ErrorLog DIR/error.log
LogFormat "%U %>s" counted
CustomLog DIR/access.log counted
User www-data
Group www-data
Listen PORT
MaxKeepAliveRequests 0
DocumentRoot DIR
<Directory DIR>
  Require all granted
</Directory>
"#;

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

/// Once `asked` requests have ended: nothing but what Apache has logged, by route and status, and nothing
/// lost. What it closed its connection on has no status.
fn as_logged(agent: &mut Agent, files: &Files, asked: usize) -> Batch {
    eventually("all requests have ended as the log says", || {
        let log = fs::read_to_string(Path::new(files.path()).join("access.log")).unwrap();
        let batch = read(agent);
        let mut counted = 0;
        for (path, route) in [("/one", "GET /one"), ("/missing", "other")] {
            for status in [101, 200, 404] {
                let line = format!("{path} {status}");
                let logged = log.lines().filter(|found| **found == line).count();
                if route_value(&batch, "shop", route, Signal::Status(status)) != logged as u64 {
                    return None;
                }
                counted += logged;
            }
        }
        let closed = value(&batch, "shop", Signal::ClosedUnanswered);
        if counted as u64 + closed != asked as u64 {
            return None;
        }
        for signal in [Signal::Unknown, Signal::Answered, Signal::ClientGaveUp] {
            assert_eq!(value(&batch, "shop", signal), 0, "{signal}");
        }
        for reason in [LossReason::GapInSequence, LossReason::Unparsable] {
            assert_eq!(lost(&batch, reason), 0, "{reason}");
        }
        Some(batch)
    })
}

#[test]
fn streams_whose_preface_waited_for_their_connection_are_counted_each() {
    let (place, port) = (Place::new("h2-deferred"), 8250);
    let mut agent = place.agent();
    agent.watch(&[shop(port)]).unwrap();
    let (server, files) = apache(&place, port);
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
    let batch = as_logged(&mut agent, &files, 2000);
    assert_eq!(value(&batch, "shop", Signal::Status(200)), 1000);
}

#[test]
fn connections_that_upgrade_from_http_1_count_each_of_their_streams() {
    let (place, port) = (Place::new("h2-upgrade"), 8251);
    let mut agent = place.agent();
    agent.watch(&[shop(port)]).unwrap();
    let (server, files) = apache(&place, port);
    let (one, missing) = ("http://127.0.0.1:8251/one", "http://127.0.0.1:8251/missing");
    for _ in 0..5 {
        let version = server.ask(&[
            "curl",
            "-sS",
            "--http2",
            "-w",
            "%{http_version}",
            "-o",
            "/dev/null",
            one,
        ]);
        assert_eq!(version, "2");
        server.run(&["nghttp", "-u", "-n", one, missing]);
    }
    // Each connection's first request is answered twice: by 101, and on stream 1. Apache now and then closes
    // before it answers the next, of which `nghttp` says that it was not processed.
    let batch = as_logged(&mut agent, &files, 25);
    for status in [101, 200] {
        assert_eq!(
            route_value(&batch, "shop", "GET /one", Signal::Status(status)),
            10
        );
    }
}
