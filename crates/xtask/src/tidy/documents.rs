//! Rules for Markdown: what a document points to is there.

use std::path::Path;

use super::{File, Finding};

/// Backticked text that begins with one of these is a path from the root of the repository.
const PATH_STARTS: [&str; 4] = ["crates/", "docs/", "ui/", ".ci/"];

pub(super) fn check(root: &Path, file: &File) -> Vec<Finding> {
    let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
    let mut findings = Vec::new();
    let mut fenced = false;
    for (index, line) in file.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let linked = links(line).map(|target| (target, folder.join(target)));
        let named = paths(line).map(|target| (target, Path::new(target).to_path_buf()));
        for (target, path) in linked.chain(named) {
            if !root.join(path).exists() {
                let advice = format!("`{target}` does not exist: correct the path or the text");
                findings.push(Finding::new(&file.path, index + 1, advice));
            }
        }
    }
    findings
}

/// Targets of `[text](target)` inside the repository, without their `#anchor`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?.split('#').next()?;
        (!target.is_empty() && !target.contains("://") && !target.starts_with("mailto:")).then_some(target)
    })
}

/// Backticked paths from the root; those with a wildcard or a placeholder name no one file.
fn paths(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2).filter(|text| {
        PATH_STARTS.iter().any(|start| text.starts_with(start)) && !text.contains(['*', '<', '{', ' ', '…'])
    })
}
