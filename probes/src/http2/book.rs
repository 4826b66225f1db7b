//! Every connection that speaks HTTP/2, and what was counted of them: all that must outlive an agent.

use std::collections::{BTreeMap, HashMap};

use probes_ebpf::{
    http2::kind,
    http2_wire::{ASKS, Record, event, part},
    wire::{InFlight, what},
};
use serde::{Deserialize, Serialize};

use super::{
    connection::Connection,
    meaning::Meaning,
    tally::{Ended, Place, Tally},
};

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Book {
    pub tally: Tally,
    connections: HashMap<u64, Known>,
    /// Records that found no room, as counted by the kernel when that was last looked at.
    ring_full: u64,
    /// Since then, the end of a connection may have gone untold: what hangs may be long over.
    is_doubtful: bool,
}

#[derive(Debug, Serialize, Deserialize)]
enum Known {
    Followed(Box<Connection>),
    /// A gap, or a header block that cannot be read: requests are counted as unknown, as they begin.
    Lost {
        last_stream: u32,
    },
}

impl Book {
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
        let known = self.connections.entry(record.cookie).or_insert_with(|| {
            if record.number == 0 {
                Known::Followed(Box::default())
            } else {
                Known::Lost { last_stream: 0 }
            }
        });
        let connection = match known {
            Known::Followed(connection) => connection,
            Known::Lost { last_stream } => {
                if record.kind == event::RAW {
                    // Whatever requests are in it, nobody counts them.
                    self.tally.lost += 1;
                }
                let begins = usize::from(record.direction) == ASKS
                    && record.kind == kind::HEADERS
                    && record.part & part::FIRST != 0;
                if begins && record.stream > *last_stream {
                    *last_stream = record.stream;
                    let place = Place::new(&record.endpoint, record.settings);
                    self.tally.count(&place, what::UNKNOWN, boot_ns);
                }
                return;
            }
        };
        let mut ended = Vec::new();
        if let Err(lost) = connection.take(record, piece, meaning, &mut ended) {
            tracing::debug!(cookie = record.cookie, %lost, "an HTTP/2 connection cannot be followed");
            self.tally.lost += 1;
            ended.extend(connection.end_all(what::UNKNOWN, record.at_ns));
            *known = Known::Lost {
                last_stream: connection.last_stream(),
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

    /// Notes how many records found no room so far.
    pub fn doubt(&mut self, ring_full: u64) {
        self.is_doubtful |= ring_full > self.ring_full;
        self.ring_full = ring_full;
    }

    /// Books what is overdue, and tells what is in flight. Whether anything was booked.
    pub fn walk(
        &mut self,
        meaning: &mut dyn Meaning,
        now_ns: u64,
        boot_ns: u64,
        in_flight: &mut Vec<InFlight>,
    ) -> bool {
        self.connections
            .retain(|_, known| !matches!(known, Known::Followed(connection) if connection.is_none(now_ns)));
        let timed_out = if self.is_doubtful {
            what::UNKNOWN
        } else {
            what::TIMED_OUT
        };
        let mut is_booked = false;
        for known in self.connections.values_mut() {
            let Known::Followed(connection) = known else {
                continue;
            };
            for stream in connection.streams.values_mut() {
                let before = (stream.timing.over, stream.timing.is_final);
                let definition = meaning.of(stream.place.settings);
                let place = stream.place;
                if stream.is_answered() {
                    let timing = &mut stream.timing;
                    self.tally
                        .book_unfinished(&place, definition, timing, now_ns, boot_ns);
                    is_booked |= before.0 != timing.over;
                    continue;
                }
                let overdue = self.tally.book_overdue(
                    &place,
                    definition,
                    &mut stream.timing,
                    timed_out,
                    now_ns,
                    boot_ns,
                );
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

    /// Stops following half of the connections, those first that have been silent longest: what is
    /// kept has no room for them. Their requests in flight are unknown.
    pub fn shed(&mut self, meaning: &mut dyn Meaning, boot_ns: u64) -> bool {
        let mut followed: BTreeMap<(u64, u64), ()> = BTreeMap::new();
        for (cookie, known) in &self.connections {
            if let Known::Followed(connection) = known {
                followed.insert((connection.last_ns, *cookie), ());
            }
        }
        let half = followed.len().div_ceil(2);
        for (last_ns, cookie) in followed.into_keys().take(half) {
            let lost = Known::Lost { last_stream: 0 };
            if let Some(Known::Followed(mut connection)) = self.connections.insert(cookie, lost) {
                for ended in connection.end_all(what::UNKNOWN, last_ns) {
                    self.book(&ended, meaning, boot_ns);
                }
            }
        }
        half > 0
    }
}

#[cfg(test)]
mod tests {
    use probes_ebpf::http2::{Direction, PREFACE};

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
            assert_eq!(book.tally.lost, 0);
        }
    }
}
