//! The compiled BPF object: loading it, with or without pins.

use std::{error::Error, path::Path};

use aya::{Ebpf, EbpfLoader, programs::Xdp};

use super::{LimitError, layout::MAPS};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/limit"));

pub(super) const PROGRAM: &str = "limit";

/// Loads maps and program. With a directory, maps that are pinned there are reused (compare them
/// first), and the others are pinned.
pub(super) fn load(pins: Option<&Path>) -> Result<Ebpf, LimitError> {
    let mut loader = EbpfLoader::new();
    if let Some(directory) = pins {
        for map in &MAPS {
            loader.map_pin_path(map.name, directory.join(map.name));
        }
    }
    let mut object = loader.load(OBJECT).map_err(|error| refused(&error))?;
    program(&mut object, PROGRAM)?
        .load()
        .map_err(|error| refused(&error))?;
    Ok(object)
}

pub(super) fn program<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp, LimitError> {
    let found = object.program_mut(name).ok_or_else(|| LimitError::Load {
        reason: format!("the object has no program `{name}`"),
    })?;
    found.try_into().map_err(|error| refused(&error))
}

/// The whole chain in one line; of a verifier's log, its end.
pub(super) fn refused(error: &(dyn Error + 'static)) -> LimitError {
    const MOST: usize = 600;
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        reason = format!("{reason}: {error}");
        cause = error.source();
    }
    let characters = reason.chars().count();
    if characters > MOST {
        let end: String = reason.chars().skip(characters - MOST).collect();
        reason = format!("… {end}");
    }
    LimitError::Load { reason }
}

/// For tests and benches: the limiter without pins, and the programs to put beside it.
#[doc(hidden)]
pub mod testing {
    use aya::{Ebpf, maps::MapData};

    use super::{
        super::{AllowList, LimitError, Rule, RuleTable, layout},
        PROGRAM, load, program, refused,
    };
    use crate::bpffs::MapLayout;

    static PEERS: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/limit_peer"));

    /// The loaded limiter, attached nowhere, with its rules.
    #[derive(Debug)]
    pub struct Unpinned {
        pub object: Ebpf,
        pub table: RuleTable,
    }

    impl Unpinned {
        pub fn load() -> Result<Self, LimitError> {
            let object = load(None)?;
            let mut table = RuleTable::from_data(|name| {
                let map = object
                    .maps()
                    .find(|(found, _)| *found == name)
                    .map(|(_, map)| map);
                let Some(
                    aya::maps::Map::Array(data)
                    | aya::maps::Map::PerCpuArray(data)
                    | aya::maps::Map::LpmTrie(data),
                ) = map
                else {
                    return Err(LimitError::Load {
                        reason: format!("the object has no map `{name}`"),
                    });
                };
                let id = data.info().map_err(LimitError::map("open", name))?.id();
                MapData::from_id(id).map_err(LimitError::map("open", name))
            })?;
            table.take_over(0x5eed)?;
            Ok(Self { object, table })
        }

        pub fn allow(&mut self, allowed: &AllowList) -> Result<(), LimitError> {
            self.table.set_allowed(allowed)
        }

        pub fn apply(&mut self, rule: &Rule) -> Result<(), LimitError> {
            self.table.apply(
                rule,
                &AllowList {
                    ports: Vec::new(),
                    prefixes: Vec::new(),
                },
            )
        }

        pub fn program(&mut self) -> Result<&mut aya::programs::Xdp, LimitError> {
            program(&mut self.object, PROGRAM)
        }
    }

    /// `bare_pass`, `bare_drop` and `parse_only`, loaded.
    pub fn peers() -> Result<Ebpf, LimitError> {
        let mut object = Ebpf::load(PEERS).map_err(|error| refused(&error))?;
        for name in ["bare_pass", "bare_drop", "parse_only"] {
            program(&mut object, name)?
                .load()
                .map_err(|error| refused(&error))?;
        }
        Ok(object)
    }

    pub fn declared_layout() -> &'static [MapLayout] {
        &layout::MAPS
    }
}
