//! An alert's life: fires on evidence, survives a restart, resolves once.

use slo_engine::alert::AlertState;

use crate::support::{World, at, without_evidence};

#[tokio::test]
async fn a_total_outage_at_three_nines_fires_after_52_seconds() {
    let world = World::new(without_evidence()).await;
    // One request a second for an hour, then nothing but failures.
    for second in (10..=3600).step_by(10) {
        world.counted(at(second), u64::try_from(second).unwrap(), 0).await;
    }
    assert_eq!(world.step(at(3600)).await, []);
    let mut fired = None;
    for second in 1..=60 {
        let now = at(3600 + second);
        world.counted(now, 3600, u64::try_from(second).unwrap()).await;
        let transitions = world.step(now).await;
        if let Some(page) = transitions.iter().find(|one| one.tier.as_str() == "page-1h") {
            assert_eq!((page.from, page.to), (None, AlertState::Firing));
            fired = Some(second);
            break;
        }
    }
    assert_eq!(fired, Some(52));
    world.database.drop().await;
}
