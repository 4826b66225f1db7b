//! A network prefix: an address and how many of its leading bits count.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// Always canonical: host bits are zero, and an IPv4 address mapped into IPv6 is IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    #[error("`{0}` is neither an IP address nor a prefix such as `10.0.0.0/8`")]
    Malformed(String),
    #[error("`{address}` has {most} bits, a prefix of {length} is too long")]
    TooLong { address: IpAddr, length: u8, most: u8 },
}

impl Prefix {
    pub fn new(address: IpAddr, length: u8) -> Result<Self, PrefixError> {
        let most = bits(address);
        if length > most {
            return Err(PrefixError::TooLong {
                address,
                length,
                most,
            });
        }
        let (address, length) = match address {
            IpAddr::V6(v6) if length >= 96 => match v6.to_ipv4_mapped() {
                Some(v4) => (IpAddr::V4(v4), length - 96),
                None => (address, length),
            },
            _ => (address, length),
        };
        let address = match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
        };
        Ok(Self { address, length })
    }

    pub fn address(&self) -> IpAddr {
        self.address
    }

    pub fn length(&self) -> u8 {
        self.length
    }

    /// Whether every address of `other` is one of ours.
    pub fn covers(&self, other: &Self) -> bool {
        self.length <= other.length
            && Self::new(other.address, self.length).is_ok_and(|shortened| shortened.address == self.address)
    }
}

impl From<IpAddr> for Prefix {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self {
            address,
            length: bits(address),
        }
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let malformed = || PrefixError::Malformed(text.to_owned());
        match text.split_once('/') {
            None => Ok(Self::from(text.parse::<IpAddr>().map_err(|_| malformed())?)),
            Some((address, length)) => {
                let address = address.parse().map_err(|_| malformed())?;
                Self::new(address, length.parse().map_err(|_| malformed())?)
            }
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, length } = self;
        if *length == bits(*address) {
            return write!(formatter, "{address}");
        }
        write!(formatter, "{address}/{length}")
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn a_prefix_is_spelled_one_way() {
        for (given, kept) in [
            ("10.9.0.1", "10.9.0.1"),
            ("10.9.0.1/32", "10.9.0.1"),
            ("10.9.77.1/16", "10.9.0.0/16"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::7/64", "2001:db8::/64"),
            ("::/0", "::/0"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ] {
            assert_eq!(prefix(given).to_string(), kept);
            assert_eq!(prefix(kept), prefix(given));
        }
    }

    #[test]
    fn a_mistake_is_named() {
        for text in ["", "10.0.0", "10.0.0.0/x", "10.0.0.0/-1", "host"] {
            assert_eq!(
                text.parse::<Prefix>(),
                Err(PrefixError::Malformed(text.to_owned()))
            );
        }
        let error = "10.0.0.0/33".parse::<Prefix>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`10.0.0.0` has 32 bits, a prefix of 33 is too long"
        );
    }

    #[test]
    fn covering_stays_within_a_family() {
        assert!(prefix("10.0.0.0/8").covers(&prefix("10.1.2.3")));
        assert!(prefix("0.0.0.0/0").covers(&prefix("0.0.0.0/0")));
        assert!(!prefix("10.1.0.0/16").covers(&prefix("10.0.0.0/8")));
        assert!(!prefix("0.0.0.0/0").covers(&prefix("2001:db8::1")));
        assert!(!prefix("::/0").covers(&prefix("10.0.0.1")));
    }
}
