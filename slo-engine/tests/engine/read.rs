//! What people see of it.

use std::collections::BTreeSet;

use slo_engine::measurement::{Gauge, GaugeReading, Role};
use slo_engine::read::{self, SloKind, SloState};
use slo_engine::{Settings, report};

use crate::support::{
    World, at, availability, batch, decimal, histogram, noon, reading, seconds, series, status,
};

/// The bucket of a latency in milliseconds.
fn bucket(millis: f64) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "a small number")]
    let bucket = ((millis * 1e6).log2() * 16.0).ceil() as i32 - 1;
    bucket
}

async fn busy() -> World {
    let world = World::new(Settings::default()).await;
    for second in (10..=60_i64).step_by(10) {
        let n = u64::try_from(second).unwrap();
        let mut busy = batch(
            &world.source,
            at(second),
            vec![
                reading(status("web", 200), noon(), 9 * n),
                reading(status("web", 503), noon(), n),
                reading(series("web", "tcp:retransmits".parse().unwrap()), noon(), n / 10),
            ],
        );
        busy.histograms = vec![histogram(
            "web",
            noon(),
            &[(bucket(2.0), 9 * n), (bucket(80.0), n)],
        )];
        busy.gauges = vec![
            GaugeReading {
                service: "web".parse().unwrap(),
                role: Role::Server,
                gauge: Gauge::RttMicros,
                value: 1500.0,
            },
            GaugeReading {
                service: "web".parse().unwrap(),
                role: Role::Server,
                gauge: Gauge::InFlight,
                value: 4.0,
            },
        ];
        world.ingest(&busy).await;
    }
    world
}

fn near(found: Option<f64>, expected: f64) {
    let found = found.unwrap();
    assert!(
        (found / expected - 1.0).abs() < 0.0222,
        "{found} is not about {expected}"
    );
}

#[tokio::test]
async fn a_service_shows_its_rates_latencies_and_gauges() {
    let world = busy().await;
    let services = read::services(&world.database.pool, seconds(60), at(60))
        .await
        .unwrap();
    let web = &services[0];
    assert_eq!((web.requests, web.errors), (600, 60));
    near(Some(web.requests_per_second), 10.0);
    near(web.error_ratio, 0.1);
    near(web.p50_ms, 2.0);
    near(web.p99_ms, 80.0);
    near(Some(web.retransmits_per_second), 0.1);
    assert_eq!(
        (web.rtt_ms, web.in_flight, web.overdue),
        (Some(1.5), Some(4.0), None)
    );
    assert_eq!(web.coverage, Some(decimal("1")));

    let detail = read::service(&world.database.pool, &web.name, seconds(60), at(60))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(detail.course.requests.iter().sum::<u64>(), 600);
    assert_eq!(detail.course.at.len(), detail.course.coverage.len());
    assert_eq!(detail.routes.len(), 1);
    assert_eq!(detail.routes[0].statuses, [(200, 540), (503, 60)]);
    near(detail.routes[0].p99_ms, 80.0);
    let nobody = read::service(
        &world.database.pool,
        &"nobody".parse().unwrap(),
        seconds(60),
        at(60),
    )
    .await;
    assert_eq!(nobody.unwrap(), None);

    // Gauges of a source that fell silent are not shown as if they were true now.
    let later = read::services(&world.database.pool, seconds(60), at(600))
        .await
        .unwrap();
    assert_eq!((later[0].rtt_ms, later[0].requests), (None, 0));
    world.database.drop().await;
}

/// Each batch brings more than all before it, in a slower bucket: the median tells how many requests there are.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_beside_intake_is_of_one_moment() {
    const BATCHES: u32 = 40;
    let world = World::new(Settings::default()).await;
    let total = |batches: u32| (1_u64 << batches) - 1;
    let millis = |number: u32| 2.0 * 1.2_f64.powf(f64::from(number));
    let (reads_done, mut done) = tokio::sync::watch::channel(0);
    let intake = async {
        for number in 0..BATCHES {
            // Beside the next read, whichever of the two is quicker.
            done.wait_for(|done| *done >= number).await.unwrap();
            let until = at(i64::from(number) + 1);
            let requests = vec![reading(status("web", 200), noon(), total(number + 1))];
            let mut batch = batch(&world.source, until, requests);
            let buckets: Vec<_> = (0..=number)
                .map(|past| (bucket(millis(past)), 1 << past))
                .collect();
            batch.histograms = vec![histogram("web", noon(), &buckets)];
            world.ingest(&batch).await;
        }
    };
    let reads = async {
        let web = "web".parse().unwrap();
        let mut seen_of = BTreeSet::new();
        while !seen_of.contains(&total(BATCHES)) {
            let read = read::service(&world.database.pool, &web, seconds(60), at(60)).await;
            reads_done.send_modify(|done| *done += 1);
            let Some(seen) = read.unwrap().filter(|seen| seen.service.requests > 0) else {
                continue;
            };
            let requests = seen.service.requests;
            near(seen.service.p50_ms, millis(requests.ilog2()));
            assert_eq!(seen.routes[0].statuses, [(200, requests)]);
            near(seen.routes[0].p50_ms, millis(requests.ilog2()));
            seen_of.insert(requests);
        }
        seen_of.len()
    };
    let ((), moments) = tokio::join!(intake, reads);
    assert!(moments > 1, "nothing was read beside the intake");
    world.database.drop().await;
}

#[tokio::test]
async fn an_slo_shows_what_is_left_and_how_it_stands() {
    let world = busy().await;
    let slos = read::slos(&world.database.pool, at(60)).await.unwrap();
    let slo = &slos[0];
    assert_eq!((slo.counts.good, slo.counts.bad), (540, 60));
    assert_eq!(slo.sli, Some(decimal("0.9")));
    assert_eq!(slo.budget_remaining, decimal("-99"));
    assert_eq!(slo.budget_total_events, decimal("0.6"));
    assert_eq!(
        (slo.kind, slo.state),
        (SloKind::Availability, SloState::Exhausted)
    );
    assert_eq!(slo.exhausts_at, None, "what is gone ends no more");
    let windows: Vec<u64> = slo.burn.iter().map(|burn| burn.window.as_secs()).collect();
    assert_eq!(windows, [300, 1800, 3600, 7200, 21_600, 86_400, 259_200]);

    world.step(at(60)).await;
    let slo = read::slo(&world.database.pool, &slo.name, at(60))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(slo.state, SloState::Firing);
    assert_eq!(slo.tiers.len(), 4);
    assert!(slo.tiers.iter().all(|tier| tier.state.is_some()));
    world.database.drop().await;
}

#[tokio::test]
async fn the_report_says_what_was_spent_and_what_alerted() {
    let mut calm = availability("shop-availability", "shop");
    calm.display_name = "Shop answers".to_owned();
    let world = World::with(
        Settings::default(),
        vec![availability("web-availability", "web"), calm],
    )
    .await;
    let counted = vec![
        reading(status("web", 200), noon(), 540),
        reading(status("web", 503), noon(), 60),
        reading(status("shop", 200), noon(), 5000),
        reading(status("shop", 500), noon(), 1),
    ];
    world.ingest(&batch(&world.source, at(60), counted)).await;
    world.step(at(60)).await;
    let slos = read::slos(&world.database.pool, at(60)).await.unwrap();
    let alerts = read::alerts(&world.database.pool, None, 100).await.unwrap();
    insta::assert_snapshot!(report::markdown(&slos, &alerts, at(60)));
    world.database.drop().await;
}

#[tokio::test]
async fn a_report_about_nothing_says_so() {
    assert!(report::markdown(&[], &[], at(0)).ends_with("No objective is defined.\n"));
}
