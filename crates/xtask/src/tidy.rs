//! Checks the rules of the repository that need no compiler.
//!
//! Owns: the list of files, the form of a finding, the order of the checks.
//! Does not own: the rules; each lies in one file of `tidy/`.
//! Invariant: a finding names a place and what to do about it.

mod code;
mod crates;
mod dependencies;
mod documents;
mod metrics;
mod rust;
mod text;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Something to change, and where.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    advice: String,
}

impl Finding {
    fn new(path: &str, line: usize, advice: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, advice: advice.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.path, self.line, self.advice)
    }
}

/// A text file of the repository, by its path from the root.
struct File {
    path: String,
    text: String,
}

/// Everything in the repository at `root` that breaks a rule, sorted by place.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    let files = files(root)?;
    let packages = crates::packages(root)?;
    let mut findings = crates::check(&packages, &files)?;
    findings.extend(dependencies::check(&packages, &files));
    for file in &files {
        findings.extend(text::check(file));
        if file.path.ends_with(".rs") {
            findings.extend(rust::check(file));
            findings.extend(metrics::check(file));
        }
        if file.path.ends_with(".md") {
            findings.extend(documents::check(root, file));
        }
    }
    findings.sort();
    Ok(findings)
}

/// All text files that git tracks or would track. Files with a NUL byte or invalid UTF-8 are not text.
fn files(root: &Path) -> Result<Vec<File>> {
    let listing = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("run git ls-files")?;
    ensure!(listing.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listing.stderr));
    let names = String::from_utf8(listing.stdout).context("read file names as UTF-8")?;
    let mut files: Vec<File> = names
        .split('\0')
        .filter(|name| !name.is_empty())
        .filter_map(|name| {
            let bytes = std::fs::read(root.join(name)).ok()?;
            let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))?;
            Some(File { path: name.to_owned(), text })
        })
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    Ok(files)
}
