//! How streams end, and when their clocks run, between node's own server and client.

use std::time::Duration;

use probes::agent::Agent;
use slo_engine::{
    measurement::{Clock, Gauge, LossReason, Signal},
    service::WatchedService,
};

use crate::{
    program::{Server, beside_this},
    support::{Place, eventually, gauge, lost, read, route_value, value, watched},
};

const PORT: u16 = 8210;

fn node(place: &Place, thresholds: &[u64]) -> (Agent, Server) {
    let mut agent = place.agent();
    watch(&mut agent, thresholds);
    (agent, serve(place))
}

/// On the clock that begins with a request's last byte and on the one that begins with its first.
fn watch(agent: &mut Agent, thresholds: &[u64]) {
    let on_both =
        |ms: &u64| [Clock::Turnaround, Clock::FirstByte].map(|clock| (clock, Duration::from_millis(*ms)));
    let service = WatchedService {
        thresholds: thresholds.iter().flat_map(on_both).collect(),
        routes: vec!["GET /status/".parse().unwrap(), "POST *".parse().unwrap()],
        ..watched("node", PORT)
    };
    agent.watch(&[service]).unwrap();
}

fn serve(place: &Place) -> Server {
    Server::start(
        place,
        PORT,
        &["node", &beside_this("server.mjs"), &PORT.to_string()],
    )
}

fn client(orders: &[&str]) -> Vec<String> {
    let mut command = vec!["node".to_owned(), beside_this("client.mjs"), PORT.to_string()];
    command.extend(orders.iter().map(|order| (*order).to_owned()));
    command
}

fn ask(server: &Server, orders: &[&str]) -> Vec<String> {
    let command = client(orders);
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    server.ask(&command).lines().map(str::to_owned).collect()
}

fn over(ms: u64) -> Signal {
    Signal::Over {
        clock: Clock::Turnaround,
        threshold: Duration::from_millis(ms),
    }
}

fn within(ms: u64) -> Signal {
    Signal::Within {
        clock: Clock::Turnaround,
        threshold: Duration::from_millis(ms),
    }
}

#[test]
fn streams_that_share_a_connection_end_each_in_its_own_way() {
    let place = Place::new("ends");
    let (mut agent, server) = node(&place, &[]);
    let orders = [
        "GET /status/200",
        "GET /status/201",
        "GET /status/418",
        "GET /status/503",
        "GET /status/503",
        "GET /large",
        "GET /large",
        "POST /in 2000000",
        "POST /in 3000000",
        "POST /status/404 100",
        "GET /reset",
        "GET /midway",
        "CANCEL /hang",
    ];
    let said = ask(&server, &orders);
    assert_eq!(said.len(), orders.len(), "{said:?}");
    for (order, said) in orders.iter().zip(&said) {
        let status = match *order {
            "GET /large" | "POST /in 2000000" | "POST /in 3000000" | "GET /midway" => "200",
            "POST /status/404 100" => "404",
            "GET /reset" | "CANCEL /hang" => "none",
            other => other.rsplit('/').next().unwrap(),
        };
        assert_eq!(*said, format!("{order}: {status}"));
    }
    let batch = eventually("the client's cancel has come", || {
        let batch = read(&mut agent);
        (value(&batch, "node", Signal::ClientGaveUp) == 1).then_some(batch)
    });
    let status = |route: &str, code| route_value(&batch, "node", route, Signal::Status(code));
    assert_eq!(
        [200, 201, 418, 503].map(|code| status("GET /status/", code)),
        [1, 1, 1, 2],
        "{batch:#?}"
    );
    assert_eq!((status("POST *", 200), status("POST *", 404)), (2, 1));
    assert_eq!(status("other", 200), 2);
    assert_eq!(value(&batch, "node", Signal::ResetByServer), 2);
    assert_eq!(value(&batch, "node", Signal::Unknown), 0);
    for reason in [
        LossReason::ReserveFailed,
        LossReason::GapInSequence,
        LossReason::Unparsable,
    ] {
        assert_eq!(lost(&batch, reason), 0, "{reason}");
    }
}

#[test]
fn headers_of_several_frames_are_read() {
    let place = Place::new("continuation");
    let (mut agent, server) = node(&place, &[]);
    let orders = ["--header=40000", "GET /status/200", "GET /status/404"];
    assert_eq!(
        ask(&server, &orders),
        ["GET /status/200: 200", "GET /status/404: 404"]
    );
    let batch = read(&mut agent);
    for code in [200, 404] {
        assert_eq!(
            route_value(&batch, "node", "GET /status/", Signal::Status(code)),
            1,
            "{batch:#?}"
        );
    }
}

#[test]
fn a_stream_is_overdue_while_it_hangs_and_only_it() {
    let place = Place::new("hangs");
    let (mut agent, server) = node(&place, &[1000]);
    let command = client(&["GET /sleep/6000", "GET /status/200"]);
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let mut asking = server.client(&command).spawn().unwrap();
    eventually("one stream is overdue", || {
        let batch = read(&mut agent);
        let shows =
            value(&batch, "node", over(1000)) == 1 && gauge(&batch, "node", Gauge::Overdue) == Some(1.0);
        shows.then(|| assert_eq!(value(&batch, "node", within(1000)), 1))
    });
    assert!(asking.wait().unwrap().success());
    let batch = read(&mut agent);
    assert_eq!(value(&batch, "node", Signal::Status(200)), 2);
    assert_eq!(
        (
            value(&batch, "node", over(1000)),
            value(&batch, "node", within(1000))
        ),
        (1, 1)
    );
    assert_eq!(gauge(&batch, "node", Gauge::Overdue), Some(0.0));
}

#[test]
fn a_slow_upload_is_not_held_against_the_server() {
    let place = Place::new("slow-upload");
    let (mut agent, server) = node(&place, &[400]);
    assert_eq!(ask(&server, &["SLOW /in 900"]), ["SLOW /in 900: 200"]);
    let batch = read(&mut agent);
    assert_eq!(
        (
            value(&batch, "node", within(400)),
            value(&batch, "node", over(400))
        ),
        (1, 0)
    );
    let (clock, threshold) = (Clock::FirstByte, Duration::from_millis(400));
    let from_its_first_byte = (
        value(&batch, "node", Signal::Within { clock, threshold }),
        value(&batch, "node", Signal::Over { clock, threshold }),
    );
    assert_eq!(from_its_first_byte, (0, 1));
}

#[test]
fn a_server_that_goes_away_ends_what_is_in_flight() {
    let place = Place::new("closes");
    let (mut agent, server) = node(&place, &[]);
    ask(&server, &["GET /hang", "GET /hang", "GET /close"]);
    let batch = eventually("all three have ended", || {
        let batch = read(&mut agent);
        let ended =
            value(&batch, "node", Signal::ClosedUnanswered) + value(&batch, "node", Signal::ResetByServer);
        (ended == 3).then_some(batch)
    });
    assert_eq!(value(&batch, "node", Signal::Unknown), 0);
}

#[test]
fn a_connection_older_than_the_probe_is_counted_as_unknown() {
    let place = Place::new("late");
    let server = serve(&place);
    let orders = [
        "GET /status/200",
        "GET /status/201",
        "--",
        "GET /status/200",
        "GET /status/404",
        "POST /in 70000",
    ];
    let command = client(&orders);
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let mut client = server.talk(&command);
    client.until("--");
    let mut agent = place.agent();
    watch(&mut agent, &[]);
    client.say("go on");
    client.until("POST /in 70000: 200");
    let batch = eventually("what came after the probe is counted", || {
        let batch = read(&mut agent);
        (value(&batch, "node", Signal::Unknown) == 3).then_some(batch)
    });
    assert_eq!(value(&batch, "node", Signal::Status(200)), 0);
    assert_eq!(lost(&batch, LossReason::Unparsable), 1);
}
