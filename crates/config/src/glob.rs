//! Finding files by a pattern: `*` and `?` inside a name, `**` for any folders.
//!
//! Invariant: names that start with a dot are found only by a pattern that writes the dot, so that the `..data`
//! folders of a mounted ConfigMap are not taken a second time.

use std::path::{Component, Path, PathBuf};

/// Folders below each other that `**` walks; deeper ones are not looked at, which also ends loops of links.
const WALK_DEPTH_MAX: usize = 16;

/// Names looked at for one pattern. `/**` would otherwise walk the machine.
const NAMES_MAX: usize = 100_000;

/// Whether a path has anything to match.
pub(crate) fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?'])
}

/// The files that match, sorted, relative patterns seen from `folder`. The error is a message for the user.
pub(crate) fn find(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let mut start = folder.to_owned();
    let mut parts = Vec::new();
    for component in Path::new(pattern).components() {
        match component {
            Component::Normal(name) => parts.push(name.to_string_lossy().into_owned()),
            Component::ParentDir if parts.iter().any(|part| is_pattern(part)) => {
                return Err(format!("`..` may not stand behind a `*` in `{pattern}`"));
            }
            Component::CurDir => {}
            other => start.push(other),
        }
        if parts.last().is_some_and(|part| !is_pattern(part)) && !parts.iter().any(|part| is_pattern(part)) {
            start.extend(parts.drain(..));
        }
    }
    let mut walk = Walk { found: Vec::new(), names: 0 };
    walk.folder(&start, &parts, 0);
    if walk.names > NAMES_MAX {
        return Err(format!("`{pattern}` looks at more than {NAMES_MAX} files"));
    }
    walk.found.sort();
    walk.found.dedup();
    Ok(walk.found)
}

struct Walk {
    found: Vec<PathBuf>,
    names: usize,
}

impl Walk {
    fn folder(&mut self, folder: &Path, parts: &[String], depth: usize) {
        let Some((part, rest)) = parts.split_first() else { return };
        if part == "**" {
            self.folder(folder, rest, depth);
        }
        for name in names(folder) {
            self.names += 1;
            if self.names > NAMES_MAX {
                return;
            }
            let path = folder.join(&name);
            if part == "**" {
                if !name.starts_with('.') && depth < WALK_DEPTH_MAX && path.is_dir() {
                    self.folder(&path, parts, depth + 1);
                }
            } else if matches(part, &name) {
                self.matched(path, rest, depth);
            }
        }
    }

    fn matched(&mut self, path: PathBuf, rest: &[String], depth: usize) {
        if !rest.is_empty() {
            self.folder(&path, rest, depth);
        } else if path.is_file() {
            self.found.push(path);
        }
    }
}

/// The names in a folder that are text; none if it cannot be read, as a pattern may match nothing.
fn names(folder: &Path) -> Vec<String> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Whether a name matches one part of a pattern.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where the last star stood, and how far it has reached: the only place worth going back to.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, n));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == name[n]) {
            p += 1;
            n += 1;
        } else if let Some((at, reached)) = star {
            star = Some((at, reached + 1));
            (p, n) = (at + 1, reached + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_inside_a_name() {
        assert!(matches("*.yaml", "a.yaml"));
        assert!(matches("a*b*c", "a-xb-bc"));
        assert!(matches("?.yaml", "ä.yaml"));
        assert!(!matches("*.yaml", "a.yml"));
        assert!(!matches("a*b", "a-b-c"));
    }

    #[test]
    fn hidden_names_need_a_written_dot() {
        assert!(!matches("*", "..data"));
        assert!(!matches("?x", ".x"));
        assert!(matches(".*", ".x"));
    }
}
