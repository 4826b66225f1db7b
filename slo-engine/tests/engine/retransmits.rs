//! Objectives of segments: what TCP sent, and what of it again.

use std::path::Path;

use slo_engine::Settings;
use slo_engine::definitions;
use slo_engine::measurement::{Loss, LossReason, Signal};
use slo_engine::objective::{Objective, SliKind};
use slo_engine::read::{self, SloKind};

use crate::backfill_property::backfill;
use crate::support::{
    World, at, availability, batch, decimal, definitions as defined, noon, reading, run, seconds, series,
    service,
};

const FILE: &[u8] = include_bytes!("../../../tests/testdata/good/definitions/retransmits.yaml");

#[test]
fn segments_that_are_sent_again_are_an_objective_of_their_own() {
    let found: Vec<_> = definitions::read_text(Path::new("retransmits.yaml"), FILE)
        .unwrap()
        .objectives
        .iter()
        .map(|objective| {
            let page = objective.fast_page.is_some();
            format!("{} {} {} {page}", objective.name, objective.target, objective.sli)
        })
        .collect();
    assert_eq!(
        found[1..],
        [
            "files-retransmits 0.995 server segments:again/all route:* false",
            "files-to-storage 0.98 client segments:again/all route:* false",
            "video-retransmits 0.99 server segments:again/all route:* false",
            "video-raw 0.99 server segments:again/all route:* false",
        ]
    );
}

fn retransmits() -> Objective {
    let mut objective = availability("web-retransmits", "web");
    objective.sli.kind = SliKind::Retransmits;
    objective
}

#[test]
fn segments_are_counted_and_neither_requests_nor_what_is_lost_of_them() {
    run(async {
        let world = World::with(
            Settings::default(),
            vec![availability("web-availability", "web"), retransmits()],
        )
        .await;
        let mut told = batch(
            &world.source,
            at(10),
            vec![
                reading(series("web", Signal::SegmentsSent), noon(), 9_990),
                reading(series("web", Signal::Retransmits), noon(), 10),
                reading(series("web", Signal::SynRetransmits), noon(), 7),
                reading(series("web", Signal::BytesSent), noon(), 1_000_000),
                reading(series("web", Signal::Status(200)), noon(), 30),
                reading(series("web", Signal::Status(500)), noon(), 10),
            ],
        );
        let loss = |reason, value| Loss {
            service: Some(service("web")),
            reason,
            value,
            start_time: noon(),
        };
        told.losses = vec![loss(LossReason::Unparsable, 40), loss(LossReason::SignalsFull, 3)];
        world.ingest(&told).await;

        let of = async |name: &str| {
            let name = name.parse().unwrap();
            world.engine.burn(&name, seconds(10), at(10)).await.unwrap()
        };
        let segments = of("web-retransmits").await;
        assert_eq!((segments.good, segments.bad, segments.lost), (9_990, 10, 3));
        assert_eq!((segments.covered_ms, segments.expected_ms), (10_000, 10_000));
        let requests = of("web-availability").await;
        assert_eq!((requests.good, requests.bad, requests.lost), (30, 10, 40));
        assert_eq!((requests.covered_ms, requests.expected_ms), (5_000, 10_000));

        let slos = read::slos(&world.database.pool, at(10)).await.unwrap();
        let slo = slos
            .iter()
            .find(|slo| slo.name.as_str() == "web-retransmits")
            .unwrap();
        assert_eq!(
            (slo.kind, slo.sli),
            (SloKind::Retransmits, Some(decimal("0.999")))
        );
        assert_eq!(slo.budget_remaining, decimal("0"));
        world.database.drop().await;
    });
}

/// Of the time before, only what was bad is measured.
#[test]
fn they_are_counted_back_to_where_first_ones_are_counted() {
    run(async {
        let world = World::new(Settings::default()).await;
        for n in 1..=6 {
            let mut readings = vec![reading(series("web", Signal::Retransmits), noon(), 10 * n)];
            if n > 3 {
                readings.push(reading(
                    series("web", Signal::SegmentsSent),
                    at(30),
                    990 * (n - 3),
                ));
            }
            let seconds = 10 * i64::try_from(n).unwrap();
            world.ingest(&batch(&world.source, at(seconds), readings)).await;
        }
        let both = vec![availability("web-availability", "web"), retransmits()];
        world.engine.apply(&defined(both), at(60)).await.unwrap();
        backfill(&world.engine, at(70)).await;
        let name = "web-retransmits".parse().unwrap();
        let counts = world.engine.burn(&name, seconds(60), at(60)).await.unwrap();
        assert!(counts.bad > 0, "{counts:?}");
        assert_eq!(counts.good, 99 * counts.bad, "{counts:?}");
        world.database.drop().await;
    });
}
