//! A process of one's own inside a place's cgroup and a fresh network namespace, that does what it is
//! told line by line.

use std::{
    fs,
    io::{BufRead as _, BufReader, Lines, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
};

use nix::sched::{CloneFlags, setns, unshare};

use super::Place;

const OBEY: &str = "SLOWBURN_TEST_OBEY";
const ANSWER: &str = "answer: ";

pub struct Process {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Runs the test named `test` of this binary as a child, which must call [`obey_when_asked`].
    pub fn start(place: &Place, test: &str) -> Self {
        let procs = place.cgroup.join("cgroup.procs");
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", test, "--nocapture"])
            .env(OBEY, test)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        // SAFETY: only system calls between fork and exec, on memory made before.
        unsafe {
            command.pre_exec(move || {
                fs::write(&procs, "0")?;
                unshare(CloneFlags::CLONE_NEWNET)?;
                Ok(())
            });
        }
        let mut child = command.spawn().unwrap();
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut process = Self {
            child,
            orders,
            answers,
        };
        process.answer();
        process
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Gives one order and waits until it is done.
    pub fn ask(&mut self, order: &str) -> String {
        writeln!(self.orders.as_mut().unwrap(), "{order}").unwrap();
        self.answer()
    }

    fn answer(&mut self) -> String {
        loop {
            let line = self.answers.next().unwrap().unwrap();
            if let Some(answer) = line.strip_prefix(ANSWER) {
                return answer.to_owned();
            }
        }
    }

    /// Runs `work` on a thread in the process's network namespace, outside of its cgroup.
    pub fn beside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let namespace = fs::File::open(format!("/proc/{}/ns/net", self.id())).unwrap();
        thread::spawn(move || {
            setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        })
        .join()
        .unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // At the end of its orders it ends; whatever it forked sees its own end of the pipe.
        self.orders = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The body of the child: does each order and says what came of it. Nothing unless it was asked for.
pub fn obey_when_asked(test: &str, mut order: impl FnMut(&str) -> String) {
    if std::env::var(OBEY).as_deref() != Ok(test) {
        return;
    }
    let status = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status()
        .unwrap();
    assert!(status.success());
    let mut out = std::io::stdout();
    writeln!(out, "\n{ANSWER}ready").unwrap();
    for line in std::io::stdin().lines() {
        let answer = order(&line.unwrap());
        writeln!(out, "\n{ANSWER}{answer}").unwrap();
    }
}
