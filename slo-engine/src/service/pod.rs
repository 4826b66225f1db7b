//! Which pods a service is made of.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// All that is given must hold; names are globs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodMatch {
    pub namespace: Option<String>,
    pub pod: Option<String>,
    pub labels: BTreeMap<String, String>,
}

impl PodMatch {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// `namespace=shop;pod=web-*;label.app=web`.
impl fmt::Display for PodMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [("namespace", &self.namespace), ("pod", &self.pod)];
        let named = named
            .iter()
            .filter_map(|(key, value)| Some(format!("{key}={}", value.as_ref()?)));
        let labels = self
            .labels
            .iter()
            .map(|(key, value)| format!("label.{key}={value}"));
        f.write_str(&named.chain(labels).collect::<Vec<_>>().join(";"))
    }
}

impl FromStr for PodMatch {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut found = Self::default();
        for part in text.split(';') {
            let (key, value) = part.trim().split_once('=').ok_or(())?;
            match key {
                _ if value.is_empty() && !key.starts_with("label.") => return Err(()),
                "namespace" => found.namespace = Some(value.to_owned()),
                "pod" => found.pod = Some(value.to_owned()),
                _ => {
                    let label = key
                        .strip_prefix("label.")
                        .filter(|label| !label.is_empty())
                        .ok_or(())?;
                    found.labels.insert(label.to_owned(), value.to_owned());
                }
            }
        }
        Ok(found)
    }
}
