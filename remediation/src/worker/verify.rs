//! Does it help? Looks at the objective that fired, from the act on.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use slo_engine::objective::ObjectiveName;
use slo_engine::window::WindowCounts;
use tracing::Span;

use super::{Worked, Worker, did, taken_over};
use crate::error::{Error, chain};
use crate::lifecycle;
use crate::run::{Ending, RunEvent, RunState, StepEvent, Verdict};
use crate::store;
use crate::store::run::{Before, RunRow};
use crate::store::step::{Claim, Outcome};

/// Fewer requests than this say nothing, whatever is counted of them.
const REQUESTS_MIN: u64 = 10;
/// Less of the time watched than this says nothing.
const COVERAGE_MIN: Decimal = Decimal::from_parts(5, 0, 0, false, 1);
/// Burning so much faster than before is worse.
const WORSE: Decimal = Decimal::from_parts(125, 0, 0, false, 2);

impl Worker {
    /// Looks once. Undecided, it looks again until the time to verify is over.
    pub(super) async fn verify(
        &self,
        claim: Claim,
        run: &RunRow,
        now: DateTime<Utc>,
    ) -> Result<Worked, Error> {
        let objective: ObjectiveName = run.objective.parse()?;
        let acted_at = run.acted_at.unwrap_or(now);
        // What was in flight when the run acted still ends badly: that is left out.
        let from = acted_at + run.verify.every;
        let until = acted_at + run.verify.within;
        let last = now >= until;
        let window = (now - from).to_std().unwrap_or_default();
        let counts = if window.is_zero() {
            Ok((WindowCounts::empty(now), 0))
        } else {
            self.seen(&objective, window, now).await
        };
        let (verdict, seen) = match &counts {
            Ok((counts, requests)) => {
                let look = Look {
                    requests: *requests,
                    acted_at,
                    last,
                    recovered_below: run.verify.recovered_below,
                };
                (
                    judge(run.before.as_ref(), counts, &look),
                    show(run.before.as_ref(), counts),
                )
            }
            Err(error) => {
                tracing::warn!(
                    error = chain(error),
                    run.id = run.id.0,
                    "could not look whether a run helped"
                );
                (
                    last.then_some(Verdict::Unknown),
                    json!({ "error": "counts could not be read" }),
                )
            }
        };
        let Some(verdict) = verdict else {
            let next = (now + run.verify.every).min(until);
            let outcome = Outcome {
                result: Some(json!({ "after": seen })),
                due_at: Some(next),
                ..Outcome::default()
            };
            let mut connection = self.pool.acquire().await?;
            if !store::step::conclude(&mut connection, &claim, claim.state, &outcome, now).await? {
                return Ok(taken_over(&claim));
            }
            return Ok(Worked::Later {
                run: claim.run,
                seq: claim.seq,
                at: next,
                error: "too early to say".to_owned(),
            });
        };
        Span::current().record("verdict", verdict.as_str());
        self.conclude_verify(&claim, verdict, seen, now).await
    }

    async fn seen(
        &self,
        objective: &ObjectiveName,
        window: Duration,
        now: DateTime<Utc>,
    ) -> Result<(WindowCounts, u64), Error> {
        Ok((
            self.burns.burn(objective, window, now).await?,
            self.burns.requests(objective, window, now).await?,
        ))
    }

    async fn conclude_verify(
        &self,
        claim: &Claim,
        verdict: Verdict,
        seen: Value,
        now: DateTime<Utc>,
    ) -> Result<Worked, Error> {
        let state = claim.state.next(StepEvent::Effected)?;
        let mut transaction = self.pool.begin().await?;
        let mut run = store::run::lock(&mut transaction, claim.run).await?;
        let outcome = Outcome {
            result: Some(json!({
                "verdict": verdict,
                "before": run.before.as_ref().map(|before| {
                    json!({ "burn_rate": before.burn_rate_short, "good": before.good, "bad": before.bad })
                }),
                "after": seen,
            })),
            ..Outcome::default()
        };
        if !store::step::conclude(&mut transaction, claim, state, &outcome, now).await? {
            return Ok(taken_over(claim));
        }
        // A step whose time to live ended while nobody worked is being released already.
        if run.state == RunState::Verifying {
            let remark = lifecycle::remark(&run, verdict);
            if verdict.escalates() {
                run.reason = Some(remark.clone());
            }
            lifecycle::advance(&mut transaction, &mut run, RunEvent::Verdict(verdict), now).await?;
            if verdict.escalates() {
                lifecycle::escalate(&mut transaction, &run, &remark, now).await?;
            }
            if verdict.ending() == Ending::Reverted {
                lifecycle::undo(&mut transaction, &mut run, Ending::Reverted, now).await?;
            } else {
                lifecycle::settle(&mut transaction, &mut run, now).await?;
            }
        }
        transaction.commit().await?;
        Ok(did(claim, state))
    }
}

/// The circumstances of one look.
struct Look {
    /// What the counts stand on.
    requests: u64,
    acted_at: DateTime<Utc>,
    /// No further look follows.
    last: bool,
    recovered_below: Decimal,
}

/// What the counts since acting say; `None`: look again.
fn judge(before: Option<&Before>, after: &WindowCounts, look: &Look) -> Option<Verdict> {
    let unknown = look.last.then_some(Verdict::Unknown);
    let covered = after.coverage().is_some_and(|coverage| coverage >= COVERAGE_MIN);
    // A window that begins before the act would count what the act was for.
    if look.requests < REQUESTS_MIN || !covered || after.from < look.acted_at {
        return unknown;
    }
    let (Some(before), Some(burn_rate)) = (before, burn_rate(before, after)) else {
        return unknown;
    };
    if burn_rate < look.recovered_below {
        return Some(Verdict::Recovered);
    }
    if !look.last {
        return None;
    }
    Some(
        if burn_rate > before.burn_rate_short.max(before.burn_rate_long) * WORSE {
            Verdict::Worse
        } else {
            Verdict::NoEffect
        },
    )
}

fn burn_rate(before: Option<&Before>, after: &WindowCounts) -> Option<Decimal> {
    after.error_ratio()?.checked_div(before?.budget?)
}

fn show(before: Option<&Before>, after: &WindowCounts) -> Value {
    json!({
        "burn_rate": burn_rate(before, after).map(|rate| rate.round_dp(4).normalize()),
        "good": after.good, "bad": after.bad, "from": after.from, "to": after.to,
        "coverage": after.coverage().map(|coverage| coverage.round_dp(4).normalize()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before() -> Before {
        Before {
            burn_rate_long: Decimal::from(20),
            burn_rate_short: Decimal::from(40),
            threshold: Decimal::from(10),
            good: 600,
            bad: 400,
            budget: Some(Decimal::new(1, 2)),
        }
    }

    fn after(good: u64, bad: u64) -> WindowCounts {
        let from: DateTime<Utc> = "2026-01-01T12:00:10Z".parse().unwrap();
        WindowCounts {
            good,
            bad,
            from,
            to: from + chrono::TimeDelta::seconds(20),
            expected_ms: 20_000,
            covered_ms: 20_000,
            lost: 0,
        }
    }

    fn look(last: bool) -> Look {
        Look {
            requests: 10,
            acted_at: "2026-01-01T12:00:00Z".parse().unwrap(),
            last,
            recovered_below: Decimal::ONE,
        }
    }

    #[test]
    fn below_the_mark_is_recovered_at_once() {
        assert_eq!(
            judge(Some(&before()), &after(1_000, 9), &look(false)),
            Some(Verdict::Recovered)
        );
    }

    #[test]
    fn still_burning_is_looked_at_again_and_then_no_effect() {
        assert_eq!(judge(Some(&before()), &after(990, 10), &look(false)), None);
        assert_eq!(
            judge(Some(&before()), &after(600, 400), &look(true)),
            Some(Verdict::NoEffect)
        );
    }

    #[test]
    fn burning_a_quarter_faster_is_worse() {
        assert_eq!(
            judge(Some(&before()), &after(500, 500), &look(true)),
            Some(Verdict::NoEffect)
        );
        assert_eq!(
            judge(Some(&before()), &after(499, 501), &look(true)),
            Some(Verdict::Worse)
        );
    }

    #[test]
    fn too_little_is_unknown_and_never_recovered() {
        let silent = WindowCounts {
            covered_ms: 9_999,
            ..after(1_000, 0)
        };
        let nobody = WindowCounts {
            expected_ms: 0,
            covered_ms: 0,
            ..after(1_000, 0)
        };
        let early = WindowCounts {
            from: look(true).acted_at - chrono::TimeDelta::seconds(1),
            ..after(1_000, 0)
        };
        for counts in [silent, nobody, early] {
            assert_eq!(judge(Some(&before()), &counts, &look(false)), None);
            assert_eq!(
                judge(Some(&before()), &counts, &look(true)),
                Some(Verdict::Unknown)
            );
        }
        // All of a composite or of a slice is many of its parts, and may be one request.
        let few = |last| Look {
            requests: 9,
            ..look(last)
        };
        let whole = after(1_000_000_000_000, 0);
        assert_eq!(judge(Some(&before()), &whole, &few(false)), None);
        assert_eq!(judge(Some(&before()), &whole, &few(true)), Some(Verdict::Unknown));
        let blind = Before {
            budget: None,
            ..before()
        };
        assert_eq!(
            judge(Some(&blind), &after(1_000, 0), &look(true)),
            Some(Verdict::Unknown)
        );
    }
}
