//! Compares the tests that were skipped with those that may be.
//!
//! A line of `.ci/expected-skips` is `condition package test: reason`. Package, test and reason match
//! literally, or anything where they end in `*`. The condition names what this run went without
//! (`no-root`, `no-shared`, …; given as `--without root`), or is `always`.
//! Invariant: a skip that no line allows fails the run.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};

const EXPECTED: &str = ".ci/expected-skips";

/// One line of the committed list.
#[derive(Debug, PartialEq, Eq)]
struct Expected {
    condition: String,
    package: String,
    test: String,
    reason: String,
}

impl Expected {
    fn parse(line: &str) -> Option<Self> {
        let (place, reason) = line.split_once(": ")?;
        let mut words = place.split_whitespace().map(str::to_owned);
        let found = Self {
            condition: words.next()?,
            package: words.next()?,
            test: words.next()?,
            reason: reason.trim().to_owned(),
        };
        words.next().is_none().then_some(found)
    }

    fn allows(&self, skip: &Skip<'_>, without: &BTreeSet<String>) -> bool {
        (self.condition == "always" || without.contains(&self.condition))
            && matches(&self.package, skip.package)
            && matches(&self.test, skip.test)
            && matches(&self.reason, skip.reason)
    }
}

/// One line of the log that `sawyer_testkit::skip` writes.
struct Skip<'a> {
    package: &'a str,
    test: &'a str,
    reason: &'a str,
}

impl<'a> Skip<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut parts = line.split('\t');
        Some(Self { package: parts.next()?, test: parts.next()?, reason: parts.next()? })
    }
}

/// The skips in `log` that `.ci/expected-skips` does not allow; prints how many it does.
pub(crate) fn compare(root: &Path, log: &Path, options: &[&str]) -> Result<Vec<String>> {
    let without = without(options)?;
    let expected = std::fs::read_to_string(root.join(EXPECTED)).context(EXPECTED)?;
    let skipped = std::fs::read_to_string(log).with_context(|| log.display().to_string())?;
    let (allowed, unexpected) = judge(&expected, &skipped, &without)?;
    println!("{allowed} tests skipped as expected, {} unexpectedly", unexpected.len());
    Ok(unexpected)
}

fn without(options: &[&str]) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for pair in options.chunks(2) {
        match pair {
            ["--without", name] => names.insert(format!("no-{name}")),
            _ => bail!("expected --without NAME, found {}", pair.join(" ")),
        };
    }
    Ok(names)
}

fn judge(expected: &str, skipped: &str, without: &BTreeSet<String>) -> Result<(usize, Vec<String>)> {
    let mut list = Vec::new();
    for (index, line) in expected.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let entry = Expected::parse(line).with_context(|| {
            format!("{EXPECTED}:{}: expected `condition package test: reason`", index + 1)
        })?;
        list.push(entry);
    }
    let lines: BTreeSet<&str> = skipped.lines().collect();
    let mut allowed = 0;
    let mut unexpected = Vec::new();
    for line in lines {
        let skip = Skip::parse(line).with_context(|| format!("log of skips: not three columns: {line}"))?;
        if list.iter().any(|entry| entry.allows(&skip, without)) {
            allowed += 1;
        } else {
            let Skip { package, test, reason } = skip;
            unexpected.push(format!(
                "unexpected skip: {package} {test}: {reason}; let it run, or list it in {EXPECTED}"
            ));
        }
    }
    Ok((allowed, unexpected))
}

fn matches(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => text == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# comment\n\nno-root * *: needs root: *\nalways ui browser: no Chromium\n";

    fn check(skipped: &str, without: &[&str]) -> (usize, usize) {
        let without = without.iter().map(|&name| name.to_owned()).collect();
        let (allowed, unexpected) = judge(LIST, skipped, &without).unwrap();
        (allowed, unexpected.len())
    }

    #[test]
    fn allows_what_the_condition_covers() {
        assert_eq!(check("sawyer-disk\tfull\tneeds root: mount\n", &["no-root"]), (1, 0));
        assert_eq!(check("ui\tbrowser\tno Chromium\n", &[]), (1, 0));
    }

    #[test]
    fn refuses_a_skip_whose_condition_does_not_hold() {
        assert_eq!(check("sawyer-disk\tfull\tneeds root: mount\n", &[]), (0, 1));
    }

    #[test]
    fn refuses_another_reason_or_test() {
        assert_eq!(check("ui\tbrowser\tlazy\nui\tlint\tno Chromium\n", &[]), (0, 2));
    }

    #[test]
    fn counts_a_test_run_twice_once() {
        assert_eq!(check("ui\tbrowser\tno Chromium\nui\tbrowser\tno Chromium\n", &[]), (1, 0));
    }

    #[test]
    fn names_the_line_of_a_malformed_entry() {
        let error = judge("always ui: x\n", "", &BTreeSet::new()).unwrap_err();
        assert!(error.to_string().starts_with(".ci/expected-skips:1:"), "{error}");
    }

    #[test]
    fn refuses_unknown_options() {
        assert!(without(&["--with", "root"]).is_err());
        assert_eq!(without(&["--without", "root"]).unwrap().len(), 1);
    }
}
