//! Slack incoming webhooks, in blocks.

use serde_json::{Value, json};

use super::NoticeAction;
use crate::notice::cut;
use crate::store::outbox::Parcel;

const HEADER_MAX: usize = 150;
const SECTION_MAX: usize = 3_000;
const FIELD_MAX: usize = 2_000;
const TEXT_MAX: usize = 4_000;

pub(super) fn body(parcel: &Parcel, link: Option<&str>) -> Value {
    let notice = &parcel.notice;
    let mark = match parcel.action {
        NoticeAction::Trigger => ":rotating_light:",
        NoticeAction::Escalate => ":fire:",
        NoticeAction::Resolve => ":white_check_mark:",
    };
    let title = match parcel.action {
        NoticeAction::Trigger => format!("{} is burning", notice.objective),
        NoticeAction::Escalate => format!("{} needs a person", notice.objective),
        NoticeAction::Resolve => format!("{} recovered", notice.objective),
    };
    let field = |name: &str, value: String| json!({ "type": "mrkdwn", "text": cut(&format!("*{name}*\n{}", escape(&value)), FIELD_MAX) });
    let mut blocks = vec![
        json!({ "type": "header", "text": { "type": "plain_text", "text": cut(&title, HEADER_MAX) } }),
        json!({ "type": "section", "text": {
            "type": "mrkdwn",
            "text": cut(&format!("{mark} {}", escape(&notice.summary)), SECTION_MAX),
        } }),
        json!({ "type": "section", "fields": [
            field("Service", notice.service.clone()),
            field("Severity", notice.severity.clone()),
            field("Burn rate", format!("{} over the long window, {} over the short", notice.burn_rate_long.round_dp(2).normalize(), notice.burn_rate_short.round_dp(2).normalize())),
            field("Runbook", format!("{}, run {}", notice.runbook, notice.run_id)),
        ] }),
    ];
    if let Some(remark) = &notice.remark {
        blocks.push(json!({ "type": "context", "elements": [
            { "type": "mrkdwn", "text": cut(&escape(remark), FIELD_MAX) },
        ] }));
    }
    if let Some(link) = link {
        blocks.push(json!({ "type": "context", "elements": [
            { "type": "mrkdwn", "text": format!("<{}|Open in slowburn>", escape(link)) },
        ] }));
    }
    json!({ "text": cut(&escape(&notice.summary), TEXT_MAX), "blocks": blocks })
}

/// Slack reads `&`, `<` and `>`: unescaped, a name could mention a channel or hide a link.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
