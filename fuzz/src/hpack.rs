//! HPACK: what our decoder makes of header blocks is what another one makes of them, and what another's
//! encoder writes reads back. So nothing is read that is not there, and nothing is refused that is.

use fluke_hpack::decoder::DecoderError;

use super::{
    ours::{Decoder, HpackError},
    pieces,
};

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

pub fn ask(input: &[u8]) {
    let blocks = pieces(input);
    let (mut ours, mut theirs) = (Decoder::default(), fluke_hpack::Decoder::new());
    for block in &blocks {
        // After an error the table is of no use; and the other decoder may panic at what is malformed.
        let Ok(fields) = decode(&mut ours, block) else {
            break;
        };
        let mut others = Fields::new();
        let result = theirs.decode_with_cb(block, |name, value| {
            others.push((name.into_owned(), value.into_owned()));
        });
        // Who sends such a block is closed by its peer; nothing is wrong with what it says.
        assert!(
            matches!(result, Ok(()) | Err(DecoderError::SizeUpdateAtEnd)),
            "{result:?}"
        );
        assert_eq!(others, fields);
    }

    let (mut decoder, mut encoder) = (Decoder::default(), fluke_hpack::Encoder::new());
    for block in &blocks {
        let fields: Vec<(&[u8], &[u8])> = block
            .split(|byte| *byte == b'\n')
            .map(|line| line.split_at(line.iter().position(|byte| *byte == b':').unwrap_or(line.len())))
            .collect();
        let expected: Fields = fields
            .iter()
            .map(|(name, value)| (name.to_vec(), value.to_vec()))
            .collect();
        assert_eq!(decode(&mut decoder, &encoder.encode(fields)), Ok(expected));
    }
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, HpackError> {
    let mut fields = Vec::new();
    decoder.decode(block, |name, value| fields.push((name.to_vec(), value.to_vec())))?;
    Ok(fields)
}
