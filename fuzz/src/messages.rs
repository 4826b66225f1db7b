//! Requests and answers one behind the other, read whole with what a standard library offers.
//!
//! Each reader stops where the machine may do what it likes: at bytes that are no message, or one beyond what it
//! keeps. What stands before that is `text`.

use probes_ebpf::{
    http1::found,
    replay::ROUTE_BYTES,
    wire::{QUEUE, request},
};

use super::{
    chunks::{self, End},
    head::{self, Says},
};

pub struct Requests<'a> {
    pub text: &'a [u8],
    pub list: Vec<Request>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// How far it shows what it is.
    pub known_at: usize,
    pub route: u16,
    /// As in the connection's record.
    pub request: u8,
}

pub struct Answers<'a> {
    pub text: &'a [u8],
    pub list: Vec<Answer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Where it ends, if it does.
    pub end: usize,
    pub status: u16,
}

const METHODS: [(&str, u8); 9] = [
    ("GET ", 0),
    ("PUT ", 0),
    ("POST ", 0),
    ("HEAD ", request::HEAD),
    ("PATCH ", 0),
    ("TRACE ", 0),
    ("DELETE ", 0),
    ("OPTIONS ", 0),
    ("CONNECT ", request::CONNECT),
];
/// A method is only known with the bytes behind it.
const METHOD: usize = 8;
const STATUS_LINE: usize = 12;
/// Fewer than the parts a segment is taken apart in.
const PARTS: usize = 100;
/// Bytes that one part takes of what stands between chunks, or fewer.
const STEPS: usize = 64;
/// Less than what is carried over of a line.
const LINE: usize = 60;

pub fn requests(text: &[u8]) -> Requests<'_> {
    let (mut at, mut parts, mut list) = (0, 0, Vec::new());
    loop {
        while parts < PARTS && text.get(at).is_some_and(|byte| b"\r\n".contains(byte)) {
            at += 1;
            parts += 1;
        }
        let rest = &text[at..];
        let method = METHODS
            .iter()
            .find(|(method, _)| rest.starts_with(method.as_bytes()));
        let (Some((_, of_method)), Some((shown, route)), true) = (method, route(rest), rest.len() >= METHOD)
        else {
            break;
        };
        parts += 2;
        let says = head::read(rest);
        let is_tiny = says.end != 0 && (says.end as usize) < METHOD;
        let is_unreadable = says.found & found::UNREADABLE != 0;
        if parts > PARTS || list.len() > QUEUE || is_tiny || is_unreadable || !is_plain(rest, &says) {
            break;
        }
        let body = &rest[says.end as usize..];
        let is_chunked = says.end != 0 && says.found & found::CHUNKED != 0;
        // How long the body is, if all of it is here.
        let length = match is_chunked.then(|| chunks::read(body)) {
            None => Some(says.content_length).filter(|length| *length <= body.len() as u64),
            Some(End::At(length)) => Some(length as u64),
            Some(End::Later | End::Never) => None,
        };
        if is_chunked {
            let here = &body[..length.map_or(body.len(), |length| usize::try_from(length).expect("here"))];
            parts += here.iter().filter(|byte| **byte == b'\n').count() + here.len() / STEPS;
            if parts > PARTS {
                break;
            }
        }
        let length = length.filter(|_| says.end != 0);
        let is_whole = length.is_some();
        list.push(Request {
            known_at: at + shown.max(METHOD),
            route,
            request: of_method | if is_whole { request::COMPLETE } else { 0 },
        });
        if !is_whole {
            // How one goes on that is in no chunks depends on where its segments end.
            let is_broken = is_chunked && chunks::read(body) == End::Never;
            let end = if is_broken {
                at + says.end as usize
            } else {
                text.len()
            };
            return Requests {
                text: &text[..end],
                list,
            };
        }
        at += says.end as usize + usize::try_from(length.unwrap_or(0)).expect("fits");
    }
    Requests {
        text: &text[..at],
        list,
    }
}

/// How much of the line shows it, and the route. `None` while more of the line may change it.
fn route(line: &[u8]) -> Option<(usize, u16)> {
    let most = line.len().min(ROUTE_BYTES as usize);
    let mut blanks = line.iter().enumerate().filter(|(_, byte)| **byte <= b' ').skip(1);
    let (shown, length) = match blanks.next() {
        Some((at, _)) if at < most => (at + 1, at),
        _ if line.len() >= ROUTE_BYTES as usize => (most, most),
        _ => return None,
    };
    let add = |route: u32, byte: &u8| route.wrapping_mul(31).wrapping_add(u32::from(*byte));
    let route = line[..length].iter().fold(0, add);
    Some((
        shown,
        u16::try_from((route ^ route >> 16) & 0xffff).expect("masked"),
    ))
}

/// Whether what a header says does not depend on where its segments end.
fn is_plain(text: &[u8], says: &Says) -> bool {
    let header = if says.end == 0 {
        text
    } else {
        &text[..says.end as usize]
    };
    let is_long = |line: &[u8]| {
        let small: Vec<u8> = line.iter().map(|byte| byte | 0x20).collect();
        let names = [&b"content-length"[..], b"transfer-encoding"];
        line.len() > LINE && names.iter().any(|name| small.starts_with(name))
    };
    !head::has_too_many_lines(header) && !header.split(|byte| *byte == b'\n').any(is_long)
}

pub fn answers<'a>(text: &'a [u8], requests: &[Request]) -> Answers<'a> {
    let (mut at, mut list) = (0, Vec::new());
    let stopped = |at: usize, list| Answers {
        text: &text[..at],
        list,
    };
    // Each may take two parts to follow.
    let feeds = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let text = feeds
        .skip(PARTS)
        .map(|(at, _)| &text[..at])
        .next()
        .unwrap_or(text);
    loop {
        let rest = &text[at..];
        let Some(status) = status(rest) else {
            return stopped(at, list);
        };
        let says = head::read(rest);
        if !is_plain(rest, &says) {
            return stopped(at, list);
        }
        if status < 200 && status != 101 {
            if says.end == 0 {
                return stopped(text.len(), list);
            }
            at += says.end as usize;
            continue;
        }
        let Some(of) = requests.get(list.len()) else {
            return stopped(at, list);
        };
        let body = &rest[says.end as usize..];
        let is_tunnel = status == 101 || of.request & request::CONNECT != 0 && status / 100 == 2;
        let length = if is_tunnel || says.end == 0 {
            None
        } else if status == 204 || status == 304 || of.request & request::HEAD != 0 {
            Some(0)
        } else if says.found & found::UNREADABLE != 0 {
            None
        } else if says.found & found::CHUNKED != 0 {
            match chunks::read(body) {
                End::At(length) => Some(length as u64),
                End::Later => None,
                End::Never => return stopped(at, list),
            }
        } else {
            (says.found & found::CONTENT_LENGTH != 0).then_some(says.content_length)
        };
        let end = length.and_then(|length| usize::try_from(length).ok()?.checked_add(at + says.end as usize));
        let end = end.filter(|end| *end <= text.len());
        list.push(Answer {
            end: end.unwrap_or(text.len()),
            status,
        });
        match end {
            Some(end) => at = end,
            None => return stopped(text.len(), list),
        }
    }
}

fn status(line: &[u8]) -> Option<u16> {
    let line = line.get(..STATUS_LINE)?;
    let is_one = line.starts_with(b"HTTP/1.") && line[8] == b' ' && line[9] != b'0';
    let digits = line[9..].iter().all(u8::is_ascii_digit);
    let code = (is_one && digits).then_some(&line[9..])?;
    std::str::from_utf8(code).ok()?.parse().ok()
}
