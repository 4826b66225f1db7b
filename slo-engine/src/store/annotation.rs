//! Keeps annotations, with an event for each.

use chrono::{DateTime, Utc};

use super::micros;
use crate::annotation::{AnnotationError, AnnotationId, NewAnnotation};
use crate::engine::{Engine, EngineError};
use crate::event::{self, Event, EventKind};
use crate::read::Annotation;

pub(crate) async fn create(
    engine: &Engine,
    new: &NewAnnotation,
    now: DateTime<Utc>,
) -> Result<Annotation, AnnotationError> {
    new.check(now)?;
    let (text, author) = (new.text.trim(), new.author.trim());
    let mut transaction = engine.pool().begin().await?;
    let id = sqlx::query_scalar!(
        "insert into annotation (service_id, at, kind, text, author, created_at)
         select service_id, $2, $3, $4, $5, $6 from service where name = $1
         returning annotation_id",
        new.service.as_str(),
        micros(new.at),
        new.kind.as_str(),
        text,
        author,
        now
    )
    .fetch_optional(&mut *transaction)
    .await?
    .ok_or_else(|| EngineError::UnknownService(new.service.clone()))?;
    let event = Event {
        at: now,
        kind: EventKind::Annotated,
        subject: new.service.to_string(),
        message: format!("{} by {author}: {text}", new.kind),
        data: serde_json::json!({"annotation": id, "at": new.at}),
        traceparent: None,
    };
    event::record(&mut transaction, &event).await?;
    transaction.commit().await?;
    Ok(Annotation {
        id: AnnotationId(id),
        service: new.service.clone(),
        at: micros(new.at),
        kind: new.kind,
        text: text.to_owned(),
        author: author.to_owned(),
        created_at: now,
    })
}
