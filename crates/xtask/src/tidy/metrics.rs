//! Rules for the names of metrics, where they are written as literals.

use super::{File, Finding};

/// The methods of `telemetry::Metrics` that name a metric.
const METHODS: [&str; 2] = ["counter", "gauge"];

pub(super) fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for method in METHODS {
        let call = format!(".{method}(");
        for (at, _) in file.text.match_indices(&call) {
            let Some(name) = literal(&file.text[at + call.len()..]) else { continue };
            let Some(advice) = fault(name) else { continue };
            let line = file.text[..at].matches('\n').count() + 1;
            findings.push(Finding::new(&file.path, line, format!("metric `{name}`: {advice}")));
        }
    }
    findings
}

/// The string literal that `text` begins with.
fn literal(text: &str) -> Option<&str> {
    text.trim_start().strip_prefix('"')?.split('"').next()
}

fn fault(name: &str) -> Option<&'static str> {
    let parts: Vec<&str> = name.split('_').collect();
    let is_word =
        |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if parts[0] != "sawyer" || parts.len() < 3 || !parts.iter().all(is_word) {
        return Some("name it `sawyer_<subsystem>_<thing>_<unit>`");
    }
    (parts.last() == Some(&"total")).then_some("leave `_total` out: the encoder adds it to counters")
}
