//! Real servers and clients, in a place's cgroup and a network namespace of their own.

use std::{
    fs,
    io::{BufRead as _, BufReader, Lines, Write as _},
    net::TcpStream,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio},
    thread,
};

use nix::{
    sched::{CloneFlags, setns, unshare},
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

use crate::support::{Place, eventually};

/// A server that listens, and the namespace that it listens in.
pub struct Server {
    child: Child,
}

impl Server {
    /// Starts a program that will listen on `port`.
    pub fn start(place: &Place, port: u16, command: &[&str]) -> Self {
        let procs = place.cgroup.join("cgroup.procs");
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "ip link set lo up; exec \"$@\"", "sh"])
            .args(command)
            .stdin(Stdio::null())
            .process_group(0);
        // SAFETY: only system calls between fork and exec, on memory made before.
        unsafe {
            shell.pre_exec(move || {
                fs::write(&procs, "0")?;
                unshare(CloneFlags::CLONE_NEWNET)?;
                Ok(())
            });
        }
        let child = shell.spawn().unwrap();
        let server = Self { child };
        server.beside(move || {
            eventually("the server listens", || {
                TcpStream::connect(("127.0.0.1", port)).ok()
            });
        });
        server
    }

    pub fn beside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let namespace = fs::File::open(format!("/proc/{}/ns/net", self.child.id())).unwrap();
        thread::spawn(move || {
            setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        })
        .join()
        .unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        let process = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(process, signal).unwrap();
    }

    /// A client in the server's namespace, outside of its cgroup.
    pub fn client(&self, command: &[&str]) -> Command {
        let namespace = fs::File::open(format!("/proc/{}/ns/net", self.child.id())).unwrap();
        let mut client = Command::new(command[0]);
        client.args(&command[1..]).stdin(Stdio::null());
        // SAFETY: one system call between fork and exec.
        unsafe {
            client.pre_exec(move || Ok(setns(&namespace, CloneFlags::CLONE_NEWNET)?));
        }
        client
    }

    /// Starts a client to talk with.
    pub fn talk(&self, command: &[&str]) -> Talk {
        Talk::start(self.client(command))
    }

    /// Runs a client to its end.
    pub fn run(&self, command: &[&str]) -> Output {
        let output = self.client(command).output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
        output
    }

    /// Runs a client; what it wrote.
    pub fn ask(&self, command: &[&str]) -> String {
        String::from_utf8(self.run(command).stdout).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // With whatever workers it forked: they share its group.
        let group = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// A client that is talked with, line by line.
pub struct Talk {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Talk {
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            orders: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
        }
    }

    pub fn say(&mut self, line: &str) {
        writeln!(self.orders, "{line}").unwrap();
    }

    /// Reads up to this line.
    pub fn until(&mut self, line: &str) {
        while self.answers.next().unwrap().unwrap() != line {}
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that lies beside these tests.
pub fn beside_this(name: &str) -> String {
    format!("{}/tests/http2/programs/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A directory of files to serve, gone when it is dropped.
pub struct Files(pub PathBuf);

impl Files {
    pub fn new(place: &Place, files: &[(&str, &[u8])]) -> Self {
        let directory = std::env::temp_dir().join(&place.name);
        fs::create_dir(&directory).unwrap();
        for (name, bytes) in files {
            fs::write(directory.join(name), bytes).unwrap();
        }
        Self(directory)
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
