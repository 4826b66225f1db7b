//! What this crate asks of a rate limiter, and the words for it.
//!
//! The binary implements [`Limits`] over the XDP program. Every limit carries its own deadline,
//! which the kernel enforces: a limit never outlives its reason because this crate was not there to
//! release it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use slo_engine::measurement::ServiceName;

use crate::words::words;

/// A rate limiter on this host.
#[async_trait]
pub trait Limits: Send + Sync {
    /// Who sends most to the service right now, heaviest first, everyone that is known.
    async fn heaviest_sources(&self, service: &ServiceName) -> Result<Vec<SourceRate>, LimitsError>;

    /// Makes the limit live, or moves its rate and deadline when its id is live already.
    async fn apply(&self, limit: &Limit) -> Result<Applied, LimitsError>;

    /// Ends a limit. An id that is not live is no error.
    async fn release(&self, id: LimitId) -> Result<(), LimitsError>;

    /// What is live now.
    async fn list(&self) -> Result<Vec<LiveLimit>, LimitsError>;
}

/// Why the limiter did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum LimitsError {
    /// There is no limiter on this host, or it cannot do this: trying again will not help.
    #[error("limiter cannot do this: {0}")]
    Unsupported(String),
    /// Trying again may help.
    #[error("limiter failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Identity of a limit; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct LimitId(pub u32);

impl fmt::Display for LimitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How much one source sends to a service.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceRate {
    pub source: IpAddr,
    /// In the unit of [`Limit::rate_per_second`].
    pub per_second: f64,
    /// Of everything the service receives, between 0 and 1.
    pub share: f64,
    /// The limiter never drops what this source sends.
    pub allow_listed: bool,
}

/// At most this much from there to that service, until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    pub id: LimitId,
    pub service: ServiceName,
    pub source: SourcePrefix,
    /// Of what the limiter counts. Never zero.
    pub rate_per_second: u32,
    pub burst: u32,
    pub expires_at: DateTime<Utc>,
}

/// What the limiter did with a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    Live {
        mode: LimitMode,
    },
    /// The source is on the allow list: nothing was done.
    AllowListed,
}

/// A limit in force, and what it did so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveLimit {
    pub limit: Limit,
    pub passed: u64,
    pub dropped: u64,
    pub mode: LimitMode,
}

words!(
    /// Where packets are dropped.
    LimitMode, "limit mode", {
        /// In the network driver.
        Native => "native",
        /// In the kernel's generic hook.
        Generic => "generic",
    }
);

/// Addresses that share a limit: `10.0.0.9/32`, `2001:db8::/64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourcePrefix {
    address: IpAddr,
    length: u8,
}

/// Why a text is no prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address or prefix, expected one such as `10.0.0.9` or `10.1.0.0/16`")]
pub struct PrefixError(String);

impl SourcePrefix {
    /// The prefix with its host bits cleared. `None` when it is longer than the address or empty:
    /// a prefix of length 0 is everyone.
    #[must_use]
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        let address = match address {
            IpAddr::V4(v4) if (1..=32).contains(&length) => {
                IpAddr::V4((u32::from(v4) & (u32::MAX << (32 - length))).into())
            }
            IpAddr::V6(v6) if (1..=128).contains(&length) => {
                IpAddr::V6((u128::from(v6) & (u128::MAX << (128 - length))).into())
            }
            _ => return None,
        };
        Some(Self { address, length })
    }

    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    #[must_use]
    pub fn length(&self) -> u8 {
        self.length
    }

    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        Self::new(address, self.length).is_some_and(|other| other == *self)
    }
}

impl From<IpAddr> for SourcePrefix {
    fn from(address: IpAddr) -> Self {
        let length = if address.is_ipv4() { 32 } else { 128 };
        Self { address, length }
    }
}

impl fmt::Display for SourcePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl FromStr for SourcePrefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let error = || PrefixError(text.to_owned());
        match text.split_once('/') {
            Some((address, length)) => {
                let address = address.parse().map_err(|_| error())?;
                let length = length.parse().map_err(|_| error())?;
                Self::new(address, length).ok_or_else(error)
            }
            None => text.parse::<IpAddr>().map(Self::from).map_err(|_| error()),
        }
    }
}

impl serde::Serialize for SourcePrefix {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for SourcePrefix {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_clears_its_host_bits() {
        for (text, stored) in [
            ("10.0.0.9", "10.0.0.9/32"),
            ("10.1.2.3/16", "10.1.0.0/16"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("2001:db8::1/64", "2001:db8::/64"),
        ] {
            assert_eq!(text.parse::<SourcePrefix>().unwrap().to_string(), stored);
        }
        for bad in [
            "",
            "10.0.0",
            "10.0.0.0/0",
            "::/0",
            "10.0.0.0/33",
            "::1/129",
            "10.0.0.1/-1",
            "host",
        ] {
            assert!(bad.parse::<SourcePrefix>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_prefix_knows_who_is_in_it() {
        let prefix: SourcePrefix = "10.1.0.0/16".parse().unwrap();
        assert!(prefix.contains("10.1.255.1".parse().unwrap()));
        assert!(!prefix.contains("10.2.0.1".parse().unwrap()));
        assert!(!prefix.contains("::1".parse().unwrap()));
    }
}
