//! Tiers whose short windows few objectives have, beside those that all have: none is left out of an evaluation.

use slo_engine::measurement::Signal;
use slo_engine::objective::{Objective, Severity};

use crate::support::{
    HOUR, MINUTE, World, at, availability, batch, noon, reading, series, status, tier, without_evidence,
    workbook_tiers,
};

/// So many that a window which two of them have is not read of all at once.
const SERVICES: usize = 40;

fn objectives() -> Vec<Objective> {
    let of = |number: usize| {
        let (name, service) = (format!("web-{number}-availability"), format!("web-{number}"));
        let mut objective = availability(&name, &service);
        // One with a window of its own alone, one with it beside the usual ones, and two of one short window.
        match number {
            0 => objective.tiers = vec![tier("rare", Severity::Page, HOUR, 7 * MINUTE, "2")],
            1 => objective
                .tiers
                .push(tier("rare", Severity::Page, HOUR, 7 * MINUTE, "2")),
            2 => objective
                .tiers
                .push(tier("mild", Severity::Ticket, 2 * HOUR, 5 * MINUTE, "1.5")),
            _ => assert_eq!(objective.tiers, workbook_tiers()),
        }
        objective
    };
    (0..SERVICES).map(of).collect()
}

#[tokio::test]
async fn tiers_of_rare_windows_are_evaluated_beside_common_ones() {
    let world = World::with(without_evidence(), objectives()).await;
    let mut fired = Vec::new();
    for minute in 1..=90 {
        let asked = u64::try_from(minute).unwrap() * 1_000;
        // From the hour on some fail: burning at 6, and of the last at 20.
        let failing = u64::try_from((minute - 60).max(0)).unwrap();
        let readings = (0..SERVICES).flat_map(|number| {
            let service = format!("web-{number}");
            let bad = match number {
                0..=2 => 6 * failing,
                3 => 20 * failing,
                _ => 0,
            };
            [
                reading(status(&service, 200), noon(), asked - bad),
                reading(series(&service, Signal::Status(500)), noon(), bad),
            ]
        });
        world
            .ingest(&batch(&world.source, at(60 * minute), readings.collect()))
            .await;
        // Each time what is left out is held against what every tier is.
        for change in world.step(at(60 * minute)).await {
            fired.push(format!("{} {} {}", change.objective, change.tier, change.to));
        }
    }
    let has = |said: &str| fired.iter().any(|one| one == said);
    for said in [
        "web-0-availability rare firing",
        "web-1-availability rare firing",
        "web-2-availability mild firing",
        "web-3-availability page-6h firing",
    ] {
        assert!(has(said), "{said}: {fired:?}");
    }
    assert!(!fired.iter().any(|one| one.contains("web-4-")), "{fired:?}");
    world.database.drop().await;
}
