//! These hold with and without a built UI.

use super::*;

const PAGE: &str = "<!doctype html><html><head><meta charset=\"utf-8\"></head><body></body></html>";

#[test]
fn base_comes_before_everything_else_in_the_head() {
    let html = with_head(PAGE, "/logs/", "bm9uY2U=");
    assert!(html.contains("<head><base href=\"/logs/\"><meta name=\"csp-nonce\""), "{html}");
    assert!(html.contains("nonce=\"bm9uY2U=\"><meta charset"), "{html}");
}

#[test]
fn injected_values_cannot_leave_their_attribute() {
    let html = with_head(PAGE, "/\"><script>", "a&b");
    assert!(html.contains("href=\"/&quot;>&lt;script>\""), "{html}");
    assert!(html.contains("nonce=\"a&amp;b\""), "{html}");
}

#[test]
fn index_exists_exactly_when_the_ui_is_built() {
    assert_eq!(index_html("/", "n").is_some(), is_built());
    if let Some(html) = index_html("/", "n") {
        assert!(html.contains("<base href=\"/\">"), "{html}");
    }
}

#[test]
fn gives_neither_the_bare_index_nor_siblings_nor_hidden_files() {
    for path in ["", "index.html", ".gitkeep", "../Cargo.toml", "assets/none.js", "assets/none.js.br"] {
        assert!(asset(path).is_none(), "{path}");
    }
    for path in Dist::iter().filter(|path| path.ends_with(".br") || path.ends_with(".gz")) {
        assert!(asset(&path).is_none(), "{path}");
    }
}

#[test]
fn every_file_has_a_type_a_hash_and_smaller_siblings() {
    for path in Dist::iter().filter(|path| !is_hidden(path) && path != INDEX) {
        let asset = asset(&path).expect("listed files exist");
        assert_ne!(asset.content_type, "application/octet-stream", "{path}");
        assert_eq!(asset.etag.len(), 64 + 2, "{path}");
        assert_eq!(asset.immutable, path.starts_with("assets/"), "{path}");
        for compressed in [&asset.brotli, &asset.gzip].into_iter().flatten() {
            assert!(compressed.len() < asset.bytes.len(), "{path}");
        }
    }
}

#[test]
fn names_the_type_by_the_last_extension() {
    assert_eq!(content_type("assets/a.min.js"), "text/javascript; charset=utf-8");
    assert_eq!(content_type("sawyer.svg"), "image/svg+xml");
    assert_eq!(content_type("LICENSE"), "application/octet-stream");
}
