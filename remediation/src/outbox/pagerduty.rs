//! PagerDuty Events API v2.

use serde_json::{Value, json};

use super::NoticeAction;
use crate::notice::cut;
use crate::secret::Secret;
use crate::store::outbox::Parcel;

const SUMMARY_MAX: usize = 1_024;
const DEDUP_KEY_MAX: usize = 255;

/// The event. It holds the routing key, so it is a secret as a whole.
pub(super) fn body(parcel: &Parcel, routing_key: &Secret, link: Option<&str>) -> Value {
    let notice = &parcel.notice;
    let dedup_key = cut(&parcel.dedup_key, DEDUP_KEY_MAX);
    if let NoticeAction::Acknowledge | NoticeAction::Resolve = parcel.action {
        return json!({
            "routing_key": routing_key.expose(),
            "event_action": parcel.action.as_str(),
            "dedup_key": dedup_key,
        });
    }
    let severity = match (parcel.action, notice.severity.as_str()) {
        (NoticeAction::Escalate, _) | (_, "page") => "critical",
        _ => "warning",
    };
    let mut event = json!({
        "routing_key": routing_key.expose(),
        "event_action": "trigger",
        "dedup_key": dedup_key,
        "client": "slowburn",
        "payload": {
            "summary": cut(&notice.summary, SUMMARY_MAX),
            "source": notice.service,
            "severity": severity,
            "timestamp": notice.at,
            "component": notice.service,
            "group": notice.objective,
            "class": notice.tier,
            "custom_details": super::details(parcel),
        },
    });
    if let Some(link) = link {
        event["client_url"] = json!(link);
    }
    if let Some(url) = &notice.runbook_url {
        event["links"] = json!([{ "href": url, "text": "Runbook for people" }]);
    }
    event
}
