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
    let types = Types::read(types.as_deref()?)?;
    let found = types.called(structure)?;
    let bits = types.member(found, member)?;
    bits.is_multiple_of(8).then_some(bits / 8)
}

const STRUCT: u32 = 4;
const UNION: u32 = 5;

/// The records of a BTF file.
struct Types<'a> {
    records: &'a [u8],
    strings: &'a [u8],
    /// Where each record begins; a type's id is its place here, from 1.
    places: Vec<usize>,
}

impl<'a> Types<'a> {
    /// Walks the records in their order; each says how long it is.
    fn read(file: &'a [u8]) -> Option<Self> {
        if file.get(..2)? != 0xeb9f_u16.to_ne_bytes() {
            return None;
        }
        let header = usize::try_from(word(file, 4)?).ok()?;
        let section = |at: usize| usize::try_from(word(file, at)?).ok();
        let (from, length) = (header + section(8)?, section(12)?);
        let strings = file.get(header + section(16)?..)?;
        let records = file.get(from..)?.get(..length)?;
        let mut places = Vec::new();
        let mut at = 0;
        while at < records.len() {
            places.push(at);
            let info = word(records, at + 4)?;
            let count = usize::try_from(info & 0xffff).ok()?;
            at += 12
                + match (info >> 24) & 0x1f {
                    1 | 14 | 17 => 4,
                    3 => 12,
                    STRUCT | UNION | 15 | 19 => 12 * count,
                    6 | 13 => 8 * count,
                    2 | 7..=12 | 16 | 18 => 0,
                    // A newer kind, of a length that nobody told us: what came before is known.
                    _ => break,
                };
        }
        Some(Self {
            records,
            strings,
            places,
        })
    }

    /// The record of a structure.
    fn called(&self, structure: &str) -> Option<usize> {
        self.places.iter().copied().find(|at| {
            let kind = word(self.records, at + 4).map(|info| (info >> 24) & 0x1f);
            kind == Some(STRUCT) && self.is_called(*at, structure)
        })
    }

    /// Where a member of a structure begins, in bits; also one of a nameless part of it.
    fn member(&self, at: usize, member: &str) -> Option<u32> {
        let info = word(self.records, at + 4)?;
        let count = usize::try_from(info & 0xffff).ok()?;
        if !matches!((info >> 24) & 0x1f, STRUCT | UNION) {
            return None;
        }
        (0..count).find_map(|index| {
            let record = at + 12 + 12 * index;
            let bits = word(self.records, record + 8)?;
            // With the flag, the upper byte is the width of a bit field.
            let bits = if info >> 31 == 0 { bits } else { bits & 0x00ff_ffff };
            if self.is_called(record, member) {
                return Some(bits);
            }
            if !self.is_called(record, "") {
                return None;
            }
            let id = usize::try_from(word(self.records, record + 4)?).ok()?;
            let part = self.places.get(id.checked_sub(1)?)?;
            Some(bits + self.member(*part, member)?)
        })
    }

    /// Whether the record at `at`, which begins with its name, has this one.
    fn is_called(&self, at: usize, name: &str) -> bool {
        let place = word(self.records, at).and_then(|place| usize::try_from(place).ok());
        let Some(text) = place.and_then(|place| self.strings.get(place..)) else {
            return false;
        };
        text.starts_with(name.as_bytes()) && text.get(name.len()) == Some(&0)
    }
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
        // The port lies in a structure without a name in a union without one.
        assert_eq!(offset("sock_common", "skc_num"), Some(14));
        assert!(offset("tcp_sock", "bytes_acked") > offset("sock", "sk_err"));
        assert_eq!(offset("sock", "no_such_field"), None);
        assert_eq!(offset("no_such_structure", "x"), None);
    }

    #[test]
    fn types_that_are_cut_are_no_types() {
        let types = fs::read(PATH).unwrap();
        for end in [0, 1, 3, 16, 24, 1000] {
            assert!(Types::read(&types[..end]).is_none_or(|types| types.called("sock").is_none()));
        }
    }
}
