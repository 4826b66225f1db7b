//! Where fields stand in the kernel's own structures, by its own account (BTF).
//!
//! Programs may read a few fields that no helper tells. The verifier checks each such read against
//! the same account, so a wrong offset cannot be loaded.

use std::{fs, io, sync::OnceLock};

const PATH: &str = "/sys/kernel/btf/vmlinux";

/// Offset in bytes; `None` where the kernel does not say.
pub(crate) fn offset(structure: &str, member: &str) -> Option<u32> {
    static TYPES: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    let types = TYPES.get_or_init(|| {
        fs::read(PATH)
            .map_err(|error| {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(path = PATH, %error, "cannot read the kernel's types");
                }
            })
            .ok()
    });
    find(types.as_deref()?, structure, member)
}

const STRUCT: u32 = 4;

/// Walks the records in their order; each says how long it is.
fn find(types: &[u8], structure: &str, member: &str) -> Option<u32> {
    if types.get(..2)? != 0xeb9f_u16.to_ne_bytes() {
        return None;
    }
    let header = usize::try_from(word(types, 4)?).ok()?;
    let section = |at: usize| usize::try_from(word(types, at)?).ok();
    let (from, length) = (header + section(8)?, section(12)?);
    let strings = types.get(header + section(16)?..)?;
    let records = types.get(from..)?.get(..length)?;
    let mut at = 0;
    while at < records.len() {
        let (name, info) = (word(records, at)?, word(records, at + 4)?);
        let (kind, count) = ((info >> 24) & 0x1f, usize::try_from(info & 0xffff).ok()?);
        let body = at + 12;
        if kind == STRUCT && is_called(strings, name, structure) {
            return (0..count).find_map(|index| {
                let record = body + 12 * index;
                let bits = word(records, record + 8)?;
                // With the flag, the upper byte is the width of a bit field.
                let bits = if info >> 31 == 0 { bits } else { bits & 0x00ff_ffff };
                let is_wanted = is_called(strings, word(records, record)?, member) && bits.is_multiple_of(8);
                is_wanted.then_some(bits / 8)
            });
        }
        at = body
            + match kind {
                1 | 14 | 17 => 4,
                3 => 12,
                STRUCT | 5 | 15 | 19 => 12 * count,
                6 | 13 => 8 * count,
                2 | 7..=12 | 16 | 18 => 0,
                // A newer kind, of a length that nobody told us.
                _ => return None,
            };
    }
    None
}

fn is_called(strings: &[u8], at: u32, name: &str) -> bool {
    let Some(text) = usize::try_from(at).ok().and_then(|at| strings.get(at..)) else {
        return false;
    };
    text.starts_with(name.as_bytes()) && text.get(name.len()) == Some(&0)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_kernel_says_where_its_fields_are() {
        // The very first field of every socket is `__sk_common`, and TCP's begins with a socket.
        assert_eq!(offset("sock", "__sk_common"), Some(0));
        assert_eq!(offset("tcp_sock", "inet_conn"), Some(0));
        assert!(offset("sock", "sk_err") > Some(0));
        assert!(offset("tcp_sock", "bytes_acked") > offset("sock", "sk_err"));
        assert_eq!(offset("sock", "no_such_field"), None);
        assert_eq!(offset("no_such_structure", "x"), None);
    }

    #[test]
    fn types_that_are_cut_are_no_types() {
        let types = fs::read(PATH).unwrap();
        for end in [0, 1, 3, 16, 24, 1000] {
            assert_eq!(find(&types[..end], "sock", "sk_err"), None);
        }
    }
}
