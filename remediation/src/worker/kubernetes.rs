//! Scales through the scale subresource: read it, write it back with its `resourceVersion`.
//!
//! What changed in between is a conflict (409): then it is read and decided anew. Needs the verbs
//! `get` and `update` on `deployments/scale` or `statefulsets/scale`, nothing on the objects.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::{Client, Method, Request, Url};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Failure;
use super::command::Purpose;
use super::effect::Prepared;
use crate::outgoing::{self, Answer};
use crate::runbook::Kubernetes;

/// Readings before a conflict is given back to be tried later.
const CONFLICTS_MAX: u32 = 5;
/// Every call taking as long as it may.
pub(super) const LONGEST: Duration = Duration::from_secs(150);
const DOCUMENT_MAX: usize = 1024 * 1024;
const MANAGER: &str = "slowburn";

/// From how many replicas to how many: the intent, and turned round the inverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Order {
    from: u32,
    to: u32,
}

/// What is meant, given what runs now.
pub(super) fn plan(wanted: &Kubernetes, from: u32) -> Prepared {
    let to = wanted.wanted(from);
    if to == from {
        return Prepared::Nothing {
            reason: format!("`{}` has the {from} replicas it may have", wanted.name),
            again: false,
        };
    }
    Prepared::Intent {
        intent: json!(Order { from, to }),
        inverse: Some(json!(Order { from: to, to: from })),
    }
}

/// How many replicas are asked for now.
pub(super) async fn current(
    http: &Client,
    wanted: &Kubernetes,
    parent: Option<&str>,
    now: DateTime<Utc>,
) -> Result<u32, Failure> {
    let api = Api::new(http, wanted, parent).await?;
    replicas(&api.get(now).await?)
}

/// Carries the order out. Others may scale, too: what is already there or beyond is left, and undoing
/// leaves alone what somebody else has changed since.
pub(super) async fn scale(
    http: &Client,
    wanted: &Kubernetes,
    order: &Order,
    purpose: Purpose,
    parent: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Value, Failure> {
    let api = Api::new(http, wanted, parent).await?;
    for _ in 0..CONFLICTS_MAX {
        let mut scale = api.get(now).await?;
        let found = replicas(&scale)?;
        let there = found == order.to;
        let beyond =
            (order.to > order.from && found > order.to) || (order.to < order.from && found < order.to);
        if there || (purpose == Purpose::Apply && beyond) {
            return Ok(json!({ "replicas": found, "changed": false }));
        }
        if purpose == Purpose::Undo && found != order.from {
            return Ok(json!({ "replicas": found, "changed": false, "because": "somebody else scaled it" }));
        }
        scale["spec"]["replicas"] = json!(order.to);
        if api.put(&scale, now).await? {
            return Ok(json!({ "replicas": order.to, "before": found, "changed": true }));
        }
    }
    Err(Failure::again(format!(
        "`{}` changed {CONFLICTS_MAX} times while it was scaled",
        wanted.name
    )))
}

fn replicas(scale: &Value) -> Result<u32, Failure> {
    // Zero is left out of the document.
    let replicas = scale["spec"].get("replicas").map_or(Some(0), Value::as_u64);
    replicas
        .and_then(|n| u32::try_from(n).ok())
        .ok_or_else(|| Failure::for_good("answer is no scale"))
}

struct Api<'a> {
    http: Client,
    url: Url,
    token: Option<String>,
    parent: Option<&'a str>,
    name: &'a str,
}

impl<'a> Api<'a> {
    async fn new(http: &Client, wanted: &'a Kubernetes, parent: Option<&'a str>) -> Result<Self, Failure> {
        let address = format!(
            "{}/apis/apps/v1/namespaces/{}/{}/{}/scale",
            wanted.api_server.trim_end_matches('/'),
            wanted.namespace,
            wanted.object.plural(),
            wanted.name
        );
        let url = Url::parse(&address).map_err(|_| Failure::for_good("API server's address is no URL"))?;
        let token = match &wanted.token_file {
            None => None,
            Some(path) => {
                let token = crate::secret::SecretRef::File(path.clone()).read().await;
                let token = token.map_err(|error| Failure::again(error.to_string()))?;
                Some(format!("Bearer {}", token.expose()))
            }
        };
        let http = match &wanted.ca_file {
            None => http.clone(),
            Some(path) => trusting(path).await?,
        };
        Ok(Self {
            http,
            url,
            token,
            parent,
            name: &wanted.name,
        })
    }

    async fn get(&self, now: DateTime<Utc>) -> Result<Value, Failure> {
        let answer = self
            .call(self.http.request(Method::GET, self.url.clone()), now)
            .await?;
        if !answer.status.is_success() {
            return Err(self.refused(&answer));
        }
        serde_json::from_slice(&answer.body).map_err(|_| Failure::again("answer is no JSON"))
    }

    /// `false`: the object changed since it was read.
    async fn put(&self, scale: &Value, now: DateTime<Utc>) -> Result<bool, Failure> {
        let mut url = self.url.clone();
        url.query_pairs_mut().append_pair("fieldManager", MANAGER);
        let answer = self
            .call(self.http.request(Method::PUT, url).json(scale), now)
            .await?;
        match answer.status.as_u16() {
            200..=299 => Ok(true),
            409 => Ok(false),
            _ => Err(self.refused(&answer)),
        }
    }

    async fn call(
        &self,
        mut builder: reqwest::RequestBuilder,
        now: DateTime<Utc>,
    ) -> Result<Answer, Failure> {
        builder = builder.header("accept", "application/json");
        if let Some(token) = &self.token {
            builder = builder.header("authorization", token);
        }
        let request: Request = builder
            .build()
            .map_err(|_| Failure::for_good("request cannot be built"))?;
        Ok(outgoing::call(&self.http, request, self.parent, DOCUMENT_MAX, now).await?)
    }

    /// 429 and 5xx are worth another attempt, everything else is final.
    fn refused(&self, answer: &Answer) -> Failure {
        let status = answer.status.as_u16();
        let reason = answer.status.canonical_reason().unwrap_or("unknown status");
        Failure {
            error: format!("Kubernetes answered {status} {reason} about `{}`", self.name),
            again: matches!(status, 408 | 429 | 500..=599),
            after: answer.retry_after,
        }
    }
}

/// A client that trusts this authority and no other.
async fn trusting(path: &std::path::Path) -> Result<Client, Failure> {
    let shown = path.display();
    let bytes = tokio::fs::read(path)
        .await
        .map_err(|error| Failure::again(format!("could not read `{shown}`: {error}")))?;
    let authorities = reqwest::Certificate::from_pem_bundle(&bytes)
        .map_err(|_| Failure::for_good(format!("`{shown}` holds no certificates")))?;
    outgoing::builder()
        .tls_certs_only(authorities)
        .build()
        .map_err(|_| Failure::for_good(format!("certificates of `{shown}` cannot be used")))
}
