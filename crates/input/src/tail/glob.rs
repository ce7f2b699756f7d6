//! Patterns of paths and names: `*` and `?` inside a name, `**` for any folders.
//!
//! Invariant: time is bounded by the product of the lengths of pattern and text.

use std::path::Path;

/// Folders below each other that `**` walks; deeper ones are not looked at, which also ends circles of links.
const WALK_DEPTH_MAX: usize = 16;

/// Whether a path matches a pattern, part by part.
pub(crate) fn matches_path(pattern: &str, path: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
    let path: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    wildcard(&pattern, &path, |part| *part == "**", |part, name| matches(part, name))
}

/// Whether a name matches one part of a pattern.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    wildcard(&pattern, &name, |c| *c == '*', |p, c| *p == '?' || p == c)
}

/// The usual walk with one place to go back to: the last wildcard, as any earlier one need not take more.
fn wildcard<P, T>(pattern: &[P], text: &[T], any: impl Fn(&P) -> bool, one: impl Fn(&P, &T) -> bool) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && any(&pattern[p]) {
            back = Some((p, t));
            p += 1;
        } else if p < pattern.len() && one(&pattern[p], &text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star, reached)) = back {
            back = Some((star, reached + 1));
            (p, t) = (star + 1, reached + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(any)
}

/// Calls `found` for every path that matches `pattern`, and `list` for every folder whose names have to be known
/// for that. Parts without wildcards are taken to be there.
pub(crate) fn walk(pattern: &Path, list: &mut dyn FnMut(&Path) -> Vec<String>, found: &mut dyn FnMut(&Path)) {
    let parts: Vec<String> = pattern
        .components()
        .filter_map(|part| match part {
            std::path::Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            _ => None,
        })
        .collect();
    walk_below(Path::new("/"), &parts, 0, list, found);
}

fn walk_below(
    folder: &Path,
    parts: &[String],
    depth: usize,
    list: &mut dyn FnMut(&Path) -> Vec<String>,
    found: &mut dyn FnMut(&Path),
) {
    let Some((part, rest)) = parts.split_first() else { return found(folder) };
    if part == "**" {
        walk_below(folder, rest, depth, list, found);
        if depth < WALK_DEPTH_MAX {
            for name in list(folder).iter().filter(|name| !name.starts_with('.')) {
                walk_below(&folder.join(name), parts, depth + 1, list, found);
            }
        }
        return;
    }
    if !part.contains(['*', '?']) {
        return walk_below(&folder.join(part), rest, depth, list, found);
    }
    for name in list(folder).iter().filter(|name| matches(part, name)) {
        walk_below(&folder.join(name), rest, depth, list, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names_and_paths() {
        for (pattern, name, expected) in [
            ("*.log", "a.log", true),
            ("*.log", "a.log.1", false),
            ("cart-*-?", "cart-7f-x", true),
            ("**", "x", true),
            ("a*b*c", "a__b_b__c", true),
            ("a*b*c", "a__b_b__d", false),
            ("", "", true),
            ("결제*", "결제-1", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        for (pattern, path, expected) in [
            ("/var/log/**", "/var/log/pods/a/0.log", true),
            ("/var/log/*", "/var/log/pods/a/0.log", false),
            ("/var/**/0.log", "/var/log/pods/a/0.log", true),
            ("/var/**/0.log", "/var/0.log", true),
            ("shop/*", "shop/cart", true),
        ] {
            assert_eq!(matches_path(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn walks_only_where_the_pattern_leads() {
        let mut listed = Vec::new();
        let mut found = Vec::new();
        walk(
            Path::new("/var/log/*/x"),
            &mut |folder| {
                listed.push(folder.display().to_string());
                match folder.to_str() {
                    Some("/var/log") => vec!["a".into(), "b".into()],
                    _ => Vec::new(),
                }
            },
            &mut |path| found.push(path.display().to_string()),
        );
        assert_eq!(listed, ["/var/log"]);
        assert_eq!(found, ["/var/log/a/x", "/var/log/b/x"]);
    }
}
