//! What an answer means for the next attempt.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use crate::outgoing::Answer;
use crate::target::SinkKind;

const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Accepted,
    /// Try again, after so long when the receiver said so.
    Later(Option<Duration>),
    /// Trying again cannot help.
    Final,
}

/// 2xx is accepted, 408, 429 and 5xx are worth another attempt, everything else is final; a redirect
/// is a refusal. Slack says `ok` in the body or it did not work.
pub(super) fn class(sink: SinkKind, answer: &Answer) -> Class {
    match answer.status.as_u16() {
        200..=299 if sink == SinkKind::Slack && answer.body.trim_ascii() != b"ok" => Class::Final,
        200..=299 => Class::Accepted,
        408 | 429 | 500..=599 => Class::Later(answer.retry_after),
        _ => Class::Final,
    }
}

/// Says what the receiver said. Only Slack's bodies are repeated, which are single words of a known
/// set: others may repeat what was sent, the routing key included.
pub(super) fn explain(sink: SinkKind, answer: &Answer) -> String {
    let status = answer.status.as_u16();
    let reason = answer.status.canonical_reason().unwrap_or("unknown status");
    let word = std::str::from_utf8(answer.body.trim_ascii()).unwrap_or_default();
    let plain =
        !word.is_empty() && word.len() <= 40 && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if sink == SinkKind::Slack && plain {
        format!("answered {status} {reason}: {word}")
    } else {
        format!("answered {status} {reason}")
    }
}

/// Doubles from two seconds to five minutes, each between half and the whole of it, so that what
/// failed together does not return together. Derived from the message: the same attempt always
/// waits as long.
pub(super) fn backoff(attempts: u32, message_id: &str) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << attempts.saturating_sub(1).min(16));
    let most = doubled.min(LONGEST_WAIT);
    let mut hasher = DefaultHasher::new();
    (message_id, attempts).hash(&mut hasher);
    let part = u32::try_from(hasher.finish() % 1_000).unwrap_or_default();
    most / 2 + most / 2 * part / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: reqwest::StatusCode::from_u16(status).unwrap(),
            retry_after: (status == 429).then_some(Duration::from_secs(7)),
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn each_status_has_its_class() {
        for (status, expected) in [
            (200, Class::Accepted),
            (202, Class::Accepted),
            (302, Class::Final),
            (400, Class::Final),
            (403, Class::Final),
            (404, Class::Final),
            (410, Class::Final),
            (408, Class::Later(None)),
            (429, Class::Later(Some(Duration::from_secs(7)))),
            (500, Class::Later(None)),
            (503, Class::Later(None)),
        ] {
            assert_eq!(
                class(SinkKind::Webhook, &answer(status, "")),
                expected,
                "{status}"
            );
        }
    }

    #[test]
    fn slack_works_only_when_it_says_ok() {
        assert_eq!(class(SinkKind::Slack, &answer(200, "ok\n")), Class::Accepted);
        assert_eq!(class(SinkKind::Slack, &answer(200, "<html>")), Class::Final);
        let gone = answer(404, "no_service");
        assert_eq!(
            explain(SinkKind::Slack, &gone),
            "answered 404 Not Found: no_service"
        );
        assert_eq!(
            explain(SinkKind::PagerDuty, &answer(400, "echo_of_the_key")),
            "answered 400 Bad Request"
        );
    }

    #[test]
    fn waits_grow_and_end_at_five_minutes() {
        for attempts in 1..40 {
            let wait = backoff(attempts, "m");
            let most = FIRST_WAIT
                .saturating_mul(2_u32.saturating_pow((attempts - 1).min(16)))
                .min(LONGEST_WAIT);
            assert!(wait >= most / 2 && wait <= most, "{attempts}: {wait:?}");
        }
        assert_ne!(backoff(3, "a"), backoff(3, "b"));
    }
}
