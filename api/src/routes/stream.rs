//! The live stream as Server-Sent Events.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures::{Stream, stream};
use http::HeaderMap;

use crate::error::{ApiError, Result};
use crate::live::{Item, Live};

/// Server-Sent Events: `event` carries one EventView with its id, `tick` a TickView each second.
///
/// `Last-Event-ID` resumes after that event.
#[utoipa::path(get, path = "/api/v1/stream", tag = "events", operation_id = "stream",
    params(("Last-Event-ID" = Option<i64>, Header)),
    responses((status = 200, content_type = "text/event-stream", body = String)))]
pub async fn stream(
    State(live): State<Live>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>> {
    let last_id = match headers.get("last-event-id") {
        None => None,
        // A browser sends an empty one when it never saw an id.
        Some(id) if id.is_empty() => None,
        Some(id) => Some(
            id.to_str()
                .ok()
                .and_then(|id| id.parse::<i64>().ok())
                .filter(|id| *id >= 0)
                .ok_or_else(|| ApiError::bad_request("`Last-Event-ID` is not the id of an event"))?,
        ),
    };
    let feed = live.watch(last_id).await?;
    let hello = stream::iter([Ok(Event::default()
        .retry(Duration::from_secs(2))
        .comment("slowburn"))]);
    let items = stream::unfold(feed, async |mut feed| {
        let item = feed.next().await?;
        Some((Ok(spelled(&item)), feed))
    });
    Ok(Sse::new(futures::StreamExt::chain(hello, items)).keep_alive(KeepAlive::default()))
}

fn spelled(item: &Item) -> Event {
    let made = match item {
        Item::Event(event) => Event::default()
            .event("event")
            .id(event.id.to_string())
            .json_data(&**event),
        Item::Tick(tick) => Event::default().event("tick").json_data(tick),
    };
    made.unwrap_or_else(|error| {
        tracing::error!(%error, "an event could not be written as JSON");
        Event::default().comment("unwritable event")
    })
}
