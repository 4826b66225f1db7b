//! The limiter on a real interface, counted packet by packet: what is sent, what the limiter says,
//! what arrives.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use chrono::Utc;
use probes::limit::{AllowList, Limiter, LiveRule, Mode, Rule};

use crate::{
    frame::{ACK, FrameBuilder, Transport},
    needs_root, rule,
    veth::{Network, pause, wait_for},
};

fn live(limiter: &Limiter, id: u32) -> LiveRule {
    limiter
        .list()
        .unwrap()
        .into_iter()
        .find(|live| live.rule.id == id)
        .unwrap()
}

/// Sends in small groups for as long as asked. Returns how many, and the longest silence.
fn flood(sockets: &[&UdpSocket], span: Duration) -> (u64, Duration) {
    let start = Instant::now();
    let (mut sent, mut silence, mut last) = (0, Duration::ZERO, start);
    while start.elapsed() < span {
        for socket in sockets {
            for _ in 0..16 {
                socket.send(b"request").unwrap();
            }
        }
        sent += 16;
        silence = silence.max(last.elapsed());
        last = Instant::now();
        pause(Duration::from_millis(1));
    }
    (sent, silence)
}

/// Waits until the limiter has seen everything that was sent.
fn settled(limiter: &Limiter, id: u32, sent: u64) -> LiveRule {
    let seen = wait_for(|| {
        let live = live(limiter, id);
        live.passed + live.dropped >= sent
    });
    let live = live(limiter, id);
    assert!(
        seen && live.passed + live.dropped == sent,
        "sent {sent}, seen {live:?}"
    );
    live
}

#[test]
fn the_admitted_rate_is_the_asked_one_within_one_percent() {
    needs_root();
    // A burst of half a second: a sender that is off the processor for less loses nothing.
    let (rate, burst) = (2000, 1000);
    for (id, address, host) in [
        (1, "10.9.0.1", "10.9.0.2:8080"),
        (2, "2001:db8:9::1", "[2001:db8:9::2]:8080"),
    ] {
        let network = Network::new();
        let limiter = network.limiter();
        assert_eq!(limiter.attachments()[0].mode, Mode::Native);
        let receiver = network.receiver(host);
        let sender = network.sender(address, 8080);
        limiter
            .apply(&rule(id, 8080, Some(address), rate, burst))
            .unwrap();
        let start = Instant::now();
        let (sent, silence) = flood(&[&sender], Duration::from_secs(3));
        let span = start.elapsed();
        let live = settled(&limiter, id, sent);
        receiver.expect(live.passed);
        let expected = f64::from(burst) + f64::from(rate) * span.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a few thousand packets")]
        let admitted = live.passed as f64;
        eprintln!(
            "{address}: sent {sent} in {span:?}, admitted {admitted}, asked for {expected:.0}, silence {silence:?}"
        );
        assert!(admitted <= expected + 1.0);
        assert!(
            silence > Duration::from_millis(400) || admitted >= expected * 0.99,
            "{admitted} of {expected}"
        );
    }
}

#[test]
fn one_source_is_limited_and_the_other_untouched() {
    needs_root();
    for (pair, host) in [
        (["10.9.0.1", "10.9.0.3"], "10.9.0.2:8080"),
        (["2001:db8:9::1", "2001:db8:9::3"], "[2001:db8:9::2]:8080"),
    ] {
        let network = Network::new();
        let limiter = network.limiter();
        let receiver = network.receiver(host);
        let senders = pair.map(|address| network.sender(address, 8080));
        limiter.apply(&rule(1, 8080, Some(pair[0]), 50, 10)).unwrap();
        let (sent, _) = flood(&[&senders[0], &senders[1]], Duration::from_secs(1));
        let live = settled(&limiter, 1, sent);
        assert!(live.passed <= 10 + 50 * 3 && live.dropped > sent / 2, "{live:?}");
        receiver.expect(live.passed + sent);
    }
}

#[test]
fn tagged_frames_are_limited_like_others() {
    needs_root();
    // The tags are in the frame, as on a wire: this kernel need not know what a VLAN is.
    let network = Network::new();
    let limiter = network.limiter();
    let (wire, tap) = (network.wire(), network.tap());
    for (id, tags) in [(1, &[(0x8100, 7)][..]), (2, &[(0x88a8, 8), (0x8100, 9)])] {
        for (id, source, host) in [
            (id, "10.10.0.1", "10.9.0.2"),
            (id + 2, "2001:db8:a::1", "2001:db8:9::2"),
        ] {
            let port = 8080 + u16::try_from(id).unwrap();
            let mut frame = FrameBuilder::new(source, host, port, Transport::Udp).payload(20);
            frame.tags = tags.to_vec();
            let frame = frame.build();
            let payload = frame[14..].to_vec();
            // The tap gets the outer tag beside the frame, so only what follows is compared.
            let ours = |seen: &[u8]| seen.ends_with(&payload[4..]);
            for _ in 0..50 {
                wire.send(&frame);
            }
            let mut arrived = 0;
            assert!(wait_for(|| {
                arrived += tap.count(ours);
                arrived == 50
            }));
            limiter.apply(&rule(id, port, Some(source), 1, 20)).unwrap();
            for _ in 0..500 {
                wire.send(&frame);
            }
            let live = settled(&limiter, id, 500);
            assert!((20..30).contains(&live.passed), "{live:?}");
            let mut arrived = 0;
            assert!(wait_for(|| {
                arrived += tap.count(ours);
                arrived >= live.passed
            }));
            assert_eq!(arrived, live.passed);
        }
    }
}

#[test]
fn every_source_gets_a_bucket_of_its_own() {
    needs_root();
    let network = Network::new();
    let limiter = network.limiter();
    let wire = network.wire();
    let receiver = network.receiver("10.9.0.2:8080");
    limiter.apply(&rule(1, 8080, None, 1, 3)).unwrap();
    for host in 10..210 {
        let frame = FrameBuilder::new(&format!("10.9.0.{host}"), "10.9.0.2", 8080, Transport::Udp).build();
        for _ in 0..10 {
            wire.send(&frame);
        }
    }
    let live = settled(&limiter, 1, 2000);
    assert!((600..=620).contains(&live.passed), "{live:?}");
    receiver.expect(live.passed);
}

#[test]
fn an_honest_answer_under_way_is_unharmed() {
    needs_root();
    let network = Network::new();
    let limiter = network.limiter();
    let listener = network.on_host(|| TcpListener::bind("10.9.0.2:8080").unwrap());
    let mut client = network.on_sources(|| TcpStream::connect("10.9.0.2:8080").unwrap());
    let (mut served, _) = listener.accept().unwrap();
    limiter.apply(&rule(1, 8080, Some("10.9.0.1"), 1, 1)).unwrap();
    const ANSWER: usize = 8 << 20;
    let answer = std::thread::spawn(move || served.write_all(&vec![b'x'; ANSWER]).unwrap());
    let start = Instant::now();
    let mut received = 0;
    let mut buffer = vec![0; 1 << 16];
    while received < ANSWER {
        let read = client.read(&mut buffer).unwrap();
        assert_ne!(read, 0);
        received += read;
    }
    answer.join().unwrap();
    let live = live(&limiter, 1);
    eprintln!("8 MiB in {:?} under one packet a second", start.elapsed());
    assert_eq!(
        (live.passed, live.dropped),
        (0, 0),
        "only acknowledgements came back"
    );
}

#[test]
fn acknowledgements_arrive_one_for_one() {
    needs_root();
    let segments = || -> u64 {
        let snmp = std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
        let mut lines = snmp.lines().filter(|line| line.starts_with("Tcp:"));
        let names: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
        let values: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
        values[names.iter().position(|name| *name == "InSegs").unwrap()]
            .parse()
            .unwrap()
    };
    let network = Network::new();
    let limiter = network.limiter();
    let wire = network.wire();
    limiter.apply(&rule(1, 8080, None, 1, 1)).unwrap();
    let before = network.on_host(segments);
    let frame = FrameBuilder::new("10.9.0.1", "10.9.0.2", 8080, Transport::Tcp(ACK)).build();
    for _ in 0..1000 {
        wire.send(&frame);
    }
    assert!(wait_for(|| network.on_host(segments) >= before + 1000));
    assert_eq!(network.on_host(segments), before + 1000);
    let live = live(&limiter, 1);
    assert_eq!((live.passed, live.dropped), (0, 0));
}

#[test]
fn the_kernel_ends_a_rule_at_its_deadline_by_itself() {
    needs_root();
    let network = Network::new();
    let limiter = network.limiter();
    let receiver = network.receiver("10.9.0.2:8080");
    let sender = network.sender("10.9.0.1", 8080);
    let deadline = Duration::from_millis(1500);
    let short = Rule {
        expires_at: Utc::now() + deadline,
        ..rule(1, 8080, None, 1, 1)
    };
    let applied = Instant::now();
    limiter.apply(&short).unwrap();
    for _ in 0..100 {
        sender.send(b"request").unwrap();
    }
    let live_before = settled(&limiter, 1, 100);
    assert!(live_before.dropped >= 97, "{live_before:?}");
    // Nobody sweeps and nobody renews from here on.
    assert!(wait_for(|| applied.elapsed() > deadline));
    receiver.take();
    for _ in 0..100 {
        sender.send(b"request").unwrap();
    }
    receiver.expect(100);
    let expired = live(&limiter, 1);
    assert_eq!(
        (expired.remaining, expired.dropped),
        (Duration::ZERO, live_before.dropped)
    );
    assert_eq!(limiter.renew_lease(Duration::from_secs(1)).unwrap().len(), 1);
    assert!(limiter.list().unwrap().is_empty());
}

#[test]
fn the_allow_list_lets_a_prefix_through() {
    needs_root();
    let network = Network::new();
    let mut config = network.config();
    config.allowed = AllowList {
        ports: vec![22],
        prefixes: vec!["10.9.0.1/32".parse().unwrap()],
    };
    let limiter = Limiter::load(config).unwrap();
    limiter.renew_lease(Duration::from_secs(10)).unwrap();
    let receiver = network.receiver("10.9.0.2:8080");
    let (spared, limited) = (network.sender("10.9.0.1", 8080), network.sender("10.9.0.3", 8080));
    limiter.apply(&rule(1, 8080, Some("10.9.0.0/24"), 1, 5)).unwrap();
    for _ in 0..100 {
        limited.send(b"request").unwrap();
    }
    let live = settled(&limiter, 1, 100);
    for _ in 0..100 {
        spared.send(b"request").unwrap();
    }
    receiver.expect(live.passed + 100);
    assert!(limiter.counts().unwrap().spared >= 97);
    let refused = limiter.apply(&rule(2, 22, None, 1, 5)).unwrap_err();
    assert_eq!(refused.to_string(), "rule 2: port 22 is on the allow list");
}
