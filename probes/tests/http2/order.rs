//! A connection's first segment comes after those that follow it.

use slo_engine::{
    measurement::{LossReason, Signal},
    service::WatchedService,
};

use crate::{
    load::settled,
    program::{Files, Server},
    support::{
        Place,
        by_hand::{ACK, PSH, Peer, wire},
        lost, route_value, value, watched,
    },
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
/// GET http://near/one
const REQUEST: &[u8] = b"\x82\x86\x04\x04/one\x41\x04near";

fn request(stream: u8) -> Vec<u8> {
    let length = u8::try_from(REQUEST.len()).unwrap();
    [&[0, 0, length, 1, 5, 0, 0, 0, stream], REQUEST].concat()
}

#[test]
fn streams_behind_a_preface_that_comes_late_are_counted_each() {
    let port = 8240;
    let place = Place::new("h2-order");
    let mut agent = place.agent();
    let service = WatchedService {
        routes: vec!["GET /one".parse().unwrap()],
        ..watched("shop", port)
    };
    agent.watch(&[service]).unwrap();
    let files = Files::new(&place, &[("one", b"1")]);
    let listens = port.to_string();
    let server = Server::start(
        &place,
        port,
        &["nghttpd", "--no-tls", "-d", files.path(), &listens],
    );
    server.beside(wire);

    let bytes = [PREFACE, SETTINGS, &request(1), &request(3), &request(5)].concat();
    let end = u32::try_from(bytes.len()).unwrap();
    let mut requests = 0;
    // Where the segments begin, in the order in which they come.
    for (number, cuts) in [
        &[33, 0][..],
        &[24, 0],
        &[10, 0],
        &[40, 30, 50, 50, 0],
        &[60, 58, 0, 12],
        &[90, 24, 0, 33],
    ]
    .iter()
    .enumerate()
    {
        let local = 51_000 + u16::try_from(number).unwrap();
        let mut peer = server.beside(move || Peer::open(local, port));
        for from in *cuts {
            let to = cuts.iter().copied().filter(|cut| cut > from).min().unwrap_or(end);
            let piece = &bytes[usize::try_from(*from).unwrap()..usize::try_from(to).unwrap()];
            peer.send(*from, PSH | ACK, piece);
        }
        // In order again; the server has answered all that came before it answers this.
        peer.send(end, PSH | ACK, &request(7));
        requests += 4;
        let mut answers = Vec::new();
        while !ends(&answers, 7) {
            answers.extend(peer.answer().payload);
            peer.send(end + 23, ACK, b"");
        }
    }
    let batch = settled(&mut agent, "shop", requests);
    let status = route_value(&batch, "shop", "GET /one", Signal::Status(200));
    assert_eq!(
        (
            status,
            value(&batch, "shop", Signal::Unknown),
            value(&batch, "shop", Signal::Answered)
        ),
        (requests, 0, 0)
    );
    for reason in [LossReason::GapInSequence, LossReason::Unparsable] {
        assert_eq!(lost(&batch, reason), 0, "{reason}");
    }
}

/// Whether a frame in here ends the stream.
fn ends(mut bytes: &[u8], stream: u8) -> bool {
    while let [a, b, c, _, flags, _, _, _, of, rest @ ..] = bytes {
        let length = u32::from_be_bytes([0, *a, *b, *c]);
        if *of == stream && flags & 1 != 0 {
            return true;
        }
        bytes = rest.get(usize::try_from(length).unwrap()..).unwrap_or_default();
    }
    false
}
