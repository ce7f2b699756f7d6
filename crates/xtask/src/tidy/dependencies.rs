//! Dependencies that nobody uses: they cost build time and say something wrong about a crate.
//!
//! Invariant: a dependency counts as used when its name stands anywhere in the crate's Rust files.

use std::collections::BTreeSet;

use super::crates::Package;
use super::{File, Finding};

const ROOT_MANIFEST: &str = "Cargo.toml";

/// Dependencies of crates that their sources do not name, and lines of the workspace that no crate takes up.
pub(super) fn check(packages: &[Package], files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut taken = BTreeSet::new();
    for package in packages {
        let folder = package.manifest.trim_end_matches("Cargo.toml");
        let sources: Vec<&File> =
            files.iter().filter(|file| file.path.starts_with(folder) && file.path.ends_with(".rs")).collect();
        for name in &package.dependencies {
            taken.insert(name.as_str());
            let module = name.replace('-', "_");
            if !sources.iter().any(|file| file.text.contains(&module)) {
                let advice =
                    format!("remove the dependency `{name}`: no source of `{}` names it", package.folder);
                findings.push(Finding::new(
                    &package.manifest,
                    line_of(files, &package.manifest, name),
                    advice,
                ));
            }
        }
    }
    for (line, name) in offered(files) {
        if !taken.contains(name) {
            let advice =
                format!("remove `{name}` from the dependencies of the workspace: no crate takes it up");
            findings.push(Finding::new(ROOT_MANIFEST, line, advice));
        }
    }
    findings
}

fn line_of(files: &[File], manifest: &str, name: &str) -> usize {
    let text = files.iter().find(|file| file.path == manifest).map_or("", |file| file.text.as_str());
    text.lines().position(|line| line.starts_with(name)).map_or(1, |index| index + 1)
}

/// The names in `[workspace.dependencies]`, with their lines.
fn offered(files: &[File]) -> impl Iterator<Item = (usize, &str)> {
    let text = files.iter().find(|file| file.path == ROOT_MANIFEST).map_or("", |file| file.text.as_str());
    let numbered = text.lines().enumerate();
    let section = numbered.skip_while(|(_, line)| *line != "[workspace.dependencies]").skip(1);
    let entries = section.take_while(|(_, line)| !line.starts_with('['));
    entries.filter_map(|(index, line)| Some((index + 1, line.split_once(" =")?.0)))
}
