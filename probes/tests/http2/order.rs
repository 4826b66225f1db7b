//! Segments come before those that they follow.

use probes::agent::Agent;
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
        lost, lost_of, route_value, value, watched,
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

/// A server with `/one`, and a wire to it.
fn shop(place: &Place, port: u16, routes: &[&str]) -> (Agent, Files, Server) {
    let mut agent = place.agent();
    let service = WatchedService {
        routes: routes.iter().map(|route| route.parse().unwrap()).collect(),
        ..watched("shop", port)
    };
    agent.watch(&[service]).unwrap();
    let files = Files::new(place, &[("one", b"1")]);
    let listens = port.to_string();
    let command = ["nghttpd", "--no-tls", "-d", files.path(), &listens];
    let server = Server::start(place, port, &command);
    server.beside(wire);
    (agent, files, server)
}

#[test]
fn streams_behind_a_preface_that_comes_late_are_counted_each() {
    // One of them is only cut, in order.
    late_preface("h2-order", 8240, Peer::open, &[&[0, 10], &[0, 5]]);
}

/// The handshake's own end was lost, too: the first segment to come makes the connection.
#[test]
fn a_connection_that_is_born_behind_its_preface_is_followed() {
    late_preface("h2-born-late", 8243, Peer::half_open, &[&[0, 10], &[0, 5]]);
}

fn late_preface(name: &str, port: u16, open: fn(u16, u16) -> Peer, more: &[&[u32]]) {
    let place = Place::new(name);
    let (mut agent, _files, server) = shop(&place, port, &["GET /one"]);

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
    .chain(more)
    .enumerate()
    {
        let local = 51_000 + u16::try_from(number).unwrap();
        let mut peer = server.beside(move || open(local, port));
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

/// What a client says first, and the header of a frame, may be cut anywhere. Of less than four bytes of a preface nothing is
/// known; then turns are counted, or it is told that there was something.
#[test]
fn a_preface_or_a_frame_may_be_cut_anywhere() {
    let port = 8244;
    let place = Place::new("h2-cuts");
    let (mut agent, _files, server) = shop(&place, port, &["GET /one"]);
    let bytes = [PREFACE, SETTINGS, &request(1), &request(3)].concat();
    let end = u32::try_from(bytes.len()).unwrap();
    for cut in 1..46 {
        let local = 54_000 + u16::try_from(cut).unwrap();
        let mut peer = server.beside(move || Peer::open(local, port));
        peer.send(0, PSH | ACK, &bytes[..cut]);
        peer.send(u32::try_from(cut).unwrap(), PSH | ACK, &bytes[cut..]);
        let mut answers = Vec::new();
        while ![1, 3].iter().all(|stream| ends(&answers, *stream)) {
            answers.extend(peer.answer().payload);
            peer.send(end, ACK, b"");
        }
    }
    let batch = settled(&mut agent, "shop", 2 * 42);
    assert_eq!(
        (
            route_value(&batch, "shop", "GET /one", Signal::Status(200)),
            value(&batch, "shop", Signal::Unknown)
        ),
        (2 * 42, 0)
    );
    // Two turns; and a request that is none.
    assert_eq!(value(&batch, "shop", Signal::Answered), 2);
    assert_eq!(lost(&batch, LossReason::Unparsable), 1);
    assert_eq!(lost(&batch, LossReason::GapInSequence), 0);
}

/// Room for what comes early is all connections': whoever leaves holes and never fills them takes a part of it.
#[test]
fn a_client_that_leaves_holes_takes_no_room_from_others() {
    let port = 8242;
    let place = Place::new("h2-holes");
    let (mut agent, _files, server) = shop(&place, port, &["GET /one"]);
    let opening = [PREFACE, SETTINGS].concat();
    let begin = u32::try_from(opening.len()).unwrap();

    let greedy = server.beside(move || Peer::open(53_000, port));
    greedy.send(0, PSH | ACK, &opening);
    // All of the room but for one segment.
    for number in 1..64 {
        greedy.send(begin + 2 * number, PSH | ACK, b"\0");
    }
    let mut other = server.beside(move || Peer::open(53_001, port));
    other.send(0, PSH | ACK, &opening);
    // Two segments wait for the first.
    for number in [2, 1, 0, 3] {
        let stream = u8::try_from(2 * number + 1).unwrap();
        other.send(begin + 23 * number, PSH | ACK, &request(stream));
    }
    let mut answers = Vec::new();
    while !ends(&answers, 7) {
        answers.extend(other.answer().payload);
        other.send(begin + 4 * 23, ACK, b"");
    }
    let batch = settled(&mut agent, "shop", 4);
    assert_eq!(
        (
            route_value(&batch, "shop", "GET /one", Signal::Status(200)),
            value(&batch, "shop", Signal::Unknown)
        ),
        (4, 0)
    );
    // The other one's.
    assert_eq!(lost_of(&batch, "shop", LossReason::GapInSequence), 1);
    assert_eq!(lost(&batch, LossReason::GapInSequence), 1);
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let [.., high, low] = payload.len().to_be_bytes();
    [&[0, high, low, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// Ends of frames, headers cut in two and requests inside of what is missing, and of what came too early.
#[test]
fn an_upload_whose_segments_come_in_any_order_is_followed_to_its_end() {
    const CONNECTIONS: u16 = 12;
    let port = 8241;
    let place = Place::new("h2-upload-order");
    let (mut agent, _files, server) = shop(&place, port, &["GET /one", "POST /one"]);

    let post = [&[0x83], &REQUEST[1..]].concat();
    let mut upload = [frame(1, 4, 1, &post), request(3)].concat();
    for number in 0..24 {
        upload.extend(frame(0, 0, 1, &[0xff; 900]));
        if number == 12 {
            upload.extend(request(5));
        }
    }
    upload.extend(frame(0, 1, 1, &[0xff; 77]));
    let opening = [PREFACE, SETTINGS].concat();
    let begin = u32::try_from(opening.len()).unwrap();
    let end = begin + u32::try_from(upload.len()).unwrap();
    for number in 0..CONNECTIONS {
        let mut peer = server.beside(move || Peer::open(52_000 + number, port));
        peer.send(0, PSH | ACK, &opening);
        for (from, to) in order(u32::from(number), begin, end) {
            let [first, last] = [from, to].map(|place| usize::try_from(place - begin).unwrap());
            peer.send(from, PSH | ACK, &upload[first..last]);
        }
        // In order again.
        peer.send(end, PSH | ACK, &request(7));
        let mut answers = Vec::new();
        while ![1, 3, 5, 7].iter().all(|stream| ends(&answers, *stream)) {
            answers.extend(peer.answer().payload);
            peer.send(end + 23, ACK, b"");
        }
    }
    let connections = u64::from(CONNECTIONS);
    let batch = settled(&mut agent, "shop", 4 * connections);
    let status = |route| route_value(&batch, "shop", route, Signal::Status(200));
    assert_eq!(
        (
            status("GET /one"),
            status("POST /one"),
            value(&batch, "shop", Signal::Unknown)
        ),
        (3 * connections, connections, 0)
    );
    assert_eq!(lost(&batch, LossReason::GapInSequence), 0);
}

/// Cuts what stands from `begin` to `end` in segments, some of which overlap or are sent twice, in an order that
/// `seed` decides, but for the first, which comes last.
fn order(seed: u32, begin: u32, end: u32) -> Vec<(u32, u32)> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut random = |most: u32| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state % most
    };
    let mut segments = Vec::new();
    let mut at = begin;
    while at < end {
        let to = (at + 700 + random(760)).min(end);
        let from = at.saturating_sub(random(3) / 2 * random(300)).max(begin);
        segments.push((from, to.min(from + 1460)));
        at = to.min(from + 1460);
    }
    for index in (2..segments.len()).rev() {
        let other = 1 + usize::try_from(random(u32::try_from(index).unwrap())).unwrap();
        segments.swap(index, other);
    }
    segments.rotate_left(1);
    let again = segments[2];
    segments.insert(segments.len() / 2, again);
    segments
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
