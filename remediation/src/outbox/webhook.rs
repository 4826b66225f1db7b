//! Webhooks as Standard Webhooks 1.0 signs them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;

use super::NoticeAction;
use crate::secret::Secret;
use crate::store::outbox::Parcel;

/// Why a secret cannot sign. Says nothing of the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    #[error("signing secret is not `whsec_` and base64")]
    Malformed,
    #[error("signing secret has {0} bytes, expected 24 to 64")]
    Length(usize),
}

pub(super) fn body(parcel: &Parcel, link: Option<&str>) -> String {
    let kind = match parcel.action {
        NoticeAction::Trigger => "slowburn.alert.firing",
        NoticeAction::Escalate => "slowburn.run.escalated",
        NoticeAction::Acknowledge => "slowburn.alert.acknowledged",
        NoticeAction::Resolve => "slowburn.alert.resolved",
    };
    let notice = &parcel.notice;
    let mut data = super::details(parcel);
    data["summary"] = json!(notice.summary);
    data["service"] = json!(notice.service);
    data["objective"] = json!(notice.objective);
    data["tier"] = json!(notice.tier);
    data["severity"] = json!(notice.severity);
    data["dedup_key"] = json!(parcel.dedup_key);
    if let Some(link) = link {
        data["url"] = json!(link);
    }
    json!({ "type": kind, "timestamp": notice.at, "data": data }).to_string()
}

/// The three headers. A secret of several values, divided by spaces, signs with each: so it is
/// rotated without a gap.
pub(super) fn headers(
    message_id: &str,
    now: DateTime<Utc>,
    body: &[u8],
    secret: &Secret,
) -> Result<[(&'static str, String); 3], KeyError> {
    let id = format!("msg_{message_id}");
    let timestamp = now.timestamp().to_string();
    let mut signatures = Vec::new();
    for part in secret.expose().split_ascii_whitespace() {
        let key = key(part)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| KeyError::Length(key.len()))?;
        mac.update(id.as_bytes());
        mac.update(b".");
        mac.update(timestamp.as_bytes());
        mac.update(b".");
        mac.update(body);
        signatures.push(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
    }
    Ok([
        ("webhook-id", id),
        ("webhook-timestamp", timestamp),
        ("webhook-signature", signatures.join(" ")),
    ])
}

fn key(text: &str) -> Result<Vec<u8>, KeyError> {
    let encoded = text.strip_prefix("whsec_").ok_or(KeyError::Malformed)?;
    let key = STANDARD.decode(encoded).map_err(|_| KeyError::Malformed)?;
    if (24..=64).contains(&key.len()) {
        Ok(key)
    } else {
        Err(KeyError::Length(key.len()))
    }
}
