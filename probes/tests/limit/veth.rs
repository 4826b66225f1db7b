//! Two network namespaces joined by a veth pair: sources on one side, the limited host on the other.

use std::{
    fs::File,
    io,
    mem::{size_of, zeroed},
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use nix::sched::{CloneFlags, setns};
use probes::{
    bpffs::DEFAULT_ROOT,
    limit::{AllowList, Config, Existing, Interface, Limiter},
};

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Sources are `10.9.0.1`, `10.9.0.3` and `2001:db8:9::1`, `2001:db8:9::3`; the host is `.2`, `::2`.
#[derive(Debug)]
pub struct Network {
    name: String,
}

impl Network {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let network = Self {
            name: format!("sb-limit-{}-{count}", std::process::id()),
        };
        let (sources, host) = (network.namespace_name("s"), network.namespace_name("h"));
        for namespace in [&sources, &host] {
            ip(&format!("netns add {namespace}"));
            ip(&format!("-n {namespace} link set lo up"));
        }
        ip(&format!(
            "link add source address 02:00:00:00:00:01 netns {sources} type veth peer name host \
             address 02:00:00:00:00:02 netns {host}"
        ));
        for (namespace, interface, ours, theirs) in [
            (&sources, "source", &[1, 3][..], &[2][..]),
            (&host, "host", &[2], &[1, 3]),
        ] {
            ip(&format!("-n {namespace} link set {interface} up"));
            for address in ours {
                ip(&format!(
                    "-n {namespace} addr add 10.9.0.{address}/24 dev {interface}"
                ));
                ip(&format!(
                    "-n {namespace} addr add 2001:db8:9::{address}/64 dev {interface} nodad"
                ));
            }
            // No neighbour discovery: it would hold or lose the first packets of a test.
            let peer = if interface == "source" { 2 } else { 1 };
            for address in theirs {
                let at = format!("lladdr 02:00:00:00:00:0{peer} dev {interface} nud permanent");
                ip(&format!("-n {namespace} neigh add 10.9.0.{address} {at}"));
                ip(&format!("-n {namespace} neigh add 2001:db8:9::{address} {at}"));
            }
        }
        network
    }

    pub fn host_path(&self) -> PathBuf {
        Path::new("/run/netns").join(self.namespace_name("h"))
    }

    pub fn interface(&self) -> Interface {
        Interface::within("host", self.host_path())
    }

    /// Unique on this machine; the pins' directory, too.
    pub fn instance(&self) -> &str {
        &self.name
    }

    pub fn config(&self) -> Config {
        Config {
            bpffs: DEFAULT_ROOT.into(),
            instance: self.name.clone(),
            interfaces: vec![self.interface()],
            allowed: AllowList::default(),
            existing: Existing::Drop,
        }
    }

    /// A limiter on the host's interface, with a lease.
    pub fn limiter(&self) -> Limiter {
        let limiter = Limiter::load(self.config()).unwrap();
        limiter.renew_lease(Duration::from_secs(10)).unwrap();
        limiter
    }

    pub fn on_host<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        within(&self.host_path(), action)
    }

    pub fn on_sources<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        within(&Path::new("/run/netns").join(self.namespace_name("s")), action)
    }

    /// A socket of the host's that holds everything a test sends.
    pub fn receiver(&self, address: &str) -> Receiver {
        let address: SocketAddr = address.parse().unwrap();
        let socket = self.on_host(|| UdpSocket::bind(address).unwrap());
        socket.set_nonblocking(true).unwrap();
        let bytes: libc::c_int = 64 << 20;
        set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes);
        Receiver { socket }
    }

    /// A socket of a source's, connected to the host.
    pub fn sender(&self, source: &str, port: u16) -> UdpSocket {
        let source: IpAddr = source.parse().unwrap();
        let host = if source.is_ipv4() {
            "10.9.0.2"
        } else {
            "2001:db8:9::2"
        };
        self.on_sources(|| {
            let socket = UdpSocket::bind((source, 0)).unwrap();
            socket.connect((host, port)).unwrap();
            socket
        })
    }

    /// Sends whole frames from the sources' side.
    pub fn wire(&self) -> Wire {
        self.on_sources(|| Wire::open("source").unwrap())
    }

    /// Sees whole frames that the limiter let through to the host.
    pub fn tap(&self) -> Wire {
        self.on_host(|| Wire::open("host").unwrap())
    }

    /// What `ip link` says of the host's interface.
    pub fn link(&self) -> String {
        ip(&format!("-n {} link show dev host", self.namespace_name("h")))
    }

    /// Another device under the same name.
    pub fn replace_link(&self) {
        let (sources, host) = (self.namespace_name("s"), self.namespace_name("h"));
        ip(&format!("-n {host} link del host"));
        ip(&format!(
            "link add source netns {sources} type veth peer name host netns {host}"
        ));
    }

    fn namespace_name(&self, side: &str) -> String {
        format!("{}-{side}", self.name)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Err(error) = probes::limit::unload(Path::new(DEFAULT_ROOT), &self.name) {
            eprintln!("cannot unload: {error}");
        }
        let instance = Path::new(DEFAULT_ROOT).join("slowburn").join(&self.name);
        if instance.exists() {
            std::fs::remove_dir(instance).unwrap();
        }
        for side in ["s", "h"] {
            let namespace = self.namespace_name(side);
            // A test that failed half way may not have made it.
            if Path::new("/run/netns").join(&namespace).exists() {
                ip(&format!("netns del {namespace}"));
            }
        }
    }
}

#[derive(Debug)]
pub struct Receiver {
    socket: UdpSocket,
}

impl Receiver {
    /// Takes what has arrived.
    pub fn take(&self) -> u64 {
        let mut buffer = [0; 2048];
        let mut count = 0;
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(_) => count += 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return count,
                Err(error) => panic!("receive: {error}"),
            }
        }
    }

    /// Takes until `expected` have arrived, or nothing more comes for long enough to say so.
    #[track_caller]
    pub fn expect(&self, expected: u64) {
        let mut count = 0;
        let waited = wait_for(|| {
            count += self.take();
            count >= expected
        });
        assert!(
            waited && count == expected,
            "{count} arrived, expected {expected}"
        );
    }
}

#[derive(Debug)]
pub struct Wire {
    socket: OwnedFd,
}

impl Wire {
    fn open(interface: &str) -> io::Result<Self> {
        let index = nix::net::if_::if_nametoindex(interface)?;
        // SAFETY: no pointers; the descriptor is ours.
        let socket = unsafe {
            let fd = libc::socket(
                libc::AF_PACKET,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
                0,
            );
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        // SAFETY: all zeros is a link-layer address.
        let mut address: libc::sockaddr_ll = unsafe { zeroed() };
        address.sll_family = u16::try_from(libc::AF_PACKET).unwrap();
        address.sll_protocol = u16::try_from(libc::ETH_P_ALL).unwrap().to_be();
        address.sll_ifindex = i32::try_from(index).unwrap();
        // SAFETY: the address lives through the call.
        let bound = unsafe {
            libc::bind(
                socket.as_raw_fd(),
                (&raw const address).cast(),
                u32::try_from(size_of::<libc::sockaddr_ll>()).unwrap(),
            )
        };
        if bound < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(Self { socket })
        }
    }

    pub fn send(&self, frame: &[u8]) {
        // SAFETY: the frame lives through the call.
        let sent = unsafe { libc::send(self.socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        assert_eq!(
            usize::try_from(sent).unwrap(),
            frame.len(),
            "{}",
            io::Error::last_os_error()
        );
    }
}

impl Wire {
    /// Takes the frames that have arrived, and counts those that pass `wanted`.
    pub fn count(&self, wanted: impl Fn(&[u8]) -> bool) -> u64 {
        let mut buffer = [0_u8; 2048];
        let mut count = 0;
        loop {
            // SAFETY: the buffer lives through the call.
            let received = unsafe {
                libc::recv(
                    self.socket.as_raw_fd(),
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                    0,
                )
            };
            let Ok(length) = usize::try_from(received) else {
                return count;
            };
            count += u64::from(wanted(&buffer[..length]));
        }
    }
}

/// Polls a condition until it holds; `false` when patience ends first.
pub fn wait_for(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if condition() {
            return true;
        }
        pause(Duration::from_millis(5));
    }
    condition()
}

/// Gives the processor away for a moment, to pace what is sent.
pub fn pause(span: Duration) {
    std::thread::park_timeout(span);
}

fn within<T: Send>(namespace: &Path, action: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(File::open(namespace).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
            action()
        });
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn ip(arguments: &str) -> String {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn set_option(socket: &UdpSocket, level: libc::c_int, name: libc::c_int, value: libc::c_int) {
    // SAFETY: the value lives through the call, and its size is said.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            u32::try_from(size_of::<libc::c_int>()).unwrap(),
        )
    };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}
