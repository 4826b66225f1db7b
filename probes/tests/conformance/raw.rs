//! A client by hand, for what no well-behaved program sends.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use super::{network::SERVER, pause, server::PORT};

/// One connection.
pub struct Talk(BufReader<TcpStream>);

impl Talk {
    pub fn open() -> Self {
        let stream = TcpStream::connect((SERVER, PORT)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self(BufReader::new(stream))
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

    pub fn get(&mut self, path: &str) -> u16 {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
        self.answer()
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
