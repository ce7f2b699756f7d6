//! The built web UI as bytes.
//!
//! Owns: the files of `dist/` inside the binary, in debug builds too; their compressed siblings,
//! content types and hashes; the two values a page needs from the server (base address, nonce).
//! Does not own: routes, headers, the content policy (`server`), building the UI (`ui/`).
//! Invariant: works without a built UI; then there is simply nothing to give.

use std::borrow::Cow;

use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "dist/"]
#[allow_missing = true]
struct Dist;

/// The page that every path of the UI leads to; served with [`index_html`] instead of [`asset`].
const INDEX: &str = "index.html";

/// One file of the UI, as it is and compressed.
#[derive(Debug, Clone)]
pub struct Asset {
    /// The file itself.
    pub bytes: Cow<'static, [u8]>,
    /// The same compressed with Brotli; small and binary files have none.
    pub brotli: Option<Cow<'static, [u8]>>,
    /// The same compressed with gzip; small and binary files have none.
    pub gzip: Option<Cow<'static, [u8]>>,
    /// Value for `Content-Type`.
    pub content_type: &'static str,
    /// Value for `ETag`, quotes included: the SHA-256 of `bytes`. Compressed answers need a
    /// weak form of it, or `Vary: Accept-Encoding`.
    pub etag: String,
    /// The name holds a hash of the content, so that a browser may keep it for good.
    pub immutable: bool,
}

/// The file at `path` (`assets/index-x.js`, no slash in front), or `None` where there is none.
///
/// The compressed siblings are not files of their own, and neither is `index.html`, which needs
/// [`index_html`].
pub fn asset(path: &str) -> Option<Asset> {
    if path == INDEX || is_hidden(path) {
        return None;
    }
    let file = Dist::get(path)?;
    Some(Asset {
        etag: etag(&file),
        bytes: file.data,
        brotli: sibling(path, "br"),
        gzip: sibling(path, "gz"),
        content_type: content_type(path),
        immutable: path.starts_with("assets/"),
    })
}

/// The start page for a UI that lives below `base_href` (`/` or `/logs/`, with a slash at the end).
///
/// `nonce` is the one in the answer's `Content-Security-Policy`; the UI reads it for the styles
/// its editor makes at run time. `None` when the UI was not built.
pub fn index_html(base_href: &str, nonce: &str) -> Option<String> {
    let file = Dist::get(INDEX)?;
    let html = std::str::from_utf8(&file.data).ok()?;
    Some(with_head(html, base_href, nonce))
}

/// Whether this binary carries the UI.
pub fn is_built() -> bool {
    Dist::get(INDEX).is_some()
}

/// Puts the base address before everything that is resolved against it.
fn with_head(html: &str, base_href: &str, nonce: &str) -> String {
    let head = format!(
        "<head><base href=\"{}\"><meta name=\"csp-nonce\" property=\"csp-nonce\" nonce=\"{}\">",
        escape_attribute(base_href),
        escape_attribute(nonce),
    );
    html.replacen("<head>", &head, 1)
}

fn escape_attribute(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}

fn is_hidden(path: &str) -> bool {
    path.starts_with('.') || path.ends_with(".br") || path.ends_with(".gz")
}

fn sibling(path: &str, extension: &str) -> Option<Cow<'static, [u8]>> {
    Dist::get(&format!("{path}.{extension}")).map(|file| file.data)
}

fn etag(file: &EmbeddedFile) -> String {
    let hash = file.metadata.sha256_hash();
    let hex =
        hash.iter().fold(String::with_capacity(2 * hash.len()), |hex, byte| hex + &format!("{byte:02x}"));
    format!("\"{hex}\"")
}

/// Content types of what the build writes; anything else is plain bytes.
fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests;
