//! The compiled BPF object: loading it, with or without pins.

use std::{error::Error, path::Path};

use aya::{
    Ebpf, EbpfLoader,
    programs::{Program, Xdp},
};

use super::{LimitError, layout::MAPS};
use crate::{features::Features, loading::uninterrupted};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/limit"));
/// The same source without atomic exchanges.
static PLAIN: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/limit_plain"));

/// The better one first: the other is for kernels that have no packets in fragments (Linux 5.18).
const PROGRAMS: [&str; 2] = ["limit", "limit_linear"];

/// Loads maps and program. With a directory, maps that are pinned there are reused (compare them
/// first), and the others are pinned.
pub(super) fn load(pins: Option<&Path>) -> Result<Ebpf, LimitError> {
    let mut loader = EbpfLoader::new();
    if let Some(directory) = pins {
        for map in &MAPS {
            loader.map_pin_path(map.name, directory.join(map.name));
        }
    }
    let exchange = Features::here().exchange;
    let mut object = loader
        .load(if exchange { OBJECT } else { PLAIN })
        .map_err(|error| refused(&error))?;
    let mut first = Ok(());
    for name in PROGRAMS {
        let program = program(&mut object, name)?;
        match (uninterrupted(|| program.load()), &first) {
            (Ok(()), _) => return Ok(object),
            (Err(error), Ok(())) => first = Err(refused(&error)),
            (Err(_), Err(_)) => {}
        }
    }
    first.map(|()| object)
}

/// The program of [`PROGRAMS`] that the kernel took.
pub(super) fn loaded(object: &Ebpf) -> Result<&Program, LimitError> {
    let mut programs = PROGRAMS.iter().filter_map(|name| object.program(name));
    programs
        .find(|program| program.fd().is_ok())
        .ok_or_else(|| LimitError::Load {
            reason: "no program of the object is loaded".to_owned(),
        })
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
    use std::time::Duration;

    use aya::{
        Ebpf,
        maps::{Array, MapData, ProgramArray},
        programs::{TestRun as _, TestRunOptions, Xdp},
    };

    use super::{
        super::{AllowList, LimitError, Rule, RuleTable, layout},
        PROGRAMS, load, program, refused,
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

        pub fn program(&mut self) -> Result<&mut Xdp, LimitError> {
            let name = PROGRAMS.into_iter().find(|name| {
                let program = self.object.program(name);
                program.is_some_and(|program| program.fd().is_ok())
            });
            program(&mut self.object, name.unwrap_or(PROGRAMS[0]))
        }
    }

    /// The programs of `limit_peer`, loaded.
    #[derive(Debug)]
    pub struct Peers {
        pub object: Ebpf,
    }

    impl Peers {
        pub fn load() -> Result<Self, LimitError> {
            let mut object = Ebpf::load(PEERS).map_err(|error| refused(&error))?;
            for name in [
                "bare_pass",
                "bare_drop",
                "parse_only",
                "next_pass",
                "random_source",
            ] {
                program(&mut object, name)?
                    .load()
                    .map_err(|error| refused(&error))?;
            }
            Ok(Self { object })
        }

        pub fn program(&mut self, name: &str) -> Result<&mut Xdp, LimitError> {
            program(&mut self.object, name)
        }

        /// Makes `random_source` draw these bits and go on to a program; `None`: to `next_pass`.
        pub fn lead(&mut self, mask: u32, next: Option<&Xdp>) -> Result<(), LimitError> {
            let fd = match next {
                Some(next) => next.fd(),
                None => program(&mut self.object, "next_pass")?.fd(),
            };
            let fd = fd.map_err(|error| refused(&error))?;
            let fd = fd.try_clone().map_err(|error| refused(&error))?;
            let mut masks: Array<_, u32> = self
                .map("SOURCE_MASK")?
                .try_into()
                .map_err(LimitError::map("open", "SOURCE_MASK"))?;
            masks
                .set(0, mask, 0)
                .map_err(LimitError::map("write", "SOURCE_MASK"))?;
            let mut nexts: ProgramArray<_> = self
                .map("NEXT")?
                .try_into()
                .map_err(LimitError::map("open", "NEXT"))?;
            nexts.set(0, &fd, 0).map_err(LimitError::map("write", "NEXT"))
        }

        fn map(&mut self, name: &str) -> Result<&mut aya::maps::Map, LimitError> {
            self.object.map_mut(name).ok_or_else(|| LimitError::Load {
                reason: format!("the object has no map `{name}`"),
            })
        }
    }

    /// Runs a program over one frame: the mean time of a run, and the last verdict.
    pub fn run(program: &Xdp, frame: &[u8], repeat: u32) -> Result<(Duration, u32), LimitError> {
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.repeat = repeat;
        let result = program.test_run(options).map_err(|error| refused(&error))?;
        Ok((result.duration, result.return_value))
    }

    pub fn declared_layout() -> &'static [MapLayout] {
        &layout::MAPS
    }
}
