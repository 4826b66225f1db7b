//! Real programs as servers, in the place's cgroup and a network namespace of their own.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::{
    fs,
    net::TcpStream,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use nix::sched::{CloneFlags, unshare};

use super::{Place, Server, eventually};

impl Place {
    /// Starts a program that listens on 127.0.0.1 at `port`, and waits until it does.
    pub fn program(&self, port: u16, program: &str, arguments: &[&str]) -> Server {
        let procs = self.cgroup.join("cgroup.procs");
        let mut command = Command::new("sh");
        command
            .args(["-c", "ip link set lo up && exec \"$0\" \"$@\"", program])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        // SAFETY: only system calls between fork and exec, on memory made before.
        unsafe {
            command.pre_exec(move || {
                fs::write(&procs, "0")?;
                unshare(CloneFlags::CLONE_NEWNET)?;
                // The program's own children end with it, too.
                nix::unistd::setsid()?;
                Ok(())
            });
        }
        let server = Server {
            child: command.spawn().unwrap(),
        };
        eventually(&format!("{program} listens"), || {
            server
                .beside(move || TcpStream::connect(("127.0.0.1", port)).is_ok())
                .then_some(())
        });
        server
    }

    /// [`PEER`] as a server: the commands it takes are told there.
    pub fn peer(&self, port: u16, options: &[&str]) -> Server {
        let port_text = port.to_string();
        let arguments = [&[PEER, "--port", &port_text], options].concat();
        self.program(port, "python3", &arguments)
    }
}

const PEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/peer.py");

/// A directory that goes with the test.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("slowburn-probes-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A key and a certificate for it, in one file.
pub fn certificate(scratch: &Scratch) -> String {
    let (key, certificate) = (scratch.path("key.pem"), scratch.path("certificate.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ])
        .args([
            "-subj",
            "/CN=localhost",
            "-days",
            "2",
            "-keyout",
            &key,
            "-out",
            &certificate,
        ])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let both = fs::read_to_string(&key).unwrap() + &fs::read_to_string(&certificate).unwrap();
    fs::write(scratch.path("both.pem"), both).unwrap();
    scratch.path("both.pem")
}
