//! The agent: attaches, names what listens, and reads what was counted.
//!
//! In: which cgroup and instance; services to watch; once a second, the time. Out: one batch of cumulative values a read. It keeps
//! nothing that a restart would lose: names, start times and counters live in pinned maps, and what is attached stays so when it is gone.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    error::Error,
    fmt, fs,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use slo_engine::{
    measurement::{Batch, Gauge, GaugeReading, Role, ServiceName, Signal, SourceId},
    service::{Discovered, WatchedService},
};
use tokio::sync::Notify;

mod config;
mod error;
mod standing;

use self::config::{Place, lock, refused};
pub use self::{config::AgentConfig, error::AgentError, standing::Standing};
pub use crate::edge::{layout::MapSizes, reading::HOST, room::MapUse, sources::Source};
use crate::{
    bpffs::{self, DirectoryLock},
    discovery::cgroup::Hierarchy,
    edge::{
        attach, generation,
        layout::Directories,
        listened, object,
        overdue::{Walk, Walker},
        reading::{Generation, Totals, gauge, role_of, to_f64},
        room::Room,
        settings::{Definitions, Registry},
        sources::SourceTable,
        starts::StartTimes,
        table::{Counters, Sources, open},
    },
    http2,
    listeners::{DropBook, Look, Looker},
    mounts,
    names::Names,
    overhead::{FEWER_WALKS, Modes, Overhead, Probe, ProgramCost},
    statistics::{self, ProgramStatistics},
    watcher::Watcher,
};

/// A service that nothing was counted for without a name waits this long for discovery.
const NAME_PATIENCE: Duration = Duration::from_secs(3);

pub struct Agent {
    source: SourceId,
    object: object::Object,
    counters: Counters,
    /// Counters of other layouts, frozen.
    earlier: Vec<(Counters, Definitions)>,
    registry: Registry,
    room: Room,
    overhead: Overhead,
    reads: u64,
    cgroups: Hierarchy,
    sources: SourceTable,
    starts: StartTimes,
    walker: Option<Walker>,
    /// Network namespaces in which somebody has called: where nobody listens, too.
    callers: BTreeSet<u64>,
    http2: http2::Reader,
    watcher: Watcher,
    looker: Option<Looker>,
    drop_book: DropBook,
    names: Names,
    /// Why some of what the last scan found has no name.
    unnamed: Option<String>,
    round_trips: HashMap<(ServiceName, Role), (u64, u64)>,
    attached_ns: u64,
    degraded: Vec<String>,
    warned: HashSet<String>,
    /// On the cgroup: nobody else measures it. On the pins: nobody takes them away unasked.
    _locks: [DirectoryLock; 2],
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("source", &self.source)
            .field("degraded", &self.degraded)
            .finish_non_exhaustive()
    }
}

impl Agent {
    /// Loads and attaches, or takes over from an agent that is gone. Greet the engine with a time
    /// taken before this call: what begins after it is counted from zero.
    pub fn start(config: AgentConfig) -> Result<Self, AgentError> {
        let Place {
            root,
            cgroups,
            path,
            within,
        } = config.place()?;
        let lock = lock(&path)?;
        let cgroup = fs::File::open(&path).map_err(refused(&path))?;

        let bpffs_root = PathBuf::from(bpffs::DEFAULT_ROOT);
        bpffs::ensure(&bpffs_root)?;
        let cpus = aya::util::nr_cpus().map_err(|(_, source)| AgentError::Cpus { source })?;
        let sizes = config.sizes;
        let directories = Directories::new(&bpffs_root, &config.instance, &sizes, cpus)?;
        for directory in [
            &directories.source,
            &directories.connections,
            &directories.http2,
            &directories.counters,
            &directories.links,
        ] {
            bpffs::create(directory)?;
        }
        let pins = bpffs::lock(&bpffs::instance_path(&bpffs_root, &config.instance)?)?;
        let mut degraded = Vec::new();
        let tracefs = mounts::tracefs()
            .map_err(|error| degraded.push(chain(&error)))
            .ok();

        let mut object = object::load(&directories, &sizes, tracefs.as_deref())?;
        degraded.append(&mut object.absent);
        let earlier = generation::earlier(&directories, &mut degraded)?;
        let (anchor_ns, attached_ns) = generation::anchor(&directories)?;
        let mut registry = Registry::open(&directories, &earlier)?;
        // 0 is what a connection that was never looked up holds.
        registry.raise_generation()?;
        registry.set_modes(Modes::default())?;
        registry.set_within(cgroup.metadata().map_err(refused(&path))?.ino())?;
        attach::cgroup(&mut object.ebpf, &directories.links, &cgroup).map_err(|error| {
            AgentError::Attach {
                reason: object::brief(&error),
            }
        })?;
        // Whatever an older program looked up meanwhile is looked up again.
        registry.raise_generation()?;
        if tracefs.is_some() {
            degraded.append(&mut attach::tracepoints(&mut object.ebpf, &directories.links));
        }
        let walker = attach::program_fd(&object.ebpf, object::IN_FLIGHT)
            .and_then(|program| Ok(Walker::start(program)?))
            .map_err(|error| {
                // A refusal to load it has been told already.
                if degraded.iter().all(|text| !text.contains("overdue")) {
                    degraded.push(format!(
                        "requests in flight cannot be walked, so what is overdue counts only once it ends ({})",
                        object::brief(&error)
                    ));
                }
            })
            .ok();
        for text in &degraded {
            tracing::warn!("{text}");
        }
        let source = generation::source_id(anchor_ns.wrapping_add(attached_ns))?;
        let sources: Sources = open!(directories.counters, "SOURCES", PerCpuLruHashMap)?;
        let latencies = sizes.latencies(cpus);
        tracing::info!(source = %source, cgroup = %path.display(), latencies, "attached");
        let listened = listened::open(&mut object.ebpf)?;
        let mut counters = Counters::open(&directories.counters)?;
        let room = Room::open(&directories.counters, &mut counters, &sizes)?;
        Ok(Self {
            counters,
            earlier,
            room,
            overhead: Overhead::new(config.overhead),
            reads: 0,
            cgroups,
            sources: SourceTable::new(sources, sizes.sources),
            starts: StartTimes::open(generation::starts(&directories)?, anchor_ns)?,
            looker: Looker::start()
                .map_err(|error| tracing::warn!(%error, "accept queues are not seen"))
                .ok(),
            drop_book: DropBook::open(&directories.source)?,
            watcher: Watcher::start(&root, within, listened)
                .map_err(|source| AgentError::Discovery { source })?,
            names: Names::default(),
            unnamed: None,
            round_trips: HashMap::new(),
            warned: HashSet::new(),
            source,
            object,
            registry,
            walker,
            callers: BTreeSet::new(),
            http2: http2::Reader::start(&directories)?,
            attached_ns,
            degraded,
            _locks: [lock, pins],
        })
    }

    /// Who counts here: the same until the pins are removed or the machine restarts.
    pub fn source(&self) -> SourceId {
        self.source.clone()
    }

    /// Sets what to look for. Until the first call nothing is named, and nothing is lost.
    pub fn watch(&mut self, services: &[WatchedService]) -> Result<(), AgentError> {
        let scan = self
            .watcher
            .scan_now()
            .map_err(|source| AgentError::Discovery { source })?;
        self.names.watch(services);
        match self.names.apply(&scan, &self.watcher, &mut self.registry) {
            // That the host has more than fits is no fault of these definitions.
            Err(AgentError::SettingsFull { service })
                if services.iter().all(|defined| defined.name != service) =>
            {
                tracing::warn!(%service, "no room for what was discovered");
            }
            outcome => outcome?,
        }
        // From here on the kernel's counts of listeners are ours.
        self.look_at_queues();
        Ok(())
    }

    /// Rung when a scan is done, as a read or somebody who began to listen asked for it: to be followed by [`Agent::name`].
    pub fn scanned(&self) -> Arc<Notify> {
        self.watcher.scanned()
    }

    /// Names who listens by the last scan, unless that has been done.
    pub fn name(&mut self) {
        if let Some(scan) = self.watcher.latest() {
            let named = self.names.apply(&scan, &self.watcher, &mut self.registry);
            self.unnamed = named.err().map(|error| chain(&error));
        }
    }

    /// Everything counted so far. To be called each second: this is also when requests in flight
    /// are looked at, and when a scan begins for who listens by now.
    pub fn read(&mut self, now: DateTime<Utc>) -> Result<Batch, AgentError> {
        self.weigh()?;
        self.name();
        self.watcher.ask();
        self.reads += 1;
        let walks_now = self.overhead.modes().of(Probe::Walks) == 0 || self.reads.is_multiple_of(FEWER_WALKS);
        let walker = self.walker.as_ref().filter(|_| walks_now);
        let mut walk = match walker {
            Some(walker) => walker.walk(self.watcher.namespaces(&self.callers)),
            None => Walk::default(),
        };
        let has_walked = walker.is_some();
        for text in &walk.failed {
            if self.warned.insert(text.clone()) {
                tracing::warn!("sockets in flight are not seen in {text}");
            }
        }
        walk.in_flight.extend(self.http2.look());
        let mut totals = self.totals()?;
        let left = if self.names.is_set() {
            self.name_what_is_left(&totals)
        } else {
            Ok(false)
        };
        if matches!(left, Ok(true)) {
            totals = self.totals()?;
        }
        // What finds no name costs no reading: all that has one is told as before.
        let left = left.err().map(|error| chain(&error));
        let nameless: Vec<String> = self.unnamed.iter().cloned().chain(left).collect();
        for text in &nameless {
            if self.warned.insert(text.clone()) {
                tracing::warn!("some of what listens has no name: {text}");
            }
        }
        // Longer than their counters, which are folded while a call may hang or a connection wait for its next.
        self.callers.extend(totals.activities.callers());
        self.watcher.retain_living(&mut self.callers);
        let queues = self.look_at_queues();
        for (service, (first_ns, drops)) in self.drop_book.totals() {
            totals.add_service(service, Signal::ListenDrops, first_ns, drops);
        }
        let mut gauges = totals.open_connections();
        gauges.extend(queues.gauges);
        gauges.append(&mut totals.round_trips(&mut self.round_trips));
        if has_walked {
            let waiting = self.by_service(&walk);
            for key in totals.services() {
                let (in_flight, overdue) = waiting.get(&key).copied().unwrap_or_default();
                gauges.push(gauge(key.clone(), Gauge::InFlight, to_f64(in_flight)));
                gauges.push(gauge(key, Gauge::Overdue, to_f64(overdue)));
            }
        }
        let attached_at = self.starts.at(self.attached_ns);
        let absent = self.degraded.len()
            + walk.failed.len()
            + nameless.len()
            + queues.failed
            + self.overhead.modes().missing().count();
        let losses = totals.losses(absent, attached_at, &mut self.starts);
        if self.names.is_set()
            && let Err(error) = self.room.make(
                &totals.activities,
                &mut self.counters,
                &mut self.registry,
                &self.names,
                &self.cgroups,
            )
        {
            let text = chain(&error);
            if self.warned.insert(text.clone()) {
                tracing::warn!("counters of endpoints that are gone stay where they are: {text}");
            }
        }
        Ok(Batch {
            source: self.source.clone(),
            at: now,
            sent_at: now,
            readings: totals.readings(&mut self.starts),
            histograms: totals.histograms(&mut self.starts),
            gauges,
            losses,
        })
    }

    /// How full the accept queues are; books what they turned away.
    fn look_at_queues(&mut self) -> Queues {
        let look = match &self.looker {
            Some(looker) => looker.look(self.watcher.namespaces_by_cookie()),
            None => Look::default(),
        };
        for text in &look.failed {
            if self.warned.insert(text.clone()) {
                tracing::warn!("accept queues are not seen in {text}");
            }
        }
        let named: Vec<_> = look
            .sockets
            .iter()
            .map(|(netns, socket)| {
                let service = self.names.of_listener(*netns, socket.port, socket.cgroup);
                (*socket, service)
            })
            .collect();
        let unbooked = self.drop_book.book(&named, generation::boot_ns());
        let mut queues: BTreeMap<&ServiceName, (u64, u64)> = BTreeMap::new();
        for (socket, service) in named {
            if let Some(service) = service {
                let (waiting, backlog) = queues.entry(service).or_default();
                *waiting += u64::from(socket.waiting);
                *backlog += u64::from(socket.backlog);
            }
        }
        let gauges = queues.into_iter().flat_map(|(service, (waiting, backlog))| {
            let key = (service.clone(), Role::Server);
            [(Gauge::AcceptQueue, waiting), (Gauge::AcceptBacklog, backlog)]
                .map(|(kind, value)| gauge(key.clone(), kind, to_f64(value)))
        });
        Queues {
            gauges: gauges.collect(),
            failed: look.failed.len() + usize::from(self.looker.is_none()) + unbooked,
        }
    }

    /// Whether the scan is done that the last read asked for. For tests.
    #[doc(hidden)]
    pub fn has_scanned(&self) -> bool {
        self.watcher.has_latest()
    }

    /// Every listener found, with its service and why.
    pub fn discovered(&self) -> Vec<Discovered> {
        self.names.discovered()
    }

    /// The remote addresses that ask most of a service, the heaviest first.
    pub fn sources_of(&mut self, service: &ServiceName) -> Result<Vec<Source>, AgentError> {
        self.sources.heaviest(service, &self.registry.definitions)
    }

    /// How full the maps were at the last read.
    pub fn map_use(&self) -> &[MapUse] {
        self.room.in_use()
    }

    /// What is missing here, in plain words. Empty when everything works.
    pub fn degraded(&self) -> &[String] {
        &self.degraded
    }

    /// What each program costs, as far as it was watched, and what is left out because of it.
    pub fn overhead(&self) -> (Vec<ProgramCost>, Modes) {
        (self.overhead.costs().cloned().collect(), self.overhead.modes())
    }

    fn weigh(&mut self) -> Result<(), AgentError> {
        let object = &self.object.ebpf;
        let step = self
            .overhead
            .tick(generation::boot_ns(), || statistics::read(object));
        let Some(modes) = step else { return Ok(()) };
        self.registry.set_modes(modes)?;
        for text in modes.missing() {
            tracing::warn!("{text}");
        }
        if modes == Modes::default() {
            tracing::info!("the probes cost little enough to count everything again");
        }
        Ok(())
    }

    /// Runs and time of each program. Zeros unless `kernel.bpf_stats_enabled` is set.
    pub fn statistics(&self) -> Vec<ProgramStatistics> {
        statistics::read(&self.object.ebpf)
    }

    /// Stops looking. What is attached stays and counts on.
    pub fn shutdown(&mut self) {
        self.watcher.stop();
    }

    fn totals(&self) -> Result<Totals, AgentError> {
        let now = Generation {
            counters: &self.counters,
            definitions: &self.registry.definitions,
            reset_reasons: &self.object.reset_reasons,
            is_current: true,
        };
        let mut generations = vec![now];
        generations.extend(self.earlier.iter().map(|(counters, definitions)| Generation {
            counters,
            definitions,
            reset_reasons: &self.object.reset_reasons,
            is_current: false,
        }));
        self.http2
            .with_tallies(|tallies| Totals::read(&generations, tallies))
    }

    /// Names endpoints that were counted and that discovery has not named: their process moved to
    /// another cgroup, or listened too shortly to be seen.
    fn name_what_is_left(&mut self, totals: &Totals) -> Result<bool, AgentError> {
        let boot_ns = generation::boot_ns();
        let mut named = false;
        let mut full = None;
        for (endpoint, since) in &totals.unnamed {
            let age = Duration::from_nanos(boot_ns.saturating_sub(*since));
            let is_late = age >= NAME_PATIENCE;
            let cgroups = is_late.then_some(&self.cgroups);
            match self.names.name_endpoint(endpoint, cgroups, &mut self.registry) {
                Ok(is_new) => named |= is_new,
                Err(error) => full = Some(error),
            }
        }
        if named {
            self.registry.raise_generation()?;
        }
        match full {
            Some(error) if !named => Err(error),
            _ => Ok(named),
        }
    }

    /// In flight, and overdue.
    fn by_service(&self, walk: &Walk) -> HashMap<(ServiceName, Role), (u64, u64)> {
        let mut found: HashMap<_, (u64, u64)> = HashMap::new();
        for record in &walk.in_flight {
            let Some(definition) = self.registry.definitions.get(record.settings) else {
                continue;
            };
            let key = (definition.service.clone(), role_of(&record.endpoint));
            let (in_flight, overdue) = found.entry(key).or_default();
            *in_flight += 1;
            *overdue += u64::from(record.overdue);
        }
        found
    }
}

/// What a look at the accept queues gave.
struct Queues {
    gauges: Vec<GaugeReading>,
    /// Namespaces that could not be looked into, and sockets whose drops found no room.
    failed: usize,
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
