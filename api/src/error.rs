//! What a caller reads when a request fails: one envelope, `{"error":{code,message,hint?}}`.
//!
//! The text is written for the caller. The cause stays here: it is logged once, as a chain, when
//! the answer is made.

use std::error::Error as StdError;

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use remediation::{LimitsError, chain};
use serde::Serialize;
use slo_engine::EngineError;
use slo_engine::alert::AcknowledgeError;
use slo_engine::annotation::AnnotationError;
use slo_engine::correction::CorrectionError;
use slo_engine::silence::SilenceError;
use utoipa::ToSchema;

use crate::request_log::IsAnswer;

pub type Result<T, E = ApiError> = std::result::Result<T, E>;

#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    hint: Option<String>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorEnvelope {
    pub error: ErrorView,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorView {
    #[schema(example = "not_found")]
    pub code: String,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl ApiError {
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            message,
        )
    }

    /// `what` and `name` make the sentence: no objective is named `checkout`.
    pub fn not_found(what: &str, name: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("there is no {what} `{name}`"),
        )
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    pub fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "the body is over the limit of this server",
        )
    }

    /// Trying again later may help: the database or the kernel did not answer.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
    }

    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the request failed for a reason that is in the log",
        )
        .caused_by(cause)
    }

    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            hint: None,
            cause: None,
        }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Gives the envelope to answers that were not made by a handler of ours: an unknown path, a
    /// method that a path does not have, a body over the limit, a request that took too long.
    pub async fn wrap_bare(response: Response<Body>) -> Response<Body> {
        let status = response.status();
        let is_error = status.is_client_error() || status.is_server_error();
        let is_made = response.extensions().get::<IsAnswer>().is_some();
        if !is_error || is_made || response.headers().contains_key(CONTENT_TYPE) && is_json(&response) {
            return response;
        }
        let (code, message) = match status {
            StatusCode::NOT_FOUND => ("not_found", "there is nothing at this path"),
            StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", "this path does not have this method"),
            StatusCode::PAYLOAD_TOO_LARGE => ("too_large", "the body is over the limit of this server"),
            StatusCode::SERVICE_UNAVAILABLE => ("unavailable", "the request took too long and was given up"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => (
                "unsupported_media_type",
                "the body is not in a format this path reads",
            ),
            _ if status.is_client_error() => ("bad_request", "the request could not be read"),
            _ => ("internal", "the request failed for a reason that is in the log"),
        };
        let mut wrapped = Self::new(status, code, message).into_response();
        // `Allow` and the like say something true about the path.
        for (name, value) in response.headers() {
            if name == http::header::ALLOW {
                wrapped.headers_mut().insert(name, value.clone());
            }
        }
        wrapped
    }
}

/// What the caller reads.
impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

fn is_json(response: &Response<Body>) -> bool {
    response.headers()[CONTENT_TYPE]
        .as_bytes()
        .starts_with(b"application/json")
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Some(cause) = &self.cause {
            let chain = chain(cause.as_ref());
            if self.status == StatusCode::INTERNAL_SERVER_ERROR {
                tracing::error!(error.code = self.code, error.chain = chain, "request failed");
            } else {
                tracing::warn!(error.code = self.code, error.chain = chain, "request refused");
            }
        }
        let error = ErrorView {
            code: self.code.to_owned(),
            message: self.message,
            hint: self.hint,
        };
        (self.status, Json(ErrorEnvelope { error })).into_response()
    }
}

/// A database that cannot be reached is a 503 that passes; all else is a mistake of ours.
impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        if is_outage(&error) {
            Self::unavailable("the database did not answer")
                .hint("see /readyz for what is missing")
                .caused_by(error)
        } else if is_bad_value(&error) {
            Self::bad_request("the request holds a value that cannot be looked up").caused_by(error)
        } else {
            Self::internal(error)
        }
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Database(error) => error.into(),
            EngineError::UnknownObjective(name) => Self::not_found("objective", name),
            EngineError::UnknownService(name) => Self::not_found("service", name),
            error @ EngineError::UnknownZone(_) => Self::bad_request(error.to_string()),
            error => Self::internal(error),
        }
    }
}

impl From<CorrectionError> for ApiError {
    fn from(error: CorrectionError) -> Self {
        match error {
            CorrectionError::Engine(error) => error.into(),
            CorrectionError::Unknown(id) => Self::not_found("correction", id.0),
            CorrectionError::Undone(_) => Self::conflict(error.to_string()),
            CorrectionError::Full(_) => Self::conflict(error.to_string())
                .hint("undo those that are no longer needed, or let one recur in place of many"),
            CorrectionError::NothingBegins(_) => Self::bad_request(error.to_string())
                .hint("state a day on which it begins, or the time at which it does"),
            CorrectionError::TooMany => {
                Self::bad_request(error.to_string()).hint("end it with `UNTIL` or `COUNT`, or begin it later")
            }
            error => Self::bad_request(error.to_string()),
        }
    }
}

impl From<SilenceError> for ApiError {
    fn from(error: SilenceError) -> Self {
        match error {
            SilenceError::Engine(error) => error.into(),
            SilenceError::Unknown(id) => Self::not_found("silence", id.0),
            SilenceError::Ended(_) => Self::conflict(error.to_string()),
            SilenceError::Full => {
                Self::conflict(error.to_string()).hint("end those that are no longer needed")
            }
            SilenceError::Matcher { .. } => {
                Self::bad_request(error.to_string()).hint("such as `service=web` or `tier=~page-.*`")
            }
            SilenceError::Everything => Self::bad_request(error.to_string()).hint(
                "name what is to be silent, such as `severity=~page|ticket`, if it is really all of it",
            ),
            error => Self::bad_request(error.to_string()),
        }
    }
}

impl From<AcknowledgeError> for ApiError {
    fn from(error: AcknowledgeError) -> Self {
        match error {
            AcknowledgeError::Engine(error) => error.into(),
            AcknowledgeError::Unknown(id) => Self::not_found("alert", id),
            AcknowledgeError::Resolved(_) => Self::conflict(error.to_string()),
            error => Self::bad_request(error.to_string()),
        }
    }
}

impl From<AnnotationError> for ApiError {
    fn from(error: AnnotationError) -> Self {
        match error {
            AnnotationError::Engine(error) => error.into(),
            error => Self::bad_request(error.to_string()),
        }
    }
}

impl From<remediation::Error> for ApiError {
    fn from(error: remediation::Error) -> Self {
        use remediation::Error;
        match error {
            Error::Database(error) => error.into(),
            Error::Limits(error) => error.into(),
            Error::Engine(error) => error.into(),
            Error::UnknownRun(id) => Self::not_found("run", id),
            Error::RunIsOver(id) => Self::conflict(format!("run `{id}` is over: there is nothing to cancel")),
            error => Self::internal(error),
        }
    }
}

impl From<LimitsError> for ApiError {
    fn from(error: LimitsError) -> Self {
        match error {
            LimitsError::Unsupported(why) => Self::unavailable(format!("this host has no limiter: {why}"))
                .hint("`slowburn doctor` says what is missing"),
            LimitsError::Failed(cause) => Self::unavailable("the limiter did not answer").caused_by(cause),
        }
    }
}

/// Class 22: a character or a date that Postgres does not have, which can only have come from the caller.
fn is_bad_value(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().is_some_and(|code| code.starts_with("22")))
}

pub fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
            true
        }
        // Class 57: the server is shutting down or starting up. Class 08: the connection broke.
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| code.starts_with("57P") || code.starts_with("08")),
        _ => false,
    }
}
