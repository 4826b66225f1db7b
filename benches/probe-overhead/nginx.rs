//! nginx, and a redis, in a cgroup and a network namespace of their own.

use std::{
    fs,
    ops::Range,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use nix::sched::{CloneFlags, setns, unshare};
use probes::{
    agent::{Agent, AgentConfig, MapSizes},
    overhead::{OverheadConfig, Watching},
};
use slo_engine::{
    measurement::Clock,
    service::{DEFAULT_TIMEOUT, WatchedService},
};

pub const HTTP1: u16 = 8080;
/// HTTP/2 in clear text.
pub const HTTP2: u16 = 8081;
/// HTTP/1.1 in TLS.
pub const TLS: u16 = 8082;
/// Beside nginx, in the same cgroup and namespace.
pub const REDIS: u16 = 8083;
const PORTS: [u16; 4] = [HTTP1, HTTP2, TLS, REDIS];
/// HTTP/1.1, each a service with routes of its own.
pub const ROUTED: Range<u16> = 8100..8115;

/// Windows with the kernel's statistics are windows of their own.
pub const UNWATCHED: OverheadConfig = OverheadConfig {
    watching: Watching::Off,
    budget: None,
};

pub struct Nginx {
    pub instance: String,
    pub cgroup: PathBuf,
    process: Child,
    files: tempfile::TempDir,
}

impl Nginx {
    pub fn start() -> anyhow::Result<Self> {
        let instance = format!("bench-{}", std::process::id());
        let cgroup = probes::mounts::cgroup_root()?.join(&instance);
        fs::create_dir(&cgroup)?;
        let files = tempfile::tempdir()?;
        let root = files.path().display();
        let routed: String = ROUTED.map(|port| format!("listen 127.0.0.1:{port}; ")).collect();
        fs::write(files.path().join("index.html"), "hello\n")?;
        fs::write(files.path().join("large"), vec![b'x'; 1 << 20])?;
        fs::write(files.path().join("body"), "x".repeat(100))?;
        certificate(files.path())?;
        fs::write(
            files.path().join("nginx.conf"),
            format!(
                "daemon off; worker_processes 1; pid {root}/pid; error_log {root}/error.log crit; user root;\n\
                 events {{ worker_connections 512; }}\n\
                 http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {root}/a;\n\
                 proxy_temp_path {root}/b; fastcgi_temp_path {root}/c; uwsgi_temp_path {root}/d; scgi_temp_path {root}/e;\n\
                 ssl_certificate {root}/certificate; ssl_certificate_key {root}/key;\n\
                 server {{ listen 127.0.0.1:{HTTP1}; listen 127.0.0.1:{HTTP2} http2; listen 127.0.0.1:{TLS} ssl; {routed} root {root};\n\
                 location /api/ {{ return 200 \"hello\\n\"; }} location /posted {{ return 200 \"hello\\n\"; }} }} }}\n"
            ),
        )?;
        let procs = cgroup.join("cgroup.procs");
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                "ip link set lo up && { redis-server --port $3 --save '' --dir \"$2\" >/dev/null & } && \
                 exec nginx -c \"$1\" -p \"$2\"",
                "nginx",
            ])
            .arg(files.path().join("nginx.conf"))
            .arg(files.path())
            .arg(REDIS.to_string())
            .stderr(Stdio::null());
        // SAFETY: only system calls between fork and exec, on memory made before.
        unsafe {
            command.pre_exec(move || {
                fs::write(&procs, "0")?;
                Ok(unshare(CloneFlags::CLONE_NEWNET)?)
            });
        }
        let process = command.spawn().context("run nginx")?;
        let nginx = Self {
            instance,
            cgroup,
            process,
            files,
        };
        nginx.wait_until_it_listens()?;
        Ok(nginx)
    }

    fn wait_until_it_listens(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        let table = format!("/proc/{}/net/tcp", self.process.id());
        let listens = |text: &str, port| text.contains(&format!(":{port:04X} 00000000:0000 0A"));
        while !PORTS
            .iter()
            .all(|port| fs::read_to_string(&table).is_ok_and(|text| listens(&text, port)))
        {
            ensure!(Instant::now() < deadline, "nginx does not listen");
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Ok(())
    }

    pub fn attach(&self) -> anyhow::Result<Agent> {
        attach(&self.instance, self.cgroup.clone(), UNWATCHED)
    }

    /// A scratch file beside nginx's own.
    pub fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// A program that runs in nginx's namespace, outside of its cgroup.
    pub fn beside(&self, program: &str) -> anyhow::Result<Command> {
        let namespace = self.namespace()?;
        let mut command = Command::new(program);
        // SAFETY: one system call between fork and exec.
        unsafe { command.pre_exec(move || Ok(setns(&namespace, CloneFlags::CLONE_NEWNET)?)) };
        Ok(command)
    }

    /// Takes the calling thread into the servers' namespace.
    pub fn enter(&self) -> anyhow::Result<()> {
        Ok(setns(self.namespace()?, CloneFlags::CLONE_NEWNET)?)
    }

    fn namespace(&self) -> anyhow::Result<fs::File> {
        Ok(fs::File::open(format!("/proc/{}/ns/net", self.process.id()))?)
    }

    /// Time on a CPU of nginx and its worker.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let mut total = 0;
        for pid in fs::read_to_string(self.cgroup.join("cgroup.procs"))?.lines() {
            let text = fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
            total += text.split(' ').next().context("no time")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(total))
    }
}

/// The probes on a cgroup, with the one route that is asked for.
pub fn attach(instance: &str, cgroup: PathBuf, overhead: OverheadConfig) -> anyhow::Result<Agent> {
    let mut agent = Agent::start(AgentConfig {
        cgroup: Some(cgroup),
        instance: instance.to_owned(),
        sizes: MapSizes::default(),
        overhead,
    })?;
    let service = WatchedService {
        name: "nginx".parse()?,
        matches: PORTS
            .iter()
            .map(|port| format!("port:{port}").parse())
            .collect::<Result<_, _>>()?,
        routes: vec!["GET /index.html".parse()?],
        thresholds: vec![(Clock::Turnaround, Duration::from_millis(250))],
        timeout: DEFAULT_TIMEOUT,
        long_poll: slo_engine::service::LongPoll::None,
    };
    agent.watch(&[service])?;
    Ok(agent)
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master tells its worker; killed outright, it would leave it behind.
        let all = fs::read_to_string(self.cgroup.join("cgroup.procs")).unwrap_or_default();
        for pid in all.lines().filter_map(|line| line.parse().ok()) {
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM);
        }
        let _ = self.process.wait();
        let deadline = Instant::now() + Duration::from_secs(5);
        while fs::read_to_string(self.cgroup.join("cgroup.procs")).is_ok_and(|text| !text.is_empty())
            && Instant::now() < deadline
        {
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let _ = probes::unload(&self.instance);
        let _ = fs::remove_dir(&self.cgroup);
    }
}

/// For an hour, by nobody.
fn certificate(directory: &std::path::Path) -> anyhow::Result<()> {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args([
            "-subj",
            "/CN=127.0.0.1",
            "-days",
            "1",
            "-out",
            "certificate",
            "-keyout",
            "key",
        ])
        .current_dir(directory)
        .output()
        .context("run openssl")?;
    ensure!(made.status.success(), "openssl made no certificate");
    Ok(())
}
