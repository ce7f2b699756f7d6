//! The UI's files, and its page for every other path.

use std::fmt::Write as _;

use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use sawyer_web_ui::Asset;

use crate::random;

/// Where a proxy serves Sawyer below a path of its own, it says so in this header.
const PREFIX_HEADER: &str = "x-forwarded-prefix";

/// Content with a hash in its name never changes.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";

const NOT_BUILT: &str = "<!doctype html><meta charset=\"utf-8\"><title>Sawyer</title>\
<p>Sawyer is running, but this build has no web UI in it. Run <code>make ui</code> and build again.\
<p>The API is here: <code>GET /api/v1/search?query=level:error</code>";

pub(crate) async fn serve(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    if let Some(asset) = sawyer_web_ui::asset(path) {
        return file(&asset, &headers);
    }
    if path.starts_with("assets/") {
        return (StatusCode::NOT_FOUND, "there is no such file\n").into_response();
    }
    page(&headers)
}

fn file(asset: &Asset, headers: &HeaderMap) -> Response {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or("");
    let accepts = |name: &str| {
        text(header::ACCEPT_ENCODING).split(',').any(|part| {
            let mut words = part.split(';').map(str::trim);
            words.next() == Some(name) && words.next() != Some("q=0")
        })
    };
    let (encoding, bytes) = match (&asset.brotli, &asset.gzip) {
        (Some(bytes), _) if accepts("br") => (Some("br"), bytes),
        (_, Some(bytes)) if accepts("gzip") => (Some("gzip"), bytes),
        _ => (None, &asset.bytes),
    };
    let known =
        text(header::IF_NONE_MATCH).split(',').any(|tag| tag.trim().trim_start_matches("W/") == asset.etag);
    let mut response = match known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => bytes.clone().into_owned().into_response(),
    };
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    out.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let cache = if asset.immutable { FOR_GOOD } else { "no-cache" };
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Ok(etag) = HeaderValue::from_str(&asset.etag) {
        out.insert(header::ETAG, etag);
    }
    if let (Some(encoding), false) = (encoding, known) {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}

fn page(headers: &HeaderMap) -> Response {
    let prefix = headers.get(PREFIX_HEADER).and_then(|value| value.to_str().ok()).unwrap_or("");
    let base = match prefix.trim_matches('/') {
        "" => "/".to_owned(),
        path => format!("/{path}/"),
    };
    let Some(nonce) = nonce() else {
        return (StatusCode::INTERNAL_SERVER_ERROR, "no random numbers on this machine\n").into_response();
    };
    let Some(html) = sawyer_web_ui::index_html(&base, &nonce) else {
        return Html(NOT_BUILT).into_response();
    };
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; connect-src 'self'; \
         img-src 'self' data:; font-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
    );
    let mut response = Html(html).into_response();
    let out = response.headers_mut();
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    out.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    out.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        out.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// 128 random bits in hex, from the system.
fn nonce() -> Option<String> {
    let mut text = String::new();
    for byte in random::bytes().ok()? {
        let _ = write!(text, "{byte:02x}");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn unknown_assets_are_missing_and_other_paths_are_the_page() {
        let missing = serve(Uri::from_static("/assets/nothing.js"), HeaderMap::new()).await;
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
        let page = serve(Uri::from_static("/search?q=x"), HeaderMap::new()).await;
        assert_eq!(page.status(), StatusCode::OK);
        assert_eq!(page.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
    }

    #[test]
    fn the_encoding_is_the_clients_choice() {
        let asset = Asset {
            bytes: b"plain"[..].into(),
            brotli: Some(b"br"[..].into()),
            gzip: Some(b"gz"[..].into()),
            content_type: "text/css",
            etag: "\"x\"".into(),
            immutable: true,
        };
        let told = |name, value: &'static str| {
            let headers = [(name, HeaderValue::from_static(value))].into_iter().collect();
            let response = file(&asset, &headers);
            let encoding = response.headers().get(header::CONTENT_ENCODING).cloned();
            (response.status().as_u16(), encoding.map(|value| value.to_str().unwrap().to_owned()))
        };
        assert_eq!(told(header::ACCEPT_ENCODING, "gzip, br"), (200, Some("br".into())));
        assert_eq!(told(header::ACCEPT_ENCODING, "br;q=0, gzip"), (200, Some("gzip".into())));
        assert_eq!(told(header::ACCEPT_ENCODING, "identity"), (200, None));
        assert_eq!(told(header::IF_NONE_MATCH, "\"x\""), (304, None));
    }
}
