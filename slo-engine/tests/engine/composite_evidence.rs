//! What a composite's alert stands on, through the real SQL: the counts of its parts, and what it takes of each.

use slo_engine::alert::{AlertState, Burning, PartOfEvidence, Transition};
use slo_engine::{Settings, read};

use crate::composite::{ANSWERS, LATENCY, WHOLE, counted, usual};
use crate::support::{World, at, decimal};

fn burning(transitions: &[Transition]) -> &Burning {
    let [transition] = transitions else {
        panic!("{transitions:?}")
    };
    assert_eq!(transition.objective.as_str(), WHOLE);
    transition.evidence.burning().unwrap()
}

fn part(
    objective: &str,
    weight: &str,
    burn_rate: &str,
    counts: [u64; 2],
    bad_needed: Option<u64>,
) -> PartOfEvidence {
    PartOfEvidence {
        objective: objective.parse().unwrap(),
        weight: decimal(weight).try_into().unwrap(),
        burn_rate: decimal(burn_rate),
        good: counts[0],
        bad: counts[1],
        bad_needed,
        unit: 1,
    }
}

/// At a burn rate of 2 and a chance of half a percent each: answers alone may be bad at one in a hundred, of which 3 of 20
/// and 11 of 400 are as rare. One bad answer of 20 shows a burn rate of 0.05 at least, so that latency has to show 1.95, which
/// 10 of 20 do; 20 of 400 show 5.2.
#[tokio::test]
async fn it_alerts_when_the_counts_of_its_parts_are_evidence_and_says_what_each_lacks() {
    let world = World::with(Settings::default(), usual()).await;
    // One bad of 20: answers burn at 5, the whole at 10. A single error is no evidence.
    counted(&world, "host1", 10, [19, 1, 20, 0]).await;
    let transitions = world.step(at(10)).await;
    assert_eq!(transitions[0].to, AlertState::Pending);
    let pending = burning(&transitions);
    assert_eq!(pending.burn_rate_long, decimal("10"));
    let chance = pending.chance.unwrap();
    assert!((0.3..0.4).contains(&chance), "{chance}");
    assert_eq!(
        pending.parts,
        [
            part(ANSWERS, "2", "5", [19, 1], Some(3)),
            part(LATENCY, "1", "0", [20, 0], Some(10)),
        ]
    );
    // 20 of 400, as high a burn rate, are.
    counted(&world, "host1", 20, [380, 20, 400, 0]).await;
    let transitions = world.step(at(20)).await;
    assert_eq!(transitions[0].to, AlertState::Firing);
    let firing = burning(&transitions);
    assert_eq!(firing.bad_needed, None);
    assert!(firing.chance.unwrap() < 0.01);
    let stood_on = [
        part(ANSWERS, "2", "5", [380, 20], Some(11)),
        part(LATENCY, "1", "0", [400, 0], Some(0)),
    ];
    assert_eq!(firing.parts, stood_on);
    // It is kept with the alert.
    let alert = read::alert(&world.database.pool, transitions[0].alert_id).await;
    let alert = alert.unwrap().unwrap();
    assert_eq!(alert.evidence.burning().unwrap().parts, stood_on);
    assert_eq!(alert.fired_on.unwrap().burning().unwrap().parts, stood_on);
    world.database.drop().await;
}
