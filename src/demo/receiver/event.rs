//! Reading one Events API v2 body, with every mistake in it.

use serde_json::Value;

const ROUTING_KEY_LENGTH: usize = 32;
const DEDUP_KEY_MAX: usize = 255;
const SUMMARY_MAX: usize = 1_024;
const SEVERITIES: [&str; 4] = ["critical", "error", "warning", "info"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Trigger,
    Acknowledge,
    Resolve,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub action: Action,
    pub dedup_key: String,
    /// Empty for what is not a trigger.
    pub summary: String,
    pub severity: String,
}

impl Event {
    /// All mistakes at once, as the original answers.
    pub fn read(body: &[u8], routing_key: &str) -> Result<Self, Vec<String>> {
        let root: Value =
            serde_json::from_slice(body).map_err(|error| vec![format!("body is no JSON: {error}")])?;
        let mut errors = Vec::new();
        match text(&root, "routing_key") {
            None => errors.push("'routing_key' is missing or blank".to_owned()),
            Some(key) if key.len() != ROUTING_KEY_LENGTH => {
                errors.push(format!(
                    "'routing_key' is not {ROUTING_KEY_LENGTH} characters long"
                ));
            }
            Some(key) if key != routing_key => errors.push("'routing_key' is not known here".to_owned()),
            Some(_) => {}
        }
        let action = match text(&root, "event_action") {
            Some("trigger") => Some(Action::Trigger),
            Some("acknowledge") => Some(Action::Acknowledge),
            Some("resolve") => Some(Action::Resolve),
            _ => {
                errors.push("'event_action' is not one of trigger, acknowledge, resolve".to_owned());
                None
            }
        };
        // The original makes one up for a trigger without; slowburn must send its own to be able to resolve.
        let dedup_key = text(&root, "dedup_key").unwrap_or_default();
        if dedup_key.is_empty() || dedup_key.chars().count() > DEDUP_KEY_MAX {
            errors.push(format!(
                "'dedup_key' is missing or longer than {DEDUP_KEY_MAX} characters"
            ));
        }
        let payload = root.get("payload").unwrap_or(&Value::Null);
        let summary = text(payload, "summary").unwrap_or_default();
        let severity = text(payload, "severity").unwrap_or_default();
        if action == Some(Action::Trigger) {
            if summary.is_empty() || summary.chars().count() > SUMMARY_MAX {
                errors.push(format!(
                    "'payload.summary' is missing or longer than {SUMMARY_MAX} characters"
                ));
            }
            if text(payload, "source").is_none() {
                errors.push("'payload.source' is missing or blank".to_owned());
            }
            if !SEVERITIES.contains(&severity) {
                errors.push(format!(
                    "'payload.severity' is not one of {}",
                    SEVERITIES.join(", ")
                ));
            }
        }
        match action {
            Some(action) if errors.is_empty() => Ok(Self {
                action,
                dedup_key: dedup_key.to_owned(),
                summary: summary.to_owned(),
                severity: severity.to_owned(),
            }),
            _ => Err(errors),
        }
    }
}

fn text<'a>(node: &'a Value, key: &str) -> Option<&'a str> {
    node.get(key)?.as_str().filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_trigger_with_all_it_needs_is_accepted() {
        let body = serde_json::json!({
            "routing_key": KEY, "event_action": "trigger", "dedup_key": "alert-1",
            "payload": { "summary": "web burns", "source": "web", "severity": "critical" },
        });
        let event = Event::read(body.to_string().as_bytes(), KEY).unwrap();
        assert_eq!(
            (event.action, event.summary.as_str()),
            (Action::Trigger, "web burns")
        );
    }

    #[test]
    fn a_resolve_needs_no_payload() {
        let body =
            serde_json::json!({ "routing_key": KEY, "event_action": "resolve", "dedup_key": "alert-1" });
        assert_eq!(
            Event::read(body.to_string().as_bytes(), KEY).unwrap().action,
            Action::Resolve
        );
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let body = serde_json::json!({
            "routing_key": "short", "event_action": "trigger", "payload": { "severity": "page" },
        });
        let errors = Event::read(body.to_string().as_bytes(), KEY).unwrap_err();
        assert_eq!(errors.len(), 5, "{errors:?}");
        assert!(Event::read(b"{", KEY).is_err());
    }
}
