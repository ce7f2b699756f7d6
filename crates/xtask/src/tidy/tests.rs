//! Tidy on small repositories made for one rule each.

use std::fs;
use std::process::Command;

use super::check;

const WORKSPACE: &str = "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n";
const TABLE: &str = "# Map\n\n| row | crate | question |\n|---|---|---|\n| 0 | `low` | ? |\n| 1 | `high` | ? |\n| dev | `kit` | ? |\n\n### `low`\n\n### `high`\n\n### `kit`\n";

/// A manifest of crate `name` with `dependencies` after its head.
fn manifest(name: &str, dependencies: &str) -> String {
    format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lints]\nworkspace = true\n{dependencies}"
    )
}

/// Checks a repository of the three crates `low`, `high` and `kit`, with `changes` laid over it.
#[track_caller]
fn check_tree(changes: &[(&str, &str)], expected: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut files = vec![
        ("Cargo.toml".to_owned(), format!("{WORKSPACE}[workspace.lints]\n")),
        ("ARCHITECTURE.md".to_owned(), TABLE.to_owned()),
    ];
    for name in ["low", "high", "kit"] {
        files.push((format!("crates/{name}/Cargo.toml"), manifest(name, "")));
        files.push((format!("crates/{name}/src/lib.rs"), "//! A crate: low, high, kit.\n".to_owned()));
    }
    files.extend(changes.iter().map(|&(path, text)| (path.to_owned(), text.to_owned())));
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    assert!(Command::new("git").args(["init", "-q"]).current_dir(root).status().unwrap().success());
    let found: Vec<String> = check(root).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(found, expected);
}

#[test]
fn accepts_a_tidy_tree() {
    let high = manifest(
        "high",
        "[dependencies]\nlow.path = \"../low\"\n[dev-dependencies]\nkit.path = \"../kit\"\n",
    );
    check_tree(&[("crates/high/Cargo.toml", &high)], &[]);
}

#[test]
fn refuses_an_upward_edge() {
    let low = manifest("low", "[dependencies]\nhigh.path = \"../high\"\n");
    check_tree(
        &[("crates/low/Cargo.toml", &low)],
        &[
            "crates/low/Cargo.toml:9: `low` (row 0) may not use `high` (row 1): depend on lower rows only, or move what is shared down",
        ],
    );
}

#[test]
fn refuses_an_edge_inside_a_row() {
    let table = TABLE.replace("| 1 |", "| 0 |");
    let high = manifest("high", "[dependencies]\nlow.path = \"../low\"\n");
    check_tree(
        &[("crates/high/Cargo.toml", &high), ("ARCHITECTURE.md", &table)],
        &[
            "crates/high/Cargo.toml:9: `high` (row 0) may not use `low` (row 0): depend on lower rows only, or move what is shared down",
        ],
    );
}

#[test]
fn refuses_the_testkit_outside_tests() {
    let low = manifest("low", "[dependencies]\nkit.path = \"../kit\"\n");
    check_tree(
        &[("crates/low/Cargo.toml", &low)],
        &[
            "crates/low/Cargo.toml:9: `low` (row 0) may not use `kit` (for tests only): depend on lower rows only, or move what is shared down",
        ],
    );
}

#[test]
fn refuses_crates_that_the_map_does_not_know() {
    check_tree(
        &[("crates/new/Cargo.toml", &manifest("new", "")), ("crates/new/src/lib.rs", "//! New.\n")],
        &[
            "crates/new/Cargo.toml:1: add `new` to the table in ARCHITECTURE.md",
            "crates/new/Cargo.toml:1: describe the crate in ARCHITECTURE.md, in a section `### `new``",
        ],
    );
}

#[test]
fn refuses_rows_and_sections_without_a_crate() {
    let table = TABLE.replace("| dev |", "| 2 | `gone` | ? |\n| dev |") + "\n### `gone`\n";
    check_tree(
        &[("ARCHITECTURE.md", &table)],
        &[
            "ARCHITECTURE.md:7: remove `gone`: there is no crates/gone",
            "ARCHITECTURE.md:16: remove the section: there is no crates/gone",
        ],
    );
}

#[test]
fn refuses_entries_that_are_not_there() {
    let map = TABLE.replace("### `high`", "### `high`\n\nEntry: `Open`, `start::now`, `make!`, `Op`.");
    let code = "//! H.\npub struct Open<T>(T);\npub fn now() {}\nmacro_rules! make { () => {} }\n";
    check_tree(
        &[("ARCHITECTURE.md", &map), ("crates/high/src/lib.rs", code)],
        &["ARCHITECTURE.md:13: `Op` is not defined in crates/high: name the entry that is there"],
    );
}

#[test]
fn refuses_dependencies_that_nobody_uses() {
    let root = format!(
        "{WORKSPACE}[workspace.dependencies]\nkit = {{ path = \"crates/kit\" }}\nlow = {{ path = \"crates/low\" }}\n[workspace.lints]\n"
    );
    let high = manifest("high", "[dependencies]\nlow.workspace = true\n");
    check_tree(
        &[("Cargo.toml", &root), ("crates/high/Cargo.toml", &high), ("crates/high/src/lib.rs", "//! H.\n")],
        &[
            "Cargo.toml:5: remove `kit` from the dependencies of the workspace: no crate takes it up",
            "crates/high/Cargo.toml:9: remove the dependency `low`: no source of `high` names it",
        ],
    );
}

#[test]
fn refuses_a_crate_with_lints_of_its_own() {
    let low = manifest("low", "").replace("[lints]\nworkspace = true\n", "");
    check_tree(
        &[("crates/low/Cargo.toml", &low)],
        &["crates/low/Cargo.toml:1: inherit the lints of the workspace: `[lints]` with `workspace = true`"],
    );
}

#[test]
fn refuses_long_functions_unless_explained() {
    let body = "    x();\n".repeat(69);
    let long = format!("//! A.\nfn long() {{\n{body}}}\n");
    check_tree(
        &[("crates/low/src/a.rs", &long)],
        &[
            "crates/low/src/a.rs:2: a function of 71 lines of code, at most 70: split it, or write `// tidy: long because …` above it",
        ],
    );
    let explained = long.replace("fn long", "// tidy: long because it is a table\n#[inline]\nfn long");
    check_tree(&[("crates/low/src/a.rs", &explained)], &[]);
    let literal = long.replace("fn long() {\n", "fn long() {\n    \"\n").replacen("}\n", "\"}\n", 1);
    check_tree(&[("crates/low/src/a.rs", &literal)], &[]);
    let one_less = long.replacen("    x();\n", "", 1);
    check_tree(&[("crates/low/src/a.rs", &one_less)], &[]);
}

#[test]
fn refuses_long_files_and_mod_rs() {
    let long = format!("//! A.\n{}", "// x\n".repeat(800));
    check_tree(
        &[("crates/low/src/a/mod.rs", "//! A.\n"), ("crates/low/src/b.rs", &long)],
        &[
            "crates/low/src/a/mod.rs:1: rename to the name of its folder, beside it: `foo.rs` + `foo/`",
            "crates/low/src/b.rs:801: 801 lines, at most 800: split the file by subject",
        ],
    );
}

#[test]
fn refuses_a_file_without_a_header() {
    check_tree(
        &[("crates/low/src/a.rs", "use std::fs;\n"), ("crates/low/src/a/tests.rs", "use super::*;\n")],
        &["crates/low/src/a.rs:1: begin with a module comment (`//!`) that says what it is for"],
    );
}

#[test]
fn refuses_unfinished_code_but_not_words_about_it() {
    let unfinished = "//! A.\nfn a() {\n    todo!()\n}\n#[ignore = \"slow\"]\nfn b() { unimplemented!() }\n";
    check_tree(
        &[("crates/low/src/a.rs", unfinished)],
        &[
            "crates/low/src/a.rs:3: `todo!`: write it, or leave it out",
            "crates/low/src/a.rs:5: `#[ignore`: let the test run, or record a skip with its reason by `sawyer_testkit::skip`",
            "crates/low/src/a.rs:6: `unimplemented!`: write it, or return an error",
        ],
    );
    check_tree(&[("crates/low/src/a.rs", "//! No todo!\nconst A: &str = \"todo!\";\n")], &[]);
}

#[test]
fn refuses_the_wall_clock_outside_its_place() {
    let code = "//! A.\nfn a() { SystemTime::now(); }\n";
    check_tree(
        &[("crates/low/src/a.rs", code), ("crates/low/tests/clock.rs", code)],
        &["crates/low/src/a.rs:2: `SystemTime::now`: take a `Clock`, so that tests can turn the time"],
    );
}

#[test]
fn refuses_skips_that_are_not_recorded() {
    let code = concat!("//! A.\nfn a() { eprintln!(\"SK", "IP: why\"); }\n");
    check_tree(
        &[("crates/low/src/a.rs", code)],
        &["crates/low/src/a.rs:2: record the skip by `sawyer_testkit::skip`, which also prints it"],
    );
}

#[test]
fn refuses_blanks_and_paths_of_one_machine() {
    let text = concat!("a \nsee /wo", "rk/x\n/host/wo", "rk/x\nno newline");
    check_tree(
        &[("notes.txt", text)],
        &[
            "notes.txt:1: remove the blanks at the end of the line",
            concat!("notes.txt:2: remove the path below `/wo", "rk/`: it exists on one machine only"),
            "notes.txt:4: end the file with a newline",
        ],
    );
}

#[test]
fn refuses_documents_that_point_nowhere() {
    let text = "[a](../Cargo.toml) [b](gone.md#x) [c](https://x.y/z) `crates/low/src/lib.rs` `crates/gone`\n```\n[d](e)\n```\n";
    check_tree(
        &[("docs/a.md", text)],
        &[
            "docs/a.md:1: `crates/gone` does not exist: correct the path or the text",
            "docs/a.md:1: `gone.md` does not exist: correct the path or the text",
        ],
    );
}

#[test]
fn refuses_metrics_with_other_names() {
    let code = "//! A.\nfn a() {\n    m.counter(\n        \"records\", \"x\");\n    m.gauge(\"sawyer_store_bytes\");\n    m.counter(\"sawyer_store_rows_total\");\n}\n";
    check_tree(
        &[("crates/low/src/a.rs", code)],
        &[
            "crates/low/src/a.rs:3: metric `records`: name it `sawyer_<subsystem>_<thing>_<unit>`",
            "crates/low/src/a.rs:6: metric `sawyer_store_rows_total`: leave `_total` out: the encoder adds it to counters",
        ],
    );
}
