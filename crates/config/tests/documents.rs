//! Documents: syntax, includes, variables, limits.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use insta::assert_snapshot;
use proptest::prelude::*;
use sawyer_config::{At, Document, Loader, Problems, Setting, settings};

/// Parses a text and prints its tree as one line of YAML, or what is wrong with it.
fn check(text: &str) -> String {
    print(Document::parse("agent.yaml", text))
}

fn print(document: Result<Document, Problems>) -> String {
    match document {
        Ok(document) => document.root().default_text(),
        Err(problems) => problems.to_string(),
    }
}

/// Writes files into a new folder, loads the first, and prints the result without the folder's name.
fn check_files(files: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    load(folder.path(), files[0].0)
}

fn load(folder: &Path, name: &str) -> String {
    let loader = Loader::system().variables(|_| None);
    let text = print(loader.load(&folder.join(name)));
    text.replace(&format!("{}/", folder.display()), "")
}

#[test]
fn scalars_follow_the_core_schema() {
    assert_snapshot!(
        check("a: [1, 0o17, 0xff, 1.50, true, ~, yes, on, 2026-11-20, 12:30, '1', \"x\\ty\", !!str 5]\nb: |\n  two\n  lines\n"),
        @r#"{a: [1, 0o17, 0xff, 1.50, true, null, yes, on, 2026-11-20, "12:30", "1", "x\ty", "5"], b: "two\nlines\n"}"#
    );
}

#[test]
fn the_empty_document_is_an_empty_map() {
    assert_snapshot!(check(""), @"{}");
    assert_snapshot!(check("# nothing\n"), @"{}");
    assert_snapshot!(check("\u{feff}a: 1\r\nb: 2\r\n"), @"{a: 1, b: 2}");
}

#[test]
fn aliases_and_merge_keys_repeat_values() {
    assert_snapshot!(
        check("x-base: &base { a: 1, b: 2 }\none: { <<: *base, b: 3 }\ntwo: *base\nthree: { <<: [*base, { c: 4 }] }\nfour: { \"<<\": 1 }\n"),
        @r#"{one: {b: 3, a: 1}, two: {a: 1, b: 2}, three: {a: 1, b: 2, c: 4}, four: {"<<": 1}}"#
    );
}

#[test]
fn broken_documents_are_explained() {
    assert_snapshot!(check("a:\n\t- b\n"), @"agent.yaml:2:2: a: expected spaces as indentation, found a tab");
    assert_snapshot!(check("a: 1\n b: 2\n"), @"agent.yaml:2:3: expected one value, found a second `: `; quote text that contains one, or check the indentation");
    assert_snapshot!(check("a: [1, 2\nb: 3\n"), @"agent.yaml:2:2: a[1]: unexpected `:`; is a `[` or `{` before it not closed?");
    assert_snapshot!(check("a: \"open\nb: 3\n"), @"agent.yaml:1:4: a: expected the closing quote of this text");
    assert_snapshot!(check("a: b: c\n"), @"agent.yaml:1:5: expected one value, found a second `: `; quote text that contains one, or check the indentation");
    assert_snapshot!(check("a: *nowhere\n"), @"agent.yaml:1:4: a: alias refers to an anchor that is not defined before it");
    assert_snapshot!(check("a: &a [*a]\n"), @"agent.yaml:1:8: a[0]: alias stands inside the value it refers to");
    assert_snapshot!(check("a: !secret x\n"), @"agent.yaml:1:4: a: tag `!secret` is not supported");
    assert_snapshot!(check("a: 1\n---\nb: 2\n"), @"agent.yaml:2:1: expected one document in a file, found a second one");
    assert_snapshot!(check("? [a]\n: 1\n"), @"agent.yaml:1:3: expected text as a key, found a list or a map");
    assert_snapshot!(check("? \n: 1\n"), @"agent.yaml:2:1: expected text as a key, found nothing");
    assert_snapshot!(check("- a\n- b\n"), @"agent.yaml:1:1: expected a map of settings, found a list");
    assert_snapshot!(check("just text\n"), @r#"agent.yaml:1:1: expected a map of settings, found "just text""#);
    assert_snapshot!(check("a: { <<: 5 }\n"), @"agent.yaml:1:10: a: expected a map to merge after `<<`, found 5");
    assert_snapshot!(check("a: @x\n"), @"agent.yaml:1:4: a: text cannot start with this character; quote the text");
    assert_snapshot!(check("a: x\0y\n"), @"agent.yaml:1:5: not valid YAML: found unprintable character");
}

#[test]
fn keys_are_unique() {
    assert_snapshot!(check("outputs:\n  main: { a: 1, a: 2 }\n  other: 1\n  main: 2\noutputs: {}\n"), @r#"
agent.yaml:2:17: outputs.main.a: defined twice; first at agent.yaml:2:11
agent.yaml:4:3: outputs.main: defined twice; first at agent.yaml:2:3
agent.yaml:5:1: outputs: defined twice; first at agent.yaml:1:1
"#);
}

#[test]
fn variables_are_filled_in() {
    let loader = Loader::pure().variables(|name| match name {
        "HOST" => Some("es".to_owned()),
        "PORT" => Some("9200".to_owned()),
        "NULL" => Some("null".to_owned()),
        "LIST" => Some("[1, 2]".to_owned()),
        "NESTED" => Some("${HOST}".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    });
    let text = r#"
plain: ${HOST}:${PORT}
number: ${PORT}
quoted: "${PORT}"
single: '${HOST}'
default: ${NONE:-x:-y}
empty: ${EMPTY}
empty_default: ${EMPTY:-d}
no_default: ${NONE:-}
escaped: $${HOST} $$${HOST} $HOST ${HOST}$
not_again: ${NESTED}
not_yaml: ${LIST}
null_text: ${NULL}
"${HOST}": a key is left alone
"#;
    assert_snapshot!(print(loader.parse("agent.yaml", text)), @r#"{plain: "es:9200", number: 9200, quoted: "9200", single: es, default: "x:-y", empty: null, empty_default: d, no_default: null, escaped: "$${HOST} $$${HOST} $HOST es$", not_again: "$${HOST}", not_yaml: "[1, 2]", null_text: "null", "${HOST}": "a key is left alone"}"#);
}

#[test]
fn something_stands_in_for_variables_that_are_not_set() {
    let loader = Loader::pure().variables(|name| (name == "HOST").then(|| "es".to_owned())).stand_in("unset");
    let text = "a: [\"${HOST}\", \"${NONE}\", \"x-${NONE}\", \"${NONE:-d}\", \"${NONE:-}\"]\n";
    assert_snapshot!(print(loader.parse("agent.yaml", text)), @r#"{a: [es, unset, x-unset, d, ""]}"#);
}

#[test]
fn variables_that_cannot_be_filled_in_are_problems() {
    assert_snapshot!(
        check("a:\n  - ${NONE}\n  - x${A} ${B}\n  - ${open\n  - ${1}\n  - ${A:?no}\n  - ${}\n  - ${file:/etc/hostname}\n"),
        @r#"
agent.yaml:2:5: a[0]: environment variable `NONE` is not set, and there is no default
agent.yaml:3:5: a[1]: environment variable `A` is not set, and there is no default
agent.yaml:3:5: a[1]: environment variable `B` is not set, and there is no default
agent.yaml:4:5: a[2]: `${` has no closing `}`; write `$${` for a plain `${`
agent.yaml:5:5: a[3]: expected `${NAME}`, `${NAME:-default}` or `${file:/path}`, found `${1}`; write `$${` for a plain `${`
agent.yaml:6:5: a[4]: expected `${NAME}`, `${NAME:-default}` or `${file:/path}`, found `${A:?no}`; write `$${` for a plain `${`
agent.yaml:7:5: a[5]: expected `${NAME}`, `${NAME:-default}` or `${file:/path}`, found `${}`; write `$${` for a plain `${`
agent.yaml:8:5: a[6]: file `/etc/hostname` cannot be read: no files are read here
"#
    );
}

#[test]
fn secrets_come_from_files() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("agent.yaml"), "a: ${file:token}\nb: 'x${file:token}y'\n").unwrap();
    fs::write(folder.path().join("token"), "12\n\n").unwrap();
    let document = Document::load(&folder.path().join("agent.yaml")).unwrap();
    let texts = ["a", "b"].map(|key| document.at().key(key).text());
    assert_eq!(texts, [Some("12"), Some("x12y")]);
    assert_eq!(document.root().default_text(), "{a: (hidden), b: (hidden)}");
    assert_snapshot!(check_files(&[("agent.yaml", "a: ${file:none}\n")]), @"agent.yaml:1:4: a: file `none` does not exist");
}

#[test]
fn secrets_are_not_quoted_in_problems() {
    settings! {
        /// A number.
        pub struct NumberSettings {
            /// It.
            pub number: u16,
        }
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("agent.yaml"), "number: ${file:token}\n").unwrap();
    fs::write(folder.path().join("token"), "hunter2").unwrap();
    let document = Document::load(&folder.path().join("agent.yaml")).unwrap();
    let mut problems = Problems::new();
    assert_eq!(NumberSettings::read(&document.at(), &mut problems), None);
    let text = format!("{problems} {document:?}");
    assert!(text.contains("a value from a secret file") && !text.contains("hunter2"), "{text}");
}

#[test]
fn included_files_join_the_maps() {
    assert_snapshot!(check_files(&[
        ("etc/agent.yaml", "include: conf.d/*.yaml\ninputs: { a: 1 }\nsteps: [x]\n"),
        ("etc/conf.d/20.yaml", "outputs: { o: 3 }\n"),
        ("etc/conf.d/10.yaml", "inputs: { b: 2 }\nstore:\n"),
        ("etc/conf.d/30.yaml", "store: { path: /data }\noutputs:\n"),
        ("etc/conf.d/.hidden.yaml", "inputs: { c: 1 }\n"),
        ("etc/conf.d/..data/10.yaml", "inputs: { d: 1 }\n"),
        ("etc/conf.d/README.md", "no yaml: [\n"),
    ]), @"{inputs: {a: 1, b: 2}, steps: [x], store: {path: /data}, outputs: {o: 3}}");
}

#[test]
fn one_name_in_two_files_is_a_problem() {
    assert_snapshot!(check_files(&[
        ("agent.yaml", "include: [a.yaml, b.yaml]\ninputs:\n  x: 1\nsteps: []\n"),
        ("a.yaml", "inputs:\n  x: 2\n  y: 1\n"),
        ("b.yaml", "inputs:\n  y: 2\nsteps: []\n"),
    ]), @r#"
a.yaml:2:3: inputs.x: defined twice; first at agent.yaml:3:3
b.yaml:2:3: inputs.y: defined twice; first at a.yaml:3:3
b.yaml:3:1: steps: defined twice; first at agent.yaml:4:1
"#);
}

#[test]
fn included_files_join_the_maps_of_deep_sections() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("agent.yaml", "include: a.yaml\nalerts: { url: x, rules: { r: 1 } }\ninputs: { i: { k: 1 } }\n");
    write("a.yaml", "alerts: { rules: { s: 2 } }\n");
    let load = || {
        let loaded = Loader::system().deep(&["alerts"]).load(&folder.path().join("agent.yaml"));
        print(loaded).replace(&format!("{}/", folder.path().display()), "")
    };
    assert_snapshot!(load(), @"{alerts: {url: x, rules: {r: 1, s: 2}}, inputs: {i: {k: 1}}}");
    write("a.yaml", "alerts: { rules: { r: 2 }, url: y }\ninputs: { i: { l: 1 } }\n");
    assert_snapshot!(load(), @r"
    a.yaml:1:20: alerts.rules.r: defined twice; first at agent.yaml:2:28
    a.yaml:1:28: alerts.url: defined twice; first at agent.yaml:2:11
    a.yaml:2:11: inputs.i: defined twice; first at agent.yaml:3:11
    ");
}

#[test]
fn includes_are_searched_in_folders() {
    assert_snapshot!(check_files(&[
        ("agent.yaml", "include: ['**/*.yaml', 'none/*.yaml', ./sub/../sub/a.yaml]\n"),
        ("sub/a.yaml", "include: deep/er/?.yaml\na: 1\n"),
        ("sub/deep/er/b.yaml", "b: 1\n"),
        ("sub/deep/er/cc.yaml", "c: 1\n"),
    ]), @"{a: 1, b: 1, c: 1}");
}

#[test]
fn wrong_includes_are_problems() {
    assert_snapshot!(check_files(&[
        ("agent.yaml", "include: [a.yaml, none.yaml, sub, '*/../x']\n"),
        ("a.yaml", "include: agent.yaml\nbad: [\n"),
        ("sub/x", ""),
    ]), @r#"
a.yaml:3:1: bad[0]: not valid YAML: while parsing a node, did not find expected node content
agent.yaml:1:19: include[1]: file `none.yaml` does not exist
agent.yaml:1:30: include[2]: file `sub` cannot be read: it is a directory
agent.yaml:1:35: include[3]: `..` may not stand behind a `*` in `*/../x`
"#);
    assert_snapshot!(check_files(&[("agent.yaml", "include: { a: b }\n")]), @"agent.yaml:1:1: include: expected text, found a map");
    assert_snapshot!(check_files(&[("a.yaml", "include: b.yaml\n"), ("b.yaml", "include: a.yaml\n")]), @"b.yaml:1:1: include: file `a.yaml` includes itself");
    assert_snapshot!(check("include: a.yaml\n"), @"agent.yaml:1:1: include: no files are read here");
}

#[test]
fn deep_chains_of_includes_end() {
    let files: Vec<(String, String)> =
        (0..20).map(|n| (format!("{n}.yaml"), format!("include: {}.yaml\n", n + 1))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert_snapshot!(check_files(&files), @"8.yaml:1:1: include: nested deeper than 8 files");
}

#[cfg(unix)]
#[test]
fn mounted_config_maps_are_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let mounted = folder.path().join("conf.d");
    fs::create_dir_all(mounted.join("..2026_11_20")).unwrap();
    fs::write(mounted.join("..2026_11_20/a.yaml"), "a: 1\n").unwrap();
    std::os::unix::fs::symlink("..2026_11_20", mounted.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/a.yaml", mounted.join("a.yaml")).unwrap();
    fs::write(folder.path().join("agent.yaml"), "include: conf.d/**/*.yaml\n").unwrap();
    assert_snapshot!(load(folder.path(), "agent.yaml"), @"{a: 1}");
}

#[test]
fn files_that_cannot_be_read_are_problems() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("latin.yaml"), b"a: 1\nb: \xe4\n").unwrap();
    fs::write(folder.path().join("large.yaml"), vec![b'#'; 2 << 20]).unwrap();
    assert_snapshot!(load(folder.path(), "none.yaml"), @"none.yaml: file does not exist");
    assert_snapshot!(load(folder.path(), "latin.yaml"), @"latin.yaml: file is not UTF-8 in line 2, byte 8");
    assert_snapshot!(load(folder.path(), "large.yaml"), @"large.yaml: file is larger than 1048576 bytes");
    assert_snapshot!(load(folder.path(), ""), @": file cannot be read: it is a directory");
}

#[test]
fn every_file_that_was_read_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("agent.yaml"), "include: a.yaml\n").unwrap();
    fs::write(folder.path().join("a.yaml"), "a: ${file:token}\n").unwrap();
    fs::write(folder.path().join("token"), "x").unwrap();
    let document = Document::load(&folder.path().join("agent.yaml")).unwrap();
    let names: Vec<_> = document.files().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["a.yaml", "agent.yaml", "token"]);
}

#[test]
fn aliases_cannot_multiply_without_end() {
    let mut text = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for n in 1..12 {
        let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
        text.push_str(&format!("a{n}: &a{n} [{aliases}]\n"));
    }
    assert_snapshot!(check(&text), @"agent.yaml:6:25: a5[3]: takes more than 64 MiB with its aliases and variables filled in");
}

#[test]
fn aliases_of_long_texts_cannot_multiply_without_end() {
    let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(500_000), vec!["*a"; 10_000].join(", "));
    assert_snapshot!(check(&text), @"agent.yaml:2:533: b[132]: takes more than 64 MiB with its aliases and variables filled in");
}

#[test]
fn nesting_has_a_limit() {
    assert_snapshot!(check(&format!("a: {}", "[".repeat(100_000))), @"agent.yaml:1:259: a[0]: nested deeper than 64 levels");
    let indented: String = (0..500).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert_snapshot!(check(&indented), @"agent.yaml:65:65: a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a: nested deeper than 64 levels");
    let mut chain = "a0: &a0 [x]\n".to_owned();
    for n in 1..100 {
        chain.push_str(&format!("a{n}: &a{n} [*a{}]\n", n - 1));
    }
    assert_snapshot!(check(&chain), @"agent.yaml:64:12: a63[0]: nested deeper than 64 levels");
}

#[test]
fn large_files_take_bounded_work() {
    for part in [
        "- ", "[", "{", "? ", "a: ", "&a ", "*a ", "'", "\"\\n", "!!", "a\n", "x,", ": ", "- a\n", "a: 1\n",
        "|\n", "# \n",
    ] {
        let text = part.repeat((1 << 20) / part.len());
        let listed = format!("a: [{}]", &text[..text.len() - 8]);
        for text in [text, listed] {
            let parsed = Document::parse("x", &text);
            assert!(parsed.map_or_else(|problems| problems.len(), |document| walk(&document.at())) > 0);
        }
    }
}

#[test]
fn problems_have_a_limit() {
    let text: String = (0..150).map(|_| "a: 1\n").collect();
    let problems = Document::parse("agent.yaml", &text).unwrap_err();
    assert_eq!(problems.len(), 149);
    assert!(problems.to_string().ends_with("\nand 49 more"), "{problems}");
}

/// Walks a tree in every way a reader does.
fn walk(at: &At<'_>) -> usize {
    let inside: usize = at.entries().iter().map(|(_, at)| walk(at)).sum();
    let items: usize = match at.node().kind {
        sawyer_config::Kind::List(_) => at.items().iter().map(walk).sum(),
        _ => 0,
    };
    1 + inside + items + at.node().found().len().min(1)
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        if let Ok(document) = Document::parse("x", &text) {
            prop_assert!(walk(&document.at()) > 0);
        }
    }

    #[test]
    fn no_text_of_yaml_marks_panics(text in "([-?:,\\[\\]{}#&*!|>'\"%@`~<$ \n\tab01.]|<<: |\\*a|&a |- |: |\n  |\\$\\{|---|!!str ){0,60}") {
        if let Ok(document) = Document::parse("x", &text) {
            prop_assert!(walk(&document.at()) > 0);
        }
    }

    #[test]
    fn printed_text_reads_back(text in any::<String>(), key in "[ -~]{1,20}") {
        let node = sawyer_config::yaml_text(&text);
        let document = Document::parse("x", &format!("a: [{node}, {{ b: {node} }}]\n"));
        let document = document.map_err(|problems| TestCaseError::fail(problems.to_string()))?;
        let at = document.at();
        prop_assert_eq!(at.key("a").items()[0].text(), Some(text.as_str()));
        let keyed = BTreeMap::from([(key.clone(), text.clone())]);
        let document = Document::parse("x", &format!("a: {}", keyed.default_text()));
        let document = document.map_err(|problems| TestCaseError::fail(problems.to_string()))?;
        let again = BTreeMap::<String, String>::read(&document.at().key("a"), &mut Problems::new());
        prop_assert_eq!(again, Some(keyed));
    }
}
