//! Frames of HTTP/2 (RFC 9113), as far as the walk along one direction of a connection needs them.
//!
//! In: bytes in order, a frame header at a time. Out: where each frame's payload ends. No payload
//! is looked at, so a download costs one step a frame however long the frame is.

pub mod early;
mod place;
pub mod telling;
pub mod walk;

const HEADER: u8 = 9;
pub const FRAME_HEADER: u32 = HEADER as u32;
/// What a client says first.
pub const PREFACE: u32 = 24;

pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const PUSH_PROMISE: u8 = 5;
    pub const CONTINUATION: u8 = 9;
}

pub mod frame_flag {
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const PADDED: u8 = 8;
    pub const PRIORITY: u8 = 32;
}

/// Where the walk along one direction stands. Kept with the socket: a frame, and even its header, may
/// begin in one segment and end in another.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Direction {
    /// The TCP sequence number of the byte expected next, when `is_placed`.
    pub next: u32,
    /// Bytes of the frame's payload that are still to come.
    pub left: u32,
    pub stream: u32,
    /// Records sent about this direction.
    pub records: u32,
    pub kind: u8,
    pub flags: u8,
    /// Bytes of the frame's header that have come; all of them: inside of a payload.
    pub have: u8,
    pub is_placed: u8,
    /// Nothing of this frame's payload has been passed on yet.
    pub is_first: u8,
    pub header: [u8; HEADER as usize],
    /// TCP brought a part too late: every byte is told until frames can be followed again. `next` is then
    /// the end of what was told, and [`Direction::told`] counts it.
    pub is_raw: u8,
    pub pad: u8,
    /// What of the segment at hand is still ahead. Of no meaning between segments; it is here because
    /// the verifier follows every value on the stack from step to step, and none in here.
    pub offset: u32,
    pub available: u32,
}

impl Direction {
    #[inline(always)]
    #[must_use]
    pub fn in_payload(&self) -> bool {
        self.have >= HEADER
    }

    /// Takes a whole frame header.
    #[inline(always)]
    pub fn begin(&mut self, header: &[u8; HEADER as usize]) {
        self.left = u32::from(header[0]) << 16 | u32::from(header[1]) << 8 | u32::from(header[2]);
        self.kind = header[3];
        self.flags = header[4];
        // The first bit is reserved and to be ignored.
        self.stream = u32::from(header[5] & 0x7f) << 24
            | u32::from(header[6]) << 16
            | u32::from(header[7]) << 8
            | u32::from(header[8]);
        self.have = HEADER;
        self.is_first = 1;
    }

    /// Takes one byte of a frame header that is split over segments.
    #[inline(always)]
    pub fn take_header_byte(&mut self, byte: u8) {
        let have = usize::from(self.have);
        if have < self.header.len() {
            self.header[have] = byte;
            self.have += 1;
        }
        if self.in_payload() {
            let header = self.header;
            self.begin(&header);
        }
    }

    /// Takes bytes of the payload, at most `left` of them. Whether the frame ends with them.
    #[inline(always)]
    pub fn take(&mut self, bytes: u32) -> bool {
        self.left = self.left.saturating_sub(bytes);
        self.is_first = 0;
        if self.left == 0 {
            self.have = 0;
        }
        self.left == 0
    }

    /// Begins to tell every byte.
    #[inline(always)]
    pub fn begin_raw(&mut self) {
        self.is_raw = 1;
        self.header = [0; HEADER as usize];
    }

    /// Takes a segment whose bytes are all told; how many were so far. The count stands where a split
    /// header would, which has been told.
    #[inline(always)]
    pub fn told(&mut self, seq: u32, length: u32) -> u32 {
        let end = seq.wrapping_add(length);
        if (end.wrapping_sub(self.next) as i32) > 0 {
            self.next = end;
        }
        let header = &mut self.header;
        let count = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]).wrapping_add(length);
        [header[0], header[1], header[2], header[3]] = count.to_ne_bytes();
        count
    }

    /// The next bytes of the segment at hand are done with.
    #[inline(always)]
    pub fn pass(&mut self, bytes: u32) {
        self.offset = self.offset.wrapping_add(bytes);
        self.available = self.available.wrapping_sub(bytes);
    }

    /// Whether user space needs the bytes of this frame: header blocks, for they change the
    /// connection's table of headers, and the reason of a reset.
    #[inline(always)]
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.is_raw != 0
            || self.kind == kind::HEADERS
            || self.kind == kind::CONTINUATION
            || self.kind == kind::RST_STREAM
            || self.kind == kind::PUSH_PROMISE
    }
}

/// Whether this is the beginning of a SETTINGS frame: many servers greet with one before they are asked.
#[inline(always)]
#[must_use]
pub fn is_settings(head: &[u8; FRAME_HEADER as usize]) -> bool {
    let is_short = head[0] == 0 && head[1] == 0 && head[2].is_multiple_of(6);
    is_short && head[3] == 4 && head[4] == 0 && head[5] | head[6] | head[7] | head[8] == 0
}

/// Whether this looks like the beginning of a frame that often begins a segment: a header block, a
/// window's update, a PING, the acknowledgement of settings. Who knows the bytes before can tell for sure.
#[inline(always)]
#[must_use]
pub fn begins_frame(head: &[u8; 12]) -> bool {
    let is_update = head[2] == 4 && head[3] == 8 && head[4] == 0 && head[5] & 0x80 == 0;
    let is_of_connection = head[5] | head[6] | head[7] | head[8] == 0;
    let is_ping = head[2] == 8 && head[3] == 6 && head[4] < 2;
    let is_acknowledgement = head[2] == 0 && head[3] == 4 && head[4] == 1;
    let is_control = is_update || is_of_connection && (is_ping || is_acknowledgement);
    head[0] == 0 && head[1] == 0 && is_control || begins_request(head)
}

/// Whether a segment of a connection nobody saw the beginning of begins with a request's HEADERS: ten
/// bytes hold a plausible length, no flag that does not exist, all of the header block, a client's
/// stream, and a block that begins with an entry of a table or with one that goes into it.
#[inline(always)]
#[must_use]
pub fn begins_request(head: &[u8; 12]) -> bool {
    let known = frame_flag::END_STREAM | frame_flag::END_HEADERS | frame_flag::PADDED | frame_flag::PRIORITY;
    let is_headers = head[0] == 0 && head[1] < 0x40 && head[3] == kind::HEADERS && head[4] & !known == 0;
    let is_whole = head[4] & frame_flag::END_HEADERS != 0;
    let is_clients = head[5] & 0x80 == 0 && head[8] & 1 == 1;
    let is_bare = head[4] & (frame_flag::PADDED | frame_flag::PRIORITY) == 0;
    is_headers && is_whole && is_clients && (!is_bare || head[9] >= 0x40 || head[9] & 0xe0 == 0x20)
}

/// Whether a header block that begins so is one of trailers: a request begins with fields that have a colon in front.
/// What is in a table that nobody knows may be either.
#[inline(always)]
#[must_use]
pub fn begins_trailers(first: u8, name: Option<[u8; 2]>) -> bool {
    // Of the static table: behind those of requests.
    const FIRST: u8 = 8;
    const LAST: u8 = 61;
    let index = if first >= 0x80 {
        first & 0x7f
    } else if first >= 0x40 {
        first & 0x3f
    } else if first >= 0x20 {
        // Of the table's size.
        return false;
    } else if first & 0xf == 0xf {
        match name {
            Some([more, _]) if more < 0x80 => more + 0xf,
            _ => return false,
        }
    } else {
        first & 0xf
    };
    if index != 0 {
        return (FIRST..=LAST).contains(&index);
    }
    // A name that is written out, or coded: a colon has seven bits.
    match name {
        Some([length, letter]) if length >= 0x80 => letter >> 1 != 0x5c,
        Some([length, letter]) => length != 0 && letter != b':',
        None => false,
    }
}

const _: () = assert!(size_of::<Direction>() == 40);

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, proptest};

    use super::*;

    /// What a walk meets: kind, flags, stream, length of each frame.
    type Frames = Vec<(u8, u8, u32, u32)>;

    fn frames() -> impl Strategy<Value = Frames> {
        let frame = (any::<u8>(), any::<u8>(), 0..1_u32 << 31, 0..300_u32);
        proptest::collection::vec(frame, 0..20)
    }

    fn bytes_of(frames: &Frames) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, flags, stream, length) in frames {
            bytes.extend_from_slice(&length.to_be_bytes()[1..]);
            bytes.extend_from_slice(&[*kind, *flags]);
            bytes.extend_from_slice(&stream.to_be_bytes());
            bytes.resize(bytes.len() + *length as usize, 0xff);
        }
        bytes
    }

    /// Walks as the kernel does: whole headers at once, split ones by the byte.
    fn walk(direction: &mut Direction, mut bytes: &[u8], seen: &mut Frames) {
        while !bytes.is_empty() {
            if direction.in_payload() {
                let length = direction.left.min(u32::try_from(bytes.len()).unwrap());
                direction.take(length);
                bytes = &bytes[length as usize..];
                continue;
            }
            match bytes.first_chunk() {
                Some(header) if direction.have == 0 => {
                    direction.begin(header);
                    bytes = &bytes[HEADER as usize..];
                }
                _ => {
                    direction.take_header_byte(bytes[0]);
                    bytes = &bytes[1..];
                }
            }
            if direction.in_payload() {
                seen.push((direction.kind, direction.flags, direction.stream, direction.left));
                if direction.left == 0 {
                    direction.take(0);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn frames_are_found_however_segments_cut_them(frames in frames(), cuts in proptest::collection::vec(1..64_usize, 1..200)) {
            let bytes = bytes_of(&frames);
            let mut direction = Direction::default();
            let mut seen = Frames::new();
            let mut rest = &bytes[..];
            for cut in cuts {
                let (segment, after) = rest.split_at(cut.min(rest.len()));
                walk(&mut direction, segment, &mut seen);
                rest = after;
            }
            walk(&mut direction, rest, &mut seen);
            assert_eq!(seen, frames);
            assert_eq!((direction.have, direction.left), (0, 0));
        }
    }

    #[test]
    fn trailers_begin_with_no_field_of_a_request() {
        let begins = |block: &[u8]| begins_trailers(block[0], block[1..].first_chunk().copied());
        // Of the static table, a name of it, one behind fifteen, and written out or coded.
        for block in [
            &b"\x88\xbe\xbf"[..],
            b"\xbd",
            b"\x7c\x01y",
            b"\x08\x01y",
            b"\x0f\x2d\x01",
            b"\x40\x0bgrpc-status",
            b"\x00\x88\x9a\xca",
            b"\x10\x01x",
        ] {
            assert!(begins(block), "{block:x?}");
        }
        // Fields of requests, also with a name that is written out or coded; what is in a table; its size.
        for block in [
            &b"\x82\x84\x86"[..],
            b"\x87",
            b"\x41\x04near",
            b"\x04\x04/one",
            b"\x40\x07:method",
            b"\x40\x86\xb9\x50",
            b"\xbe\x01\x01",
            b"\x7e\x01x",
            b"\x0f\x2f\x01",
            b"\x3f\xe1\x1f",
            b"\x40",
        ] {
            assert!(!begins(block), "{block:x?}");
        }
    }

    #[test]
    fn a_request_is_told_from_other_protocols_by_its_first_bytes() {
        // curl's, with a priority; h2load's; grpc's with a change of the table's size.
        assert!(begins_request(
            b"\x00\x00\x1e\x01\x05\x00\x00\x00\x01\x82\x04\x81"
        ));
        assert!(begins_request(
            b"\x00\x00\x23\x01\x25\x00\x00\x00\x0d\x00\x00\x00"
        ));
        assert!(begins_request(
            b"\x00\x01\x02\x01\x04\x00\x00\x00\x03\x3f\xe1\x1f"
        ));
        // A PING; the server's stream; a kafka request of 257 bytes; text.
        assert!(!begins_request(
            b"\x00\x00\x08\x06\x00\x00\x00\x00\x00\x00\x00\x00"
        ));
        assert!(!begins_request(
            b"\x00\x00\x08\x01\x04\x00\x00\x00\x02\x88\x00\x00"
        ));
        assert!(!begins_request(
            b"\x00\x00\x01\x01\x00\x01\x00\x0b\x00\x00\x00\x07"
        ));
        assert!(!begins_request(b"SELECT 1;\x00\x00\x00"));
        // An update of a stream's window, a PING, an acknowledgement with what follows it.
        assert!(begins_frame(b"\x00\x00\x04\x08\x00\x00\x00\x00\x03\x00\x01\x00"));
        assert!(begins_frame(b"\x00\x00\x08\x06\x01\x00\x00\x00\x00\xff\xff\xff"));
        assert!(begins_frame(b"\x00\x00\x00\x04\x01\x00\x00\x00\x00\x00\x00\x04"));
        assert!(!begins_frame(b"SELECT 1;\x00\x00\x00"));
    }
}
