//! Of many rows those that can be read: one that another release wrote, or that somebody changed by hand, says nothing
//! of the others.

use crate::engine::EngineError;

/// How many are named; more are counted.
const NAMED_MAX: usize = 5;

/// What cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// An objective, or what stands beside them.
    pub name: String,
    pub why: String,
}

/// Not all of it, with what there is of it.
#[derive(Debug, thiserror::Error)]
#[error("not all of it could be read")]
pub struct Partly<T> {
    /// To be used as if it were all.
    pub rest: Vec<T>,
    /// [`EngineError::LeftOut`]; another where nothing could be read.
    #[source]
    pub error: EngineError,
}

impl<T> Partly<T> {
    /// What there is, and what was left out of it.
    ///
    /// # Errors
    /// When there is nothing at all.
    pub fn apart(outcome: Result<Vec<T>, Self>) -> Result<(Vec<T>, Option<EngineError>), EngineError> {
        match outcome {
            Ok(all) => Ok((all, None)),
            Err(Self { rest, error }) if matches!(error, EngineError::LeftOut { .. }) => {
                Ok((rest, Some(error)))
            }
            Err(Self { error, .. }) => Err(error),
        }
    }

    /// What there is, and what cannot be read of it, each once.
    ///
    /// # Errors
    /// As [`Partly::apart`].
    pub fn named(outcome: Result<Vec<T>, Self>) -> Result<(Vec<T>, Vec<Unreadable>), EngineError> {
        let (rest, left_out) = Self::apart(outcome)?;
        let mut names = match left_out {
            Some(EngineError::LeftOut { names, .. }) => names,
            _ => Vec::new(),
        };
        names.sort_by(|a, b| a.name.cmp(&b.name));
        names.dedup_by(|later, first| later.name == first.name);
        Ok((rest, names))
    }

    /// The reverse of [`Partly::apart`].
    pub(crate) fn of(rest: Vec<T>, left_out: Option<EngineError>) -> Result<Vec<T>, Self> {
        match left_out {
            None => Ok(rest),
            Some(error) => Err(Self { rest, error }),
        }
    }
}

/// What two looks left out.
pub(crate) fn both(one: Option<EngineError>, other: Option<EngineError>) -> Option<EngineError> {
    match (one, other) {
        (Some(EngineError::LeftOut { mut names, first }), Some(EngineError::LeftOut { names: more, .. })) => {
            names.extend(more);
            Some(EngineError::LeftOut { names, first })
        }
        (one, other) => one.or(other),
    }
}

impl<T> From<EngineError> for Partly<T> {
    fn from(error: EngineError) -> Self {
        let rest = Vec::new();
        Self { rest, error }
    }
}

impl<T> From<sqlx::Error> for Partly<T> {
    fn from(error: sqlx::Error) -> Self {
        EngineError::from(error).into()
    }
}

/// For those who want all or nothing.
impl<T> From<Partly<T>> for EngineError {
    fn from(partly: Partly<T>) -> Self {
        partly.error
    }
}

/// Reads each row by itself.
pub(crate) fn read<R, T>(
    rows: &[R],
    whose: impl Fn(&R) -> String,
    mut read: impl FnMut(&R) -> Result<T, EngineError>,
) -> Result<Vec<T>, Partly<T>> {
    let mut rest = Vec::with_capacity(rows.len());
    let mut names: Vec<Unreadable> = Vec::new();
    let mut first = None;
    for row in rows {
        match read(row) {
            Ok(one) => rest.push(one),
            Err(error) => {
                let name = whose(row);
                // Rows of one objective mostly stand together.
                if names.last().is_none_or(|last| last.name != name) {
                    let why = error.to_string();
                    names.push(Unreadable { name, why });
                }
                first.get_or_insert(error);
            }
        }
    }
    let left_out = first.map(|first| EngineError::LeftOut {
        names,
        first: Box::new(first),
    });
    Partly::of(rest, left_out)
}

/// As a message has them.
pub(crate) fn named(names: &[Unreadable]) -> String {
    let mut said: Vec<String> = names
        .iter()
        .take(NAMED_MAX)
        .map(|unreadable| format!("`{}`", unreadable.name))
        .collect();
    if let Some(more) = names.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        said.push(format!("{more} more"));
    }
    said.join(", ")
}
