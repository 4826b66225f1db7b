//! A chunked body, read whole.

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// After this many bytes.
    At(usize),
    /// Not within these bytes.
    Later,
    /// These are no chunks.
    Never,
}

const DIGITS_MOST: usize = 14;

pub fn read(body: &[u8]) -> End {
    let mut rest = body;
    loop {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if digits > DIGITS_MOST || digits == 0 && !rest.is_empty() {
            return End::Never;
        }
        let text = std::str::from_utf8(&rest[..digits]).expect("digits");
        let Some(after) = behind_line(&rest[digits..]) else {
            return End::Later;
        };
        let size = u64::from_str_radix(text, 16).expect("fits");
        if size == 0 {
            return trailer(body.len(), after);
        }
        let Some(after) = usize::try_from(size).ok().and_then(|size| after.get(size..)) else {
            return End::Later;
        };
        let returns = after.iter().take_while(|byte| **byte == b'\r').count();
        match after.get(returns) {
            None => return End::Later,
            Some(b'\n') => rest = &after[returns + 1..],
            Some(_) => return End::Never,
        }
    }
}

fn trailer(whole: usize, mut rest: &[u8]) -> End {
    while let Some(after) = behind_line(rest) {
        let line = &rest[..rest.len() - after.len() - 1];
        if line.iter().all(|byte| *byte == b'\r') {
            return End::At(whole - after.len());
        }
        rest = after;
    }
    End::Later
}

fn behind_line(text: &[u8]) -> Option<&[u8]> {
    let at = text.iter().position(|byte| *byte == b'\n')?;
    Some(&text[at + 1..])
}
