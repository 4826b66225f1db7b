//! Outgoing HTTP: one way to build a client and one way to call.
//!
//! Redirects are never followed (a receiver could point us anywhere), every call has a time limit,
//! and no more of an answer is read than is asked for. Errors never carry a URL: some are secret.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::{Request, Response, StatusCode};
use tracing::{Instrument as _, Span, field};

use crate::trace;

/// From the first byte sent to the last byte read.
const TIME_LIMIT: Duration = Duration::from_secs(15);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The client that every call of this crate goes through.
///
/// # Errors
/// When the machine's certificates cannot be read.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    builder().build()
}

pub(crate) fn builder() -> reqwest::ClientBuilder {
    // Fails when the process has one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIME_LIMIT)
        .connect_timeout(CONNECT_LIMIT)
        .user_agent(concat!("slowburn/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub retry_after: Option<Duration>,
    pub body: Vec<u8>,
}

/// Why nothing came back. `Display` has no URL.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("timed out")]
    TimedOut,
    #[error("could not connect")]
    Connect,
    #[error("answer is longer than {0} bytes")]
    TooLong(usize),
    #[error("connection failed")]
    Broken,
}

impl From<reqwest::Error> for CallError {
    fn from(error: reqwest::Error) -> Self {
        // The error's own text and sources may name the URL, so they stop here.
        if error.is_timeout() {
            Self::TimedOut
        } else if error.is_connect() {
            Self::Connect
        } else {
            Self::Broken
        }
    }
}

/// Calls and reads the answer, in a client span that continues `parent`.
pub(crate) async fn call(
    client: &reqwest::Client,
    mut request: Request,
    parent: Option<&str>,
    body_max: usize,
    now: DateTime<Utc>,
) -> Result<Answer, CallError> {
    let span = span(&request);
    if Span::current().is_none() {
        trace::continue_from(&span, parent);
    }
    if let Some(value) = trace::traceparent(&span, parent).and_then(|text| text.parse().ok()) {
        request.headers_mut().insert("traceparent", value);
    }
    async {
        let result = exchange(client, request, body_max, now).await;
        match &result {
            Ok(answer) => {
                span.record("http.response.status_code", answer.status.as_u16());
                if answer.status.is_client_error() || answer.status.is_server_error() {
                    span.record("error.type", answer.status.as_str());
                    span.record("otel.status_code", "error");
                }
            }
            Err(error) => {
                span.record("error.type", error.to_string());
                span.record("otel.status_code", "error");
            }
        }
        result
    }
    .instrument(span.clone())
    .await
}

/// A client span with the names of OpenTelemetry's semantic conventions. `url.full` is left out: it
/// may be a credential.
fn span(request: &Request) -> Span {
    let url = request.url();
    tracing::info_span!(
        "http",
        otel.name = request.method().as_str(),
        otel.kind = "client",
        otel.status_code = field::Empty,
        http.request.method = request.method().as_str(),
        http.response.status_code = field::Empty,
        server.address = url.host_str().unwrap_or_default(),
        server.port = url.port_or_known_default(),
        error.type = field::Empty,
    )
}

async fn exchange(
    client: &reqwest::Client,
    request: Request,
    body_max: usize,
    now: DateTime<Utc>,
) -> Result<Answer, CallError> {
    let mut response = client.execute(request).await?;
    let status = response.status();
    let retry_after = retry_after(&response, now);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > body_max {
            // What an error page goes on to say does not matter, a cut document does.
            if status.is_success() && body_max > SMALL {
                return Err(CallError::TooLong(body_max));
            }
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer {
        status,
        retry_after,
        body,
    })
}

/// Enough of an answer that only says whether it worked.
pub(crate) const SMALL: usize = 16 * 1024;

/// No answer of a receiver may hold back pages for longer.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(900);

/// Seconds or an HTTP date.
fn retry_after(response: &Response, now: DateTime<Utc>) -> Option<Duration> {
    let text = response.headers().get("retry-after")?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = DateTime::parse_from_rfc2822(text).ok()?;
            (date.with_timezone(&Utc) - now).to_std().unwrap_or_default()
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}
