//! Gaps anywhere and of any length: while nobody watches a budget stands as it stood, nothing fires and nothing resolves, and
//! afterwards it is what was counted that was spent, and all that was watched is covered.

use proptest::prelude::*;
use rust_decimal::Decimal;
use slo_engine::Settings;
use slo_engine::budgeting::Budgeting;
use slo_engine::measurement::{Hello, SourceId};
use slo_engine::objective::{Objective, Severity, Target};
use sqlx::PgPool;

use crate::backfill_property::{sliced, timeslices};
use crate::support::{
    DAY, HOUR, MINUTE, World, at, availability, batch, budgets_of_all_are_each_ones, decimal, few, reading,
    run, seconds, status, tier,
};

/// How a gap ends.
#[derive(Debug, Clone, Copy)]
enum Return {
    /// The kernel counted on, and is read again.
    Counted,
    /// A reboot: what was counted meanwhile nobody will know.
    Rebooted,
}

/// Intakes of ten seconds each, with what each counted; then a gap, and at which thousandths of it is looked.
#[derive(Debug, Clone)]
struct Stretch {
    intakes: Vec<(u64, u64)>,
    gap: i64,
    looks: Vec<i64>,
    ends: Return,
}

fn stretch() -> impl Strategy<Value = Stretch> {
    // Twelve hours are a day's end, and beyond an hour the source is expected no more.
    let gap = prop_oneof![700_i64..3000, 3000_i64..50_000];
    let intakes = prop_oneof![
        prop::collection::vec((0_u64..50, 0_u64..3), 5..40),
        // Bad enough for alerts.
        prop::collection::vec((0_u64..50, 5_u64..40), 5..20),
    ];
    let looks = prop::collection::vec(0_i64..1000, 2..5);
    let ends = prop_oneof![Just(Return::Counted), Just(Return::Rebooted)];
    (intakes, gap, looks, ends).prop_map(|(intakes, gap, mut looks, ends)| {
        looks.sort_unstable();
        Stretch {
            intakes,
            gap,
            looks,
            ends,
        }
    })
}

fn objective(name: &str, budgeting: Budgeting) -> Objective {
    Objective {
        target: Target::try_from(decimal("0.9")).unwrap(),
        tiers: vec![
            tier("page", Severity::Page, HOUR, 5 * MINUTE, "2"),
            tier("ticket", Severity::Ticket, 6 * HOUR, 30 * MINUTE, "1"),
        ],
        ..sliced(availability(name, "web"), budgeting)
    }
}

/// What is left and allowed, good, bad and the SLI of each.
async fn budgets(pool: &PgPool, now: i64) -> Vec<(String, Decimal, Decimal, i64, i64)> {
    budgets_of_all_are_each_ones(pool, &[at(now)]).await;
    sqlx::query_as(
        "select o.name, b.remaining, b.allowed, b.good, b.bad from objective o
         cross join lateral error_budget(o.name, $1) b order by 1",
    )
    .bind(at(now))
    .fetch_all(pool)
    .await
    .unwrap()
}

/// A source whose counters begin anew with each boot.
struct Host {
    source: SourceId,
    boots: u32,
    since: i64,
    totals: (u64, u64),
}

impl Host {
    async fn boot(world: &World, boots: u32, now: i64) -> Self {
        let source = SourceId::new("host1", &format!("boot{boots}"), 1).unwrap();
        let hello = Hello {
            source: source.clone(),
            host: "host1".to_owned(),
            at: at(now),
        };
        world.engine.hello(&hello).await.unwrap();
        Self {
            source,
            boots,
            since: now,
            totals: (0, 0),
        }
    }

    async fn count(&mut self, world: &World, now: i64, (good, bad): (u64, u64)) {
        self.totals = (self.totals.0 + good, self.totals.1 + bad);
        let counted = vec![
            reading(status("web", 200), at(self.since), self.totals.0),
            reading(status("web", 500), at(self.since), self.totals.1),
        ];
        world.ingest(&batch(&self.source, at(now), counted)).await;
    }
}

/// How long after a gap began it is looked: the last slice is judged, and too little of the windows was watched to say anything.
const SETTLED: i64 = 400;

async fn a_gap_is_no_news(stretches: Vec<Stretch>) {
    let slices = timeslices(MINUTE, "0.9");
    let ratios = Budgeting::RatioTimeslices {
        slice: seconds(5 * MINUTE),
    };
    let objectives = vec![
        objective("web-requests", Budgeting::Occurrences),
        objective("web-slices", slices),
        objective("web-ratios", ratios),
    ];
    let world = World::with(Settings::default(), objectives).await;
    let pool = &world.database.pool;
    let mut host = Host::boot(&world, 1, 0).await;
    let (mut now, mut good, mut bad) = (0, 0, 0);
    // What nobody will ever have watched, of what was expected: an hour of each gap at most.
    let mut missed_ms = 0;
    for stretch in stretches {
        for counted in stretch.intakes {
            now += 10;
            host.count(&world, now, counted).await;
            (good, bad) = (good + counted.0, bad + counted.1);
            world.step(at(now)).await;
        }
        world.step(at(now + SETTLED)).await;
        let before = budgets(pool, now + SETTLED).await;
        let requests = &before[1];
        assert_eq!(requests.0, "web-requests");
        assert_eq!(
            (requests.3.unsigned_abs(), requests.4.unsigned_abs()),
            (good, bad)
        );
        let total = Decimal::from(good + bad);
        assert_eq!(requests.2, total * decimal("0.1"));

        for look in stretch.looks {
            let then = now + SETTLED + (stretch.gap - SETTLED) * look / 1000;
            world.engine.maintain(at(then)).await.unwrap();
            assert_eq!(world.step(at(then)).await, [], "{then}, in a gap since {now}");
            assert_eq!(budgets(pool, then).await, before, "{then}, in a gap since {now}");
        }
        now += stretch.gap;
        match stretch.ends {
            Return::Counted => {
                host.count(&world, now, (7, 3)).await;
                (good, bad) = (good + 7, bad + 3);
            }
            Return::Rebooted => {
                missed_ms += stretch.gap.min(3600) * 1000;
                host = Host::boot(&world, host.boots + 1, now).await;
                host.count(&world, now + 1, (0, 0)).await;
                world.engine.judge_slices(at(now + SETTLED)).await.unwrap();
                // All of it is over, and nobody saw it. The slice in which it ended is not judged good for a second of it.
                assert_eq!(budgets(pool, now).await, before);
            }
        }
        let after = budgets(pool, now).await;
        let (good, bad) = (i64::try_from(good).unwrap(), i64::try_from(bad).unwrap());
        assert_eq!((after[1].3, after[1].4), (good, bad), "{now}");
        now = (now / 10 + 1) * 10;
        let requests = "web-requests".parse().unwrap();
        let all = world
            .engine
            .burn(&requests, seconds(30 * DAY), at(now))
            .await
            .unwrap();
        let uncovered = i64::try_from(all.expected_ms).unwrap() - i64::try_from(all.covered_ms).unwrap();
        assert_eq!(uncovered, missed_ms, "{now}");
    }
    world.database.drop().await;
}

proptest! {
    #![proptest_config(few(6))]

    #[test]
    fn a_gap_neither_refills_nor_spends_a_budget(stretches in prop::collection::vec(stretch(), 1..4)) {
        run(a_gap_is_no_news(stretches));
    }
}
