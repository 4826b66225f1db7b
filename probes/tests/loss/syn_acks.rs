//! SYN-ACKs sent again, for which there is no socket yet.

use std::{fs, net::TcpStream};

use probes::agent::HOST;
use slo_engine::{
    measurement::{Gauge, Signal},
    service::WatchedService,
};

use super::{
    support::{Place, eventually, gauge, read, value, watched},
    unseen::Unseen,
    watch,
    wire::{Wire, told},
};

/// Below another, with services of its own.
fn place_within(place: &Place, name: &str) -> Place {
    let cgroup = place.cgroup.join(name);
    fs::create_dir(&cgroup).unwrap();
    Place {
        name: format!("{}-{name}", place.name),
        cgroup,
    }
}

#[test]
fn syn_acks_sent_again_are_of_the_listener_that_sent_them_whatever_its_port() {
    let place = Place::new("losssyn");
    let (one, two) = (place_within(&place, "one"), place_within(&place, "two"));
    // Nobody's: its packets do not pass here.
    let stranger = Place::new("lossaway");
    let mut agent = place.agent();
    agent
        .watch(&["one", "two"].map(|name| WatchedService {
            matches: vec![format!("cgroup:{}/{name}", place.name).parse().unwrap()],
            ..watched(name, 8307)
        }))
        .unwrap();
    let mut wires = [&one, &two, &stranger].map(|place| Wire::new(place, "0.0.0.0:8307", 0));
    eventually("both listeners are known", || {
        let batch = read(&mut agent);
        gauge(&batch, "one", Gauge::AcceptBacklog)?;
        gauge(&batch, "two", Gauge::AcceptBacklog)
    });
    let unseen = Unseen::watch(&place.name, 8307);
    let of_host = value(&read(&mut agent), HOST, Signal::SynRetransmits);
    let connects: Vec<_> = wires
        .iter_mut()
        .map(|wire| {
            // What the client is told is lost, until the server has said it more than once again.
            wire.lose_at(1, 1);
            wire.client.spawn_beside(|| TcpStream::connect("10.77.0.2:8307"))
        })
        .collect();
    eventually("SYN-ACKs are sent again", || {
        wires.iter().all(|wire| wire.kernel()[0].syns >= 2).then_some(())
    });
    for wire in &mut wires {
        wire.lose(0);
    }
    for connect in connects {
        assert!(connect.join().unwrap().is_ok());
    }
    let (batch, _) = wires[0].settled(&mut agent);
    let told = |service| value(&batch, service, Signal::SynRetransmits);
    let [one, two, away] = wires.map(|wire| wire.kernel()[0].syns);
    // Those are of any of the three; where nothing is hidden, this is equality.
    let hidden = unseen.over_init();
    for (told, kernel) in [(told("one"), one), (told("two"), two)] {
        assert!(
            told <= kernel && told + hidden >= kernel,
            "{told} of {kernel}, {hidden} hidden"
        );
    }
    // Others may be lost meanwhile, too.
    assert!(told(HOST) + hidden >= of_host + away);
}

/// Connects many times at once, and says when all are through.
const CROWD: &str = r#"
import selectors, socket, sys
waiting = selectors.DefaultSelector()
for _ in range(200):
    s = socket.socket()
    s.setblocking(False)
    s.connect_ex(("10.77.0.2", 8308))
    waiting.register(s, selectors.EVENT_WRITE)
print("asked", flush=True)
while waiting.get_map():
    for key, _ in waiting.select():
        waiting.unregister(key.fileobj)
print("through", flush=True)
sys.stdin.readline()
"#;

#[test]
fn syn_acks_sent_again_to_a_crowd_are_counted_to_the_last() {
    let place = Place::new("losscrowd");
    let mut agent = place.agent();
    let mut wire = Wire::new(&place, "0.0.0.0:8308", 0);
    watch(&mut agent, 8308);
    let unseen = Unseen::watch(&place.name, 8308);
    wire.lose_at(1, 1);
    let mut client = place.spawn(&wire.client, "python3", &["-c", CROWD]);
    client.said("asked");
    eventually("SYN-ACKs are sent again", || {
        (wire.kernel()[0].syns >= 400).then_some(())
    });
    wire.lose(0);
    client.said("through");
    let (batch, kernel) = wire.settled(&mut agent);
    assert_eq!(unseen.with(told(&batch), kernel), kernel);
    client.go_on();
    client.end();
}
