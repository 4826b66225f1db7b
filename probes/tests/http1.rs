//! HTTP/1 as it comes on the wire: in pieces, on each other's heels, in every form of body.

#![allow(clippy::unwrap_used, reason = "tests panic")]

#[path = "support/program.rs"]
mod program;
mod support;

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
};

use slo_engine::{
    measurement::{Batch, LossReason, Signal},
    service::WatchedService,
};
use support::{Place, Server, eventually, lost, read, route_value, value, watched};

/// Answers as `answers.py` does.
fn answers(place: &Place, port: u16) -> Server {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/answers.py");
    place.program(port, "python3", &[script, &port.to_string()])
}

fn routed(name: &str, port: u16, routes: &[&str]) -> WatchedService {
    WatchedService {
        routes: routes.iter().map(|route| route.parse().unwrap()).collect(),
        ..watched(name, port)
    }
}

/// Sends these pieces, each in a segment of its own, then no more; says how many answers came.
fn exchange(server: &Server, port: u16, pieces: &[&str]) -> usize {
    let pieces: Vec<String> = pieces.iter().map(|piece| (*piece).to_owned()).collect();
    server.beside(move || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in pieces {
            stream.write_all(piece.as_bytes()).unwrap();
        }
        stream.shutdown(Shutdown::Write).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap().matches("HTTP/1.1 ").count()
    })
}

fn unexplained(batch: &Batch, service: &str) -> [u64; 4] {
    [
        value(batch, service, Signal::Unknown),
        value(batch, service, Signal::ClosedUnanswered),
        value(batch, service, Signal::ClientGaveUp),
        lost(batch, LossReason::Unparsable),
    ]
}

#[test]
fn answers_that_share_a_segment_are_told_apart_whatever_their_bodies() {
    let place = Place::new("forms");
    let mut agent = place.agent();
    let paths = [
        "GET /length",
        "GET /chunked",
        "GET /none",
        "GET /interim",
        "HEAD /header",
    ];
    agent.watch(&[routed("forms", 8500, &paths)]).unwrap();
    let server = answers(&place, 8500);
    let mut batch_of_requests = String::new();
    for path in paths.iter().chain(&paths) {
        batch_of_requests.push_str(&format!("{path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    // Two of the twelve lines are of interim answers.
    assert_eq!(exchange(&server, 8500, &[&batch_of_requests]), 12);
    let batch = read(&mut agent);
    for (path, status) in paths.iter().zip([200, 200, 204, 404, 206]) {
        assert_eq!(
            route_value(&batch, "forms", path, Signal::Status(status)),
            2,
            "{path} {batch:#?}"
        );
    }
    assert_eq!(unexplained(&batch, "forms"), [0; 4]);
}

#[test]
fn messages_that_come_byte_by_byte_are_whole_in_the_end() {
    let place = Place::new("bytes");
    let mut agent = place.agent();
    agent
        .watch(&[routed("bytes", 8501, &["GET /slowly", "POST /length"])])
        .unwrap();
    let server = answers(&place, 8501);
    let text = "GET /slowly HTTP/1.1\r\nHost: a\r\n\r\nPOST /length HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
    let bytes: Vec<String> = text.chars().map(String::from).collect();
    let bytes: Vec<&str> = bytes.iter().map(String::as_str).collect();
    assert_eq!(exchange(&server, 8501, &bytes), 2);
    let batch = read(&mut agent);
    assert_eq!(
        route_value(&batch, "bytes", "GET /slowly", Signal::Status(200)),
        1,
        "{batch:#?}"
    );
    assert_eq!(
        route_value(&batch, "bytes", "POST /length", Signal::Status(200)),
        1
    );
    assert_eq!(unexplained(&batch, "bytes"), [0; 4]);
}

#[test]
fn a_body_ends_where_its_header_says_and_a_request_may_follow() {
    let place = Place::new("bodies");
    let mut agent = place.agent();
    agent.watch(&[watched("bodies", 8502)]).unwrap();
    let server = answers(&place, 8502);
    let head = "POST /length HTTP/1.1\r\nContent-Transfer-Encoding: chunked\r\ncontent-length: 60\r\n\r\n";
    let body = "GET /no HTTP/1.1\r\n\r\n".repeat(3);
    let next = format!("{body}GET /none HTTP/1.1\r\n\r\n");
    assert_eq!(exchange(&server, 8502, &[head, &next]), 2);
    let batch = read(&mut agent);
    assert_eq!(value(&batch, "bodies", Signal::Status(200)), 1, "{batch:#?}");
    assert_eq!(value(&batch, "bodies", Signal::Status(204)), 1);
    assert_eq!(unexplained(&batch, "bodies"), [0; 4]);
}

#[test]
fn a_body_may_follow_any_method_in_a_segment_of_its_own() {
    let place = Place::new("anybody");
    let mut agent = place.agent();
    let methods = ["GET", "DELETE", "OPTIONS", "TRACE"];
    let routes = methods.map(|method| format!("{method} /length"));
    let routes: Vec<&str> = routes.iter().map(String::as_str).chain(["GET /none"]).collect();
    agent.watch(&[routed("anybody", 8507, &routes)]).unwrap();
    let server = answers(&place, 8507);
    for method in methods {
        for body in ["{}", "a body of some length", "GET /none HTTP/1.1\r\n\r\n"] {
            for line in [
                &format!("content-LENGTH: {}", body.len()),
                "Transfer-Encoding: chunked",
            ] {
                let body = match line.starts_with('T') {
                    true => format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()),
                    false => body.to_owned(),
                };
                let head = format!("{method} /length HTTP/1.1\r\nHost: a\r\nAccept: c\r\n{line}\r\n\r\n");
                let next = "GET /none HTTP/1.1\r\n\r\n";
                assert_eq!(exchange(&server, 8507, &[&head, &body, next]), 2);
            }
        }
    }
    let batch = read(&mut agent);
    for method in methods {
        let answered = route_value(
            &batch,
            "anybody",
            &format!("{method} /length"),
            Signal::Status(200),
        );
        assert_eq!(answered, 6, "{method} {batch:#?}");
    }
    assert_eq!(
        route_value(&batch, "anybody", "GET /none", Signal::Status(204)),
        24
    );
    assert_eq!(unexplained(&batch, "anybody"), [0; 4]);
}

#[test]
fn an_empty_line_may_stand_before_the_first_request() {
    let place = Place::new("empty");
    let mut agent = place.agent();
    agent
        .watch(&[routed("empty", 8505, &["DELETE /none", "GET /none"])])
        .unwrap();
    let server = answers(&place, 8505);
    let requests = [
        "\r\nGET /none HTTP/1.1\r\n\r\n",
        "\nDELETE /none HTTP/1.1\r\n\r\n",
    ];
    for request in requests {
        assert_eq!(exchange(&server, 8505, &[request]), 1);
        // Cut within the line, behind it, and within the method.
        for cut in [1, 2, 4] {
            let (first, rest) = request.split_at(cut);
            assert_eq!(exchange(&server, 8505, &[first, rest]), 1);
        }
    }
    let batch = read(&mut agent);
    for route in ["GET /none", "DELETE /none"] {
        let answered = route_value(&batch, "empty", route, Signal::Status(204));
        assert_eq!(answered, 4, "{route} {batch:#?}");
    }
    assert_eq!(value(&batch, "empty", Signal::Answered), 0);
    assert_eq!(unexplained(&batch, "empty"), [0; 4]);
}

#[test]
fn the_end_of_a_body_in_chunks_may_be_cut_in_two() {
    let place = Place::new("cut");
    let mut agent = place.agent();
    agent
        .watch(&[routed("cut", 8506, &["GET /none", "POST /length"])])
        .unwrap();
    let server = answers(&place, 8506);
    const LAST: &str = "0\r\n\r\n";
    for cut in 0..LAST.len() {
        // Nothing is answered before all has been asked.
        server.hang();
        let mut stream = server.beside(move || {
            let mut stream = TcpStream::connect(("127.0.0.1", 8506)).unwrap();
            stream.set_nodelay(true).unwrap();
            let (end, rest) = LAST.split_at(cut);
            for piece in [
                "POST /length HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                &format!("5\r\nhel00\r\n{end}"),
                rest,
                "GET /none HTTP/1.1\r\n\r\n",
            ] {
                stream.write_all(piece.as_bytes()).unwrap();
            }
            stream.shutdown(Shutdown::Write).unwrap();
            stream
        });
        server.go_on();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).unwrap();
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 2, "{answers}");
    }
    let batch = read(&mut agent);
    for (route, status) in [("POST /length", 200), ("GET /none", 204)] {
        let answered = route_value(&batch, "cut", route, Signal::Status(status));
        assert_eq!(answered, LAST.len() as u64, "{route} {batch:#?}");
    }
    assert_eq!(unexplained(&batch, "cut"), [0; 4]);
}

#[test]
fn a_body_in_chunks_ends_behind_its_trailer_and_a_request_may_follow() {
    let place = Place::new("trailer");
    let mut agent = place.agent();
    agent
        .watch(&[routed("trailer", 8508, &["GET /none", "POST /length"])])
        .unwrap();
    let server = answers(&place, 8508);
    let head = "POST /length HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let data = "5\r\nhello\r\nB;a=b\r\n0\r\n\r\nGET / \r\n";
    let next = "GET /none HTTP/1.1\r\n\r\n";
    let many = "5\r\nhello\r\n".repeat(50);
    for body in [data, "", &many] {
        for end in ["0\r\nTrailer: x\r\n\r\n", "0\r\n\r\n"] {
            let whole = format!("{head}{body}{end}{next}");
            for cut in [head.len(), head.len() + body.len() + 2, whole.len()] {
                let (first, rest) = whole.split_at(cut);
                let pieces = [first, rest];
                let pieces = pieces.iter().filter(|piece| !piece.is_empty());
                assert_eq!(exchange(&server, 8508, &pieces.copied().collect::<Vec<_>>()), 2);
            }
        }
    }
    let batch = read(&mut agent);
    let of = |route, status| route_value(&batch, "trailer", route, Signal::Status(status));
    assert_eq!(
        (of("POST /length", 200), of("GET /none", 204)),
        (18, 18),
        "{batch:#?}"
    );
    assert_eq!(unexplained(&batch, "trailer"), [0; 4]);
}

#[test]
fn what_passes_after_an_upgrade_is_no_request() {
    let place = Place::new("upgrade");
    let mut agent = place.agent();
    agent.watch(&[watched("upgrade", 8503)]).unwrap();
    let server = answers(&place, 8503);
    server.beside(|| {
        let mut stream = TcpStream::connect(("127.0.0.1", 8503)).unwrap();
        let mut bytes = [0; 256];
        stream
            .write_all(b"GET /upgrade HTTP/1.1\r\nUpgrade: echo\r\n\r\n")
            .unwrap();
        assert!(stream.read(&mut bytes).unwrap() > 12);
        for text in ["GET /length HTTP/1.1\r\n\r\n", "HTTP/1.1 500 No\r\n\r\n"] {
            stream.write_all(text.as_bytes()).unwrap();
            stream.read_exact(&mut bytes[..text.len()]).unwrap();
        }
    });
    let batch = read(&mut agent);
    assert_eq!(value(&batch, "upgrade", Signal::Status(101)), 1, "{batch:#?}");
    assert_eq!(value(&batch, "upgrade", Signal::Status(500)), 0);
    assert_eq!(unexplained(&batch, "upgrade"), [0; 4]);
    // How long it took to begin is no latency.
    assert_eq!(
        batch
            .histograms
            .iter()
            .filter(|h| h.service.as_str() == "upgrade" && h.route.is_some())
            .flat_map(|h| &h.buckets)
            .count(),
        0
    );
}

#[test]
fn an_answer_without_a_status_line_has_no_status() {
    let place = Place::new("wordless");
    let mut agent = place.agent();
    agent.watch(&[watched("wordless", 8504)]).unwrap();
    let server = answers(&place, 8504);
    assert_eq!(exchange(&server, 8504, &["GET /wordless HTTP/1.1\r\n\r\n"]), 0);
    let batch = read(&mut agent);
    assert_eq!(value(&batch, "wordless", Signal::Unknown), 1, "{batch:#?}");
    assert_eq!(value(&batch, "wordless", Signal::ClosedUnanswered), 0);
}
