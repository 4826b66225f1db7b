//! Names and identities: texts that were checked once and are trusted after.
//!
//! Names are RFC 1123 labels, as OpenSLO asks, so that they fit into host names, Kubernetes objects,
//! file names and URLs without quoting.

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what}, expected {expected}")]
pub struct NameError {
    pub what: &'static str,
    pub text: String,
    pub expected: &'static str,
}

pub(crate) const LABEL: &str =
    "1 to 63 lower-case letters, digits and `-`, beginning and ending with a letter or digit";

pub(crate) fn is_label(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    bytes.len() <= 63 && plain(*first) && plain(*last) && bytes.iter().all(|b| plain(*b) || *b == b'-')
}

pub(crate) fn is_source(text: &str) -> bool {
    let part = |p: &str| {
        !p.is_empty()
            && p.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    text.len() <= 200 && text.split(':').count() == 3 && text.split(':').all(part)
}

/// A newtype over a checked text, with its conversions. Shared: each read tells thousands of series, each by
/// its name.
macro_rules! checked_text {
    ($(#[$meta:meta])* $name:ident, $what:literal, $check:path, $expected:expr) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::name::NameError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                if $check(&text) {
                    Ok(Self(text.into()))
                } else {
                    Err($crate::name::NameError { what: $what, text, expected: $expected })
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::name::NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.to_owned().try_into()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}
pub(crate) use checked_text;

checked_text!(
    /// What people call a service.
    ServiceName, "service name", is_label, LABEL
);

checked_text!(
    /// Who counted: `machine-id:boot-id:pin-generation`. A new boot or a new generation of pinned
    /// maps counts from zero, so it is another source.
    SourceId, "source", is_source, "`machine-id:boot-id:pin-generation`"
);

impl SourceId {
    /// Joins the three parts.
    ///
    /// # Errors
    /// When a part is empty or holds anything but letters, digits, `-`, `_` and `.`.
    pub fn new(machine: &str, boot: &str, generation: u32) -> Result<Self, NameError> {
        format!("{machine}:{boot}:{generation}").try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_an_rfc_1123_label() {
        for good in ["web", "a", "checkout-2", "0x", &"a".repeat(63)] {
            assert_eq!(good.parse::<ServiceName>().unwrap().to_string(), good);
        }
        for bad in ["", "-web", "web-", "Web", "we b", "a.b", "é", &"a".repeat(64)] {
            assert!(bad.parse::<ServiceName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_source_has_three_parts() {
        assert_eq!(SourceId::new("m1", "b-2", 3).unwrap().as_str(), "m1:b-2:3");
        for bad in ["", "a:b", "a::c", "a:b:c:d", "a:b: c"] {
            assert!(bad.parse::<SourceId>().is_err(), "{bad}");
        }
    }
}
