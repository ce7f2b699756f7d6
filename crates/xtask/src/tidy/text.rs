//! Rules for every text file: no trailing blanks, a newline at the end, no path of one machine.

use super::{File, Finding};

/// Folders of somebody's machine; a path below them means nothing anywhere else. Split, so that this file
/// does not hold them.
const MACHINE_PATHS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// Where blanks at the end of a line, or a missing last newline, are part of the data. In Rust they are part of a
/// literal, or rustfmt removes them.
const DATA_FOLDERS: [&str; 3] = ["/fixtures/", "/snapshots/", "/golden/"];

pub(super) fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_data = file.path.ends_with(".rs") || DATA_FOLDERS.iter().any(|folder| file.path.contains(folder));
    for (index, line) in file.text.lines().enumerate() {
        let mut add = |advice: String| findings.push(Finding::new(&file.path, index + 1, advice));
        if !is_data && line.ends_with([' ', '\t', '\r']) {
            add("remove the blanks at the end of the line".into());
        }
        for path in MACHINE_PATHS {
            if names_path(line, path) {
                add(format!("remove the path below `{path}`: it exists on one machine only"));
            }
        }
    }
    if !is_data && !file.text.is_empty() && !file.text.ends_with('\n') {
        let last = file.text.lines().count();
        findings.push(Finding::new(&file.path, last, "end the file with a newline"));
    }
    findings
}

/// Whether `line` holds `path` as the start of an absolute path.
fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | ')' | '/' | '*'))
    })
}
