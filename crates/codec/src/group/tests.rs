use std::fs;

use proptest::prelude::*;

use super::*;

/// Groups lines as the pipeline does without bounds and time.
fn groups<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<Vec<&'a str>> {
    let mut groups: Vec<Vec<&str>> = Vec::new();
    let mut open: Option<Group> = None;
    for line in lines {
        open = match open.and_then(|group| group.take(line)) {
            Some(group) => {
                groups.last_mut().unwrap().push(line);
                Some(group)
            }
            None => {
                groups.push(vec![line]);
                Group::begin(line)
            }
        };
    }
    groups
}

fn check(text: &str) -> Vec<usize> {
    groups(text.lines()).iter().map(Vec::len).collect()
}

#[test]
fn groups_the_vectors_as_expected() {
    let Some(path) = sawyer_testkit::shared("vectors/multiline_coroot.json") else { return };
    let vectors: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    for case in vectors["cases"].as_array().unwrap() {
        let input = case["input"].as_str().unwrap();
        let expected = case["expected_messages"].as_u64().unwrap();
        // Inputs leave empty lines out; with and without them it must be the same.
        let found = groups(input.lines());
        assert_eq!(found.len() as u64, expected, "{}: {found:#?}", case["test"]);
        let found = groups(input.lines().filter(|line| !line.is_empty()));
        assert_eq!(found.len() as u64, expected, "{}: {found:#?}", case["test"]);
    }
}

#[test]
fn groups_real_traces() {
    let Some(folder) = sawyer_testkit::shared("data/coroot-logparser/multiline") else { return };
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let counts: Vec<usize> =
        files.iter().map(|file| check(&fs::read_to_string(file).unwrap()).len()).collect();
    assert_eq!(counts, [2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 2, 1, 1]);
}

#[test]
fn lines_before_and_after_a_trace_stay_alone() {
    insta::assert_debug_snapshot!(check(
        "2026-11-20 12:00:00 INFO start\n\
         2026-11-20 12:00:01 WARN slow\n\
         2026-11-20 12:00:01 ERROR c.e.Foo - Request failed\n\
         java.lang.IllegalStateException: no\n\
         \tat a.b.C.d(C.java:1)\n\
         \tSuppressed: java.io.IOException: x\n\
         \t\tat a.b.C.d(C.java:2)\n\
         Caused by: java.io.IOException\n\
         \t... 14 more\n\
         java.io.IOException: one without frames\n\
         java.io.IOException: and another\n\
         2026-11-20 12:00:02 INFO done"
    ), @r"
    [
        1,
        1,
        7,
        1,
        1,
        1,
    ]
    ");
}

#[test]
fn knows_other_languages() {
    let go = "panic: oh [recovered]\n\tpanic: oh\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:5 +0x1d\nexit status 2\nnext";
    assert_eq!(check(go), [7, 1]);
    let nil = "panic: runtime error: invalid memory address or nil pointer dereference\n\
               [signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x45]\n\
               goroutine 1 [running]:\nmain.f(...)\n\t/a.go:5\nmain.main()\n\t/a.go:9 +0x1d\nI1120 next";
    assert_eq!(check(nil), [7, 1]);
    let node = "/app/server.js:3\n    throw new Error('x');\n    ^\n\nError: x\n    at f (/app/server.js:3:9)\n\nNode.js v20.1.0\nlistening";
    assert_eq!(check(node), [8, 1]);
    let dotnet = "Unhandled exception. System.InvalidOperationException: bad\n ---> System.Exception: inner\n   \
                  at A.B() in /a.cs:line 3\n   --- End of inner exception stack trace ---\n   at A.C()\nnext";
    assert_eq!(check(dotnet), [5, 1]);
    let php = "PHP Fatal error:  Uncaught Exception: x in /a.php:3\nStack trace:\n#0 /a.php(7): f()\n#1 {main}\n  thrown in /a.php on line 3\nnext";
    assert_eq!(check(php), [5, 1]);
    let ruby = "app.rb:3:in 'f': bad (RuntimeError)\n\tfrom app.rb:7:in '<main>'\nnext";
    assert_eq!(check(ruby), [2, 1]);
    let rust = "thread 'main' panicked at src/main.rs:2:5:\nanything at all\nnote: run with `RUST_BACKTRACE=1`\nnext";
    assert_eq!(check(rust), [3, 1]);
    let python = "ERROR:root:failed\nTraceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    f()\nKeyError: 'x'\nINFO:root:next";
    assert_eq!(check(python), [5, 1]);
}

#[test]
fn blocks_end_with_their_last_line() {
    let pem = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIEow+/=\nAAAA\n-----END RSA PRIVATE KEY-----\nnext";
    assert_eq!(check(pem), [6, 1]);
    let object = "{\n  \"a\": 1,\n  \"b\": {\n  }\n}\n{\n  \"c\": 2\n}\nnext";
    assert_eq!(check(object), [5, 3, 1]);
    assert!(Group::begin("-----BEGIN X-----").unwrap().take("-----END X-----").unwrap().is_whole());
}

#[test]
fn json_lines_are_never_grouped() {
    assert_eq!(check("ERROR failed:\n{\"a\":1}\n{\"error\":\"x\"}\n  indented\n{\"a\":2"), [1, 1, 1, 1, 1]);
}

#[test]
fn the_rest_of_a_trace_stays_together() {
    assert_eq!(
        check("\tat a.b.C.d(C.java:1)\n\tat a.b.C.d(C.java:2)\nnext\n  just indented\n  twice"),
        [2, 1, 1, 1]
    );
}

#[test]
fn plain_lines_of_real_programs_stay_alone() {
    let Some(folder) = sawyer_testkit::shared("data/loghub") else { return };
    for name in
        ["Linux/Linux_2k.log", "OpenSSH/OpenSSH_2k.log", "HDFS/HDFS_2k.log", "Zookeeper/Zookeeper_2k.log"]
    {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        assert!(check(&text).iter().all(|lines| *lines == 1), "{name}");
    }
}

const LINES: &[&str] = &[
    "",
    " ",
    "\tat a.b(C.java:1)",
    "    at f (a.js:1:2) {",
    "}",
    "});",
    "{",
    "{\"a\":1}",
    "Caused by: x",
    "... 3 more",
    "Suppressed: x",
    "Traceback (most recent call last):",
    "  File \"a\", line 1",
    "KeyError: 'x'",
    "java.lang.Error: x",
    "During handling of the above exception, another exception occurred:",
    "panic: x",
    "goroutine 1 [running]:",
    "main.main()",
    "created by main.f",
    "[signal SIGSEGV: x]",
    "PC=0x1 m=0",
    "rax 0x0",
    "thread 'main' panicked at a.rs:1:2:",
    "note: run with x",
    "/a/b.js:12",
    "throw x",
    "  ^",
    "Error: x",
    "Node.js v20",
    "-----BEGIN X-----",
    "MIIE",
    "-----END X-----",
    "Stack trace:",
    "#0 a",
    "a.rb:1:in 'f'",
    "ERROR x",
    "text:",
    "text (",
    "2026-11-20 INFO x",
    "for call at",
    "stack backtrace:",
    "runtime stack:",
    "--- End of inner exception stack trace ---",
    "---> x",
    "PHP   1. {main}()",
    "DETAIL: x",
    "exit status 2",
];

/// The cheap questions never say no where the line would have been taken.
#[test]
fn cheap_questions_agree() {
    for first in LINES {
        let Some(group) = Group::begin(first) else { continue };
        for second in LINES {
            let taken = group.take(second).is_some() && Group::begins_surely(first).is_none();
            assert!(!taken || may_continue(second), "{first:?} {second:?}");
        }
    }
}

proptest! {
    #[test]
    fn no_text_panics(first in "\\PC{0,40}", second in "\\PC{0,40}") {
        let _ = may_continue(&first);
        let _ = Group::begin(&first).and_then(|group| group.take(&second));
    }
}
