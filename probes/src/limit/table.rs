//! The rules in the kernel, through their pinned maps.
//!
//! Keeps no copy: what stands is what the maps say, so a command in another process and the daemon
//! see the same thing. Writes are ordered so that a process killed between two of them leaves a
//! rule that is not enforced, never one that cannot be found; [`RuleTable::reconcile`] tidies up.

use std::{path::Path, time::Duration};

use aya::maps::MapData;
use chrono::Utc;
use probes_ebpf::limit_wire::{self as wire, PORTS_MAX, RULES_MAX, SourceKey, control, count};

use super::{
    AllowList, Counts, LEASE_MAX, LimitError, LiveRule, PortCounters, Rule,
    clock::{boot_nanoseconds, nanoseconds},
    layout::{self, MAPS},
    maps::Maps,
    rule::{allowed_key, keys},
};
use crate::bpffs;

/// The pinned rules of one instance. Opening them loads nothing and needs no daemon.
#[derive(Debug)]
pub struct RuleTable {
    maps: Maps,
}

impl RuleTable {
    /// Opens the pins of an instance whose daemon may be gone.
    pub fn open(bpffs: &Path, instance: &str) -> Result<Self, LimitError> {
        let directory = layout::directory(bpffs, instance)?;
        if MAPS.iter().any(|map| !directory.join(map.name).exists()) {
            return Err(LimitError::NotLoaded {
                path: bpffs::instance_path(bpffs, instance)?,
            });
        }
        Self::in_directory(&directory)
    }

    pub(super) fn in_directory(directory: &Path) -> Result<Self, LimitError> {
        Ok(Self {
            maps: Maps::in_directory(directory)?,
        })
    }

    pub(super) fn from_data(
        data: impl FnMut(&'static str) -> Result<MapData, LimitError>,
    ) -> Result<Self, LimitError> {
        Ok(Self {
            maps: Maps::from_data(data)?,
        })
    }

    /// Puts a rule in place, or changes the one of this id. A rule that keeps its port and source
    /// keeps its buckets and counters.
    pub(super) fn apply(&mut self, rule: &Rule, allowed: &AllowList) -> Result<(), LimitError> {
        let life = rule.validate(Utc::now(), allowed)?;
        if self.is_panicked()? {
            return Err(LimitError::Panicked);
        }
        let now = boot_nanoseconds();
        let mut standing = self.maps.rules()?;
        self.remove_where(&mut standing, |record| record.deadline <= now)?;
        let deadline = now.saturating_add(nanoseconds(life));
        let wanted = keys(&rule.to_wire(deadline, 0, 0));
        if let Some((_, other)) = standing
            .iter()
            .find(|(_, other)| other.id != rule.id && keys(other) == wanted)
        {
            return Err(LimitError::SourceTaken {
                id: rule.id,
                by: other.id,
                port: rule.port,
            });
        }
        if let Some((slot, old)) = standing.iter().find(|(_, old)| old.id == rule.id)
            && keys(old) == wanted
        {
            return self.change(*slot, old, rule.to_wire(deadline, old.generation, old.port_slot));
        }
        self.remove_where(&mut standing, |record| record.id == rule.id)?;
        self.add(rule, deadline, &standing)
    }

    /// Takes a rule away and tells what it did. `None`: it was not there.
    pub fn release(&mut self, id: u32) -> Result<Option<LiveRule>, LimitError> {
        let mut standing = self.maps.rules()?;
        Ok(self.remove_where(&mut standing, |record| record.id == id)?.pop())
    }

    /// The rules that stand, by id; expired ones until they are swept.
    pub fn list(&self) -> Result<Vec<LiveRule>, LimitError> {
        let mut rules = Vec::new();
        for (slot, record) in self.maps.rules()? {
            rules.push(self.live(slot, &record)?);
        }
        rules.sort_by_key(|live| live.rule.id);
        Ok(rules)
    }

    /// Takes away what has expired and tells what it did. The kernel stopped enforcing it already.
    pub fn sweep(&mut self) -> Result<Vec<LiveRule>, LimitError> {
        let now = boot_nanoseconds();
        let mut standing = self.maps.rules()?;
        self.remove_where(&mut standing, |record| record.deadline <= now)
    }

    /// Takes every rule away. Everything passes from the first write on.
    pub fn clear(&mut self) -> Result<Vec<LiveRule>, LimitError> {
        self.maps.set_control(control::RULES, 0)?;
        let mut standing = self.maps.rules()?;
        self.remove_where(&mut standing, |_| true)
    }

    /// The panic key: one write passes everything, and no rule can be applied until
    /// [`RuleTable::resume`]. Then takes every rule away.
    pub fn panic_clear(&mut self) -> Result<Vec<LiveRule>, LimitError> {
        self.maps.set_control(control::PANIC, 1)?;
        self.clear()
    }

    pub fn resume(&mut self) -> Result<(), LimitError> {
        self.maps.set_control(control::PANIC, 0)
    }

    pub fn is_panicked(&self) -> Result<bool, LimitError> {
        Ok(self.maps.control(control::PANIC)? != 0)
    }

    /// Rules are enforced for this long from now; zero ends enforcement at once.
    pub fn renew_lease(&mut self, lease: Duration) -> Result<(), LimitError> {
        if lease > LEASE_MAX {
            return Err(LimitError::LeaseTooLong {
                asked: lease,
                most: LEASE_MAX,
            });
        }
        let until = if lease.is_zero() {
            0
        } else {
            boot_nanoseconds().saturating_add(nanoseconds(lease))
        };
        self.maps.set_control(control::LEASE, until)
    }

    /// How long rules will be enforced without another renewal.
    pub fn lease(&self) -> Result<Duration, LimitError> {
        let left = self
            .maps
            .control(control::LEASE)?
            .saturating_sub(boot_nanoseconds());
        Ok(Duration::from_nanos(left))
    }

    /// Process id of the daemon that loaded or adopted the maps last.
    pub fn owner(&self) -> Result<u32, LimitError> {
        Ok(u32::try_from(self.maps.control(control::OWNER)?).unwrap_or_default())
    }

    pub fn port_counters(&self) -> Result<Vec<PortCounters>, LimitError> {
        let mut counters = Vec::new();
        for slot in 0..PORTS_MAX {
            let port = self.maps.port_number(slot)?;
            if port != 0 {
                let hits = self.maps.port_hits(slot)?;
                counters.push(PortCounters {
                    port,
                    passed: hits.passed,
                    dropped: hits.dropped,
                });
            }
        }
        counters.sort_by_key(|counters| counters.port);
        Ok(counters)
    }

    pub fn counts(&self) -> Result<Counts, LimitError> {
        Ok(Counts {
            truncated: self.maps.count(count::TRUNCATED)?,
            malformed: self.maps.count(count::MALFORMED)?,
            too_many_extensions: self.maps.count(count::TOO_MANY_EXTENSIONS)?,
            later_fragments: self.maps.count(count::LATER_FRAGMENT)?,
            contended: self.maps.count(count::CONTENDED)?,
            spared: self.maps.count(count::SPARED)?,
        })
    }

    pub(super) fn take_over(&mut self, seed: u64) -> Result<(), LimitError> {
        if self.maps.control(control::SEED)? == 0 {
            self.maps.set_control(control::SEED, seed)?;
        }
        self.maps
            .set_control(control::OWNER, u64::from(std::process::id()))
    }

    /// Makes the maps agree with the rules, after a process was killed between two writes.
    pub(super) fn reconcile(&mut self) -> Result<(), LimitError> {
        let standing = self.maps.rules()?;
        let wanted: Vec<(SourceKey, u32)> = standing
            .iter()
            .flat_map(|(slot, record)| keys(record).into_iter().map(|key| (key, *slot)))
            .collect();
        for key in self.maps.sources.keys()? {
            if !wanted.iter().any(|(wanted, _)| *wanted == key) {
                self.maps.sources.remove(&key)?;
            }
        }
        for (key, slot) in &wanted {
            self.maps.sources.insert(key, *slot)?;
        }
        for index in 0..wire::PORT_WORDS {
            let mut word = self.maps.port_word(index)?;
            let limited = bits_of(index, standing.iter().map(|(_, record)| record.port));
            if word.limited != limited {
                word.limited = limited;
                self.maps.set_port_word(index, word)?;
            }
        }
        self.count_rules(standing.len())
    }

    /// What is allowed is added before what no longer is goes away.
    pub(super) fn set_allowed(&mut self, allowed: &AllowList) -> Result<(), LimitError> {
        let wanted: Vec<_> = allowed.prefixes.iter().map(allowed_key).collect();
        for key in &wanted {
            self.maps.allowed.insert(key, 1)?;
        }
        for index in 0..wire::PORT_WORDS {
            let mut word = self.maps.port_word(index)?;
            let bits = bits_of(index, allowed.ports.iter().copied());
            if word.allowed != bits {
                word.allowed = bits;
                self.maps.set_port_word(index, word)?;
            }
        }
        for key in self.maps.allowed.keys()? {
            if !wanted.contains(&key) {
                self.maps.allowed.remove(&key)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, rule: &Rule, deadline: u64, standing: &[(u32, wire::Rule)]) -> Result<(), LimitError> {
        let free = (0..RULES_MAX).find(|slot| !standing.iter().any(|(other, _)| other == slot));
        let Some(slot) = free else {
            return Err(LimitError::Full {
                what: "rules",
                most: RULES_MAX,
            });
        };
        let port_slot = self.port_slot(rule.port, standing)?;
        let generation = self.maps.control(control::GENERATION)?.wrapping_add(1);
        self.maps.set_control(control::GENERATION, generation)?;
        let generation = u32::try_from(generation & u64::from(u32::MAX)).unwrap_or_default();
        self.maps.reset(slot)?;
        let record = rule.to_wire(deadline, generation, port_slot);
        self.maps.set_rule(slot, record)?;
        for key in keys(&record) {
            self.maps.sources.insert(&key, slot)?;
        }
        self.set_limited(rule.port, true)?;
        self.count_rules(standing.len() + 1)
    }

    /// The kernel may read a record while it is written: it passes everything until the last
    /// write, which changes one word.
    fn change(&mut self, slot: u32, old: &wire::Rule, new: wire::Rule) -> Result<(), LimitError> {
        if *old
            != (wire::Rule {
                deadline: old.deadline,
                ..new
            })
        {
            self.maps.set_rule(slot, wire::Rule { increment: 0, ..*old })?;
            self.maps.set_rule(slot, wire::Rule { increment: 0, ..new })?;
        }
        self.maps.set_rule(slot, new)
    }

    /// Takes away those of the `standing` rules, from it and from the kernel, and tells what they did.
    fn remove_where(
        &mut self,
        standing: &mut Vec<(u32, wire::Rule)>,
        gone: impl Fn(&wire::Rule) -> bool,
    ) -> Result<Vec<LiveRule>, LimitError> {
        let (leaving, staying): (Vec<_>, Vec<_>) = standing.drain(..).partition(|(_, record)| gone(record));
        *standing = staying;
        let mut removed = Vec::new();
        for (slot, record) in &leaving {
            removed.push(self.live(*slot, record)?);
            for key in keys(record) {
                self.maps.sources.remove(&key)?;
            }
            self.maps.set_rule(*slot, wire::Rule::default())?;
            if !standing.iter().any(|(_, other)| other.port == record.port) {
                self.set_limited(record.port, false)?;
            }
        }
        if !removed.is_empty() {
            self.count_rules(standing.len())?;
        }
        Ok(removed)
    }

    fn live(&self, slot: u32, record: &wire::Rule) -> Result<LiveRule, LimitError> {
        let hits = self.maps.hits(slot)?;
        let remaining = Duration::from_nanos(record.deadline.saturating_sub(boot_nanoseconds()));
        Ok(LiveRule {
            rule: Rule::from_wire(record, Utc::now() + remaining),
            passed: hits.passed,
            dropped: hits.dropped,
            remaining,
        })
    }

    /// A port keeps its slot, and so its counters, when its rules are gone; when there is no free
    /// slot left, a port without rules gives up its own.
    fn port_slot(&mut self, port: u16, standing: &[(u32, wire::Rule)]) -> Result<u32, LimitError> {
        let mut free = None;
        for slot in 0..PORTS_MAX {
            match self.maps.port_number(slot)? {
                0 => free = free.or(Some(slot)),
                found if found == port => return Ok(slot),
                _ => {}
            }
        }
        let idle = |slot: &u32| !standing.iter().any(|(_, record)| record.port_slot == *slot);
        let slot = free
            .or_else(|| (0..PORTS_MAX).find(idle))
            .ok_or(LimitError::Full {
                what: "service ports",
                most: PORTS_MAX,
            })?;
        self.maps.start_port(slot, port)?;
        Ok(slot)
    }

    fn count_rules(&mut self, rules: usize) -> Result<(), LimitError> {
        self.maps
            .set_control(control::RULES, u64::try_from(rules).unwrap_or(u64::MAX))
    }

    fn set_limited(&mut self, port: u16, limited: bool) -> Result<(), LimitError> {
        let index = u32::from(port >> 6);
        let mut word = self.maps.port_word(index)?;
        let bit = 1_u64 << (port & 63);
        word.limited = if limited {
            word.limited | bit
        } else {
            word.limited & !bit
        };
        self.maps.set_port_word(index, word)
    }
}

/// The bits of those ports that belong to one word.
fn bits_of(index: u32, ports: impl Iterator<Item = u16>) -> u64 {
    ports
        .filter(|port| u32::from(port >> 6) == index)
        .fold(0, |bits, port| bits | 1 << (port & 63))
}
