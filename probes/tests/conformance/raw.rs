//! A client by hand, for what no well-behaved program sends.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use super::{network::SERVER, pause, server::PORT};

/// One connection, of HTTP/1 or of HTTP/2 at its simplest.
pub struct Talk(BufReader<TcpStream>, Option<Streams>);

/// The stream that comes next.
struct Streams(u32);

impl Talk {
    pub fn open() -> Self {
        let stream = TcpStream::connect((SERVER, PORT)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self(BufReader::new(stream), None)
    }

    pub fn open_http2() -> Self {
        let mut talk = Self::open();
        talk.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        talk.send_frame(SETTINGS, 0, 0, &[]);
        talk.1 = Some(Streams(1));
        talk
    }

    pub fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// A segment for each piece: the one before has left when the next is written.
    pub fn send_in_pieces<'a>(&mut self, pieces: impl IntoIterator<Item = &'a [u8]>) {
        for piece in pieces {
            self.0.get_mut().write_all(piece).unwrap();
            pause(Duration::from_millis(1));
        }
    }

    pub fn asks_no_more(&self) {
        self.0.get_ref().shutdown(Shutdown::Write).unwrap();
    }

    pub fn get(&mut self, path: &str) -> u16 {
        if let Some(Streams(stream)) = &mut self.1 {
            let this = *stream;
            *stream += 2;
            return self.get_on(this, path);
        }
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
        self.answer()
    }

    /// 200 for any answer at all: nothing is kept of a table to read its header by.
    fn get_on(&mut self, stream: u32, path: &str) -> u16 {
        // Of the static table: GET, http, and the names of path and authority.
        let mut block = vec![0x82, 0x86];
        for (name, value) in [(4, path), (1, "test")] {
            block.extend([name, u8::try_from(value.len()).unwrap()]);
            block.extend(value.as_bytes());
        }
        self.send_frame(HEADERS, END_STREAM | END_HEADERS, stream, &block);
        loop {
            let mut head = [0; 9];
            if self.0.read_exact(&mut head).is_err() {
                return 0;
            }
            let [_, a, b, kind, flags, of @ ..] = head;
            self.skip(usize::from(u16::from_be_bytes([a, b])));
            let is_answer = kind <= HEADERS && u32::from_be_bytes(of[..4].try_into().unwrap()) == stream;
            if is_answer && flags & END_STREAM != 0 {
                return 200;
            }
        }
    }

    fn send_frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.0.get_mut().write_all(&[&head, payload].concat()).unwrap();
    }

    /// Reads one whole answer, interim ones before it too; its status, or 0 at the end of the connection.
    pub fn answer(&mut self) -> u16 {
        let mut line = String::new();
        if self.0.read_line(&mut line).unwrap_or(0) == 0 {
            return 0;
        }
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let (mut length, mut chunked) = (0, false);
        loop {
            let mut header = String::new();
            self.0.read_line(&mut header).unwrap();
            let header = header.trim_end().to_ascii_lowercase();
            if let Some(text) = header.strip_prefix("content-length: ") {
                length = text.parse().unwrap();
            }
            chunked |= header == "transfer-encoding: chunked";
            if header.is_empty() {
                break;
            }
        }
        if status == 100 {
            return self.answer();
        }
        while chunked {
            let mut size = String::new();
            self.0.read_line(&mut size).unwrap();
            length = usize::from_str_radix(size.trim_end(), 16).unwrap();
            self.skip(length + 2);
            chunked = length > 0;
            length = 0;
        }
        self.skip(length);
        status
    }

    pub fn skip(&mut self, length: usize) {
        self.0.read_exact(&mut vec![0; length]).unwrap();
    }

    /// Goes away without a word.
    pub fn reset(self) {
        let linger = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        nix::sys::socket::setsockopt(self.0.get_ref(), nix::sys::socket::sockopt::Linger, &linger).unwrap();
    }
}

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
