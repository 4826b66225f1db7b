//! Rules as callers know them, and the records the kernel reads.

use std::{net::IpAddr, time::Duration};

use chrono::{DateTime, Utc};
use probes_ebpf::{
    limit::rate::Rate,
    limit_wire::{self as wire, FAMILY_ANY, FAMILY_IPV4, FAMILY_IPV6, SourceKey},
};

use super::{LimitError, Prefix, RULE_LIFE_MAX};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The caller's; applying the same id again changes the rule in place.
    pub id: u32,
    /// Destination port of the service.
    pub port: u16,
    /// An address or prefix has one bucket. `None`: every source has a bucket of its own (an IPv4
    /// address or an IPv6 /64 each).
    pub source: Option<Prefix>,
    /// Packets, at least 1.
    pub rate_per_second: u32,
    /// Packets that may come at once, at least 1.
    pub burst: u32,
    pub expires_at: DateTime<Utc>,
}

/// A rule that stands in the kernel. Counters are of charged packets, since the rule was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveRule {
    pub rule: Rule,
    pub passed: u64,
    pub dropped: u64,
    /// Zero: expired, and no longer enforced.
    pub remaining: Duration,
}

/// Charged packets that met a rule of this port, since the pins were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortCounters {
    pub port: u16,
    pub passed: u64,
    pub dropped: u64,
}

/// Packets passed because they could not or must not be judged, since the pins were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub truncated: u64,
    pub malformed: u64,
    pub too_many_extensions: u64,
    pub later_fragments: u64,
    /// Other processors kept changing the bucket.
    pub contended: u64,
    /// Over a rate, spared by the allow list.
    pub spared: u64,
}

/// What is never dropped, whatever the rules say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowList {
    /// Destination ports.
    pub ports: Vec<u16>,
    /// Sources.
    pub prefixes: Vec<Prefix>,
}

impl Default for AllowList {
    /// ssh, slowburn's own API, Postgres.
    fn default() -> Self {
        Self {
            ports: vec![22, 8420, 5432],
            prefixes: Vec::new(),
        }
    }
}

impl Rule {
    pub(super) fn validate(&self, now: DateTime<Utc>, allowed: &AllowList) -> Result<Duration, LimitError> {
        let invalid = |problem| LimitError::InvalidRule { id: self.id, problem };
        if self.port == 0 {
            return Err(invalid("port is 0"));
        }
        if self.rate_per_second == 0 || self.burst == 0 {
            return Err(invalid(
                "rate and burst must be at least 1: a limit never drops everything",
            ));
        }
        let life = (self.expires_at - now).to_std().unwrap_or_default();
        if life.is_zero() {
            return Err(invalid("it has expired"));
        }
        if life > RULE_LIFE_MAX {
            return Err(invalid("it would live for more than a day"));
        }
        if allowed.ports.contains(&self.port) {
            return Err(LimitError::AllowedPort {
                id: self.id,
                port: self.port,
            });
        }
        if let Some(source) = self.source
            && let Some(prefix) = allowed.prefixes.iter().find(|prefix| prefix.covers(&source))
        {
            return Err(LimitError::AllowedSource {
                id: self.id,
                source_prefix: source,
                by: *prefix,
            });
        }
        Ok(life)
    }

    pub(super) fn to_wire(&self, deadline: u64, generation: u32, port_slot: u32) -> wire::Rule {
        let (family, address) = self
            .source
            .map_or((FAMILY_ANY, [0; 16]), |source| octets(source.address()));
        let rate = Rate::per_second(self.rate_per_second, self.burst);
        wire::Rule {
            increment: rate.map_or(0, |rate| rate.increment),
            tolerance: rate.map_or(0, |rate| rate.tolerance),
            deadline,
            id: self.id,
            generation,
            rate_per_second: self.rate_per_second,
            burst: self.burst,
            port: self.port,
            family,
            prefix_length: self.source.map_or(0, |source| source.length()),
            per_source: u32::from(self.source.is_none()),
            port_slot,
            reserved: 0,
            address,
        }
    }

    pub(super) fn from_wire(record: &wire::Rule, expires_at: DateTime<Utc>) -> Self {
        Self {
            id: record.id,
            port: record.port,
            source: source_of(record),
            rate_per_second: record.rate_per_second,
            burst: record.burst,
            expires_at,
        }
    }
}

/// The entries a rule has in the `SOURCES` trie: one, or one a family.
pub(super) fn keys(record: &wire::Rule) -> Vec<SourceKey> {
    let port = record.port.to_be_bytes();
    match record.family {
        FAMILY_ANY => [FAMILY_IPV4, FAMILY_IPV6]
            .map(|family| SourceKey {
                prefix_length: SourceKey::HEAD_BITS,
                port,
                family,
                ..SourceKey::default()
            })
            .to_vec(),
        family => vec![SourceKey {
            prefix_length: SourceKey::HEAD_BITS + u32::from(record.prefix_length),
            port,
            family,
            zero: 0,
            address: record.address,
        }],
    }
}

/// The entry of a prefix in the `ALLOWED` trie.
pub(super) fn allowed_key(prefix: &Prefix) -> SourceKey {
    let (family, address) = octets(prefix.address());
    SourceKey {
        prefix_length: SourceKey::HEAD_BITS + u32::from(prefix.length()),
        port: [0; 2],
        family,
        zero: 0,
        address,
    }
}

fn source_of(record: &wire::Rule) -> Option<Prefix> {
    let address = record.address;
    let address = match record.family {
        FAMILY_IPV4 => IpAddr::from([address[0], address[1], address[2], address[3]]),
        FAMILY_IPV6 => IpAddr::from(address),
        _ => return None,
    };
    Prefix::new(address, record.prefix_length).ok()
}

fn octets(address: IpAddr) -> (u8, [u8; 16]) {
    match address {
        IpAddr::V4(v4) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&v4.octets());
            (FAMILY_IPV4, bytes)
        }
        IpAddr::V6(v6) => (FAMILY_IPV6, v6.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(source: Option<&str>) -> Rule {
        Rule {
            id: 7,
            port: 8080,
            source: source.map(|text| text.parse().unwrap()),
            rate_per_second: 100,
            burst: 20,
            expires_at: DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(60),
        }
    }

    #[test]
    fn a_rule_survives_its_record() {
        for source in [
            None,
            Some("10.9.0.1"),
            Some("10.0.0.0/8"),
            Some("2001:db8::/32"),
            Some("::/0"),
        ] {
            let rule = rule(source);
            assert_eq!(Rule::from_wire(&rule.to_wire(1, 2, 3), rule.expires_at), rule);
        }
    }

    #[test]
    fn a_rule_that_could_lock_someone_out_is_refused() {
        let now = DateTime::UNIX_EPOCH;
        let allowed = AllowList {
            ports: vec![22],
            prefixes: vec!["10.1.0.0/16".parse().unwrap()],
        };
        let refused = |rule: Rule| rule.validate(now, &allowed).unwrap_err().to_string();
        insta::assert_snapshot!(
            [
                refused(Rule { port: 0, ..rule(None) }),
                refused(Rule { rate_per_second: 0, ..rule(None) }),
                refused(Rule { burst: 0, ..rule(None) }),
                refused(Rule { expires_at: now, ..rule(None) }),
                refused(Rule { expires_at: now + chrono::TimeDelta::days(2), ..rule(None) }),
                refused(Rule { port: 22, ..rule(None) }),
                refused(rule(Some("10.1.2.3"))),
            ]
            .join("\n"),
            @"
        rule 7: port is 0
        rule 7: rate and burst must be at least 1: a limit never drops everything
        rule 7: rate and burst must be at least 1: a limit never drops everything
        rule 7: it has expired
        rule 7: it would live for more than a day
        rule 7: port 22 is on the allow list
        rule 7: source `10.1.2.3` is on the allow list, by `10.1.0.0/16`
        "
        );
        let wider = rule(Some("10.0.0.0/8"));
        assert_eq!(wider.validate(now, &allowed).unwrap(), Duration::from_secs(60));
    }
}
