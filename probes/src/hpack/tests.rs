//! The worked examples of RFC 7541, appendix C, and what is malformed.

#![allow(clippy::unwrap_used, reason = "tests panic")]

use proptest::prelude::{any, proptest};

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

fn text(decoder: &mut Decoder, hex: &str) -> String {
    let mut fields = Vec::new();
    decoder
        .decode(&bytes(hex), |name, value| {
            fields.push(format!(
                "{}: {}",
                String::from_utf8_lossy(name),
                String::from_utf8_lossy(value)
            ));
        })
        .unwrap();
    fields.join("|")
}

#[test]
fn requests_of_the_specification_share_a_table() {
    // C.3 without, C.4 with Huffman codes.
    for blocks in [
        [
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ],
        [
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ],
    ] {
        let mut decoder = Decoder::default();
        let seen = blocks.map(|block| text(&mut decoder, block));
        assert_eq!(
            seen,
            [
                ":method: GET|:scheme: http|:path: /|:authority: www.example.com",
                ":method: GET|:scheme: http|:path: /|:authority: www.example.com|cache-control: no-cache",
                ":method: GET|:scheme: https|:path: /index.html|:authority: www.example.com|custom-key: custom-value",
            ]
        );
        assert_eq!(decoder.size, 164);
    }
}

#[test]
fn responses_of_the_specification_push_entries_out() {
    // C.6: a table of 256 bytes.
    let mut decoder = Decoder {
        limit: 256,
        ..Decoder::default()
    };
    let first = text(
        &mut decoder,
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
    );
    assert_eq!(
        first,
        ":status: 302|cache-control: private|date: Mon, 21 Oct 2013 20:13:21 GMT|location: https://www.example.com"
    );
    assert_eq!(decoder.size, 222);
    let second = text(&mut decoder, "4883 640e ffc1 c0bf");
    assert_eq!(
        second,
        ":status: 307|cache-control: private|date: Mon, 21 Oct 2013 20:13:21 GMT|location: https://www.example.com"
    );
    assert_eq!((decoder.size, decoder.entries.len()), (222, 4));
    let third = text(
        &mut decoder,
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    );
    assert_eq!(
        third,
        ":status: 200|cache-control: private|date: Mon, 21 Oct 2013 20:13:22 GMT|location: https://www.example.com|content-encoding: gzip|set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
    );
    assert_eq!((decoder.size, decoder.entries.len()), (215, 3));
}

#[test]
fn what_is_malformed_says_how() {
    for (hex, error) in [
        ("80", HpackError::Index),
        ("be", HpackError::Index),
        ("41", HpackError::Truncated),
        ("4105 6162", HpackError::Truncated),
        ("ffff ffff ffff", HpackError::Number),
        ("3fff ffff 01", HpackError::Limit),
        ("4181 00", HpackError::Huffman),
    ] {
        let failed = Decoder::default().decode(&bytes(hex), |_, _| {});
        assert_eq!(failed, Err(error), "{hex}");
    }
}

#[test]
fn a_smaller_table_forgets_its_oldest_entries() {
    let mut decoder = Decoder::default();
    text(&mut decoder, "4001 6101 6240 0163 0164");
    assert_eq!(text(&mut decoder, "bfbe"), "a: b|c: d");
    // To 34 bytes: the newest alone fits.
    assert_eq!(text(&mut decoder, "3f03 be"), "c: d");
    assert_eq!(
        Decoder::decode(&mut decoder, &[0xbf], |_, _| {}),
        Err(HpackError::Index)
    );
    text(&mut decoder, "20");
    assert_eq!((decoder.size, decoder.entries.len()), (0, 0));
}

proptest! {
    #[test]
    fn no_bytes_break_the_table(blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..20)) {
        let mut decoder = Decoder::default();
        for block in blocks {
            let _ = decoder.decode(&block, |_, _| {});
            let size: usize = decoder.entries.iter().map(|(name, value)| name.len() + value.len() + OVERHEAD).sum();
            assert_eq!(size, decoder.size);
            assert!(size <= decoder.limit);
        }
    }
}
