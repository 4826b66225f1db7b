//! Secrets by reference: configuration names an environment variable or a file, never the value.
//!
//! The value is read when it is needed and dropped after. It has no `Display` and its `Debug` hides
//! it, so that it cannot reach a row, a log line, a span or an error by accident.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Longest secret that is read, so that a wrong file name cannot fill the memory.
const LONGEST: u64 = 64 * 1024;

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretRef {
    Env(String),
    File(PathBuf),
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "environment variable `{name}`"),
            Self::File(path) => write!(f, "file `{}`", path.display()),
        }
    }
}

/// A value that must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Why a secret could not be read. Says where it was looked for, never what was found.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("{0} is not set")]
    Missing(SecretRef),
    #[error("{0} is empty")]
    Empty(SecretRef),
    #[error("{0} is not one line of text")]
    NotText(SecretRef),
    #[error("read {place}")]
    Unreadable {
        place: SecretRef,
        #[source]
        source: std::io::Error,
    },
}

impl SecretRef {
    /// What to say when it is not there in time, as of a pipe that nobody writes into.
    pub(crate) fn too_slow(&self) -> SecretError {
        SecretError::Unreadable {
            place: self.clone(),
            source: std::io::ErrorKind::TimedOut.into(),
        }
    }

    /// Reads the value; white space around it is dropped, as editors add a last line end.
    ///
    /// # Errors
    /// When there is nothing to read, or it is no single line.
    pub async fn read(&self) -> Result<Secret, SecretError> {
        let text = match self {
            Self::Env(name) => match std::env::var(name) {
                Ok(text) => text,
                Err(std::env::VarError::NotPresent) => return Err(SecretError::Missing(self.clone())),
                Err(std::env::VarError::NotUnicode(_)) => return Err(SecretError::NotText(self.clone())),
            },
            Self::File(path) => {
                use tokio::io::AsyncReadExt as _;
                let unreadable = |source| SecretError::Unreadable {
                    place: self.clone(),
                    source,
                };
                let mut bytes = Vec::new();
                tokio::fs::File::open(path)
                    .await
                    .map_err(unreadable)?
                    .take(LONGEST)
                    .read_to_end(&mut bytes)
                    .await
                    .map_err(unreadable)?;
                String::from_utf8(bytes).map_err(|_| SecretError::NotText(self.clone()))?
            }
        };
        let value = text.trim();
        if value.is_empty() {
            return Err(SecretError::Empty(self.clone()));
        }
        if value.chars().any(char::is_control) {
            return Err(SecretError::NotText(self.clone()));
        }
        Ok(Secret(value.to_owned()))
    }
}
