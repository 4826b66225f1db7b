//! Annotations: what people and pipelines say about a service at a moment.

use chrono::{DateTime, TimeDelta, Utc};

use crate::engine::EngineError;
use crate::measurement::{ServiceName, words};
use crate::text::{self, UnfitText};

words!(
    AnnotationKind, "annotation kind", {
        Deploy => "deploy",
        Note => "note",
    }
);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AnnotationId(pub i64);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAnnotation {
    pub service: ServiceName,
    pub at: DateTime<Utc>,
    pub kind: AnnotationKind,
    pub text: String,
    pub author: String,
}

/// Why an annotation cannot be.
#[derive(Debug, thiserror::Error)]
pub enum AnnotationError {
    #[error(transparent)]
    Text(#[from] UnfitText),
    #[error("`at` is more than {AHEAD_MAX_DAYS} days from now")]
    TooFarAhead,
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<sqlx::Error> for AnnotationError {
    fn from(error: sqlx::Error) -> Self {
        Self::Engine(error.into())
    }
}

const AHEAD_MAX_DAYS: i64 = 400;

impl NewAnnotation {
    /// # Errors
    /// With the first thing that cannot be.
    pub fn check(&self, now: DateTime<Utc>) -> Result<(), AnnotationError> {
        text::check("author", &self.author, 1, 100)?;
        text::check("text", &self.text, 1, 1_000)?;
        if self.at > now + TimeDelta::days(AHEAD_MAX_DAYS) {
            return Err(AnnotationError::TooFarAhead);
        }
        Ok(())
    }
}
