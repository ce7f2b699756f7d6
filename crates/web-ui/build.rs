//! Looks whether the UI was built. It never runs npm: a plain `cargo build` needs no Node.js.
//!
//! A missing UI is a warning; with `UI_REQUIRED=1` (release, container image) it is an error.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=dist");
    println!("cargo::rerun-if-env-changed=UI_REQUIRED");
    if Path::new("dist/index.html").exists() {
        return;
    }
    let problem = "crates/web-ui/dist/index.html is missing: run `make ui` to build the web UI";
    if std::env::var("UI_REQUIRED").is_ok_and(|value| value == "1") {
        println!("cargo::error={problem}");
    } else {
        println!("cargo::warning={problem}; going on without it");
    }
}
