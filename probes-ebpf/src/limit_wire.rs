//! Records of the `limit` object: what user space writes for the XDP limiter, and what it reads.
//!
//! Every map is read by name through its pin, also by commands that load no object. A change of a
//! record, a capacity or a meaning raises [`VERSION`], which gives the pins a new directory.

use crate::limit::packet::{Segment, Unread};

/// Part of the pin directory's fingerprint.
pub const VERSION: u32 = 1;

/// Rules that can stand at the same time.
pub const RULES_MAX: u32 = 1024;
/// Rules over all sources of a port need an entry a family.
pub const SOURCES_MAX: u32 = 2 * RULES_MAX;
/// Service ports that ever had a rule; their counters outlive the rules.
pub const PORTS_MAX: u32 = 256;
pub const ALLOWED_MAX: u32 = 1024;
/// Cells a row of the per-source table; two rows.
pub const SOURCE_CELLS: u32 = 65_536;
/// One [`PortWord`] for 64 ports.
pub const PORT_WORDS: u32 = 65_536 / 64;

/// No lease is longer, and the kernel takes a longer one for none.
pub const LEASE_MAX_NANOSECONDS: u64 = 10_000_000_000;

/// Words of the `CONTROL` map. Each has one writer at a time and its own element, so that a panic
/// set by one process cannot be lost to a lease renewed by another.
pub mod control {
    /// `CLOCK_BOOTTIME` in nanoseconds up to which rules are enforced.
    pub const LEASE: u32 = 0;
    /// Anything but 0: everything passes.
    pub const PANIC: u32 = 1;
    /// Rules that stand. 0: packets are not even parsed.
    pub const RULES: u32 = 2;
    /// Secret of the per-source hash, drawn once.
    pub const SEED: u32 = 3;
    /// Rises with every change of a rule.
    pub const GENERATION: u32 = 4;
    /// Process id of the last daemon that loaded or adopted the maps.
    pub const OWNER: u32 = 5;
    pub const WORDS: u32 = 8;
}

/// Elements of the `COUNTS` map: what the program passed because it could not or must not judge.
pub mod count {
    pub const TRUNCATED: u32 = 0;
    pub const MALFORMED: u32 = 1;
    pub const TOO_MANY_EXTENSIONS: u32 = 2;
    /// A later fragment has no ports; it is passed, its first one was judged.
    pub const LATER_FRAGMENT: u32 = 3;
    /// Passed because other processors kept changing the bucket.
    pub const CONTENDED: u32 = 4;
    /// Over its rate, passed because the allow list says so.
    pub const SPARED: u32 = 5;
    pub const KINDS: u32 = 8;
}

pub const FAMILY_ANY: u8 = 0;
pub const FAMILY_IPV4: u8 = 4;
pub const FAMILY_IPV6: u8 = 6;

/// An element of `RULES`. `deadline` 0: free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Rule {
    /// Ticks (1/64 ns) a packet costs. 0: passes everything.
    pub increment: u64,
    /// Ticks a bucket may run ahead of the clock.
    pub tolerance: u64,
    /// `CLOCK_BOOTTIME` in nanoseconds.
    pub deadline: u64,
    pub id: u32,
    /// Of the rule's birth; part of the per-source hash, so that a new rule starts with full buckets.
    pub generation: u32,
    pub rate_per_second: u32,
    pub burst: u32,
    pub port: u16,
    pub family: u8,
    pub prefix_length: u8,
    /// 0: one bucket. 1: a bucket a source (IPv4 address, IPv6 /64).
    pub per_source: u32,
    /// Element of `PORT_HITS` and `PORT_NUMBERS`.
    pub port_slot: u32,
    pub reserved: u32,
    pub address: [u8; 16],
}

/// Key of `SOURCES` and `ALLOWED`, both longest-prefix tries: the prefix length counts from `port`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SourceKey {
    pub prefix_length: u32,
    /// Network order; 0 in `ALLOWED`.
    pub port: [u8; 2],
    pub family: u8,
    pub zero: u8,
    /// Network order; an IPv4 address fills the first four bytes.
    pub address: [u8; 16],
}

impl SourceKey {
    /// Bits that stand before the address.
    pub const HEAD_BITS: u32 = 32;
}

/// 64 ports: which have a rule, and which are never dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PortWord {
    pub limited: u64,
    pub allowed: u64,
}

/// Charged packets of one rule or one port, on one processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Hits {
    pub passed: u64,
    pub dropped: u64,
}

/// What the parser said, for the test that compares it with itself compiled for the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ParsedRecord {
    /// 0: a segment; else 1 + `Unread`.
    pub outcome: u32,
    pub charged: u32,
    pub port: u32,
    pub family: u32,
    pub address: [u32; 4],
}

impl From<Result<Segment, Unread>> for ParsedRecord {
    #[inline(always)]
    fn from(parsed: Result<Segment, Unread>) -> Self {
        match parsed {
            Ok(segment) => Self {
                outcome: 0,
                charged: u32::from(segment.charged),
                port: u32::from(segment.port),
                family: u32::from(segment.source.family),
                address: segment.source.address,
            },
            Err(unread) => Self {
                outcome: 1 + unread as u32,
                ..Self::default()
            },
        }
    }
}

const _: () = assert!(size_of::<Rule>() == 72 && align_of::<Rule>() == 8);
const _: () = assert!(size_of::<SourceKey>() == 24 && align_of::<SourceKey>() == 4);
const _: () = assert!(size_of::<PortWord>() == 16);
const _: () = assert!(size_of::<Hits>() == 16);
const _: () = assert!(size_of::<ParsedRecord>() == 32);
