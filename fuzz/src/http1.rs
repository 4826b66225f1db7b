//! HTTP/1: headers and chunked bodies mean the same however they are cut, and what others make of them.

use probes_ebpf::http1::{
    BODY, CARRY, Chunks, Method, WINDOW, begins_method, end_of_head, found, method, phase, status,
};

use super::{
    chunks::{self, End},
    head, pieces,
};

const METHODS: [&str; 9] = [
    "GET ", "PUT ", "POST ", "HEAD ", "PATCH ", "TRACE ", "DELETE ", "OPTIONS ", "CONNECT ",
];
const START: u32 = 64;
const _: () = assert!(START as usize == CARRY);

pub fn ask(input: &[u8]) {
    let pieces = pieces(input);
    let text = pieces.concat();
    if text.len() > WINDOW {
        return;
    }
    heads(&pieces, &text);
    against_httparse(&text);
    first_words(&text);
    bodies(&pieces, &text);
}

fn heads(pieces: &[&[u8]], text: &[u8]) {
    let whole = head::read(text);
    assert_eq!(head::read_pieces(&[text]), Some(whole));
    if let Some(in_pieces) = head::read_pieces(pieces) {
        assert_eq!(in_pieces, whole, "in pieces");
    }
    // The quick look knows no line before the first, so a text that begins with an empty one is another question.
    let is_other = whole.end <= 2 && (text.starts_with(b"\n") || text.starts_with(b"\r\n"));
    // Nor does it count lines, of which the other reads some only.
    if !is_other && !head::has_too_many_lines(text) {
        let quick = end_of_head(&head::window(text, CARRY), START + head::length(text));
        assert_eq!((quick & !BODY).saturating_sub(START), whole.end, "the quick look");
        // The first line of a request is none that says so.
        let is_request = METHODS.iter().any(|method| text.starts_with(method.as_bytes()));
        let says_none = quick & BODY == 0 && quick != 0;
        assert!(
            !is_request || !says_none || whole.found == 0,
            "the quick look misses a body"
        );
    }
}

/// Whatever the parser of hyper takes for a whole header, is one of the same length and meaning.
fn against_httparse(text: &[u8]) {
    if text.first().is_none_or(|first| b"\r\n".contains(first)) {
        return;
    }
    let mut room = [httparse::EMPTY_HEADER; 100];
    let mut request = httparse::Request::new(&mut room);
    let (length, headers) = if let Ok(httparse::Status::Complete(length)) = request.parse(text) {
        (length, request.headers)
    } else {
        room = [httparse::EMPTY_HEADER; 100];
        let mut response = httparse::Response::new(&mut room);
        let Ok(httparse::Status::Complete(length)) = response.parse(text) else {
            return;
        };
        let window = head::window(text, CARRY);
        let ours = status(window.word(START), (window.word(START + 8) >> 32) as u32);
        let theirs = response.code.filter(|code| *code >= 100).unwrap_or(0);
        assert_eq!(ours, theirs);
        (length, response.headers)
    };
    let ours = head::read(text);
    assert_eq!(ours.end as usize, length);
    let values = |name: &str| -> Vec<&[u8]> {
        let named = headers
            .iter()
            .filter(|header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| header.value).collect()
    };
    let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
    if ours.found & found::UNREADABLE != 0 {
        assert!(!lengths.is_empty() || !codings.is_empty());
        return;
    }
    assert_eq!(ours.found & found::CONTENT_LENGTH != 0, !lengths.is_empty());
    for value in lengths {
        let theirs = std::str::from_utf8(value)
            .ok()
            .and_then(|value| value.trim().parse().ok());
        assert_eq!(theirs, Some(ours.content_length));
    }
    assert_eq!(ours.found & found::CHUNKED != 0, !codings.is_empty());
    for coding in codings {
        assert!(coding.trim_ascii_end().to_ascii_lowercase().ends_with(b"chunked"));
    }
}

fn first_words(text: &[u8]) {
    let window = head::window(text, CARRY);
    let first = window.word(START);
    let is_method = METHODS.iter().any(|method| text.starts_with(method.as_bytes()));
    assert_eq!(
        method(first) != Method::None,
        is_method || text.starts_with(b"PRI ")
    );
    if text.len() < 8 {
        let begins = METHODS.iter().any(|method| method.as_bytes().starts_with(text));
        let is_prefix = begins && !text.is_empty();
        // Zeros behind a short method are taken for the end of it.
        if !text.contains(&0) {
            assert_eq!(begins_method(first, head::length(text)), is_prefix);
        }
    }
    let code = status(first, (window.word(START + 8) >> 32) as u32);
    let plain = std::str::from_utf8(text.get(9..12).unwrap_or_default());
    if code != 0 {
        assert!(text.starts_with(b"HTTP/1.") && plain.is_ok_and(|plain| plain.parse() == Ok(code)));
    }
}

fn bodies(pieces: &[&[u8]], text: &[u8]) {
    let by_byte = follow(pieces, |chunks, rest| {
        chunks.take(rest[0]);
        1
    });
    let by_window = follow(pieces, |chunks, rest| {
        let window = head::window(rest, CARRY);
        chunks.read::<7>(&window, START, START + head::length(rest)) as usize
    });
    assert_eq!(by_byte, chunks::read(text), "by the byte");
    assert_eq!(by_window, by_byte, "by windows");
}

/// Follows a body through pieces; `step` takes at least one byte of what stands between chunks.
fn follow(pieces: &[&[u8]], step: impl Fn(&mut Chunks, &[u8]) -> usize) -> End {
    let (mut chunks, mut taken) = (Chunks::default(), 0);
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() && chunks.phase < phase::DONE {
            let mut passed = usize::try_from(chunks.skip(rest.len() as u64)).unwrap_or(0);
            if passed == 0 {
                passed = step(&mut chunks, rest);
            }
            rest = &rest[passed..];
            taken += passed;
        }
    }
    match chunks.phase {
        phase::DONE => End::At(taken),
        phase::BROKEN => End::Never,
        _ => End::Later,
    }
}
