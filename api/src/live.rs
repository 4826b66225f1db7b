//! What happens, to everybody who watches, as it happens.
//!
//! In: Postgres notifications that name an event. Out: one [`Feed`] a watcher.
//! One task reads each event once, whatever the number of watchers. The journal in Postgres is the
//! truth: a watcher that lagged, or comes back with the last id it saw, is served from there.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use slo_engine::event::CHANNEL;
use slo_engine::{Engine, EngineError, read};
use sqlx::postgres::PgListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::error::{ApiError, Result};
use crate::views::{EventView, TickView};

/// Watchers at a time: each holds a socket and a queue.
const WATCHERS_MAX: usize = 256;
/// Events a watcher may be behind before it is served from the journal.
const BEHIND_MAX: usize = 1_024;
const PAGE: u32 = 500;
/// A transaction that took its id earlier may commit later. Catching up looks back this far.
const OVERLAP: i64 = 256;
/// Ids that are told apart from new ones: all that a queue, a page and the overlap can hold.
const REMEMBERED: usize = 2_048;
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct Live {
    engine: Engine,
    sender: broadcast::Sender<Heard>,
    stopping: CancellationToken,
    watchers: Arc<Semaphore>,
    _listener: Arc<AbortOnDrop>,
}

#[derive(Debug, Clone)]
struct Heard {
    event: Arc<EventView>,
    /// Read from the journal after a connection was made: it may be older than a watcher.
    caught_up: bool,
}

#[derive(Debug)]
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Live {
    /// Starts listening; ends with `stopping`, or when the last clone is dropped.
    pub fn start(engine: Engine, stopping: CancellationToken) -> Self {
        let (sender, _) = broadcast::channel(BEHIND_MAX);
        let listener = tokio::spawn(listen(engine.clone(), sender.clone(), stopping.clone()));
        Self {
            engine,
            sender,
            stopping,
            watchers: Arc::new(Semaphore::new(WATCHERS_MAX)),
            _listener: Arc::new(AbortOnDrop(listener)),
        }
    }

    /// A feed of everything from now on, or from after `last_id` on.
    pub async fn watch(&self, last_id: Option<i64>) -> Result<Feed> {
        let permit = Arc::clone(&self.watchers).try_acquire_owned().map_err(|_| {
            ApiError::unavailable(format!("{WATCHERS_MAX} streams are open already")).hint("close some pages")
        })?;
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        // Subscribed before the journal is read, so that nothing falls between the two.
        let receiver = self.sender.subscribe();
        let since = match last_id {
            Some(id) => id,
            None => newest_id(&self.engine).await?,
        };
        Ok(Feed {
            engine: self.engine.clone(),
            receiver,
            since,
            stopping: self.stopping.clone(),
            ticks,
            catch_up_after: last_id,
            queue: VecDeque::new(),
            sent: Sent::default(),
            _permit: permit,
        })
    }
}

/// One watcher's view of what happens. Each event once, in the order they became visible.
#[derive(Debug)]
pub struct Feed {
    engine: Engine,
    receiver: broadcast::Receiver<Heard>,
    stopping: CancellationToken,
    ticks: Interval,
    /// The watcher knows everything up to here.
    since: i64,
    catch_up_after: Option<i64>,
    queue: VecDeque<Arc<EventView>>,
    sent: Sent,
    _permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
pub enum Item {
    Event(Arc<EventView>),
    Tick(TickView),
}

impl Feed {
    /// `None` ends the stream: the process stops, or the journal cannot be read. The watcher comes
    /// back with the last id it saw.
    pub async fn next(&mut self) -> Option<Item> {
        loop {
            while let Some(event) = self.queue.pop_front() {
                if self.sent.insert(event.id) {
                    return Some(Item::Event(event));
                }
            }
            if let Some(after) = self.catch_up_after {
                self.catch_up(after).await?;
                continue;
            }
            tokio::select! {
                () = self.stopping.cancelled() => return None,
                received = self.receiver.recv() => match received {
                    Ok(Heard { event, caught_up }) if !caught_up || event.id > self.since => self.queue.push_back(event),
                    Ok(_) => {}
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        tracing::info!(missed, "a live stream lagged and reads the journal");
                        self.catch_up_after = Some(self.sent.newest.saturating_sub(OVERLAP).max(self.since));
                    }
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
                _ = self.ticks.tick() => return Some(Item::Tick(TickView { at: Utc::now() })),
            }
        }
    }

    async fn catch_up(&mut self, after: i64) -> Option<()> {
        match events_after(&self.engine, after, PAGE).await {
            Ok(page) => {
                let full = page.len() >= PAGE as usize;
                self.catch_up_after = page.last().filter(|_| full).map(|event| event.id);
                self.queue.extend(page.into_iter().map(Arc::new));
                Some(())
            }
            Err(error) => {
                tracing::warn!(%error, "a live stream could not read the journal and was closed");
                None
            }
        }
    }
}

/// The ids that were sent, as far back as any catching up can look.
#[derive(Debug, Default)]
struct Sent {
    recent: VecDeque<i64>,
    newest: i64,
}

impl Sent {
    fn contains(&self, id: i64) -> bool {
        id <= self.newest && self.recent.contains(&id)
    }

    /// Whether the id is new.
    fn insert(&mut self, id: i64) -> bool {
        if self.contains(id) {
            return false;
        }
        self.newest = self.newest.max(id);
        self.recent.push_back(id);
        if self.recent.len() > REMEMBERED {
            self.recent.pop_front();
        }
        true
    }
}

async fn listen(engine: Engine, sender: broadcast::Sender<Heard>, stopping: CancellationToken) {
    let mut passed_on = Sent::default();
    loop {
        let result = tokio::select! {
            () = stopping.cancelled() => return,
            result = listen_once(&engine, &sender, &mut passed_on) => result,
        };
        match result {
            Ok(()) => tracing::info!("the live stream's connection was lost and is made anew"),
            Err(error) => tracing::warn!(%error, "the live stream cannot reach the database and tries again"),
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(RECONNECT_AFTER) => {}
        }
    }
}

/// Until the connection is lost. What came to be while there was no connection is read from the
/// journal; `passed_on` tells it from what was passed on before.
async fn listen_once(
    engine: &Engine,
    sender: &broadcast::Sender<Heard>,
    passed_on: &mut Sent,
) -> Result<(), EngineError> {
    let mut listener = PgListener::connect_with(engine.pool()).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    // Listening began before this, so that nothing falls between the two.
    let newest = if passed_on.newest > 0 {
        passed_on.newest
    } else {
        newest_id(engine).await?
    };
    let mut after = newest.saturating_sub(OVERLAP);
    loop {
        let page = events_after(engine, after, PAGE).await?;
        let Some(last) = page.last().map(|event| event.id) else {
            break;
        };
        page.into_iter()
            .for_each(|event| pass_on(sender, passed_on, event, true));
        after = last;
    }
    while let Some(notification) = listener.try_recv().await? {
        let Ok(id) = notification.payload().parse::<i64>() else {
            tracing::warn!(payload = notification.payload(), "a notification names no event");
            continue;
        };
        if passed_on.contains(id) {
            continue;
        }
        // A burst is read by the page: the notifications of the rest find it passed on.
        let newest = passed_on.newest;
        for event in events_after(engine, id - 1, PAGE).await? {
            if event.id == id || event.id > newest {
                pass_on(sender, passed_on, event, false);
            }
        }
    }
    Ok(())
}

async fn events_after(engine: &Engine, after: i64, limit: u32) -> Result<Vec<EventView>, EngineError> {
    let found = read::events(engine.pool(), Some(after), None, limit).await?;
    Ok(found.into_iter().map(EventView::from).collect())
}

async fn newest_id(engine: &Engine) -> Result<i64, EngineError> {
    Ok(read::events(engine.pool(), None, None, 1)
        .await?
        .first()
        .map_or(0, |event| event.id))
}

fn pass_on(sender: &broadcast::Sender<Heard>, passed_on: &mut Sent, event: EventView, caught_up: bool) {
    if passed_on.insert(event.id) {
        // Nobody watching is no failure.
        let _ = sender.send(Heard {
            event: Arc::new(event),
            caught_up,
        });
    }
}
