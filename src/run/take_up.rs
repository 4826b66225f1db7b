//! Takes a set of definitions up in books and kernel, or in neither: at the start and at a reload.

use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use serde_json::json;
use slo_engine::definitions::Definitions;
use slo_engine::event::{self, Event, EventKind};
use slo_engine::{Engine, TakenUp};

use super::agent::SharedAgent;

/// How long the host may be looked through for what is watched, while intake waits.
const LOOK_AT_MOST: Duration = Duration::from_secs(10);

/// The books take the set up only if the kernel does, and the kernel counts as before if they do not.
pub async fn take_up(
    engine: &Engine,
    agent: &SharedAgent,
    definitions: &Definitions,
    now: DateTime<Utc>,
) -> Result<()> {
    let standing = agent
        .with(|agent| agent.standing())
        .await?
        .context("read what is watched")?;
    let mut books = engine.pool().begin().await?;
    let taken_up = engine
        .apply_within(&mut books, definitions, now)
        .await
        .context("apply the definitions")?;
    event::record(&mut books, &told(taken_up, now))
        .await
        .context("record that the definitions were taken up")?;
    let everywhere = async {
        // Nothing is booked meanwhile.
        tokio::time::timeout(LOOK_AT_MOST, agent.watch(definitions.services.clone()))
            .await
            .context("looking for the services took too long")?
            .context("watch the services")?;
        books.commit().await.context("commit the definitions")
    };
    if let Err(error) = everywhere.await {
        agent
            .with(|agent| agent.put_back(standing))
            .await?
            .context("watch again what was watched")
            .with_context(|| format!("{error:#}"))?;
        return Err(error);
    }
    Ok(())
}

fn told(taken_up: TakenUp, at: DateTime<Utc>) -> Event {
    let TakenUp {
        new,
        changed,
        withdrawn,
    } = taken_up;
    let what = if taken_up == TakenUp::default() {
        "no objective changed".to_owned()
    } else {
        format!("{new} new, {changed} changed, {withdrawn} withdrawn")
    };
    Event {
        at,
        kind: EventKind::DefinitionsTakenUp,
        subject: event::DEFINITIONS.to_owned(),
        message: format!("definitions taken up: {what}"),
        data: json!({ "new": new, "changed": changed, "withdrawn": withdrawn }),
        traceparent: None,
    }
}
