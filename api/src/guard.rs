//! Keeps other people's pages away from the routes that change something.
//!
//! This API moves packets and has no password on loopback, so a browser must not be usable
//! against it: neither by a form or script of a foreign page (its Origin, or the browser's own
//! Sec-Fetch-Site, says so; a content type of JSON, or another method than POST, makes it ask first), nor by a foreign name
//! that was rebound to our address (its Host says so).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HOST, ORIGIN};
use http::{HeaderMap, Method, Uri};

use crate::error::ApiError;

/// What this server may be called by.
#[derive(Debug, Clone)]
pub struct Guard {
    listen: SocketAddr,
    names: Arc<[String]>,
}

impl Guard {
    /// `names` are host names without a port, as people and proxies write them.
    pub fn new(listen: SocketAddr, names: &[String]) -> Self {
        Self {
            listen,
            names: names.iter().map(|name| plain(name)).collect(),
        }
    }

    fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
        let authority = uri
            .authority()
            .map(http::uri::Authority::as_str)
            .or_else(|| headers.get(HOST).and_then(|host| host.to_str().ok()))
            .ok_or_else(|| ApiError::forbidden("a changing request has to say its `Host`"))?;
        if !self.is_ours(authority) {
            return Err(
                ApiError::forbidden(format!("`{authority}` is not a name of this server"))
                    .hint("use its address, or add the name to the server's allowed host names"),
            );
        }
        // A browser names the page's origin on every changing request. It has to be the page that
        // this very server served: a neighbour on another port is somebody else.
        if let Some(origin) = headers.get(ORIGIN) {
            let origin = origin.to_str().unwrap_or("");
            let page = origin
                .strip_prefix("http://")
                .or_else(|| origin.strip_prefix("https://"));
            if page.is_none_or(|page| !page.eq_ignore_ascii_case(authority)) {
                return Err(ApiError::forbidden(
                    "the request comes from a page of another origin",
                ));
            }
        }
        if let Some(site) = headers.get("sec-fetch-site")
            && site != "same-origin"
            && site != "none"
        {
            return Err(ApiError::forbidden(
                "the request comes from a page of another site",
            ));
        }
        // A page may post a form anywhere without being asked; for any other method its browser asks first.
        if *method == Method::POST && !headers.get(CONTENT_TYPE).is_some_and(is_json) {
            return Err(ApiError::unsupported_media_type(
                "what is posted has to be sent as `application/json`",
            )
            .hint("add the header `Content-Type: application/json`: a form of another site's page cannot"));
        }
        Ok(())
    }

    fn is_ours(&self, authority: &str) -> bool {
        let Ok(authority) = authority.parse::<http::uri::Authority>() else {
            return false;
        };
        // A host with user information is a trick, never a browser.
        if authority.as_str().contains('@') {
            return false;
        }
        let host = plain(authority.host());
        if host == "localhost" || host.ends_with(".localhost") {
            return true;
        }
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(&host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            // Listening everywhere, the addresses are the machine's: only a name can be rebound.
            return address.is_loopback() || address == self.listen.ip() || self.listen.ip().is_unspecified();
        }
        self.names.contains(&host)
    }
}

pub async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if changes && let Err(refused) = guard.check(request.method(), request.uri(), request.headers()) {
        tracing::warn!(http.method = %request.method(), url.path = request.uri().path(), "refused a foreign request");
        return refused.into_response();
    }
    next.run(request).await
}

fn plain(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

fn is_json(value: &http::HeaderValue) -> bool {
    value.to_str().is_ok_and(|value| {
        let essence = value.split(';').next().unwrap_or("").trim();
        essence.eq_ignore_ascii_case("application/json")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(listen: &str, headers: &[(&'static str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        map.insert(CONTENT_TYPE, "application/json".parse().unwrap());
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Guard::new(listen.parse().unwrap(), &["Slo.example.org".to_owned()])
            .check(&Method::POST, &Uri::from_static("/api/v1/limits"), &map)
            .is_ok()
    }

    #[test]
    fn loopback_the_listen_address_and_configured_names_are_ours() {
        for host in [
            "localhost:8420",
            "localhost",
            "127.0.0.1:8420",
            "127.1.2.3",
            "[::1]:8420",
            "slo.example.org",
            "SLO.example.org.:80",
        ] {
            assert!(allowed("127.0.0.1:8420", &[("host", host)]), "{host}");
        }
        assert!(allowed("10.1.2.3:8420", &[("host", "10.1.2.3:8420")]));
        assert!(allowed("0.0.0.0:8420", &[("host", "192.0.2.7:8420")]));
    }

    #[test]
    fn a_rebound_name_is_not_ours() {
        for host in [
            "evil.example",
            "evil.example:8420",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "127.0.0.1@evil.example",
            "evil.example@127.0.0.1",
            "192.0.2.7:8420",
            "",
            "::1",
            "0x7f.1",
        ] {
            assert!(!allowed("127.0.0.1:8420", &[("host", host)]), "{host}");
        }
        assert!(!allowed("0.0.0.0:8420", &[("host", "evil.example:8420")]));
        assert!(!allowed("127.0.0.1:8420", &[]));
    }

    #[test]
    fn a_foreign_page_is_refused_and_our_own_is_not() {
        let host = ("host", "localhost:8420");
        assert!(allowed(
            "127.0.0.1:8420",
            &[
                host,
                ("origin", "http://localhost:8420"),
                ("sec-fetch-site", "same-origin")
            ]
        ));
        assert!(allowed(
            "127.0.0.1:8420",
            &[("host", "slo.example.org"), ("origin", "https://slo.example.org")]
        ));
        for origin in [
            "null",
            "http://evil.example",
            "http://localhost:3000",
            "http://127.0.0.1:8420",
            "ftp://localhost:8420",
            "",
        ] {
            assert!(
                !allowed("127.0.0.1:8420", &[host, ("origin", origin)]),
                "{origin}"
            );
        }
        for site in ["cross-site", "same-site"] {
            assert!(
                !allowed("127.0.0.1:8420", &[host, ("sec-fetch-site", site)]),
                "{site}"
            );
        }
    }

    #[test]
    fn a_form_cannot_change_anything() {
        for content_type in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/jsonp",
            "",
        ] {
            let headers = [("host", "localhost"), ("content-type", content_type)];
            assert!(!allowed("127.0.0.1:8420", &headers), "{content_type}");
        }
        assert!(allowed(
            "127.0.0.1:8420",
            &[
                ("host", "localhost"),
                ("content-type", "application/json; charset=utf-8")
            ]
        ));
    }
}
