//! `slowburn run`: everything on this host, put together and taken apart again.
//!
//! In: flags, files, a kernel and a database. Out: a running system, and an orderly end.
//! It listens from the first moment on, and says what it waits for until it is there.
//! The order of the start matters: the database first (the books must be open before anything is counted), then
//! the probes, then the definitions, in kernel and books, then the greeting, then what the last run left unfinished, then
//! everything that acts. What may fail without touching anything comes before the probes.

mod agent;
mod backfill;
mod intake;
mod judge;
mod life;
mod maintenance;
mod options;
mod readiness;
mod reload;
mod take_up;
mod work;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use agent::explained;
use anyhow::{Context as _, Result};
use api::{Door, IngestCounters, Part, ProbeGauges, Readiness};
use chrono::Utc;
use intake::Intake;
use judge::Judge;
use life::Life;
use probes::agent::Agent;
use reload::Reload;
use remediation::runbook::Action;
use remediation::{Limits, Outbox, Worker};
use slo_engine::measurement::Hello;
use slo_engine::{Engine, Keep, MIGRATOR, Settings};
use sqlx::PgPool;
use take_up::take_up;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::database::Database;
use crate::definitions::Set;
use crate::limiter::KernelLimits;
use crate::schedule;
use crate::state::State;

pub use agent::SharedAgent;
pub use options::{Options, RunArgs, keep_ledger};

/// Runs until SIGINT or SIGTERM. The kernel goes on counting afterwards; the next start books it.
pub async fn run(args: RunArgs) -> Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let cancel = CancellationToken::new();
    let starting = start_with(Options::try_from(args)?, cancel.clone());
    tokio::pin!(starting);
    let running = tokio::select! {
        running = &mut starting => running?,
        () = stopped(&mut interrupt, &mut terminate) => {
            cancel.cancel();
            match starting.await {
                // It was too late to give up.
                Ok(running) => running.shutdown(ASKED).await?,
                // What has been started so far is taken apart by the start itself.
                Err(error) => tracing::info!(reason = format!("{error:#}"), "stopped while starting"),
            }
            return Ok(ExitCode::SUCCESS);
        }
    };
    running.announce()?;
    let (code, why) = tokio::select! {
        () = stopped(&mut interrupt, &mut terminate) => (ExitCode::SUCCESS, ASKED),
        // A part of it ended, and said so.
        () = cancel.cancelled() => (ExitCode::FAILURE, "since a part of it ended, as the log says"),
    };
    tracing::info!("stopping; the probes stay attached and go on counting");
    running.shutdown(why).await?;
    Ok(code)
}

async fn stopped(interrupt: &mut tokio::signal::unix::Signal, terminate: &mut tokio::signal::unix::Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Why it stops.
pub const ASKED: &str = "as it was asked to";

/// A source that is silent for longer than this many slots leaves a gap.
const SLOTS_PATIENCE: u32 = 3;

/// A database that is away keeps nobody from stopping.
const LAST_WORD_PATIENCE: Duration = Duration::from_secs(5);

/// Longer than a call to a receiver or a booking may take.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(35);

/// A slowburn that runs. Dropping it stops nothing; [`Running::shutdown`] does, in order.
#[derive(Debug)]
pub struct Running {
    parts: Parts,
    address: SocketAddr,
    cancel: CancellationToken,
    database: Database,
    _state: State,
}

#[derive(Debug)]
struct Parts {
    engine: Engine,
    limits: Arc<KernelLimits>,
    tasks: TaskTracker,
    agent: SharedAgent,
    life: Life,
}

/// Starts everything. Cancelling while it starts makes it give up, with everything taken apart again.
pub async fn start_with(options: Options, cancel: CancellationToken) -> Result<Running> {
    // Everything that can be refused without touching anything comes first.
    let set = crate::definitions::read(&options.config, options.ledger())
        .map_err(|found| anyhow::anyhow!("{found}"))?;
    set.warn().await;
    probes::capability::privileged().context("check privileges")?;
    options.measured().check().map_err(explained)?;
    let listener = listen(options.listen).await?;
    let address = listener.local_addr()?;
    let state = State::open(&options.state_dir)?;
    options.measured().check_free().map_err(explained)?;
    let (readiness, watched) = watch::channel(Readiness::starting());
    let door = Door::new(watched);
    let parts = Tasks {
        tracker: TaskTracker::new(),
        cancel: cancel.clone(),
    };
    let serving =
        axum::serve(listener, door.router()).with_graceful_shutdown(cancel.clone().cancelled_owned());
    parts.tend("the API", async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "cannot serve");
        }
    });

    let database = Database::open(
        options.database_url.as_deref(),
        &options.state_dir.join("postgres"),
    )
    .await
    .inspect_err(|_| cancel.cancel())?;
    let face = Face {
        address,
        door,
        readiness,
    };
    match assemble(options, set, face, &database, parts).await {
        Ok(parts) => Ok(Running {
            parts,
            address,
            cancel,
            database,
            _state: state,
        }),
        Err(error) => {
            cancel.cancel();
            if let Err(error) = database.stop().await {
                tracing::warn!(error = format!("{error:#}"), "Postgres goes on running");
            }
            Err(error)
        }
    }
}

/// Where it listens, and what it says there until everything is.
struct Face {
    address: SocketAddr,
    door: Door,
    readiness: watch::Sender<Readiness>,
}

/// Everything between an open database and an open door.
async fn assemble(
    options: Options,
    set: Set,
    face: Face,
    database: &Database,
    parts: Tasks,
) -> Result<Parts> {
    let Face {
        address,
        door,
        readiness: readiness_sender,
    } = face;
    let cancel = &parts.cancel.clone();
    let ledger = options.ledger();
    let measured = options.measured();
    // Without a runbook that wants it, no packet of the host passes a program of ours.
    let wanted = set
        .playbook
        .runbooks
        .iter()
        .flat_map(|runbook| &runbook.steps)
        .any(|action| matches!(action, Action::XdpLimit(_)));
    let interfaces = match options.limit_interfaces {
        Some(interfaces) => interfaces,
        None if wanted => {
            options::with_default_route().context("look for interfaces with a default route")?
        }
        None => Vec::new(),
    };
    let http = remediation::outgoing::client().context("set up outgoing calls")?;
    let hangup = signal(SignalKind::hangup())?;
    let pool = database.connect(cancel).await?;
    MIGRATOR
        .run(&pool)
        .await
        .context("bring the database up to date")?;
    let settings = Settings::default();
    let engine = Engine::new(
        pool.clone(),
        Settings {
            slot: options.slot,
            patience: options.slot * SLOTS_PATIENCE,
            keep: Keep {
                ledger: options.keep_ledger,
                ..settings.keep
            },
            ..settings
        },
    );
    let attaching = Part::NotReady {
        reason: "the probes are being attached".to_owned(),
    };
    readiness_sender.send_modify(|now| {
        now.database = Part::Ready;
        now.probes = attaching;
    });
    // Dated before anything is attached: what begins after the first contact is counted from zero.
    let contact = Utc::now();
    let agent = Agent::start(measured)
        .map_err(explained)
        .context("attach the probes")?;
    let source = agent.source();
    let agent = SharedAgent::new(agent);
    readiness_sender.send_modify(|now| now.probes = Part::Ready);
    take_up(&engine, &agent, &set.definitions, contact).await?;
    // Before the greeting, which gives up what the machine's last boot measured.
    let life = Life::of(&options.instance);
    if let Err(error) = life.started(&engine, contact).await {
        tracing::warn!(error = format!("{error:#}"), "the start is no event");
    }
    engine
        .hello(&Hello {
            source,
            host: host_name(),
            at: contact,
        })
        .await
        .context("greet the engine")?;

    let limits = Arc::new(KernelLimits::start(
        &options.instance,
        &interfaces,
        &options.allow,
        address,
        agent.clone(),
    ));
    // From here on each part says itself how its work goes.
    readiness_sender.send_replace(Readiness {
        definitions: readiness::in_force(&set.playbook).await,
        ..Readiness::ready()
    });
    let (playbook_sender, playbook) = watch::channel(Arc::new(set.playbook));
    let watched = readiness_sender.subscribe();
    let wake = Arc::new(Notify::new());
    let booked = Arc::new(Notify::new());
    let host = host_name();
    let worker = Arc::new(Worker::new(
        engine.pool().clone(),
        Arc::new(engine.clone()),
        Arc::clone(&limits) as Arc<dyn Limits>,
        http.clone(),
        format!("{host}/{}", options.instance),
    ));
    let outbox = Outbox::new(
        engine.pool().clone(),
        playbook.clone(),
        http,
        format!("{host}/{}", std::process::id()),
    )
    .with_dashboard(format!("http://{address}"));

    let counters = Arc::new(IngestCounters::default());
    let gauges = Arc::new(ProbeGauges::default());
    let intake = Intake::new(
        engine.clone(),
        agent.clone(),
        options.intake_buffer,
        Arc::clone(&counters),
        Arc::clone(&gauges),
        Arc::clone(&booked),
        readiness_sender.clone(),
    );
    parts.tend("intake", intake.run(cancel.clone()));
    let judge = Judge {
        engine: engine.clone(),
        pool: pool.clone(),
        playbook: playbook.clone(),
        wake: Arc::clone(&wake),
        booked,
        readiness: readiness_sender.clone(),
    };
    parts.tend("evaluation", judge.run(options.slot, cancel.clone()));
    parts.tend("housekeeping", maintenance::run(engine.clone(), cancel.clone()));
    parts.tend("counting back", backfill::run(engine.clone(), cancel.clone()));
    parts.tend(
        "the worker",
        work::steps(Arc::clone(&worker), Arc::clone(&wake), cancel.clone()),
    );
    let outbox = Arc::new(outbox);
    for _ in 0..work::DELIVERIES {
        parts.tend(
            "delivery",
            work::deliveries(Arc::clone(&outbox), Arc::clone(&wake), cancel.clone()),
        );
    }
    parts.tend(
        "the lease",
        work::lease(worker, Arc::clone(&limits), cancel.clone()),
    );
    let tasks = parts.tracker.clone();
    let reports = options.state_dir.join("reports");
    tasks.spawn(schedule::reports(
        engine.clone(),
        options.report_schedule,
        reports,
        cancel.clone(),
    ));
    let reload = Reload {
        paths: options.config,
        ledger,
        taken: set.stamp,
        engine: engine.clone(),
        agent: agent.clone(),
        playbook: playbook_sender,
        readiness: readiness_sender,
        refused: None,
    };
    tasks.spawn(reload.run(hangup, cancel.clone()));

    let router = api::router(api::AppState {
        engine: engine.clone(),
        pool: pool.clone(),
        limits: Arc::clone(&limits) as Arc<dyn Limits>,
        playbook,
        ingest: counters,
        probes: gauges,
        readiness: watched,
        listen: address,
        names: options.names,
        stopping: cancel.clone(),
    });
    door.open(router);
    tasks.close();
    Ok(Parts {
        engine,
        limits,
        tasks,
        agent,
        life,
    })
}

impl Running {
    pub fn pool(&self) -> &PgPool {
        self.parts.engine.pool()
    }

    pub fn limits(&self) -> &Arc<KernelLimits> {
        &self.parts.limits
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The one line on standard output: whoever started us waits for it.
    fn announce(&self) -> Result<()> {
        use std::io::Write as _;
        writeln!(std::io::stdout(), "slowburn listens on http://{}", self.address)
            .context("say where we listen")
    }

    /// Ends every task, then the agent, then Postgres. Programs, pins and limits stay in the kernel:
    /// counting goes on, and limits end by their lease. What does not end in time is left where it is: an
    /// intent without a result is done again, and what was not committed did not happen.
    pub async fn shutdown(self, why: &str) -> Result<()> {
        self.cancel.cancel();
        let pool = self.parts.engine.pool();
        let ending = async {
            self.parts.tasks.wait().await;
            let said = self.parts.life.stopped(pool, why);
            match tokio::time::timeout(LAST_WORD_PATIENCE, said).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(error = format!("{error:#}"), "the stop is no event"),
                Err(_) => tracing::warn!("the stop is no event: the database did not answer in time"),
            }
            pool.close().await;
        };
        if tokio::time::timeout(SHUTDOWN_PATIENCE, ending).await.is_err() {
            tracing::warn!("not everything ended in time, stopping without it");
        }
        let agent = self.parts.agent.with(|agent| agent.shutdown()).await;
        self.database.stop().await?;
        agent
    }
}

/// What must go on for as long as slowburn runs.
#[derive(Debug)]
struct Tasks {
    tracker: TaskTracker,
    cancel: CancellationToken,
}

impl Tasks {
    /// Runs a part. One that ends by itself, or panics, ends all of it: a slowburn without it would look well
    /// and do nothing.
    fn tend(&self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        let part = tokio::spawn(part);
        let cancel = self.cancel.clone();
        self.tracker.spawn(async move {
            let outcome = part.await;
            if !cancel.is_cancelled() {
                match outcome {
                    Ok(()) => tracing::error!("{name} ended unexpectedly"),
                    Err(error) => tracing::error!(%error, "{name} ended unexpectedly"),
                }
                cancel.cancel();
            }
        });
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                anyhow::anyhow!(
                    "{address} is in use by another program\nhint: choose another with `--listen`"
                )
            }
            _ => anyhow::Error::new(error).context(format!("listen on {address}")),
        })
}

fn host_name() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "localhost".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[expect(clippy::panic, reason = "a defect in a part")]
    async fn a_part_that_panics_ends_everything() {
        let parts = Tasks {
            tracker: TaskTracker::new(),
            cancel: CancellationToken::new(),
        };
        let cancel = parts.cancel.clone();
        parts.tend("well", async move { cancel.cancelled().await });
        assert!(!parts.cancel.is_cancelled());
        parts.tend("ill", async { panic!("a defect") });
        parts.cancel.cancelled().await;
        parts.tracker.close();
        parts.tracker.wait().await;
    }
}
