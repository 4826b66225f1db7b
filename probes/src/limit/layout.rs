//! What the pinned maps must look like. A test compares it with the object.

use std::path::{Path, PathBuf};

use probes_ebpf::limit_wire::{
    ALLOWED_MAX, Hits, PORT_WORDS, PORTS_MAX, PortWord, RULES_MAX, Rule, SOURCE_CELLS, SOURCES_MAX,
    SourceKey, VERSION, control, count,
};

use super::LimitError;
use crate::bpffs::{self, MapLayout};

const ARRAY: u32 = 2;
const PER_CPU_ARRAY: u32 = 6;
const LPM_TRIE: u32 = 11;
/// `BPF_F_NO_PREALLOC`, which a trie must have.
const NO_PREALLOC: u32 = 1;

pub(super) const MAPS: [MapLayout; 11] = [
    map::<u64>("CONTROL", ARRAY, control::WORDS),
    map::<PortWord>("PORT_WORD", ARRAY, PORT_WORDS),
    trie("SOURCES", SOURCES_MAX),
    map::<Rule>("RULES", ARRAY, RULES_MAX),
    map::<u64>("BUCKETS", ARRAY, RULES_MAX),
    map::<u64>("SOURCE_BUCKETS", ARRAY, 2 * SOURCE_CELLS),
    map::<Hits>("HITS", PER_CPU_ARRAY, RULES_MAX),
    map::<Hits>("PORT_HITS", PER_CPU_ARRAY, PORTS_MAX),
    map::<u32>("PORT_NUMBERS", ARRAY, PORTS_MAX),
    trie("ALLOWED", ALLOWED_MAX),
    map::<u64>("COUNTS", PER_CPU_ARRAY, count::KINDS),
];

/// Memory of each.
pub(crate) fn map_bytes() -> impl Iterator<Item = (&'static str, u64)> {
    let cpus = aya::util::nr_cpus().unwrap_or(1);
    MAPS.iter().map(move |map| (map.name, map.bytes(cpus)))
}

/// Every layout of one instance starts with this.
pub(super) const DIRECTORY: &str = "limit-";
/// Locked by the process that may attach and sweep; the same for every layout.
pub(super) const LOCK: &str = "limit_lock";

/// `<bpffs>/slowburn/<instance>/limit-<fingerprint>`.
pub(super) fn directory(root: &Path, instance: &str) -> Result<PathBuf, LimitError> {
    let instance = bpffs::instance_path(root, instance)?;
    Ok(instance.join(format!("{DIRECTORY}{}", bpffs::fingerprint(VERSION, &MAPS))))
}

/// The pin directories of every layout an instance ever had.
pub(super) fn every_directory(root: &Path, instance: &str) -> Result<Vec<PathBuf>, LimitError> {
    let instance = bpffs::instance_path(root, instance)?;
    let entries = match std::fs::read_dir(&instance) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(bpffs::BpffsError::Directory {
                path: instance,
                source,
            }
            .into());
        }
    };
    let mut found: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(DIRECTORY))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    Ok(found)
}

#[expect(clippy::cast_possible_truncation, reason = "records are a few bytes")]
const fn map<Value>(name: &'static str, kind: u32, max_entries: u32) -> MapLayout {
    MapLayout {
        name,
        kind,
        key_size: 4,
        value_size: size_of::<Value>() as u32,
        max_entries,
        flags: 0,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "records are a few bytes")]
const fn trie(name: &'static str, max_entries: u32) -> MapLayout {
    MapLayout {
        name,
        kind: LPM_TRIE,
        key_size: size_of::<SourceKey>() as u32,
        value_size: 4,
        max_entries,
        flags: NO_PREALLOC,
    }
}
