//! Every connection that speaks HTTP/2, and what was counted of them: all that must outlive an agent.

use std::collections::{BTreeSet, hash_map::Entry};

use foldhash::HashMap;

use probes_ebpf::{
    http2_wire::{Record, event, part},
    wire::{InFlight, what},
};
use serde::{Deserialize, Serialize};

use super::{
    connection::{Connection, Stream},
    meaning::Meaning,
    tally::{Ended, Place, Tally, is_past_timeout},
};

/// Longer than most servers keep a connection on which nobody asks.
const LONGEST_SILENCE_NS: u64 = 3_600_000_000_000;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Book {
    pub tally: Tally,
    connections: HashMap<u64, Known>,
    /// Records that found no room, as counted by the kernel when that was last looked at.
    ring_full: u64,
    /// Until then, the end of a connection may have gone untold: one that said nothing since may be long over.
    doubted_ns: u64,
}

#[derive(Debug, Serialize, Deserialize)]
enum Known {
    Followed(Box<Connection>),
    /// A gap, or a header block that cannot be read: requests are counted as unknown, as they begin.
    Lost {
        last_stream: u32,
        /// When it last said something, to this agent; else when that began.
        #[serde(skip)]
        last_ns: u64,
    },
}

impl Known {
    fn last_ns(&self) -> u64 {
        match self {
            Self::Followed(connection) => connection.last_ns,
            Self::Lost { last_ns, .. } => *last_ns,
        }
    }
}

impl Book {
    /// Another agent goes on with it: since when those are silent who are lost, it does not know.
    pub fn take_up(&mut self, now_ns: u64) {
        for known in self.connections.values_mut() {
            if let Known::Lost { last_ns, .. } = known {
                *last_ns = now_ns;
            }
        }
    }

    /// Counts what a record says.
    pub fn take(&mut self, record: &Record, piece: &[u8], meaning: &mut dyn Meaning, boot_ns: u64) {
        match record.kind {
            event::CLOSED => self.forget(record, record.outcome, meaning, boot_ns),
            // The kernel counts from here on.
            event::LOST => self.forget(record, what::UNKNOWN, meaning, boot_ns),
            _ => self.follow(record, piece, meaning, boot_ns),
        }
    }

    fn forget(&mut self, record: &Record, outcome: u16, meaning: &mut dyn Meaning, boot_ns: u64) {
        if let Some(Known::Followed(mut connection)) = self.connections.remove(&record.cookie) {
            for ended in connection.end_all(outcome, record.at_ns) {
                self.book(&ended, meaning, boot_ns);
            }
        }
    }

    fn follow(&mut self, record: &Record, piece: &[u8], meaning: &mut dyn Meaning, boot_ns: u64) {
        let connection = match self.connections.entry(record.cookie) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) if record.number == 0 => unknown.insert(Known::Followed(Box::default())),
            // It was let go, or its beginning was told to an agent that kept nothing of it.
            Entry::Vacant(unknown) if record.part & part::BEGINS != 0 => {
                self.tally.lose(record.settings, boot_ns);
                unknown.insert(Known::Lost {
                    last_stream: 0,
                    last_ns: record.at_ns,
                })
            }
            Entry::Vacant(_) => {
                if record.kind == event::RAW {
                    self.tally.lose(record.settings, boot_ns);
                }
                return;
            }
        };
        match connection {
            Known::Followed(_) => self.go_on(record, piece, meaning, boot_ns),
            Known::Lost { last_stream, last_ns } => {
                *last_ns = record.at_ns;
                if record.kind == event::RAW {
                    // Whatever requests are in it, nobody counts them.
                    self.tally.lose(record.settings, boot_ns);
                }
                if record.part & part::BEGINS != 0 && record.stream > *last_stream {
                    *last_stream = record.stream;
                    let place = Place::new(&record.endpoint, record.settings);
                    self.tally.count(&place, what::UNKNOWN, boot_ns);
                }
            }
        }
    }

    fn go_on(&mut self, record: &Record, piece: &[u8], meaning: &mut dyn Meaning, boot_ns: u64) {
        let Some(known) = self.connections.get_mut(&record.cookie) else {
            return;
        };
        let Known::Followed(connection) = known else {
            return;
        };
        let mut ended = Vec::new();
        if let Err(lost) = connection.take(record, piece, meaning, &mut ended) {
            tracing::debug!(cookie = record.cookie, %lost, "an HTTP/2 connection cannot be followed");
            self.tally.lose(record.settings, boot_ns);
            ended.extend(connection.end_all(what::UNKNOWN, record.at_ns));
            *known = Known::Lost {
                last_stream: connection.last_stream(),
                last_ns: record.at_ns,
            };
        }
        for ended in ended {
            self.book(&ended, meaning, boot_ns);
        }
    }

    fn book(&mut self, ended: &Ended, meaning: &mut dyn Meaning, boot_ns: u64) {
        let definition = meaning.of(ended.place.settings);
        self.tally.end(ended, definition, boot_ns);
    }

    /// Notes how many records found no room, as the kernel counted by now. Whether that is news.
    pub fn doubt(&mut self, ring_full: u64, now_ns: u64) -> bool {
        // Fewer than before is counters that are gone, where there may have been more.
        let is_news = ring_full != self.ring_full;
        if is_news {
            self.doubted_ns = now_ns;
        }
        self.ring_full = ring_full;
        is_news
    }

    /// Books what is overdue, and tells what is in flight. Whether anything was booked.
    pub fn walk(
        &mut self,
        meaning: &mut dyn Meaning,
        now_ns: u64,
        boot_ns: u64,
        in_flight: &mut Vec<InFlight>,
    ) -> bool {
        self.connections.retain(|_, known| match known {
            Known::Followed(connection) => !connection.is_none(now_ns),
            // Its end may have gone untold. Should it go on, it is lost again.
            Known::Lost { last_ns, .. } => now_ns.saturating_sub(*last_ns) <= LONGEST_SILENCE_NS,
        });
        let mut is_booked = self.end_doubtful(meaning, now_ns, boot_ns);
        for known in self.connections.values_mut() {
            let Known::Followed(connection) = known else {
                continue;
            };
            let is_doubtful = connection.last_ns <= self.doubted_ns;
            for stream in connection.streams.values_mut() {
                let before = (stream.timing.over, stream.timing.is_final);
                let definition = meaning.of(stream.place.settings);
                let place = stream.place;
                if stream.is_answered() {
                    if !is_doubtful {
                        let timing = &mut stream.timing;
                        self.tally
                            .book_unfinished(&place, definition, timing, now_ns, boot_ns);
                    }
                    is_booked |= before.0 != stream.timing.over;
                    continue;
                }
                let overdue = !is_doubtful
                    && self
                        .tally
                        .book_overdue(&place, definition, &mut stream.timing, now_ns, boot_ns);
                is_booked |= before != (stream.timing.over, stream.timing.is_final);
                in_flight.push(InFlight {
                    endpoint: place.endpoint(),
                    settings: place.settings,
                    overdue: u8::from(overdue),
                    pad: [0; 3],
                });
            }
        }
        is_booked
    }

    /// Of connections whose end may have gone untold, what should be over by now is unknown, and held against nobody.
    /// Their header tables are kept for as long as they may be needed. Whether anything was booked.
    fn end_doubtful(&mut self, meaning: &mut dyn Meaning, now_ns: u64, boot_ns: u64) -> bool {
        let mut ended = Vec::new();
        let doubted_ns = self.doubted_ns;
        self.connections.retain(|_, known| {
            let Known::Followed(connection) = known else {
                return true;
            };
            if connection.last_ns > doubted_ns {
                return true;
            }
            if now_ns.saturating_sub(connection.last_ns) > LONGEST_SILENCE_NS {
                ended.extend(connection.end_all(what::UNKNOWN, now_ns));
                return false;
            }
            let is_over = |stream: &Stream| {
                let definition = meaning.of(stream.place.settings);
                let is_late = is_past_timeout(&stream.place, definition, &stream.timing, now_ns);
                !stream.is_answered() && (stream.timing.is_final || is_late)
            };
            ended.extend(connection.end_where(is_over, what::UNKNOWN, now_ns));
            true
        });
        for ended in &ended {
            self.book(ended, meaning, boot_ns);
        }
        !ended.is_empty()
    }

    /// Forgets half of the connections, those first that have been silent longest: what is kept has no room
    /// for them. Their requests in flight are unknown; who goes on is counted as lost then.
    pub fn shed(&mut self, meaning: &mut dyn Meaning, boot_ns: u64) -> bool {
        let known = self.connections.iter();
        let known: BTreeSet<(u64, u64)> = known.map(|(cookie, known)| (known.last_ns(), *cookie)).collect();
        let half = known.len().div_ceil(2);
        for (last_ns, cookie) in known.into_iter().take(half) {
            if let Some(Known::Followed(mut connection)) = self.connections.remove(&cookie) {
                for ended in connection.end_all(what::UNKNOWN, last_ns) {
                    self.book(&ended, meaning, boot_ns);
                }
            }
        }
        half > 0
    }

    /// Nobody will be told how its connections go on. Whether there were any.
    pub fn settle(&mut self, boot_ns: u64) -> bool {
        let connections = std::mem::take(&mut self.connections);
        let had_some = !connections.is_empty();
        for known in connections.into_values() {
            if let Known::Followed(mut connection) = known {
                for ended in connection.end_all(what::UNKNOWN, 0) {
                    self.tally.end(&ended, None, boot_ns);
                }
            }
        }
        had_some
    }
}

#[cfg(test)]
mod tests {
    use probes_ebpf::http2::{Direction, PREFACE, frame_flag, kind};

    use super::*;
    use crate::edge::settings::Definition;

    struct NoMeaning;

    impl Meaning for NoMeaning {
        fn of(&mut self, _: u32) -> Option<&Definition> {
            None
        }
        fn route(&mut self, _: u32, _: &[u8], _: &[u8]) -> u16 {
            0
        }
    }

    fn take(book: &mut Book, number: u32, kind: u8, at: u32, piece: &[u8]) {
        let record = Record {
            cookie: 7,
            number,
            kind,
            stream: at,
            ..Record::default()
        };
        book.take(&record, piece, &mut NoMeaning, 0);
    }

    /// Another protocol's first segment may come late as well.
    #[test]
    fn who_never_says_a_preface_is_forgotten() {
        for (preface, known) in [(None, 0), (Some(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 1)] {
            let mut book = Book::default();
            let state = Direction {
                next: PREFACE,
                ..Direction::default()
            };
            // SAFETY: as plain bytes.
            let state = unsafe {
                std::slice::from_raw_parts((&raw const state).cast::<u8>(), size_of::<Direction>())
            };
            take(&mut book, 0, event::HOLE, 0, state);
            take(&mut book, 1, event::RAW, 30, b"some of it");
            take(&mut book, 2, event::RAW, 30, b"some of it");
            if let Some(preface) = preface {
                take(&mut book, 3, event::RAW, 0, &[&preface[..], &[0; 6]].concat());
            }
            let mut walk = |now_ns| {
                book.walk(&mut NoMeaning, now_ns, 0, &mut Vec::new());
                book.connections.len()
            };
            assert_eq!(walk(60_000_000_000), 1);
            assert_eq!(walk(200_000_000_000), known);
            assert_eq!(book.tally.lost().count(), 0);
        }
    }

    #[test]
    fn what_is_lost_is_lost_of_its_settings() {
        let mut book = Book::default();
        let begins = |cookie, number, settings| Record {
            cookie,
            number,
            settings,
            stream: 1,
            kind: kind::HEADERS,
            part: part::FIRST | part::BEGINS | part::LAST,
            ..Record::default()
        };
        // A record is missing; another's beginning is; and one goes on that is known to be lost.
        for record in [begins(7, 0, 3), begins(7, 2, 3), begins(8, 5, 4), begins(8, 6, 4)] {
            book.take(&record, &[0x82], &mut NoMeaning, 0);
        }
        let mut lost: Vec<_> = book.tally.lost().map(|(id, lost)| (id, lost.value)).collect();
        lost.sort_unstable();
        assert_eq!(lost, [(3, 1), (4, 1)]);
    }

    /// A book in which a connection is lost, that has asked on `stream`.
    fn lost(stream: u32) -> (Book, Record) {
        let mut book = Book::default();
        let begins = Record {
            cookie: 9,
            number: 5,
            stream,
            at_ns: 1,
            kind: kind::HEADERS,
            part: part::FIRST | part::BEGINS | part::LAST,
            ..Record::default()
        };
        book.take(&begins, &[0x82], &mut NoMeaning, 0);
        (book, begins)
    }

    #[test]
    fn who_is_lost_and_silent_is_forgotten() {
        let (mut book, begins) = lost(1);
        let known = |book: &mut Book, now_ns| {
            book.walk(&mut NoMeaning, now_ns, 0, &mut Vec::new());
            book.connections.len()
        };
        assert_eq!(known(&mut book, LONGEST_SILENCE_NS), 1);
        // The next agent does not know since when.
        let kept = postcard::to_stdvec(&book).unwrap();
        let mut next: Book = postcard::from_bytes(&kept).unwrap();
        next.take_up(2 * LONGEST_SILENCE_NS);
        assert_eq!(known(&mut next, 2 * LONGEST_SILENCE_NS), 1);
        for (mut book, now_ns) in [(book, LONGEST_SILENCE_NS + 2), (next, 3 * LONGEST_SILENCE_NS + 1)] {
            assert_eq!(known(&mut book, now_ns), 0);
            // It speaks after all.
            book.take(&begins, &[0x82], &mut NoMeaning, 0);
            assert_eq!(book.tally.lost().map(|(_, lost)| lost.value).sum::<u64>(), 2);
            assert_eq!(book.tally.counts().map(|(_, count)| count.value).sum::<u64>(), 2);
        }
    }

    #[test]
    fn where_there_is_no_room_who_is_lost_makes_some() {
        let (mut book, _) = lost(1);
        assert!(book.shed(&mut NoMeaning, 0));
        assert!(book.connections.is_empty());
        assert!(!book.shed(&mut NoMeaning, 0));
    }

    #[test]
    fn who_is_lost_to_another_agent_is_not_forgotten_first() {
        let (mut book, _) = lost(1);
        book.take_up(200);
        take(&mut book, 0, event::CLOSED, 0, &[]);
        let silent = Record {
            cookie: 8,
            at_ns: 100,
            stream: 1,
            kind: kind::HEADERS,
            part: part::FIRST | part::BEGINS | part::LAST,
            ..Record::default()
        };
        book.take(&silent, &[0x82], &mut NoMeaning, 0);
        assert!(book.shed(&mut NoMeaning, 0));
        assert!(book.connections.contains_key(&9));
    }

    #[test]
    fn trailers_of_a_request_that_was_unknown_are_no_other() {
        let (mut book, begins) = lost(1);
        assert!(book.shed(&mut NoMeaning, 0));
        let unknown = |book: &Book| book.tally.counts().map(|(_, count)| count.value).sum::<u64>();
        // They may begin with any entry of the table.
        let trailers = Record {
            part: part::FIRST | part::LAST,
            flags: frame_flag::END_STREAM | frame_flag::END_HEADERS,
            ..begins
        };
        for piece in [[0xbe], [0x82]] {
            book.take(&trailers, &piece, &mut NoMeaning, 0);
        }
        assert_eq!(unknown(&book), 1);
        let next = Record { stream: 3, ..begins };
        book.take(&next, &[0xbe], &mut NoMeaning, 0);
        assert_eq!(unknown(&book), 2);
    }
}
