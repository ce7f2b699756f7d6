use std::time::Instant;

use super::*;
use crate::steps::testing::{Bench, bench, records, show};

/// A step that runs a script in a shell.
fn shell(script: &str, more: &str) -> Bench {
    run(&["sh", "-c", script], more)
}

fn python(script: &str, more: &str) -> Bench {
    run(&["python3", "-c", &format!("import sys, json\n{script}")], more)
}

fn run(command: &[&str], more: &str) -> Bench {
    // Texts as Rust shows them are texts in YAML as well.
    bench("exec", &format!("command: {command:?}\n{more}")).unwrap()
}

#[test]
fn an_answer_that_repeats_the_record_changes_nothing() {
    let lines = records(&["one", "two \"quoted\"", "three\u{0}\n\tlines", ""]);
    let batch = shell("exec cat", "").run(&lines);
    let back: Vec<_> = batch.iter().map(RecordRef::to_record).collect();
    assert_eq!(back, lines);
}

#[test]
fn answers_replace_fields_and_null_drops() {
    let script = r#"
for line in sys.stdin:
    record = json.loads(line)
    if record["message"] == "two":
        print("null", flush=True)
        continue
    record["message"] = record["message"].upper()
    record["length"] = len(record["message"])
    record["namespace"] = "another" if record["message"] == "ONE" else record["namespace"]
    record["timestamp"] = "2026-11-20T10:00:00Z"
    del record["pod"]
    print(json.dumps(record), flush=True)
"#;
    let mut bench = python(script, "");
    insta::assert_snapshot!(bench.show(&records(&["one", "two", "three"])), @r#"
    0 2026-11-20T10:00:00Z
    message = "ONE"
    namespace = "another"
    length = 3
    --
    20 2026-11-20T10:00:00Z
    message = "THREE"
    length = 5
    "#);
    assert_eq!(bench.count("sawyer_step_dropped_records"), 1);
    let batch = bench.run(&records(&["one"]));
    assert_eq!(
        batch.get(0).get("pod").unwrap().as_str(),
        Some("cart-1"),
        "the stream is not the program's to change"
    );
    assert_eq!(bench.count("sawyer_step_program_starts"), 1);
}

#[test]
fn works_only_on_what_the_condition_holds_for() {
    let mut bench = shell("while read -r x; do echo null; done", "when: two");
    insta::assert_snapshot!(bench.show(&records(&["one", "two", "three"])), @r#"
    0 2026-11-20T11:59:59Z
    message = "one"
    --
    20 2026-11-20T11:59:59Z
    message = "three"
    "#);
}

#[test]
fn more_records_than_pipes_hold_pass() {
    let message = "x".repeat(3000);
    let lines = records(&vec![message.as_str(); 5000]);
    let batch = shell("exec cat", "").run(&lines);
    assert_eq!(batch.len(), 5000);
}

#[test]
fn what_is_no_answer_concerns_its_own_record_only() {
    let mut bench = shell("exec sed -u 's/.*bad.*/[1]/'", "");
    insta::assert_snapshot!(bench.show(&records(&["one", "bad", "three"])), @r#"
    0 2026-11-20T11:59:59Z
    message = "one"
    --
    10 2026-11-20T11:59:59Z
    message = "bad"
    sawyer.mark = "step_failed"
    --
    20 2026-11-20T11:59:59Z
    message = "three"
    "#);
    assert_eq!(bench.count("sawyer_step_failed_records"), 1);
}

#[test]
fn a_program_that_ends_is_started_again_after_a_pause() {
    let mut bench = shell("head -n 1", "");
    let batch = bench.run(&records(&["one", "two", "three"]));
    let marked: Vec<bool> = batch.iter().map(|record| record.marks().next().is_some()).collect();
    assert_eq!(marked, [false, true, true]);
    // It is not started again at once, and nothing waits for it.
    let batch = bench.run(&records(&["one"]));
    assert_eq!(batch.get(0).marks().collect::<Vec<_>>(), ["step_failed"]);
    assert_eq!(bench.count("sawyer_step_program_starts"), 1);
    let deadline = Instant::now() + RESTART_PAUSE_MIN * 20;
    while bench.run(&records(&["one"])).get(0).marks().next().is_some() {
        assert!(Instant::now() < deadline, "it is not started again");
        std::thread::park_timeout(RESTART_PAUSE_MIN / 10);
    }
    assert_eq!(bench.count("sawyer_step_program_starts"), 2);
}

#[test]
fn a_program_that_does_not_answer_or_read_is_not_waited_for() {
    for script in ["sleep 1000; cat", "cat > /dev/null"] {
        let mut bench = shell(script, "timeout: 50ms\non_error: drop");
        let message = "x".repeat(1 << 20);
        let started = Instant::now();
        assert_eq!(bench.run(&records(&["one", &message, "three"])).len(), 0);
        assert!(started.elapsed() < Duration::from_secs(60));
        assert_eq!(bench.count("sawyer_step_dropped_records"), 3);
        assert_eq!(bench.count("sawyer_step_failed_records"), 3);
    }
}

#[test]
fn a_program_that_is_not_there_lets_records_pass() {
    let mut bench = bench("exec", "command: [no-such-program]").unwrap();
    let batch = bench.run(&records(&["one"]));
    insta::assert_snapshot!(show(batch.get(0)), @r#"
    0 2026-11-20T11:59:59Z
    message = "one"
    sawyer.mark = "step_failed"
    "#);
}

#[test]
fn answers_out_of_step_are_not_taken() {
    // The first line is swallowed, so that every answer is one late.
    let mut bench = shell("read -r first; exec cat", "timeout: 2s");
    let batch = bench.run(&records(&["one", "two"]));
    let marks: Vec<&str> = batch.iter().flat_map(RecordRef::marks).collect();
    assert_eq!(marks, ["step_failed", "step_failed"]);
    let messages: Vec<&str> = batch.iter().map(RecordRef::message).collect();
    assert_eq!(messages, ["one", "two"]);
}

#[test]
fn tells_what_is_wrong_with_the_settings() {
    let text = "command: []\ntimeout: 0\non_error: wait\nshell: x\nwhen: '('";
    insta::assert_snapshot!(bench("exec", text).err().unwrap(), @r#"
    sawyer.yaml:1:1: command: expected the name of a program, found nothing
    sawyer.yaml:2:1: timeout: expected a value from 1ms to 1h, found 0s
    sawyer.yaml:3:1: on_error: expected one of `pass`, `drop`, found "wait"
    sawyer.yaml:4:1: shell: unknown key; known: `command`, `environment`, `directory`, `timeout`, `on_error`, `when`
    sawyer.yaml:5:1: when: expected a field name or a value after `(`, found the end of the query
      (
       ^
    "#);
}
