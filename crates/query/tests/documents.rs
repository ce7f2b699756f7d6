//! The queries that the documents show are queries.

#![allow(clippy::unwrap_used, reason = "helpers of tests may do what tests may")]

use std::path::Path;

use sawyer_query::{Context, kql};

/// The non-empty lines of the boxes marked `kql`, with their line numbers.
fn queries(document: &str) -> Vec<(usize, &str)> {
    let mut inside = false;
    let mut found = Vec::new();
    for (index, line) in document.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```kql";
        } else if inside && !line.trim().is_empty() {
            found.push((index + 1, line));
        }
    }
    found
}

#[track_caller]
fn check(path: &str, count_min: usize) {
    let text = std::fs::read_to_string(sawyer_testkit::repository().join(path)).unwrap();
    let queries = queries(&text);
    assert!(queries.len() >= count_min, "{path} has {} queries", queries.len());
    for (line, query) in queries {
        if let Err(error) = kql::compile(query, &Context::default()) {
            let file = Path::new(path).display();
            panic!("{file}:{line}: {error}\n{}", error.caret(query));
        }
    }
}

#[test]
fn every_query_of_the_language_page_is_valid() {
    check("docs/query-language.md", 30);
}

#[test]
fn every_query_of_the_other_pages_is_valid() {
    check("README.md", 3);
    check("README.ko.md", 3);
    check("docs/log-well.md", 1);
}
