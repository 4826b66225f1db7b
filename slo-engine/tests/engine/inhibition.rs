//! A page of what a service depends on inhibits its tickets; they are told when it is over, if they still fire.

use chrono::{DateTime, Utc};
use slo_engine::alert::{AlertState, Transition};
use slo_engine::budget_alert::BudgetAlert;
use slo_engine::definitions::Definitions;
use slo_engine::evaluate::OutageRule;
use slo_engine::objective::Severity;
use slo_engine::{Engine, Settings, read};

use crate::support::{
    MINUTE, World, at, availability, batch, definitions, evaluate, reading, seconds, service, source, status,
    tier, without_evidence,
};

/// `web` with a ticket and `db` with a page, both over a minute and ten seconds; `web` needs `api`, which needs `db`.
fn shop() -> Definitions {
    let objectives = [("web", Severity::Ticket), ("db", Severity::Page)].map(|(name, severity)| {
        let mut objective = availability(&format!("{name}-availability"), name);
        objective.tiers = vec![tier(severity.as_str(), severity, MINUTE, 10, "14.4")];
        objective
    });
    let mut shop = definitions(objectives.to_vec());
    for (name, needs) in [("web", "api"), ("api", "db")] {
        shop.dependencies.insert(service(name), [service(needs)].into());
    }
    shop
}

struct Shop {
    world: World,
    web_bad: u64,
    db_bad: u64,
}

impl Shop {
    async fn open() -> Self {
        Self::of(without_evidence(), &shop()).await
    }

    async fn of(settings: Settings, definitions: &Definitions) -> Self {
        let settings = Settings {
            slot: std::time::Duration::from_secs(1),
            ..settings
        };
        let world = World::with(settings, Vec::new()).await;
        world.engine.apply(definitions, at(0)).await.unwrap();
        let mut shop = Self {
            world,
            web_bad: 0,
            db_bad: 0,
        };
        for second in 1..=60 {
            shop.counts(second, 0, 0).await;
        }
        shop
    }

    /// Ten good requests of each in this second, and so many bad ones.
    async fn counts(&mut self, second: i64, web_bad: u64, db_bad: u64) {
        self.web_bad += web_bad;
        self.db_bad += db_bad;
        let good = u64::try_from(10 * second).unwrap();
        let readings = vec![
            reading(status("web", 200), at(0), good),
            reading(status("web", 500), at(0), self.web_bad),
            reading(status("db", 200), at(0), good),
            reading(status("db", 500), at(0), self.db_bad),
        ];
        self.world
            .ingest(&batch(&self.world.source, at(second), readings))
            .await;
    }
}

/// What anything may be done about, as the judge asks: the tier, and into what state it came.
async fn told(engine: &Engine, now: DateTime<Utc>) -> Vec<(String, AlertState)> {
    let mut evaluations = evaluate(engine, now).await;
    evaluations.extend(engine.evaluate_data_outages(now).await.unwrap());
    evaluations.extend(engine.evaluate_budgets(now).await.unwrap());
    let mut transaction = engine.pool().begin().await.unwrap();
    let transitions = engine
        .record(&mut transaction, &evaluations, None, now)
        .await
        .unwrap();
    let told: Vec<Transition> = engine
        .hold_back(&mut transaction, transitions, now)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    told.into_iter()
        .map(|one| (one.tier.to_string(), one.to))
        .collect()
}

fn page(state: AlertState) -> (String, AlertState) {
    ("page".to_owned(), state)
}

fn ticket(state: AlertState) -> (String, AlertState) {
    ("ticket".to_owned(), state)
}

use AlertState::{Firing, Resolved};

#[tokio::test]
async fn a_ticket_waits_for_the_end_of_the_page_that_inhibits_it() {
    let mut shop = Shop::open().await;
    shop.counts(61, 10, 10).await;
    assert_eq!(told(&shop.world.engine, at(61)).await, [page(Firing)]);
    let alerts = read::alerts(&shop.world.database.pool, Some(Firing), 10)
        .await
        .unwrap();
    let find = |name: &str| alerts.iter().find(|alert| alert.tier.as_str() == name).unwrap();
    assert_eq!(find("ticket").inhibited_by, Some(find("page").id));
    assert_eq!(find("page").inhibited_by, None);

    // Another engine, as after a restart, holds it back as well.
    let restarted = Engine::new(
        shop.world.database.pool.clone(),
        shop.world.engine.settings().clone(),
    );
    restarted.apply(&self::shop(), at(61)).await.unwrap();
    for second in 62..=65 {
        shop.counts(second, 10, 10).await;
        assert_eq!(told(&restarted, at(second)).await, [], "{second}");
    }
    // The dependency recovers, and `web` does not.
    let mut after = Vec::new();
    for second in 66..=80 {
        shop.counts(second, 10, 0).await;
        after.extend(
            told(&restarted, at(second))
                .await
                .into_iter()
                .map(|one| (second, one)),
        );
    }
    assert_eq!(after, [(75, page(Resolved)), (75, ticket(Firing))]);
    let events = read::events(&shop.world.database.pool, None, Some("web-availability"), 100)
        .await
        .unwrap();
    let kinds: Vec<&str> = events.iter().rev().map(|event| event.kind.as_str()).collect();
    assert_eq!(
        kinds[kinds.len() - 3..],
        ["alert_firing", "alert_inhibited", "alert_uninhibited"]
    );
    shop.world.database.drop().await;
}

#[tokio::test]
async fn who_was_told_before_the_page_is_not_told_again() {
    let mut shop = Shop::open().await;
    shop.counts(61, 10, 0).await;
    assert_eq!(told(&shop.world.engine, at(61)).await, [ticket(Firing)]);
    shop.counts(62, 10, 10).await;
    assert_eq!(told(&shop.world.engine, at(62)).await, [page(Firing)]);
    let mut after = Vec::new();
    for second in 63..=80 {
        shop.counts(second, 10, 0).await;
        after.extend(told(&shop.world.engine, at(second)).await);
    }
    assert_eq!(after, [page(Resolved)]);
    shop.world.database.drop().await;
}

/// A second in which `web` has more than enough errors for a ticket, and `db` some: 9 in a minute burn, 17 are evidence.
async fn pending() -> Shop {
    let mut shop = Shop::of(Settings::default(), &shop()).await;
    shop.counts(61, 60, 10).await;
    let told = told(&shop.world.engine, at(61)).await;
    assert_eq!(told, [page(AlertState::Pending)], "the ticket waits");
    shop
}

#[tokio::test]
async fn a_ticket_waits_an_evaluation_for_a_page_that_is_pending() {
    let mut shop = pending().await;
    shop.counts(62, 10, 10).await;
    assert_eq!(told(&shop.world.engine, at(62)).await, [page(Firing)]);
    let tickets = read::alerts(&shop.world.database.pool, Some(Firing), 10)
        .await
        .unwrap();
    assert_eq!(
        tickets
            .iter()
            .filter(|alert| alert.inhibited_by.is_some())
            .count(),
        1
    );
    shop.world.database.drop().await;
}

#[tokio::test]
async fn a_ticket_waits_no_longer_for_a_page_that_stays_pending() {
    let mut shop = pending().await;
    // What looks between two evaluations, as fast pages do, changes nothing.
    let between = at(61) + chrono::TimeDelta::milliseconds(500);
    let mut transaction = shop.world.database.pool.begin().await.unwrap();
    let told_between = shop
        .world
        .engine
        .hold_back(&mut transaction, Vec::new(), between)
        .await;
    assert_eq!(told_between.unwrap(), []);
    transaction.commit().await.unwrap();
    shop.counts(62, 10, 0).await;
    assert_eq!(told(&shop.world.engine, at(62)).await, [ticket(Firing)]);
    shop.counts(63, 10, 0).await;
    assert_eq!(told(&shop.world.engine, at(63)).await, [], "once");
    shop.world.database.drop().await;
}

#[tokio::test]
async fn what_no_longer_depends_on_it_is_told_at_once() {
    let mut shop = Shop::open().await;
    shop.counts(61, 10, 10).await;
    assert_eq!(told(&shop.world.engine, at(61)).await, [page(Firing)]);
    let mut without = self::shop();
    without.dependencies.remove(&service("api"));
    shop.world.engine.apply(&without, at(61)).await.unwrap();
    shop.counts(62, 10, 10).await;
    assert_eq!(told(&shop.world.engine, at(62)).await, [ticket(Firing)]);
    shop.world.database.drop().await;
}

#[tokio::test]
async fn a_page_on_a_budget_holds_nothing_back() {
    let mut shop = shop();
    let [_, db] = &mut shop.objectives[..] else {
        panic!("{shop:?}")
    };
    db.tiers.clear();
    db.budget_alerts = vec![BudgetAlert {
        name: "budget".parse().unwrap(),
        severity: Severity::Page,
        rule: "remaining 0%".parse().unwrap(),
    }];
    let mut shop = Shop::of(without_evidence(), &shop).await;
    shop.counts(61, 0, 10).await;
    let budget = ("budget".to_owned(), Firing);
    assert_eq!(told(&shop.world.engine, at(61)).await, [budget]);
    shop.counts(62, 10, 0).await;
    assert_eq!(told(&shop.world.engine, at(62)).await, [ticket(Firing)]);
    shop.world.database.drop().await;
}

#[tokio::test]
async fn a_page_on_missing_data_holds_nothing_back() {
    let mut settings = without_evidence();
    settings.rules.outage = OutageRule::lasting(Severity::Page, seconds(60));
    let world = World::with(settings, Vec::new()).await;
    world.engine.apply(&shop(), at(0)).await.unwrap();
    // Another source watches `db`, and falls silent.
    let other = source("other");
    world.hello("other", at(0)).await;
    let outage = |state| ("data-outage".to_owned(), state);
    let mut events = Vec::new();
    let mut bad = 0;
    for second in (10..=1200).step_by(10) {
        let good = u64::try_from(second).unwrap();
        bad += if second > 900 { 10 } else { 0 };
        let web = vec![
            reading(status("web", 200), at(0), good),
            reading(status("web", 500), at(0), bad),
        ];
        world.ingest(&batch(&world.source, at(second), web)).await;
        if second <= 600 {
            let db = vec![reading(status("db", 200), at(0), good)];
            world.ingest(&batch(&other, at(second), db)).await;
        }
        events.extend(told(&world.engine, at(second)).await);
    }
    assert_eq!(
        events,
        [outage(AlertState::Pending), outage(Firing), ticket(Firing)]
    );
    world.database.drop().await;
}
