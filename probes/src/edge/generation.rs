//! What outlives agents and builds: the anchor of start times, counters of other layouts, and the
//! name of the source they make.

use std::{fs, io, path::Path, time::Duration};

use chrono::Utc;
use probes_ebpf::wire::control;
use slo_engine::measurement::SourceId;

use super::{
    fold::Folder,
    layout::{BOOK, COUNTERS, Directories, HTTP2, RECORDS, STARTS, STARTS_MAX},
    settings::Definitions,
    table::{Control, Counters, Starts, open, open_or_create},
};
use crate::{
    agent::{AgentError, chain},
    http2,
};

/// Before the name of counters that are read no more; `unload` removes them.
const UNREAD: &str = "unread_";
const SECOND_NS: u64 = 1_000_000_000;

/// Counters that another build left behind. What cannot be read is said, set aside, and ends its source: without it every
/// sum falls, which would look as if nothing came until it is as high again.
pub(crate) fn earlier(
    directories: &Directories,
    degraded: &mut Vec<String>,
) -> Result<Vec<(Counters, Definitions)>, AgentError> {
    let listed = |source| AgentError::Cgroup {
        path: directories.instance.clone(),
        source,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(&directories.instance).map_err(listed)? {
        let path = entry.map_err(listed)?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let read = if name.starts_with(COUNTERS) && path != directories.counters {
            counters(&path).map(Some)
        } else if name.starts_with(HTTP2) && path != directories.http2 {
            // Its books are taken over once no program writes there any more.
            http2::can_be_read(&path).map(|()| None)
        } else {
            continue;
        };
        match read {
            Ok(generation) => found.extend(generation),
            Err(error) => {
                let text = format!(
                    "counters of another build cannot be read, so all is counted from now on, as by another source: {}",
                    chain(&error)
                );
                tracing::warn!(path = %path.display(), "{text}");
                degraded.push(text);
                begin_anew(directories)?;
                fs::rename(&path, directories.instance.join(format!("{UNREAD}{name}"))).map_err(listed)?;
            }
        }
    }
    Ok(found)
}

fn counters(path: &Path) -> Result<(Counters, Definitions), AgentError> {
    let names = fs::read_dir(path).map_err(AgentError::map("open", RECORDS))?;
    let mut names = names.flatten().map(|entry| entry.file_name());
    if names.any(|name| name == RECORDS || http2::is_book(&name.to_string_lossy())) {
        // They hold part of the total, and are read no more where they stand.
        let cause = io::Error::other("they hold HTTP/2 as well, as builds before 26 November kept it");
        return Err(AgentError::map("read", RECORDS)(cause));
    }
    let mut counters = Counters::open(path)?;
    Folder::open(path, &mut counters)?;
    let definitions = Definitions::read(&counters.settings, &counters.routes)?;
    Ok((counters, definitions))
}

/// The next [`anchor`] is that of another source. What was kept of HTTP/2 goes by ids of settings that may be given
/// out again now.
fn begin_anew(directories: &Directories) -> Result<(), AgentError> {
    let mut control: Control = open!(directories.source, "CONTROL", Array)?;
    control
        .set(control::ANCHOR, 0, 0)
        .map_err(AgentError::map("write", "CONTROL"))?;
    for path in [directories.source.join(STARTS), directories.http2.join(BOOK)] {
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(AgentError::Cgroup { path, source });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Wall time at boot, and when these pins were made. Both are fixed once: a clock that is set
/// later must not move the start of a counter.
pub(crate) fn anchor(directories: &Directories) -> Result<(u64, u64), AgentError> {
    let mut control: Control = open!(directories.source, "CONTROL", Array)?;
    let read = |control: &Control, index| control.get(&index, 0).map_err(AgentError::map("read", "CONTROL"));
    if read(&control, control::ANCHOR)? == 0 {
        let boot_ns = boot_ns();
        // Sources are told apart by the second.
        let made_ns = boot_ns.max(read(&control, control::MADE)?.saturating_add(SECOND_NS));
        let wall_ns = Utc::now().timestamp_nanos_opt().unwrap_or(0).unsigned_abs();
        control
            .set(control::MADE, made_ns, 0)
            .map_err(AgentError::map("write", "CONTROL"))?;
        control
            .set(control::ANCHOR, wall_ns.saturating_sub(boot_ns), 0)
            .map_err(AgentError::map("write", "CONTROL"))?;
    }
    Ok((read(&control, control::ANCHOR)?, read(&control, control::MADE)?))
}

pub(crate) fn starts(directories: &Directories) -> Result<Starts, AgentError> {
    open_or_create!(directories.source, STARTS, HashMap, Starts::create(STARTS_MAX, 0))
}

pub(crate) fn source_id(made_ns: u64) -> Result<SourceId, AgentError> {
    let read = |path: &'static str| {
        fs::read_to_string(path)
            .map(|text| text.trim().to_owned())
            .map_err(|source| AgentError::Identity { path, source })
    };
    // A machine without an id still boots with one that nobody else has.
    let boot = read("/proc/sys/kernel/random/boot_id")?;
    let machine = match read("/etc/machine-id") {
        Ok(id) if !id.is_empty() => id,
        _ => boot.clone(),
    };
    let seconds = u32::try_from(made_ns / 1_000_000_000).unwrap_or(u32::MAX);
    SourceId::new(&machine, &boot, seconds).map_err(|error| AgentError::Source { source: error.into() })
}

pub(crate) fn boot_ns() -> u64 {
    let clock = nix::time::ClockId::CLOCK_BOOTTIME;
    clock.now().map_or(0, |now| {
        u64::try_from(Duration::from(now).as_nanos()).unwrap_or(u64::MAX)
    })
}
