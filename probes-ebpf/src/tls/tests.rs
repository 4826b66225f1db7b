//! Handshakes and records as real stacks send them, cut anywhere.

extern crate std;

use std::vec::Vec;

use super::{state::HELD, *};

impl Payload for &[u8] {
    fn length(&self) -> u32 {
        u32::try_from(self.len()).unwrap()
    }

    fn load<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
        let at = usize::try_from(at).unwrap();
        self.get(at..at.checked_add(N)?)?.try_into().ok()
    }
}

const HANDSHAKE: u8 = 0x16;
const CHANGE_CIPHER: u8 = 0x14;

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind, 3, 3], &length[..], body].concat()
}

fn sealed(content: usize) -> Vec<u8> {
    record(APPLICATION_DATA, &std::vec![0xaa; content + 17])
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    record(HANDSHAKE, &[&[kind], &length[1..], body].concat())
}

fn client_hello_of(extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = [
        &[3, 3][..],
        &[7; 32],
        &[32],
        &[9; 32],
        &[0, 4, 0x13, 1, 0x13, 2],
        &[1, 0],
    ]
    .concat();
    let list: Vec<u8> = extensions
        .iter()
        .flat_map(|(kind, data)| {
            let length = u16::try_from(data.len()).unwrap();
            [&kind.to_be_bytes()[..], &length.to_be_bytes(), data].concat()
        })
        .collect();
    body.extend(u16::try_from(list.len()).unwrap().to_be_bytes());
    body.extend(list);
    message(1, &body)
}

const SERVER_NAME: (u16, &[u8]) = (0, b"\0\x0c\0\0\x09localhost");
const MODES: (u16, &[u8]) = (45, &[1, 1]);
const ALPN_2: (u16, &[u8]) = (16, b"\0\x0c\x08http/1.1\x02h2");
const ALPN_1: (u16, &[u8]) = (16, b"\0\x09\x08http/1.1");

fn server_hello_of(suite: [u8; 2]) -> Vec<u8> {
    message(
        2,
        &[&[3, 3][..], &[7; 32], &[32], &[9; 32], &suite, &[0]].concat(),
    )
}

/// The state after the hellos.
fn greeted(suite: [u8; 2], extensions: &[(u16, &[u8])]) -> u64 {
    let hello = client_hello_of(extensions);
    let state = client_hello(&&hello[..]);
    let asked = client(&&hello[..], 0, false, state);
    assert_eq!(
        (asked.length, asked.next),
        (0, u32::try_from(hello.len()).unwrap())
    );
    let flight = [server_hello_of(suite), record(CHANGE_CIPHER, &[1]), sealed(900)].concat();
    let (state, is_answer) = server(&&flight[..], asked.state);
    assert!(!is_answer);
    state
}

fn says(state: u64, bytes: &[u8]) -> Asked {
    client(&bytes, 0, false, state)
}

#[test]
fn a_client_hello_tells_what_the_client_takes() {
    let offers = |extensions: &[(u16, &[u8])]| client_hello(&&client_hello_of(extensions)[..]);
    assert_eq!(offers(&[SERVER_NAME]), 0);
    assert_eq!(offers(&[SERVER_NAME, MODES, ALPN_1]), TAKES_TICKETS);
    assert_eq!(offers(&[ALPN_2, SERVER_NAME]), OFFERS_HTTP2);
    let hello = client_hello_of(&[SERVER_NAME, ALPN_1]);
    // What is not there may offer anything.
    assert_eq!(
        client_hello(&&hello[..hello.len() - 12]),
        TAKES_TICKETS | OFFERS_HTTP2
    );
}

#[test]
fn a_finished_is_found_wherever_segments_cut_it() {
    for (suite, length) in [([0x13, 1], 36), ([0x13, 2], 52)] {
        let greeted = greeted(suite, &[MODES]);
        for flight in [
            sealed(length),
            [record(CHANGE_CIPHER, &[1]), sealed(length)].concat(),
        ] {
            let end = flight.len();
            for (first, second) in
                (0..=end).flat_map(|first| (first..=end).map(move |second| (first, second)))
            {
                let (mut state, mut next) = (greeted, 0u32);
                for (from, to) in [(0, first), (first, second), (second, end)] {
                    if from == to {
                        continue;
                    }
                    let start = u32::try_from(from).unwrap();
                    let asked = client(&&flight[from..to], next.wrapping_sub(start), false, state);
                    assert_eq!(asked.length, 0);
                    (state, next) = (asked.state, start.wrapping_add(asked.next));
                    if state & FINISHED != 0 {
                        break;
                    }
                }
                assert_eq!(
                    state & (FINISHED | SPOKE_EARLY),
                    FINISHED,
                    "cut at {first} and {second} of {end}"
                );
            }
        }
    }
}

#[test]
fn the_first_record_after_finished_asks() {
    for (suite, length) in [([0x13, 1], 36), ([0x13, 3], 36), ([0x13, 2], 52)] {
        let state = greeted(suite, &[MODES]);
        let flight = [record(CHANGE_CIPHER, &[1]), sealed(length)].concat();
        let finished = says(state, &flight);
        assert_eq!(finished.length, 0);
        assert!(finished.state & FINISHED != 0);
        assert_eq!(says(finished.state, &sealed(100)).length, 117);
        // All in one segment.
        assert_eq!(says(state, &[flight, sealed(100)].concat()).length, 117);
        // Of the other hash.
        assert_eq!(says(state, &sealed(88 - length)).state & FINISHED, 0);
    }
}

#[test]
fn in_tls_1_2_kinds_are_plain() {
    let state = greeted([0xc0, 0x2f], &[MODES]);
    let flight = [
        message(16, &[1; 66]),
        record(CHANGE_CIPHER, &[1]),
        record(HANDSHAKE, &[1; 40]),
    ]
    .concat();
    let ready = says(state, &flight);
    assert_eq!(ready.length, 0);
    let asked = says(ready.state, &record(APPLICATION_DATA, &[1; 60]));
    assert_eq!(asked.length, 60);
    // What a false start leaves behind answers nothing, and a ticket is a handshake record.
    let rest = [
        message(4, &[1; 200]),
        record(CHANGE_CIPHER, &[1]),
        record(HANDSHAKE, &[1; 40]),
    ]
    .concat();
    let (state, is_answer) = server(&&rest[..], asked.state);
    assert!(!is_answer);
    assert!(server(&&record(APPLICATION_DATA, &[1; 200])[..], state).1);
    assert_eq!(says(state, &record(0x15, &[1; 26])).length, 0);
}

fn finished(extensions: &[(u16, &[u8])]) -> u64 {
    says(greeted([0x13, 2], extensions), &sealed(52)).state
}

/// Found by fuzzing.
#[test]
fn an_empty_record_hides_no_request_behind_it() {
    let bytes = [record(APPLICATION_DATA, &[]), sealed(90)].concat();
    assert_eq!(says(finished(&[MODES]), &bytes).length, 107);
}

#[test]
fn two_tickets_that_race_with_a_request_answer_nothing() {
    let tickets = [sealed(234), sealed(234)].concat();
    for cut in [0, 256, tickets.len()] {
        let mut state = says(finished(&[MODES]), &sealed(80)).state;
        for segment in [&tickets[..cut], &tickets[cut..]]
            .into_iter()
            .filter(|part| !part.is_empty())
        {
            let (after, is_answer) = server(&segment, state);
            assert!(!is_answer, "{cut}");
            state = after;
        }
        assert!(!may_be_answered(state), "{cut}");
        let (after, is_answer) = server(&&sealed(234)[..], state);
        assert!(is_answer);
        assert!(after & ANSWERING != 0);
    }
    // With the answer in the same segment.
    let all = [tickets, sealed(5000)].concat();
    assert!(server(&&all[..], finished(&[MODES])).1);
}

#[test]
fn one_record_that_may_be_a_ticket_is_held() {
    let state = finished(&[MODES]);
    let (held, is_answer) = server(&&sealed(180)[..], state);
    assert!(!is_answer && may_be_answered(held));
    assert!(server(&&sealed(300)[..], held).1);
    // No ticket: too short, too long, or for a client that takes none.
    assert!(server(&&sealed(20)[..], state).1);
    assert!(server(&&sealed(4000)[..], state).1);
    assert!(server(&&sealed(180)[..], finished(&[])).1);
}

#[test]
fn alerts_and_acknowledgements_ask_for_nothing() {
    let state = finished(&[MODES]);
    assert_eq!(says(state, &sealed(2)).length, 0);
    assert_eq!(says(state, &sealed(5)).length, 22);
    let state = finished(&[MODES, ALPN_2]);
    for control in [9, 13, 17] {
        assert_eq!(says(state, &sealed(control)).length, 0, "{control}");
    }
    // The shortest request of HTTP/1.
    assert_eq!(says(state, &sealed(18)).length, 35);
    // A server's settings may be no answer.
    let (state, is_answer) = server(&&sealed(33)[..], state);
    assert!(!is_answer && may_be_answered(state));
}

#[test]
fn a_packed_client_certificate_ends_when_the_server_speaks_again() {
    let state = says(greeted([0x13, 1], &[MODES]), &sealed(1800)).state;
    assert_eq!(state & FINISHED, 0);
    let (state, is_answer) = server(&&sealed(200)[..], state);
    assert!(!is_answer);
    assert_eq!(says(state, &sealed(80)).length, 97);
}

#[test]
fn bytes_in_the_middle_of_a_record_ask_only_where_others_are_missing() {
    let state = finished(&[MODES]);
    assert_eq!(client(&&[0xaa; 600][..], 0, false, state).length, 0);
    assert_ne!(client(&&[0xaa; 600][..], 0, true, state).length, 0);
}

/// Wherever TCP cuts a client's flight, but inside of a record's header.
#[test]
fn a_handshake_may_be_cut_anywhere() {
    let state = greeted([0x13, 2], &[MODES]);
    let flight = [
        record(CHANGE_CIPHER, &[1]),
        sealed(1500),
        sealed(264),
        sealed(52),
        sealed(90),
    ]
    .concat();
    let headers = [0, 6, 1528, 1814, 1888];
    for cut in 1..flight.len() {
        if headers.iter().any(|at| cut > *at && cut < at + 5) {
            continue;
        }
        let first = says(state, &flight[..cut]);
        let behind = usize::try_from(first.next).unwrap().saturating_sub(cut);
        let second = client(
            &&flight[cut..],
            u32::try_from(behind).unwrap(),
            false,
            first.state,
        );
        assert!(
            first.length == 107 || second.length == 107,
            "{cut}: {first:?} {second:?}"
        );
    }
}

#[test]
fn no_bytes_break_it() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for _ in 0..100_000 {
        let mut bytes: Vec<u8> = (0..random() % 64).map(|_| random().to_be_bytes()[3]).collect();
        if let Some(first) = bytes.first_mut() {
            *first = 0x14 + (*first & 3);
        }
        if bytes.len() > 2 {
            bytes[1..3].copy_from_slice(&[3, 3]);
        }
        let state = random() & !HELD;
        let _ = (client_hello(&&bytes[..]), server(&&bytes[..], state));
        let asked = client(
            &&bytes[..],
            u32::try_from(random() % 80).unwrap(),
            random() % 2 == 0,
            state,
        );
        assert_eq!(
            asked.state & state & 0x7,
            state & 0x7,
            "the lowest bits are not its own"
        );
    }
}

#[test]
fn a_record_whose_header_is_cut_asks_with_what_there_is_of_it() {
    let state = greeted([0x13, 1], &[]);
    let over_13 = says(state, &sealed(36)).state;
    let over_12 = greeted([0xc0, 0x2f], &[]);
    for state in [over_13, over_12] {
        let record = sealed(100);
        for cut in 1..record.len() {
            let (first, rest) = record.split_at(cut);
            let asked = says(state, first);
            assert!(asked.length != 0 && asked.state & FINISHED != 0, "{cut}");
            assert_eq!(says(asked.state, rest).length, 0, "{cut}");
        }
    }
    // In a handshake it may be anything, until it goes on.
    assert_eq!(says(state, &sealed(36)[..3]).state, state | CUT);
}
