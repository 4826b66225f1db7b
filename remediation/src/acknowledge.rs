//! Passes on that somebody takes care of an alert, to whoever was told that it fires: PagerDuty stops waking the next
//! in line, a channel reads who has it.
//!
//! In: an acknowledgement, in the transaction that records it. Out: rows of the outbox.

use slo_engine::alert::{Acknowledgement, AlertId};
use sqlx::PgConnection;

use crate::error::Error;
use crate::outbox::{self, NoticeAction};
use crate::store;
use crate::store::outbox::NewNotice;

/// Tells whoever is told of an alert only now, of what was acknowledged before: while it pended, or was silenced.
pub(crate) async fn again(connection: &mut PgConnection, alert: AlertId) -> Result<(), Error> {
    match store::run::acknowledgement(connection, alert.0).await? {
        Some(said) => acknowledged(connection, alert, &said).await,
        None => Ok(()),
    }
}

/// Each acknowledgement is told of: the last to say so is the one who has it.
///
/// # Errors
/// When the database fails: the caller's transaction must not be committed then.
pub async fn acknowledged(
    connection: &mut PgConnection,
    alert: AlertId,
    said: &Acknowledgement,
) -> Result<(), Error> {
    for run in store::run::answering(connection, alert.0).await? {
        for told in store::outbox::told(connection, run).await? {
            let mut notice = told.notice;
            notice.at = said.at;
            notice.summary = format!(
                "{} takes care of `{}` of `{}`",
                said.by, notice.objective, notice.service
            );
            notice.remark = (!said.note.is_empty()).then(|| said.note.clone());
            let new = NewNotice {
                run,
                step_id: None,
                target: &told.target,
                sink: told.sink,
                action: NoticeAction::Acknowledge,
                idempotency_key: format!(
                    "acknowledge/{alert}/{}/{}/{}",
                    said.at.timestamp_micros(),
                    told.target,
                    told.dedup_key
                ),
                dedup_key: told.dedup_key,
                notice: &notice,
                deadline_at: said.at + outbox::DEADLINE,
                traceparent: told.traceparent.as_deref(),
            };
            store::outbox::insert(connection, &new, said.at).await?;
        }
    }
    Ok(())
}
