//! TLS records: which of a client's asks, by a plain reading of them; whether a server answers, however its
//! records were cut; and what a hello offers, of which less is known when less of it is there, never more.

use probes_ebpf::tls::{
    self, Payload,
    state::{FINISHED, LONG_FINISHED, OFFERS_HTTP2, SPOKE_EARLY, VERSION_13, VERSION_KNOWN},
};

/// As many as are looked at in one segment.
const RECORDS: usize = 8;
const APPLICATION_DATA: u8 = 0x17;
/// Lengths at which something begins or ends to be asked, answered, or held.
const LENGTHS: [u16; 16] = [
    0, 17, 19, 33, 34, 35, 41, 42, 53, 69, 81, 88, 200, 216, 1500, 18432,
];

pub fn ask(input: &[u8]) {
    let Some((seed, rest)) = input.split_first_chunk::<4>() else {
        return;
    };
    let state = u64::from(u32::from_le_bytes(*seed));
    raw(rest, state);
    let records: Vec<(u8, u16)> = rest
        .chunks_exact(2)
        .take(RECORDS)
        .map(|pair| {
            let kind = if pair[0] < 0xc0 {
                APPLICATION_DATA
            } else {
                0x14 + (pair[0] & 3)
            };
            (
                kind,
                LENGTHS[usize::from(pair[1] >> 4)] + u16::from(pair[1] & 1) * 16,
            )
        })
        .map(|(kind, length)| (kind, length.min(18432)))
        .collect();
    client(&records, state);
    server(&records, state);
}

/// Bytes as they come, which need not be TLS.
fn raw(bytes: &[u8], state: u64) {
    let offers = tls::client_hello(&Bytes(bytes));
    let (after, _) = tls::server(&Bytes(bytes), state);
    assert_eq!(after & state & 7, state & 7, "the lowest bits are not its own");
    for cut in 0..bytes.len().min(200) {
        let shorter = tls::client_hello(&Bytes(&bytes[..cut]));
        assert_eq!(
            shorter & offers,
            offers,
            "what is not there may offer anything: {cut}"
        );
        let asked = tls::client(&Bytes(bytes), length(cut), cut % 2 == 0, state);
        assert!(asked.next >= length(cut));
        assert_eq!(asked.state & state, state);
    }
}

fn client(records: &[(u8, u16)], state: u64) {
    let bytes = written(records);
    let whole = tls::client(&Bytes(&bytes), 0, false, state);
    let (asks, finished) = plain(records, state);
    assert_eq!(
        (whole.length, whole.state & FINISHED),
        (asks, finished),
        "{records:?}"
    );
    // Each record in a segment of its own.
    let mut now = state;
    let mut found = 0;
    for record in records {
        let asked = tls::client(&Bytes(&written(&[*record])), 0, false, now);
        now = asked.state;
        if asked.length != 0 {
            found = asked.length;
            break;
        }
    }
    assert_eq!((found, now), (whole.length, whole.state), "{records:?}");
}

/// The length of the first record that asks, and whether the client's handshake is over.
fn plain(records: &[(u8, u16)], state: u64) -> (u32, u64) {
    let is_13 = state & VERSION_13 != 0;
    let data = records.iter().filter(|(kind, _)| *kind == APPLICATION_DATA);
    let mut lengths = data.map(|(_, length)| u32::from(*length));
    if state & FINISHED == 0 {
        if state & VERSION_KNOWN == 0 {
            return (0, 0);
        }
        // In TLS 1.3 the Finished is hidden among them: its kind, a header, a hash and a tag.
        let hash = if state & LONG_FINISHED != 0 { 48 } else { 32 };
        if is_13 && !lengths.any(|length| length == 4 + hash + 17) {
            return (0, 0);
        }
    }
    let is_over = state & FINISHED != 0 || is_13;
    let mut lengths = lengths.filter(|length| *length != 0);
    let asks = lengths.find(|length| match (is_13, state & OFFERS_HTTP2 != 0) {
        (true, false) => *length != 19,
        (true, true) => *length > 34,
        (false, true) => *length > 41,
        (false, false) => true,
    });
    let any = records.iter().any(|(kind, _)| *kind == APPLICATION_DATA);
    (asks.unwrap_or(0), if is_over || any { FINISHED } else { 0 })
}

fn server(records: &[(u8, u16)], state: u64) {
    // A state that only a client's segment could have led to, or a handshake, where one segment tells all.
    if state & FINISHED == 0 {
        let (after, is_answer) = tls::server(&Bytes(&written(records)), state);
        assert!(!is_answer);
        let may_finish = state & SPOKE_EARLY != 0;
        assert!(may_finish || after & FINISHED == 0);
        return;
    }
    let whole = tls::server(&Bytes(&written(records)), state);
    for cut in 0..=records.len() {
        let (first, second) = records.split_at(cut);
        let (after, is_answer) = tls::server(&Bytes(&written(first)), state);
        let parts = if is_answer {
            (after, true)
        } else {
            tls::server(&Bytes(&written(second)), after)
        };
        assert_eq!(parts, whole, "cut at {cut} of {records:?}");
    }
}

fn written(records: &[(u8, u16)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, length) in records {
        bytes.extend([*kind, 3, 3]);
        bytes.extend(length.to_be_bytes());
        bytes.resize(bytes.len() + usize::from(*length), 0xaa);
    }
    bytes
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

struct Bytes<'a>(&'a [u8]);

impl Payload for Bytes<'_> {
    fn length(&self) -> u32 {
        length(self.0.len())
    }

    fn load<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
        let at = usize::try_from(at).ok()?;
        self.0.get(at..at.checked_add(N)?)?.try_into().ok()
    }
}
