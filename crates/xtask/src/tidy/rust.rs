//! Rules for Rust source that clippy has no lint for.
//!
//! Owns: the limits of file and function length, and the list of places that may ask for the time.
//! Does not own: anything that needs types (`clippy.toml`, `[workspace.lints]`).

use super::code::code_only;
use super::{File, Finding};

/// A longer file hides its parts; split it by subject.
const FILE_LINES_MAX: usize = 800;
/// A longer function cannot be proof-read on one screen. Comments and the inside of literals do not count.
const FUNCTION_LINES_MAX: usize = 70;
/// A comment with this text above a function, and a reason after it, lets it be longer.
const LONG_BECAUSE: &str = "tidy: long because ";

/// Code that stands for something not written, and what to do instead.
const UNFINISHED: [(&str, &str); 3] = [
    ("todo!", "write it, or leave it out"),
    ("unimplemented!", "write it, or return an error"),
    ("#[ignore", "let the test run, or record a skip with its reason by `sawyer_testkit::skip`"),
];

/// Ways to ask the machine for the time of day.
const WALL_CLOCKS: [&str; 3] = ["SystemTime::now", "Timestamp::now", "Zoned::now"];
/// Where that is allowed: the clock itself, and code that is not part of the product.
const CLOCK_PLACES: [&str; 4] = ["crates/telemetry/src/clock", "crates/xtask/", "crates/testkit/", "/tests/"];

/// The mark of a skipped test; only the testkit prints it, because it also records it.
const SKIP_MARK: &str = concat!("\"SK", "IP:");

pub(super) fn check(file: &File) -> Vec<Finding> {
    let code = code_only(&file.text);
    let mut findings = Vec::new();
    check_names(file, &mut findings);
    check_lines(file, &code, &mut findings);
    check_functions(file, &code, &mut findings);
    findings
}

fn check_names(file: &File, findings: &mut Vec<Finding>) {
    if file.path.ends_with("/mod.rs") {
        let advice = "rename to the name of its folder, beside it: `foo.rs` + `foo/`";
        findings.push(Finding::new(&file.path, 1, advice));
    }
    let lines = file.text.lines().count();
    if lines > FILE_LINES_MAX {
        let advice = format!("{lines} lines, at most {FILE_LINES_MAX}: split the file by subject");
        findings.push(Finding::new(&file.path, FILE_LINES_MAX + 1, advice));
    }
    let has_header =
        file.text.lines().find(|line| !line.trim().is_empty()).is_some_and(|l| l.starts_with("//!"));
    if file.path.contains("/src/") && !file.path.ends_with("/tests.rs") && !has_header {
        findings.push(Finding::new(
            &file.path,
            1,
            "begin with a module comment (`//!`) that says what it is for",
        ));
    }
}

fn check_lines(file: &File, code: &str, findings: &mut Vec<Finding>) {
    for (index, (line, source)) in code.lines().zip(file.text.lines()).enumerate() {
        let mut add = |advice: String| findings.push(Finding::new(&file.path, index + 1, advice));
        for (mark, advice) in UNFINISHED {
            if has_word(line, mark) {
                add(format!("`{mark}`: {advice}"));
            }
        }
        for clock in WALL_CLOCKS {
            if has_word(line, clock) && !CLOCK_PLACES.iter().any(|place| file.path.contains(place)) {
                add(format!("`{clock}`: take a `Clock`, so that tests can turn the time"));
            }
        }
        if source.contains(SKIP_MARK) && !file.path.starts_with("crates/testkit/") {
            add("record the skip by `sawyer_testkit::skip`, which also prints it".into());
        }
    }
}

/// Whether `code` holds `word`, not as the end of a longer name.
fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

fn check_functions(file: &File, code: &str, findings: &mut Vec<Finding>) {
    let lines: Vec<&str> = file.text.lines().collect();
    let code_lines: Vec<&str> = code.lines().collect();
    for (first, last) in functions(code) {
        let length = code_lines[first..=last].iter().filter(|line| !line.trim().is_empty()).count();
        if length > FUNCTION_LINES_MAX && !explained(&lines, first) {
            let advice = format!(
                "a function of {length} lines of code, at most {FUNCTION_LINES_MAX}: split it, or write \
                 `// {LONG_BECAUSE}…` above it"
            );
            findings.push(Finding::new(&file.path, first + 1, advice));
        }
    }
}

/// Whether the comments and attributes right above line `first` give a reason for the length.
fn explained(lines: &[&str], first: usize) -> bool {
    let above = lines[..first].iter().rev().map(|line| line.trim());
    above
        .take_while(|line| line.starts_with("//") || line.starts_with('#') || line.ends_with(']'))
        .any(|line| line.split_once(LONG_BECAUSE).is_some_and(|(_, reason)| !reason.trim().is_empty()))
}

/// First and last line (counted from 0) of every function that has a body.
fn functions(code: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        if let Some(end) = body_end(&code[at..]) {
            let line = |offset: usize| code[..offset].matches('\n').count();
            found.push((line(at), line(at + end)));
        }
    }
    found
}

/// The offset of the brace that closes the body of the function `code` begins with; `None` without a body.
fn body_end(code: &str) -> Option<usize> {
    let mut nesting = 0_usize;
    let mut braces = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => nesting += 1,
            ')' | ']' => nesting = nesting.saturating_sub(1),
            '{' => braces += 1,
            '}' if braces > 1 => braces -= 1,
            '}' => return Some(at),
            ';' if nesting == 0 && braces == 0 => return None,
            _ => {}
        }
    }
    None
}
