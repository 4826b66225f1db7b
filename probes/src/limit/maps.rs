//! The maps of the limiter as typed values: one reading and one writing call each, no rules.

use std::{fmt, path::Path};

use aya::{
    Pod,
    maps::{Array, LpmTrie, Map, MapData, MapError, PerCpuArray, PerCpuValues, lpm_trie::Key},
};
use probes_ebpf::limit_wire::{self as wire, Hits, PortWord, SourceKey};

use super::{LimitError, layout::MAPS};
use crate::bpffs;

/// A record of the kernel's; `Pod` and the record belong to two other crates.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Record<T>(T);

// SAFETY: `repr(C)` without padding bytes, any bit pattern is a value.
unsafe impl Pod for Record<wire::Rule> {}
// SAFETY: as above.
unsafe impl Pod for Record<PortWord> {}
// SAFETY: as above.
unsafe impl Pod for Record<Hits> {}

type TrieKey = Key<[u8; 20]>;

pub(super) struct Maps {
    control: Array<MapData, u64>,
    port_words: Array<MapData, Record<PortWord>>,
    rules: Array<MapData, Record<wire::Rule>>,
    buckets: Array<MapData, u64>,
    hits: PerCpuArray<MapData, Record<Hits>>,
    port_hits: PerCpuArray<MapData, Record<Hits>>,
    port_numbers: Array<MapData, u32>,
    counts: PerCpuArray<MapData, u64>,
    pub sources: Trie,
    pub allowed: Trie,
    processors: usize,
}

/// A longest-prefix trie of sources.
pub(super) struct Trie {
    map: LpmTrie<MapData, [u8; 20], u32>,
    name: &'static str,
}

impl Maps {
    /// Opens the pins in a directory, if each is what this build declares.
    pub fn in_directory(directory: &Path) -> Result<Self, LimitError> {
        bpffs::check(directory, &MAPS)?;
        Self::from_data(|name| MapData::from_pin(directory.join(name)).map_err(LimitError::map("open", name)))
    }

    pub fn from_data(
        mut data: impl FnMut(&'static str) -> Result<MapData, LimitError>,
    ) -> Result<Self, LimitError> {
        Ok(Self {
            control: typed("CONTROL", Map::Array, data("CONTROL")?)?,
            port_words: typed("PORT_WORD", Map::Array, data("PORT_WORD")?)?,
            rules: typed("RULES", Map::Array, data("RULES")?)?,
            buckets: typed("BUCKETS", Map::Array, data("BUCKETS")?)?,
            hits: typed("HITS", Map::PerCpuArray, data("HITS")?)?,
            port_hits: typed("PORT_HITS", Map::PerCpuArray, data("PORT_HITS")?)?,
            port_numbers: typed("PORT_NUMBERS", Map::Array, data("PORT_NUMBERS")?)?,
            counts: typed("COUNTS", Map::PerCpuArray, data("COUNTS")?)?,
            sources: Trie {
                map: typed("SOURCES", Map::LpmTrie, data("SOURCES")?)?,
                name: "SOURCES",
            },
            allowed: Trie {
                map: typed("ALLOWED", Map::LpmTrie, data("ALLOWED")?)?,
                name: "ALLOWED",
            },
            processors: aya::util::nr_cpus().map_err(|(file, source)| LimitError::Load {
                reason: format!("cannot read `{file}`: {source}"),
            })?,
        })
    }

    pub fn control(&self, index: u32) -> Result<u64, LimitError> {
        self.control
            .get(&index, 0)
            .map_err(LimitError::map("read", "CONTROL"))
    }

    pub fn set_control(&mut self, index: u32, value: u64) -> Result<(), LimitError> {
        self.control
            .set(index, value, 0)
            .map_err(LimitError::map("write", "CONTROL"))
    }

    /// Every rule that is not free, with its slot.
    pub fn rules(&self) -> Result<Vec<(u32, wire::Rule)>, LimitError> {
        let mut records = Vec::new();
        for slot in 0..wire::RULES_MAX {
            let Record(record) = self
                .rules
                .get(&slot, 0)
                .map_err(LimitError::map("read", "RULES"))?;
            if record.deadline != 0 {
                records.push((slot, record));
            }
        }
        Ok(records)
    }

    pub fn set_rule(&mut self, slot: u32, record: wire::Rule) -> Result<(), LimitError> {
        self.rules
            .set(slot, Record(record), 0)
            .map_err(LimitError::map("write", "RULES"))
    }

    /// A full bucket and counters at zero, before a slot gets a new rule.
    pub fn reset(&mut self, slot: u32) -> Result<(), LimitError> {
        self.buckets
            .set(slot, 0, 0)
            .map_err(LimitError::map("write", "BUCKETS"))?;
        let zeros = self.zeros()?;
        self.hits
            .set(slot, zeros, 0)
            .map_err(LimitError::map("write", "HITS"))
    }

    pub fn hits(&self, slot: u32) -> Result<Hits, LimitError> {
        total(&self.hits, "HITS", slot)
    }

    pub fn port_hits(&self, slot: u32) -> Result<Hits, LimitError> {
        total(&self.port_hits, "PORT_HITS", slot)
    }

    /// 0: no port has this slot.
    pub fn port_number(&self, slot: u32) -> Result<u16, LimitError> {
        let port = self
            .port_numbers
            .get(&slot, 0)
            .map_err(LimitError::map("read", "PORT_NUMBERS"))?;
        Ok(u16::try_from(port).unwrap_or_default())
    }

    /// Gives a slot to a port, with counters at zero.
    pub fn start_port(&mut self, slot: u32, port: u16) -> Result<(), LimitError> {
        let zeros = self.zeros()?;
        self.port_hits
            .set(slot, zeros, 0)
            .map_err(LimitError::map("write", "PORT_HITS"))?;
        self.port_numbers
            .set(slot, u32::from(port), 0)
            .map_err(LimitError::map("write", "PORT_NUMBERS"))
    }

    fn zeros(&self) -> Result<PerCpuValues<Record<Hits>>, LimitError> {
        PerCpuValues::try_from(vec![Record(Hits::default()); self.processors]).map_err(|source| {
            LimitError::Load {
                reason: source.to_string(),
            }
        })
    }

    pub fn port_word(&self, index: u32) -> Result<PortWord, LimitError> {
        let Record(word) = self
            .port_words
            .get(&index, 0)
            .map_err(LimitError::map("read", "PORT_WORD"))?;
        Ok(word)
    }

    pub fn set_port_word(&mut self, index: u32, word: PortWord) -> Result<(), LimitError> {
        self.port_words
            .set(index, Record(word), 0)
            .map_err(LimitError::map("write", "PORT_WORD"))
    }

    pub fn count(&self, kind: u32) -> Result<u64, LimitError> {
        let values = self
            .counts
            .get(&kind, 0)
            .map_err(LimitError::map("read", "COUNTS"))?;
        Ok(values.iter().sum())
    }
}

impl Trie {
    pub fn insert(&mut self, key: &SourceKey, value: u32) -> Result<(), LimitError> {
        self.map
            .insert(&packed(key), value, 0)
            .map_err(LimitError::map("write", self.name))
    }

    /// Absent already is fine.
    pub fn remove(&mut self, key: &SourceKey) -> Result<(), LimitError> {
        match self.map.remove(&packed(key)) {
            Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
            Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => {
                Ok(())
            }
            Err(error) => Err(LimitError::map("write", self.name)(error)),
        }
    }

    pub fn keys(&self) -> Result<Vec<SourceKey>, LimitError> {
        let keys: Result<Vec<TrieKey>, MapError> = self.map.keys().collect();
        Ok(keys
            .map_err(LimitError::map("list", self.name))?
            .iter()
            .map(unpacked)
            .collect())
    }
}

impl fmt::Debug for Maps {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Maps").finish_non_exhaustive()
    }
}

fn typed<T: TryFrom<Map, Error = MapError>>(
    name: &'static str,
    kind: fn(MapData) -> Map,
    data: MapData,
) -> Result<T, LimitError> {
    T::try_from(kind(data)).map_err(LimitError::map("open", name))
}

fn total(
    hits: &PerCpuArray<MapData, Record<Hits>>,
    name: &'static str,
    index: u32,
) -> Result<Hits, LimitError> {
    let values = hits.get(&index, 0).map_err(LimitError::map("read", name))?;
    Ok(values.iter().fold(Hits::default(), |sum, Record(hits)| Hits {
        passed: sum.passed + hits.passed,
        dropped: sum.dropped + hits.dropped,
    }))
}

fn packed(key: &SourceKey) -> TrieKey {
    let mut data = [0; 20];
    data[..2].copy_from_slice(&key.port);
    data[2] = key.family;
    data[4..].copy_from_slice(&key.address);
    Key::new(key.prefix_length, data)
}

fn unpacked(key: &TrieKey) -> SourceKey {
    let data = key.data();
    let mut address = [0; 16];
    address.copy_from_slice(&data[4..]);
    SourceKey {
        prefix_length: key.prefix_len(),
        port: [data[0], data[1]],
        family: data[2],
        zero: 0,
        address,
    }
}
