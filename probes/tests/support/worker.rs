//! What processes of the tests can be told to do with sockets: listen, hand over, move, call.

use std::{
    fs,
    io::{IoSlice, IoSliceMut},
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
        linux::net::SocketAddrExt as _,
        unix::{net::UnixListener, net::UnixStream, process::CommandExt as _},
    },
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

use nix::{
    sched::{CloneFlags, setns},
    sys::socket::{
        AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType,
        SockaddrStorage, bind, listen, recvmsg, sendmsg, setsockopt, socket, sockopt,
    },
    unistd::chroot,
};

use super::{Client, process::obey_when_asked, serve};

/// The descriptor at which an activated process finds its socket, as with systemd.
const INHERITED: RawFd = 3;
const ACTIVATED: &str = "SLOWBURN_TEST_ACTIVATED";

/// To be called by a test named `worker_when_asked`.
///
/// - `cgroup DIRECTORY`: moves there, and makes it where it is not
/// - `root DIRECTORY`: takes it for the root of all files, as in a container
/// - `enter PID`: goes to that process's network namespace
/// - `listen ADDRESS`, `share ADDRESS`: serves there, alone or by `SO_REUSEPORT`
/// - `bind ADDRESS`: listens and leaves serving to others
/// - `activate DIRECTORY`: starts a process in that cgroup that serves what was bound last
/// - `receive NAME`, `send NAME`: what was bound last goes to another process by `SCM_RIGHTS`
/// - `call ADDRESS PATH...`: asks over one connection; answers with the statuses
pub fn worker_when_asked() {
    if std::env::var_os(ACTIVATED).is_some() {
        // SAFETY: whoever started this process put the socket there.
        serve(unsafe { TcpListener::from_raw_fd(INHERITED) });
        loop {
            thread::park();
        }
    }
    let mut worker = Worker::default();
    obey_when_asked("worker_when_asked", |order| worker.obey(order));
}

#[derive(Default)]
struct Worker {
    bound: Option<TcpListener>,
    activated: Vec<Activated>,
}

struct Activated(Child);

impl Drop for Activated {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Worker {
    fn obey(&mut self, order: &str) -> String {
        let words: Vec<&str> = order.split(' ').collect();
        match words.as_slice() {
            ["cgroup", directory] => {
                fs::create_dir_all(directory).unwrap();
                fs::write(Path::new(directory).join("cgroup.procs"), "0").unwrap();
            }
            ["root", directory] => {
                chroot(*directory).unwrap();
                std::env::set_current_dir("/").unwrap();
            }
            ["enter", pid] => {
                let namespace = fs::File::open(format!("/proc/{pid}/ns/net")).unwrap();
                setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
            }
            ["listen", address] => serve(TcpListener::bind(address).unwrap()),
            ["share", address] => serve(shared(address)),
            ["bind", address] => self.bound = Some(TcpListener::bind(address).unwrap()),
            ["activate", directory] => {
                let child = activate(self.bound.as_ref().unwrap(), directory);
                self.activated.push(Activated(child));
            }
            ["receive", name] => receive(name),
            ["send", name] => send(self.bound.take().unwrap(), name),
            ["call", address, paths @ ..] => {
                let mut client = Client::connect(address);
                let statuses: Vec<String> = paths.iter().map(|path| client.get(path).to_string()).collect();
                return statuses.join(" ");
            }
            _ => return format!("cannot {order}"),
        }
        "done".to_owned()
    }
}

fn shared(address: &str) -> TcpListener {
    let flags = SockFlag::SOCK_CLOEXEC;
    let fd = socket(AddressFamily::Inet, SockType::Stream, flags, None).unwrap();
    setsockopt(&fd, sockopt::ReusePort, &true).unwrap();
    let address: SockaddrStorage = address.parse::<SocketAddr>().unwrap().into();
    bind(fd.as_raw_fd(), &address).unwrap();
    listen(&fd, Backlog::new(64).unwrap()).unwrap();
    fd.into()
}

fn activate(listener: &TcpListener, directory: &str) -> Child {
    fs::create_dir_all(directory).unwrap();
    let procs = Path::new(directory).join("cgroup.procs");
    let socket = listener.as_raw_fd();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "worker_when_asked", "--nocapture"])
        .env(ACTIVATED, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    // SAFETY: only system calls between fork and exec, on memory made before.
    unsafe {
        command.pre_exec(move || {
            fs::write(&procs, "0")?;
            // A parent that is killed takes it along.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            if libc::dup2(socket, INHERITED) < 0 {
                return Err(std::io::Error::last_os_error());
            }
            // The same number keeps its close-on-exec flag.
            libc::fcntl(INHERITED, libc::F_SETFD, 0);
            Ok(())
        });
    }
    command.spawn().unwrap()
}

fn abstract_address(name: &str) -> std::os::unix::net::SocketAddr {
    std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap()
}

/// Waits on a thread, so that the order is done at once. Abstract names belong to the network namespace.
fn receive(name: &str) {
    let inbox = UnixListener::bind_addr(&abstract_address(name)).unwrap();
    thread::spawn(move || {
        let (stream, _) = inbox.accept().unwrap();
        let mut byte = [0];
        let mut space = nix::cmsg_space!(RawFd);
        let mut parts = [IoSliceMut::new(&mut byte)];
        let message = recvmsg::<()>(
            stream.as_raw_fd(),
            &mut parts,
            Some(&mut space),
            MsgFlags::empty(),
        )
        .unwrap();
        for control in message.cmsgs().unwrap() {
            if let ControlMessageOwned::ScmRights(descriptors) = control {
                // SAFETY: the kernel just made it, for us.
                serve(unsafe { OwnedFd::from_raw_fd(descriptors[0]) }.into());
            }
        }
    });
}

/// The sender keeps nothing.
fn send(listener: TcpListener, name: &str) {
    let stream = UnixStream::connect_addr(&abstract_address(name)).unwrap();
    let rights = [listener.as_raw_fd()];
    let control = [ControlMessage::ScmRights(&rights)];
    let parts = [IoSlice::new(b"x")];
    sendmsg::<()>(stream.as_raw_fd(), &parts, &control, MsgFlags::empty(), None).unwrap();
}
