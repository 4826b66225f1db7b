//! Owner and runbook are kept with the dated definition, and shown with the objective and its alerts.

use slo_engine::ownership::Ownership;
use slo_engine::read;

use crate::support::{World, at, availability, definitions, without_evidence};

fn owned(owner: &str, url: &str) -> Ownership {
    Ownership {
        owner: Some(owner.parse().unwrap()),
        runbook_url: Some(url.parse().unwrap()),
    }
}

#[tokio::test]
async fn an_objective_and_its_alerts_say_whose_they_are_as_of_the_latest_definition() {
    let mut objective = availability("web-availability", "web");
    objective.ownership = owned("shop", "https://wiki.example.com/shop");
    let world = World::with(without_evidence(), vec![objective.clone()]).await;
    world.counted(at(10), 10, 10).await;
    assert!(!world.step(at(10)).await.is_empty());
    let shown = async |second: i64| {
        let pool = &world.database.pool;
        let slo = read::slo(pool, &objective.name, at(second))
            .await
            .unwrap()
            .unwrap();
        let alerts = read::alerts(pool, None, 10).await.unwrap();
        assert!(!alerts.is_empty());
        for alert in alerts {
            assert_eq!(alert.ownership, slo.ownership);
            let alone = read::alert(pool, alert.id).await.unwrap().unwrap();
            assert_eq!(alone.ownership, slo.ownership);
        }
        let mut connection = pool.acquire().await.unwrap();
        let told = read::ownerships(&mut connection, &[&objective.name])
            .await
            .unwrap();
        assert_eq!(told, std::slice::from_ref(&slo.ownership));
        slo.ownership
    };
    assert_eq!(shown(10).await, objective.ownership);

    let mut moved = objective.clone();
    moved.ownership = owned("payments", "https://wiki.example.com/pay");
    world
        .engine
        .apply(&definitions(vec![moved.clone()]), at(20))
        .await
        .unwrap();
    assert_eq!(shown(21).await, moved.ownership);
    assert_eq!(
        world.window(3600, at(21)).await,
        (10, 10),
        "no count is lost by it"
    );
    let rows: Vec<(Option<String>, i32)> =
        sqlx::query_as("select owner, generation from objective_definition order by from_at")
            .fetch_all(&world.database.pool)
            .await
            .unwrap();
    assert_eq!(
        rows,
        [(Some("shop".to_owned()), 1), (Some("payments".to_owned()), 1)]
    );
    moved.ownership = Ownership::default();
    world
        .engine
        .apply(&definitions(vec![moved]), at(30))
        .await
        .unwrap();
    assert_eq!(shown(31).await, Ownership::default());
    world.database.drop().await;
}

#[tokio::test]
async fn what_is_not_defined_is_nobodys() {
    let world = World::new(without_evidence()).await;
    let mut connection = world.database.pool.acquire().await.unwrap();
    let found = read::ownerships(&mut connection, &[&"other".parse().unwrap()]).await;
    assert_eq!(found.unwrap(), []);
    drop(connection);
    world.database.drop().await;
}
