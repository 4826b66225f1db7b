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
        NoticeAction::Acknowledge => ":eyes:",
        NoticeAction::Resolve => ":white_check_mark:",
    };
    let (objective, tier) = (&notice.objective, &notice.tier);
    let title = match (parcel.action, notice.burn_rate_long) {
        (NoticeAction::Trigger, Some(_)) => format!("{objective} is burning"),
        (NoticeAction::Trigger, None) => format!("{objective}: {tier}"),
        (NoticeAction::Escalate, _) => format!("{objective} needs a person"),
        (NoticeAction::Acknowledge, _) => format!("{objective} is taken care of"),
        (NoticeAction::Resolve, Some(_)) => format!("{objective} recovered"),
        (NoticeAction::Resolve, None) => format!("{objective}: {tier} is over"),
    };
    let field = |name: &str, value: String| json!({ "type": "mrkdwn", "text": cut(&format!("*{name}*\n{}", escape(&value)), FIELD_MAX) });
    let mut fields = vec![
        field("Service", notice.service.clone()),
        field("Severity", notice.severity.clone()),
    ];
    fields.extend(notice.owner.as_ref().map(|owner| field("Owner", owner.clone())));
    if let (Some(long), Some(short)) = (notice.burn_rate_long, notice.burn_rate_short) {
        let [long, short] = [long, short].map(|rate| rate.round_dp(2).normalize());
        fields.push(field(
            "Burn rate",
            format!("{long} over the long window, {short} over the short"),
        ));
    }
    fields.push(field(
        "Runbook",
        format!("{}, run {}", notice.runbook, notice.run_id),
    ));
    let mut blocks = vec![
        json!({ "type": "header", "text": { "type": "plain_text", "text": cut(&title, HEADER_MAX) } }),
        json!({ "type": "section", "text": {
            "type": "mrkdwn",
            "text": cut(&format!("{mark} {}", escape(&notice.summary)), SECTION_MAX),
        } }),
        json!({ "type": "section", "fields": fields }),
    ];
    if let Some(remark) = &notice.remark {
        blocks.push(json!({ "type": "context", "elements": [
            { "type": "mrkdwn", "text": cut(&escape(remark), FIELD_MAX) },
        ] }));
    }
    let links = [
        (notice.runbook_url.as_deref(), "Runbook for people"),
        (link, "Open in slowburn"),
    ];
    for (link, text) in links {
        if let Some(link) = link {
            blocks.push(json!({ "type": "context", "elements": [
                { "type": "mrkdwn", "text": format!("<{}|{text}>", escape(link)) },
            ] }));
        }
    }
    json!({ "text": cut(&escape(&notice.summary), TEXT_MAX), "blocks": blocks })
}

/// Slack reads `&`, `<` and `>`: unescaped, a name could mention a channel or hide a link.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
