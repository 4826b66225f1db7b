//! The dashboard's files, carried inside the binary.
//!
//! Files under `assets/` have their content's hash in the name and are kept for ever; everything
//! else is asked for again with its hash. A page of the dashboard's own gets `index.html`, and so does a path that
//! looks like one and is none: with 404, and the page says so.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, Method, StatusCode, Uri};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::request_log::IsAnswer;

// `build.rs` puts it there. Where it could not (no Node.js, and so told), the page says so.
#[derive(RustEmbed)]
#[folder = "dashboard/dist"]
#[allow_missing = true]
struct Files;

const NOT_BUILT: &str = include_str!("not_built.html");

pub async fn file(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let path = uri.path().trim_start_matches('/');
    if let Some(file) = Files::get(path) {
        return serve(path, &file, &headers);
    }
    let last = path.rsplit('/').next().unwrap_or("");
    // Nothing under these prefixes is a page, so a wrong address must not look like one.
    let is_page =
        !last.contains('.') && !path.starts_with("api/") && path != "api" && !path.starts_with("assets/");
    if !is_page {
        return StatusCode::NOT_FOUND.into_response();
    }
    let is_known = is_known(path);
    let index = Files::get("index.html");
    let mut page = match &index {
        Some(index) if is_known => serve("index.html", index, &headers),
        Some(index) => serve("index.html", index, &HeaderMap::new()),
        None => (
            [
                (CONTENT_TYPE, "text/html; charset=utf-8"),
                (CACHE_CONTROL, "no-cache"),
            ],
            NOT_BUILT,
        )
            .into_response(),
    };
    if !is_known {
        *page.status_mut() = StatusCode::NOT_FOUND;
        page.extensions_mut().insert(IsAnswer);
    }
    page
}

/// The pages that the dashboard has, as `page` of its `app.tsx` tells them apart.
fn is_known(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        [] | ["services" | "runs" | "alerts" | "events"] | ["slos" | "services", _] => true,
        ["runs" | "alerts", id] => id.len() <= 15 && id.bytes().all(|byte| byte.is_ascii_digit()),
        _ => false,
    }
}

fn serve(path: &str, file: &EmbeddedFile, headers: &HeaderMap) -> Response {
    let cache = if path.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let etag = etag(&file.metadata.sha256_hash());
    if headers
        .get(IF_NONE_MATCH)
        .is_some_and(|seen| seen.as_bytes() == etag.as_bytes())
    {
        return (
            StatusCode::NOT_MODIFIED,
            [(CACHE_CONTROL, cache.to_owned()), (ETAG, etag)],
        )
            .into_response();
    }
    let kind = file.metadata.mimetype();
    let kind = if kind.starts_with("text/") && !kind.contains("charset") {
        format!("{kind}; charset=utf-8")
    } else {
        kind.to_owned()
    };
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, cache.to_owned()),
        (ETAG, etag),
    ];
    (headers, Body::from(file.data.clone().into_owned())).into_response()
}

fn etag(hash: &[u8; 32]) -> String {
    use std::fmt::Write;
    let mut text = String::from("\"");
    for byte in &hash[..16] {
        let _ = write!(text, "{byte:02x}");
    }
    text.push('"');
    text
}
