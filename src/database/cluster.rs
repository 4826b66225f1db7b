//! A private Postgres cluster: made once, started as an unprivileged user, kept running, stopped cleanly.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// Oldest server the schema is written for.
pub const VERSION_MIN: u32 = 15;
const NAME: &str = "slowburn";
/// How long a server may take to come up: crash recovery replays its log first.
const START_PATIENCE: Duration = Duration::from_secs(120);
/// How long a start that fails is tried again.
const SETTLE_PATIENCE: Duration = Duration::from_secs(5);
const STOP_PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
/// A unix socket's path must fit `sockaddr_un`.
const SOCKET_PATH_MAX: usize = 107;

/// A running cluster. Dropping it leaves the server running; [`Cluster::stop`] stops it.
#[derive(Debug)]
pub struct Cluster {
    directory: PathBuf,
    binaries: PathBuf,
    server: Server,
}

#[derive(Debug)]
enum Server {
    Ours(Child),
    /// Started by an earlier slowburn that was killed.
    Adopted(Pid),
}

impl Cluster {
    /// Makes the cluster if the directory has none, and starts it if it does not run.
    pub async fn start(directory: &Path) -> Result<Cluster> {
        let owner = owner()?;
        for part in [directory.to_path_buf(), directory.join("socket")] {
            fs::create_dir_all(&part).with_context(|| format!("create {}", part.display()))?;
            fs::set_permissions(&part, fs::Permissions::from_mode(0o700))?;
            if let Some(user) = &owner {
                chown(&part, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                    .with_context(|| format!("give {} to {}", part.display(), user.name))?;
            }
        }
        check_socket(directory)?;
        let binaries = binaries(&directory.join("data"))?;
        if !directory.join("data/PG_VERSION").exists() {
            initialise(directory, &binaries, owner.as_ref()).await?;
        }
        let server = match running(directory) {
            Some(pid) => {
                tracing::info!(
                    postgres.pid = pid.as_raw(),
                    "took over the Postgres of an earlier slowburn"
                );
                Server::Adopted(pid)
            }
            None => Server::Ours(spawn(directory, &binaries, owner.as_ref())?),
        };
        let mut cluster = Cluster {
            directory: directory.to_path_buf(),
            binaries,
            server,
        };
        // A slowburn that was killed may have been starting it just then, or have left some of its processes ending.
        let mut started = cluster.await_answer().await;
        let give_up = Instant::now() + SETTLE_PATIENCE;
        while let Err(error) = started {
            if Instant::now() > give_up {
                return Err(error);
            }
            tracing::warn!(
                error = format!("{error:#}"),
                "Postgres did not start, trying again"
            );
            sleep(POLL * 4).await;
            started = cluster.restart().await;
        }
        Ok(cluster)
    }

    pub fn options(&self) -> PgConnectOptions {
        self.options_of(NAME)
    }

    /// Keeps the server running until cancelled: a server that dies is started again, and recovers by its log.
    pub async fn supervise(&mut self, cancel: &CancellationToken) {
        loop {
            tokio::select! {
                () = self.exited() => {}
                () = cancel.cancelled() => return,
            }
            tracing::error!("Postgres ended unexpectedly, starting it again");
            let mut pause = Duration::from_millis(200);
            while let Err(error) = self.restart().await {
                tracing::error!(
                    error = format!("{error:#}"),
                    "Postgres did not start, trying again"
                );
                tokio::select! {
                    () = sleep(pause) => {}
                    () = cancel.cancelled() => return,
                }
                pause = (pause * 2).min(Duration::from_secs(10));
            }
            tracing::info!("Postgres runs again");
        }
    }

    /// Ends open connections, writes everything out, and waits for the server to be gone.
    pub async fn stop(mut self) -> Result<()> {
        if let Some(pid) = self.pid() {
            kill(pid, Signal::SIGINT).context("ask Postgres to stop")?;
        }
        tokio::time::timeout(STOP_PATIENCE, self.exited())
            .await
            .with_context(|| format!("Postgres did not stop within {} s", STOP_PATIENCE.as_secs()))
    }

    async fn restart(&mut self) -> Result<()> {
        self.server = match running(&self.directory) {
            Some(pid) => Server::Adopted(pid),
            None => Server::Ours(spawn(&self.directory, &self.binaries, owner()?.as_ref())?),
        };
        self.await_answer().await
    }

    fn pid(&self) -> Option<Pid> {
        match &self.server {
            Server::Ours(child) => child
                .id()
                .and_then(|id| i32::try_from(id).ok())
                .map(Pid::from_raw),
            Server::Adopted(pid) => Some(*pid),
        }
    }

    async fn exited(&mut self) {
        match &mut self.server {
            Server::Ours(child) => {
                if let Err(error) = child.wait().await {
                    tracing::warn!(%error, "could not wait for Postgres");
                }
            }
            // Not our child, so there is nothing to wait on: ask whether it is there.
            Server::Adopted(pid) => {
                while kill(*pid, None).is_ok() {
                    sleep(POLL).await;
                }
            }
        }
    }

    /// Waits until the server answers, and makes our database when it is not there.
    async fn await_answer(&mut self) -> Result<()> {
        let give_up = Instant::now() + START_PATIENCE;
        let mut connection = loop {
            match PgConnection::connect_with(&self.options_of("postgres")).await {
                Ok(connection) => break connection,
                Err(error) if Instant::now() > give_up => return Err(error).context("reach our Postgres"),
                Err(_) => {}
            }
            if let Server::Ours(child) = &mut self.server
                && let Some(status) = child.try_wait().context("look at Postgres")?
            {
                bail!(
                    "Postgres ended at once ({status}):\n{}",
                    last_lines(&self.directory.join("log"), 8)
                );
            }
            if let Server::Adopted(pid) = self.server {
                ensure!(
                    kill(pid, None).is_ok(),
                    "the Postgres of an earlier slowburn has ended"
                );
            }
            sleep(POLL).await;
        };
        let exists: Option<i32> = sqlx::query_scalar("select 1 from pg_database where datname = $1")
            .bind(NAME)
            .fetch_optional(&mut connection)
            .await?;
        if exists.is_none() {
            sqlx::raw_sql(AssertSqlSafe(format!("create database {NAME}")))
                .execute(&mut connection)
                .await?;
        }
        connection.close().await?;
        Ok(())
    }

    fn options_of(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new()
            .socket(self.directory.join("socket"))
            .username(NAME)
            .database(database)
            .application_name(NAME)
    }
}

/// What would be started, tried as far as that is possible without starting it.
pub async fn look(directory: &Path) -> Result<String> {
    let owner = owner()?;
    check_socket(directory)?;
    let binaries = binaries(&directory.join("data"))?;
    let user = owner.as_ref().map_or("this user", |user| user.name.as_str());
    let mut said = String::new();
    for program in ["initdb", "postgres"] {
        let path = binaries.join(program);
        let hint = "hint: install Postgres' server programs where they can be run, or name their directory with `SLOWBURN_POSTGRES_BIN`";
        let output = command(&path, owner.as_ref()).arg("--version").output().await;
        said = match output {
            Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
            Ok(output) => bail!("`{}` as {user}: {}\n{hint}", path.display(), output.status),
            Err(error) => bail!("{user} could not run `{}`: {error}\n{hint}", path.display()),
        };
    }
    // `postgres (PostgreSQL) 17.2 (Debian 17.2-1)`
    let version = said.split_whitespace().nth(2).unwrap_or("of no known version");
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    ensure!(
        major.is_none_or(|major| major >= VERSION_MIN),
        "`{}` is Postgres {version}\nhint: {VERSION_MIN} or newer is needed",
        binaries.display()
    );
    Ok(format!("Postgres {version} in {} as {user}", binaries.display()))
}

fn check_socket(directory: &Path) -> Result<()> {
    let socket = directory.join("socket/.s.PGSQL.5432");
    ensure!(
        socket.as_os_str().len() <= SOCKET_PATH_MAX,
        "the state directory's path is too long for a unix socket: `{}` has {} bytes, at most {SOCKET_PATH_MAX} fit\n\
         hint: choose another with `--state-dir`",
        socket.display(),
        socket.as_os_str().len(),
    );
    Ok(())
}

/// Whom the server runs as: Postgres refuses root, so root lends the cluster to `postgres`, else `nobody`.
fn owner() -> Result<Option<User>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name).context("look up a user for Postgres")? {
            return Ok(Some(user));
        }
    }
    bail!(
        "Postgres refuses to run as root, and there is neither a user `postgres` nor `nobody` to run it as\n\
         hint: make a user `postgres`, or name a database with `--database-url`"
    )
}

/// The directory of server programs: of the version that made the cluster, else the newest.
fn binaries(data: &Path) -> Result<PathBuf> {
    if let Some(directory) = std::env::var_os("SLOWBURN_POSTGRES_BIN") {
        return Ok(directory.into());
    }
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .filter(|(_, path)| path.join("initdb").exists() && path.join("postgres").exists())
        .collect();
    found.sort();
    if let Ok(made_by) = fs::read_to_string(data.join("PG_VERSION")) {
        let made_by: u32 = made_by.trim().parse().context("read PG_VERSION of the cluster")?;
        return found
            .into_iter()
            .find(|(version, _)| *version == made_by)
            .map(|(_, path)| path)
            .with_context(|| {
                format!(
                    "the cluster in `{}` was made by Postgres {made_by}, which is not installed\nhint: install `postgresql-{made_by}`",
                    data.display()
                )
            });
    }
    match found.pop() {
        Some((version, path)) if version >= VERSION_MIN => Ok(path),
        Some((version, _)) => bail!(
            "Postgres {version} is too old\nhint: install {VERSION_MIN} or newer, or name a database with `--database-url`"
        ),
        None => bail!(
            "no Postgres server found in `/usr/lib/postgresql`\nhint: install `postgresql`, or name a database with `--database-url`, \
             or the directory of its programs with `SLOWBURN_POSTGRES_BIN`"
        ),
    }
}

/// Made aside and renamed, so that a cluster either is whole or is not there.
async fn initialise(directory: &Path, binaries: &Path, owner: Option<&User>) -> Result<()> {
    let (data, aside) = (directory.join("data"), directory.join("data.new"));
    if aside.exists() {
        fs::remove_dir_all(&aside).context("remove a half-made cluster")?;
    }
    let output = command(&binaries.join("initdb"), owner)
        .arg("--pgdata")
        .arg(&aside)
        .args([
            "--username",
            NAME,
            "--auth",
            "trust",
            "--encoding",
            "UTF8",
            "--locale",
            "C.UTF-8",
        ])
        .output()
        .await
        .context("run initdb")?;
    ensure!(
        output.status.success(),
        "initdb failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    fs::rename(&aside, &data).context("put the new cluster in place")
}

fn spawn(directory: &Path, binaries: &Path, owner: Option<&User>) -> Result<Child> {
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(directory.join("log"))
        .context("open the log of Postgres")?;
    command(&binaries.join("postgres"), owner)
        .arg("-D")
        .arg(directory.join("data"))
        .arg("-k")
        .arg(directory.join("socket"))
        .args(["-c", "listen_addresses=", "-c", "unix_socket_permissions=0700"])
        .args(["-c", "max_connections=40", "-c", "timezone=UTC", "-c", "jit=off"])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("start {}", binaries.join("postgres").display()))
}

/// A process group of its own: Ctrl-C at the terminal is for slowburn, which then stops Postgres in order.
fn command(program: &Path, owner: Option<&User>) -> Command {
    let mut command = std::process::Command::new(program);
    command.current_dir("/").process_group(0);
    if let Some(user) = owner {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    Command::from(command)
}

/// The server of this directory, if one runs.
fn running(directory: &Path) -> Option<Pid> {
    let data = directory.join("data");
    let lock = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid = Pid::from_raw(lock.lines().next()?.trim().parse().ok()?);
    serves(pid, &data).then_some(pid)
}

/// Whether the process was started on these data: the number in a lock file that was left behind may be any
/// process's by now, another Postgres's included.
pub fn serves(pid: Pid, data: &Path) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
        line.split(|&byte| byte == 0)
            .any(|argument| argument == data.as_os_str().as_encoded_bytes())
    })
}

fn last_lines(path: &Path, count: usize) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
