//! A slowburn of the test's own: the real binary, with a private Postgres, on a free port.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::eventually;
use super::network::Network;

#[derive(Debug)]
pub struct Slowburn {
    directory: TempDir,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    instance: String,
    child: Option<Child>,
    address: String,
    /// Where what it logs is written, where a test reads that.
    log: Option<PathBuf>,
    /// The file whose id it takes for the machine's, where that is not this machine's.
    machine: Option<PathBuf>,
}

impl Slowburn {
    /// Watches the network's cgroup with these definitions (YAML). Ledger slots are one second, unless it is told otherwise.
    pub fn start(network: &Network, definitions: &str) -> Slowburn {
        Self::start_with(network, definitions, &[], &[])
    }

    pub fn start_with(
        network: &Network,
        definitions: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Slowburn {
        let mut slowburn = Self::with(network, definitions, arguments, environment);
        slowburn.launch();
        slowburn
    }

    /// The same, and what it logs can be asked for.
    pub fn start_logging(
        network: &Network,
        definitions: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Slowburn {
        let mut slowburn = Self::with(network, definitions, arguments, environment);
        slowburn.log = Some(slowburn.directory.path().join("log"));
        slowburn.launch();
        slowburn
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.log.as_ref().expect("it was started to log")).unwrap()
    }

    /// One that shares the database of `other`, and takes itself for another machine.
    pub fn start_beside(
        other: &Slowburn,
        network: &Network,
        definitions: &str,
        environment: &[(&str, &str)],
    ) -> Slowburn {
        let url = format!(
            "--database-url={}",
            database_in(&other.state().join("postgres/socket"))
        );
        let mut slowburn = Self::with(network, definitions, &[&url], environment);
        let machine = slowburn.directory.path().join("machine-id");
        fs::write(&machine, format!("{:032x}\n", std::process::id())).unwrap();
        slowburn.machine = Some(machine);
        slowburn.launch();
        slowburn
    }

    fn with(
        network: &Network,
        definitions: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Slowburn {
        let directory = tempfile::tempdir().unwrap();
        // Postgres runs as another user and must be able to walk here.
        fs::set_permissions(
            directory.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o711),
        )
        .unwrap();
        let config = directory.path().join("definitions.yaml");
        fs::write(&config, definitions).unwrap();
        let mut given = arguments.iter().copied();
        let slot = given.find(|argument| argument.starts_with("--slot="));
        let mut all: Vec<String> = [
            "run",
            "--listen=127.0.0.1:0",
            slot.unwrap_or("--slot=1s"),
            &format!("--config={}", config.display()),
            &format!("--state-dir={}", directory.path().join("state").display()),
            &format!("--cgroup={}", network.cgroup.display()),
            &format!("--instance={}", network.name),
        ]
        .map(String::from)
        .to_vec();
        let others = arguments.iter().filter(|argument| Some(**argument) != slot);
        all.extend(others.map(ToString::to_string));
        let environment = environment
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        Slowburn {
            log: None,
            machine: None,
            directory,
            arguments: all,
            environment,
            instance: network.name.clone(),
            child: None,
            address: String::new(),
        }
    }

    /// Starts (again) and waits until it says where it listens.
    pub fn launch(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let mut command = self.command();
        if let Some(log) = &self.log {
            command.stderr(fs::File::create(log).unwrap());
        }
        let mut child = command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env_remove("DATABASE_URL")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let Some((_, address)) = line.trim().split_once("http://") else {
            let status = child.wait().unwrap();
            panic!("slowburn ended ({status}) instead of listening; it said `{line}`");
        };
        self.address = format!("http://{address}");
        self.child = Some(child);
        eventually("slowburn to be ready", Duration::from_secs(60), || {
            self.try_get("/readyz").ok()
        });
    }

    /// From its next start on its database is that of whoever runs the server behind this socket.
    pub fn use_database_in(&mut self, socket: &Path) {
        self.arguments
            .push(format!("--database-url={}", database_in(socket)));
    }

    /// Starts it where it must end by itself with an error: what it says of that.
    pub fn refused(&self) -> String {
        assert!(self.child.is_none(), "it runs already");
        let output = self
            .command()
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env_remove("DATABASE_URL")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}");
        text
    }

    /// In a mount namespace of its own where it is to find another machine's id.
    fn command(&self) -> Command {
        let program = env!("CARGO_BIN_EXE_slowburn");
        let Some(machine) = &self.machine else {
            return Command::new(program);
        };
        let mut command = Command::new("unshare");
        let script = "mount --bind \"$0\" /etc/machine-id && exec \"$@\"";
        command
            .args(["--mount", "sh", "-c", script])
            .arg(machine)
            .arg(program);
        command
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.as_ref().expect("it runs").id()).unwrap())
    }

    /// As a crash would.
    pub fn kill(&mut self) {
        kill(self.pid(), Signal::SIGKILL).unwrap();
        self.child.take().unwrap().wait().unwrap();
    }

    /// In order; panics when it does not end well.
    pub fn stop(&mut self) {
        kill(self.pid(), Signal::SIGTERM).unwrap();
        let status = self.child.take().unwrap().wait().unwrap();
        assert!(status.success(), "slowburn ended with {status}");
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        self.try_get(path)
            .unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    pub fn try_get(&self, path: &str) -> Result<Value, String> {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--fail-with-body", "--max-time", "10"])
            .arg(format!("{}{path}", self.address))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            return Err(format!("{text} {}", String::from_utf8_lossy(&output.stderr)));
        }
        serde_json::from_str(&text).or(Ok(Value::String(text)))
    }

    /// One value out of the private database.
    #[track_caller]
    pub fn sql(&self, query: &str) -> String {
        self.sql_of("slowburn", query)
    }

    /// The same of another database of its Postgres.
    #[track_caller]
    pub fn sql_of(&self, database: &str, query: &str) -> String {
        let output = Command::new("psql")
            .args(["--no-psqlrc", "-At", "-U", "slowburn", "-d", database, "-h"])
            .arg(self.state().join("postgres/socket"))
            .args(["-c", query])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{query}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_string()
    }

    /// The private Postgres, once it takes connections: nobody while it is started.
    pub fn postgres(&self) -> Option<Pid> {
        // Postgres writes this file line by line, and "ready" in its last line.
        let lock = self.postgres_lock()?;
        let ready = lock.lines().next_back()?.trim() == "ready";
        ready.then(|| first_line_pid(&lock)).flatten()
    }

    fn postgres_lock(&self) -> Option<String> {
        fs::read_to_string(self.state().join("postgres/data/postmaster.pid")).ok()
    }
}

/// The URL of the database that slowburn makes for itself, by the directory of its socket.
pub fn database_in(socket: &Path) -> String {
    format!("postgres://slowburn@localhost/slowburn?host={}", socket.display())
}

fn first_line_pid(lock: &str) -> Option<Pid> {
    lock.lines().next()?.parse().ok().map(Pid::from_raw)
}

impl Drop for Slowburn {
    fn drop(&mut self) {
        if self.child.is_some() {
            let _gone = kill(self.pid(), Signal::SIGTERM);
            let _gone = self.child.take().unwrap().wait();
        }
        if let Some(pid) = self.postgres_lock().as_deref().and_then(first_line_pid) {
            let _gone = kill(pid, Signal::SIGQUIT);
        }
        let _gone = Command::new(env!("CARGO_BIN_EXE_slowburn"))
            .args(["unload", "--instance", &self.instance])
            .output();
    }
}

/// Reads a file that a server appends to.
pub fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .map(String::from)
        .collect()
}
