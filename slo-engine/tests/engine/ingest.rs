//! Exactly once (DESIGN rule 9), and what belongs to which slot.

use slo_engine::{Ingested, Settings};

use crate::support::{World, at};

#[tokio::test]
async fn a_batch_is_booked_once_however_often_it_comes() {
    let world = World::new(Settings::default()).await;
    let first = world.counted(at(1), 10, 1).await;
    assert_eq!(
        first,
        Ingested {
            applied: 2,
            ignored: 0,
            refused: 0
        }
    );
    let again = world.counted(at(1), 10, 1).await;
    assert_eq!(
        again,
        Ingested {
            applied: 0,
            ignored: 2,
            refused: 0
        }
    );
    world.counted(at(2), 15, 1).await;
    world.counted(at(1), 10, 1).await;
    assert_eq!(world.window(60, at(2)).await, (15, 1));
    world.database.drop().await;
}
