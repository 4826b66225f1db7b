//! Packets get lost on their way to a server: TCP brings what is missing later, and every stream counts as if
//! nothing had happened.

use std::{fs, process::Command};

use aya::{
    Ebpf, EbpfLoader,
    programs::{SchedClassifier, TcAttachType},
};
use slo_engine::{
    measurement::{LossReason, Signal},
    service::WatchedService,
};

use crate::{
    load::settled,
    program::{Files, Server},
    support::{Place, lost, route_value, value, watched},
};

static LOSS: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/loss"));
const PORT: u16 = 8230;

/// Counts packets in the server's namespace, and loses none yet.
fn attach(server: &Server) -> Ebpf {
    server.beside(|| {
        let small = "ip link set lo mtu 1500 gso_max_segs 1";
        assert!(Command::new("sh").args(["-c", small]).status().unwrap().success());
        let mut ebpf = EbpfLoader::new()
            .override_global("SEED", &7_u64, true)
            .load(LOSS)
            .unwrap();
        let program: &mut SchedClassifier = ebpf.program_mut("lose").unwrap().try_into().unwrap();
        program.load().unwrap();
        program.attach("lo", TcAttachType::Ingress).unwrap();
        ebpf
    })
}

/// Segments that came before what they follow, as the kernel counts them.
fn out_of_order() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/net/netstat").unwrap();
    let mut rows = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (rows.next().unwrap(), rows.next().unwrap());
    let column = names.split(' ').position(|name| name == "TCPOFOQueue").unwrap();
    values.split(' ').nth(column).unwrap().parse().unwrap()
}

#[test]
fn streams_that_lose_packets_count_each_by_its_route_and_status() {
    for (one_in, requests) in [(100_u64, 6000_u64), (20, 2400)] {
        let place = Place::new("h2-loss");
        let mut agent = place.agent();
        let service = WatchedService {
            routes: vec!["GET /one".parse().unwrap()],
            ..watched("shop", PORT)
        };
        agent.watch(&[service]).unwrap();
        let files = Files::new(&place, &[("one", &[b'1'; 3000])]);
        let port = PORT.to_string();
        let command = ["nghttpd", "--no-tls", "-d", files.path(), &port];
        let server = Server::start(&place, PORT, &command);
        let mut ebpf = attach(&server);
        let mut packets: aya::maps::Array<_, u64> = ebpf.map_mut("PACKETS").unwrap().try_into().unwrap();
        packets.set(2, one_in, 0).unwrap();
        let said = server.ask(&[
            "h2load",
            &format!("-n{requests}"),
            "-c4",
            // Not in answer to answers: what is lost is followed by others.
            "-m100",
            "--rps=300",
            "http://127.0.0.1:8230/one",
            "http://127.0.0.1:8230/missing",
        ]);
        let half = requests / 2;
        assert!(
            said.contains(&format!("status codes: {half} 2xx, 0 3xx, {half} 4xx, 0 5xx")),
            "{said}"
        );
        let batch = settled(&mut agent, "shop", requests);
        let packets = packets.get(&1, 0).unwrap();
        let late = server.beside(out_of_order);
        println!("one in {one_in}: {packets} packets lost, {late} segments out of order");
        assert!(late > 5, "of {packets} lost packets");
        assert_eq!(
            value(&batch, "shop", Signal::Unknown),
            0,
            "one in {one_in}: {batch:#?}"
        );
        let status = |route, code| route_value(&batch, "shop", route, Signal::Status(code));
        assert_eq!((status("GET /one", 200), status("other", 404)), (half, half));
        assert_eq!(lost(&batch, LossReason::GapInSequence), 0);
    }
}
