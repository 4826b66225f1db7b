//! Whose objective it is, and where people read what to do about it.
//!
//! In: definitions say it. Out: shown beside the objective and its alerts, and told with them. Nothing decides on it.
//! The runbook is a page for people: what slowburn does by itself is a Runbook of the remediation crate.

use crate::name::checked_text;

/// Either may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ownership {
    pub owner: Option<Owner>,
    pub runbook_url: Option<RunbookUrl>,
}

impl Ownership {
    /// What is missing here is taken from there.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        Self {
            owner: self.owner.or_else(|| other.owner.clone()),
            runbook_url: self.runbook_url.or_else(|| other.runbook_url.clone()),
        }
    }
}

checked_text!(
    /// A person or a team.
    Owner, "owner", is_owner, "one line of 1 to 100 characters without blanks around it"
);

checked_text!(
    /// An address that is safe to be made a link of, wherever it is shown.
    RunbookUrl, "runbook's address", is_web_address,
    "an `https` or `http` URL without credentials, of at most 2000 characters that need no percent-encoding"
);

fn is_owner(text: &str) -> bool {
    (1..=100).contains(&text.chars().count()) && text.trim() == text && !text.chars().any(char::is_control)
}

/// As RFC 3986 spells it, so that it has no blank, quote or angle bracket which ends a link elsewhere.
fn is_web_address(text: &str) -> bool {
    let Some(rest) = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
    else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&b);
    text.len() <= 2000 && is_authority(authority) && rest.bytes().all(is_plain)
}

fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_name = |host: &str| {
        !host.is_empty()
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
    };
    let is_address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
    (is_name(host) || is_address) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_of_the_web_and_safe_to_link() {
        for good in [
            "https://wiki.example.com/slo/checkout",
            "http://wiki:8080",
            "https://[2001:db8::1]:8443/a?b=c&d=%20#e",
            "https://notion.so/Run-book_(prod)?pvs=4",
        ] {
            assert!(good.parse::<RunbookUrl>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "wiki.example.com/slo",
            "ftp://wiki/",
            "javascript:alert(1)",
            "https://",
            "https:///slo",
            "https://wiki:port/",
            "https://ann:secret@wiki/",
            "https://[::1/",
            "https://wiki/a b",
            "https://wiki/a\nb",
            "https://wiki/<script>",
            "https://wiki/a|b",
            "https://wiki/\"onclick=",
            "https://wiki/straße",
        ] {
            assert!(bad.parse::<RunbookUrl>().is_err(), "{bad}");
        }
        assert!(
            format!("https://wiki/{}", "a".repeat(1988))
                .parse::<RunbookUrl>()
                .is_err()
        );
    }

    #[test]
    fn what_is_missing_is_taken_from_the_other() {
        let own = Ownership {
            owner: Some("payments".parse().unwrap()),
            runbook_url: None,
        };
        let of_service = Ownership {
            owner: Some("shop".parse().unwrap()),
            runbook_url: Some("https://wiki/shop".parse().unwrap()),
        };
        let both = own.or(&of_service);
        assert_eq!(both.owner.unwrap().as_str(), "payments");
        assert_eq!(both.runbook_url.unwrap().as_str(), "https://wiki/shop");
    }
}
