//! Annotations: what is said about a service is kept, and told.

use slo_engine::annotation::{AnnotationKind, NewAnnotation};
use slo_engine::{Settings, read};

use crate::support::{World, at};

#[tokio::test]
async fn an_annotation_is_kept_with_its_service_and_told_as_an_event() {
    let world = World::new(Settings::default()).await;
    let new = NewAnnotation {
        service: "web".parse().unwrap(),
        at: at(-60),
        kind: AnnotationKind::Deploy,
        text: "v1.4.2".to_owned(),
        author: "ci".to_owned(),
    };
    let made = world.engine.annotate(&new, at(0)).await.unwrap();
    let pool = &world.database.pool;
    let web = "web".parse().unwrap();
    let kept = read::annotations(pool, Some(&web), (at(-100), at(0)), 10)
        .await
        .unwrap();
    assert_eq!(kept, [made]);
    assert_eq!(
        read::annotations(pool, Some(&web), (at(-50), at(0)), 10)
            .await
            .unwrap(),
        []
    );
    let events = read::events(pool, None, Some("web"), 1).await.unwrap();
    assert_eq!(events[0].message, "deploy by ci: v1.4.2");
    let nobody = NewAnnotation {
        service: "nobody".parse().unwrap(),
        ..new
    };
    let refused = world.engine.annotate(&nobody, at(0)).await.unwrap_err();
    assert_eq!(refused.to_string(), "no service is called `nobody`");
    world.database.drop().await;
}
