//! What ids of settings mean, read from where the kernel reads it: an id never changes its meaning, so
//! each is looked up once.

use std::collections::HashMap;

use probes_ebpf::wire::{ROUTE_OTHER, ROUTE_TEXT};

use crate::edge::{
    settings::{Definition, Definitions, text_of},
    table::{Routes, SettingsTable},
};

/// Looks up what an id of settings means.
pub(super) trait Meaning {
    fn of(&mut self, settings: u32) -> Option<&Definition>;

    /// The route of a request, as the kernel's prefix trie would tell it.
    fn route(&mut self, settings: u32, method: &[u8], path: &[u8]) -> u16;
}

pub(super) struct Meanings {
    settings: SettingsTable,
    routes: Routes,
    known: HashMap<u32, Option<Meant>>,
}

struct Meant {
    definition: Definition,
    prefixes: Prefixes,
}

/// Routes by their text, and the lengths that occur, the longest first: as many look-ups as there are
/// lengths, however many routes there are.
#[derive(Default)]
struct Prefixes {
    by_text: HashMap<Vec<u8>, u16>,
    lengths: Vec<usize>,
}

impl Meanings {
    pub fn new(settings: SettingsTable, routes: Routes) -> Self {
        Self {
            settings,
            routes,
            known: HashMap::new(),
        }
    }

    fn meant(&mut self, id: u32) -> Option<&Meant> {
        if id == 0 {
            return None;
        }
        if !self.known.contains_key(&id) {
            // Routes are written before the settings they belong to, and those before any endpoint.
            let definitions = Definitions::read(&self.settings, &self.routes)
                .map_err(|error| tracing::warn!(%error, "settings cannot be read"))
                .unwrap_or_default();
            let meant = definitions.get(id).map(|definition| Meant {
                definition: definition.clone(),
                prefixes: Prefixes::new(definition),
            });
            self.known.insert(id, meant);
        }
        self.known.get(&id)?.as_ref()
    }
}

impl Meaning for Meanings {
    fn of(&mut self, settings: u32) -> Option<&Definition> {
        self.meant(settings).map(|meant| &meant.definition)
    }

    fn route(&mut self, settings: u32, method: &[u8], path: &[u8]) -> u16 {
        self.meant(settings)
            .map_or(ROUTE_OTHER, |meant| meant.prefixes.find(method, path))
    }
}

impl Prefixes {
    fn new(definition: &Definition) -> Self {
        let mut found = Self::default();
        for (number, route) in definition.numbered() {
            let Some((bits, text)) = text_of(0, route) else {
                continue;
            };
            let length = (bits as usize / 8).saturating_sub(4).min(ROUTE_TEXT);
            found.by_text.insert(text.text[..length].to_vec(), number);
            found.lengths.push(length);
        }
        found.lengths.sort_unstable_by(|a, b| b.cmp(a));
        found.lengths.dedup();
        found
    }

    fn find(&self, method: &[u8], path: &[u8]) -> u16 {
        if self.lengths.is_empty() {
            return ROUTE_OTHER;
        }
        let mut text = [method, b" ", path].concat();
        text.truncate(ROUTE_TEXT);
        let found = self
            .lengths
            .iter()
            .filter_map(|length| self.by_text.get(text.get(..*length)?))
            .next();
        found.copied().unwrap_or(ROUTE_OTHER)
    }
}

#[cfg(test)]
mod tests {
    use slo_engine::service::LongPoll;

    use super::*;

    #[test]
    fn the_longest_prefix_of_method_and_path_is_the_route() {
        let routes = ["GET *", "GET /api/", "GET /api/orders/", "POST /api/"];
        let definition = Definition {
            service: "shop".parse().unwrap(),
            thresholds: vec![],
            timeout_ns: 0,
            routes: routes.iter().map(|text| text.parse().unwrap()).collect(),
            long_poll: LongPoll::None,
        };
        let prefixes = Prefixes::new(&definition);
        for (method, path, number) in [
            ("GET", "/", 1),
            ("GET", "/api/users", 2),
            ("GET", "/api/orders/7", 3),
            ("POST", "/api/orders/7", 4),
            ("POST", "/", ROUTE_OTHER),
            ("PUT", "/api/", ROUTE_OTHER),
        ] {
            assert_eq!(
                prefixes.find(method.as_bytes(), path.as_bytes()),
                number,
                "{method} {path}"
            );
        }
    }
}
