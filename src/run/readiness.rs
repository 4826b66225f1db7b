//! What `/readyz` says: each part is reported by whoever works with it.

use anyhow::Result;
use api::{Part, Readiness};
use remediation::Playbook;
use tokio::sync::watch;

/// Reports how the work with one part went; watchers are woken only by a change.
pub fn report<T>(
    readiness: &watch::Sender<Readiness>,
    part: impl FnOnce(&mut Readiness) -> &mut Part,
    outcome: &Result<T>,
) {
    let now = match outcome {
        Ok(_) => Part::Ready,
        Err(error) => Part::NotReady {
            reason: format!("{error:#}"),
        },
    };
    set(readiness, part, now);
}

pub fn set(readiness: &watch::Sender<Readiness>, part: impl FnOnce(&mut Readiness) -> &mut Part, now: Part) {
    readiness.send_if_modified(|readiness| {
        let part = part(readiness);
        let changed = *part != now;
        *part = now;
        changed
    });
}

/// What is said of definitions that are in force: nothing, unless a target's secret cannot be read here.
pub async fn in_force(playbook: &Playbook) -> Part {
    let missing = playbook.missing_secrets().await;
    if missing.is_empty() {
        return Part::Ready;
    }
    Part::Lacking {
        reason: missing.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_part_turns_red_and_green_again() {
        let (sender, mut seen) = watch::channel(Readiness::ready());
        report(&sender, |readiness| &mut readiness.database, &Ok(()));
        assert!(!seen.has_changed().unwrap());
        let lost: Result<()> = Err(anyhow::anyhow!("connection refused")).context("book a batch");
        report(&sender, |readiness| &mut readiness.database, &lost);
        let reason = "book a batch: connection refused".to_owned();
        assert_eq!(seen.borrow_and_update().database, Part::NotReady { reason });
        report(&sender, |readiness| &mut readiness.database, &Ok(()));
        assert_eq!(*seen.borrow_and_update(), Readiness::ready());
    }
}
