//! Which requests are counted together: a method and a path prefix.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Method and path prefix as counted: `GET /api/`, `GET *` for the paths of a method that no other
/// route takes, or `other` for what no route takes at all.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Route(Arc<str>);

/// Why a text is no route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    #[error("`{0}` is not a route, expected a method and a path prefix, such as `GET /api/`")]
    Malformed(String),
    #[error("`{route}` has the unknown method `{method}`, expected one of {}", METHODS.join(", "))]
    UnknownMethod { route: String, method: String },
    #[error("`{route}` is {length} bytes long, at most {ROUTE_MAX} are compared")]
    TooLong { route: String, length: usize },
}

/// Methods that the probes tell apart.
pub const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE",
];

/// Longest route that the kernel side compares, in bytes: method, space and prefix.
pub const ROUTE_MAX: usize = 60;

impl Route {
    /// What no route of the service takes.
    #[must_use]
    pub fn other() -> Self {
        Self(OTHER.into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The method; `None` for `other`.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        self.0.split_once(' ').map(|(method, _)| method)
    }

    /// The path prefix, empty for `GET *`; `None` for `other`.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        self.0
            .split_once(' ')
            .map(|(_, prefix)| if prefix == "*" { "" } else { prefix })
    }

    /// Whether requests counted under `counted` belong to this route as people read it. A request
    /// is counted once, under its longest route, so `GET /api/` is the sum of what `GET /api/` and
    /// `GET /api/orders/` count.
    #[must_use]
    pub fn covers(&self, counted: &Self) -> bool {
        match (self.prefix(), counted.prefix()) {
            (Some(ours), Some(theirs)) => self.method() == counted.method() && theirs.starts_with(ours),
            (None, None) => true,
            _ => false,
        }
    }
}

const OTHER: &str = "other";

impl FromStr for Route {
    type Err = RouteError;

    fn from_str(text: &str) -> Result<Self, RouteError> {
        if text == OTHER {
            return Ok(Self::other());
        }
        let malformed = || RouteError::Malformed(text.to_owned());
        let (method, prefix) = text.split_once(' ').ok_or_else(malformed)?;
        let plain = |c: char| c.is_ascii_graphic() && c != '?' && c != '#';
        if !(prefix == "*" || (prefix.starts_with('/') && prefix.chars().all(plain))) {
            return Err(malformed());
        }
        if !METHODS.contains(&method) {
            return Err(RouteError::UnknownMethod {
                route: text.to_owned(),
                method: method.to_owned(),
            });
        }
        if text.len() > ROUTE_MAX {
            return Err(RouteError::TooLong {
                route: text.to_owned(),
                length: text.len(),
            });
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for Route {
    type Error = RouteError;

    fn try_from(text: String) -> Result<Self, RouteError> {
        text.parse()
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_covers_what_is_counted_beneath_it() {
        let route = |text: &str| text.parse::<Route>().unwrap();
        assert!(route("GET /api/").covers(&route("GET /api/orders/")));
        assert!(route("GET *").covers(&route("GET /api/")));
        assert!(!route("GET /api/orders/").covers(&route("GET /api/")));
        assert!(!route("GET /api/").covers(&route("POST /api/")));
        assert!(!route("GET *").covers(&Route::other()));
        assert!(Route::other().covers(&Route::other()));
    }

    #[test]
    fn what_is_no_route_says_why() {
        for (text, message) in [
            (
                "/api",
                "`/api` is not a route, expected a method and a path prefix, such as `GET /api/`",
            ),
            (
                "GET api",
                "`GET api` is not a route, expected a method and a path prefix, such as `GET /api/`",
            ),
            (
                "get /api",
                "`get /api` has the unknown method `get`, expected one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, CONNECT, TRACE",
            ),
        ] {
            assert_eq!(text.parse::<Route>().unwrap_err().to_string(), message);
        }
    }
}
