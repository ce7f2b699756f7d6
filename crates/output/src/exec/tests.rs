use std::collections::BTreeMap;
use std::path::Path;

use sawyer_model::Outcome;

use super::*;
use crate::testing::{Bench, batch_of, context, numbered, plan, record, sim};

/// An output that runs a script in a shell, in a folder of its own.
fn shell(script: &str, more: &str, folder: &Path) -> Bench {
    let folder = folder.display();
    let yaml = format!("command: [sh, -c, {script:?}]\ndirectory: {folder}\n{more}");
    let context = context(&sim());
    let output = plan(&kind(), &yaml).unwrap().open(&context).unwrap();
    Bench::start(output, context)
}

/// How often each record's message is in a file of lines.
fn messages(path: &Path) -> BTreeMap<String, u32> {
    let mut messages = BTreeMap::new();
    for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
        let (_, rest) = line.split_once("\"message\":\"").unwrap();
        *messages.entry(rest.split_once('"').unwrap().0.to_owned()).or_default() += 1;
    }
    messages
}

#[tokio::test]
async fn gives_records_to_a_program() {
    let folder = tempfile::tempdir().unwrap();
    // What it prints is nobody's business.
    let mut bench = shell("while read -r x; do echo \"$x\" >> taken; echo \"$x\"; done", "", folder.path());
    for at in 0..20 {
        bench.send(numbered(at * 100, 100)).await;
    }
    let (ended, outcomes) = bench.drain().await;
    ended.unwrap();
    assert_eq!(outcomes, [Outcome::Durable; 20]);
    let taken = messages(&folder.path().join("taken"));
    assert_eq!((taken.len(), taken.values().max()), (2000, Some(&1)));
}

#[tokio::test]
async fn waits_for_the_answer_to_every_record() {
    let folder = tempfile::tempdir().unwrap();
    let script = "while read -r x; do echo \"$x\" >> taken; echo ok; done";
    let mut bench = shell(script, "acknowledge: answered", folder.path());
    // More than are written before answers are read.
    bench.deliver(numbered(0, 2500)).await;
    let taken = messages(&folder.path().join("taken"));
    assert_eq!((taken.len(), taken.values().max()), (2500, Some(&1)));
    assert_eq!(bench.count("sawyer_output_records"), 2500);
    bench.drain().await.0.unwrap();
}

#[tokio::test]
async fn a_program_that_fails_gets_what_it_did_not_answer_again() {
    let folder = tempfile::tempdir().unwrap();
    // Each run takes 7 records, answers 6 of them, and dies.
    let script = "for i in 1 2 3 4 5 6 7; do read -r x || exit; echo \"$x\" >> taken; \
                  [ $i -lt 7 ] && echo '{\"status\":\"ok\"}'; done; exit 3";
    let mut bench = shell(script, "acknowledge: answered", folder.path());
    let number = bench.send(numbered(0, 15)).await;
    bench.until("it says so", |bench| bench.context.health.reasons().len() == 1).await;
    let reasons = bench.context.health.reasons();
    let expected = "output out: give records to a program: program `sh` ended (exit status: 3)";
    assert_eq!(reasons, [expected]);
    bench.until("it is delivered", |bench| bench.outcome(number) == Some(Outcome::Durable)).await;
    let taken = messages(&folder.path().join("taken"));
    let twice: Vec<&String> = taken.iter().filter(|(_, times)| **times > 1).map(|(name, _)| name).collect();
    assert_eq!(taken.len(), 15);
    assert_eq!(twice, ["line 12", "line 6"], "nothing that was answered comes again");
}

#[tokio::test]
async fn what_was_answered_counts_though_the_rest_could_not_be_written() {
    let folder = tempfile::tempdir().unwrap();
    // Each run takes one record and ends; far more was written to it than a pipe holds.
    let script = "read -r x; echo \"$x\" >> taken; echo ok";
    let mut bench = shell(script, "acknowledge: answered", folder.path());
    let records: Vec<_> =
        (0..3).map(|at| record(at, &format!("line {at} {}", "x".repeat(200_000)))).collect();
    bench.deliver(batch_of(&records)).await;
    let taken = std::fs::read_to_string(folder.path().join("taken")).unwrap();
    assert_eq!(taken.lines().count(), 3, "nothing that was answered comes again");
}

#[tokio::test]
async fn refused_records_are_counted_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let script = "while read -r x; do case $x in *'line 2\"'*) echo '{\"error\":\"too old\"}';; *) echo ok;; esac; done";
    let mut bench = shell(script, "acknowledge: answered", folder.path());
    let numbers = [bench.send(numbered(0, 2)).await, bench.send(numbered(2, 2)).await];
    bench.until("both are settled", |bench| numbers.iter().all(|at| bench.outcome(*at).is_some())).await;
    assert_eq!(numbers.map(|at| bench.outcome(at)), [Some(Outcome::Durable); 2]);
    assert_eq!((bench.count("sawyer_output_records"), bench.count("sawyer_output_errors")), (3, 1));
    assert_eq!(bench.context.health.reasons(), ["output out: a record was refused: too old"]);
    bench.deliver(numbered(4, 1)).await;
    assert!(bench.context.health.reasons().is_empty());
}

#[tokio::test]
async fn a_program_that_hangs_is_killed_and_what_it_had_is_let_go_of() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = shell("cat > /dev/null", "acknowledge: answered\ntimeout: 20ms", folder.path());
    bench.send(numbered(0, 1)).await;
    bench.until("it is tried again", |bench| bench.count("sawyer_output_retries") > 0).await;
    let (ended, outcomes) = bench.give_up().await;
    ended.unwrap();
    assert_eq!(outcomes, [Outcome::Undelivered]);
}

#[tokio::test]
async fn what_is_no_answer_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = shell("while read -r x; do echo hello; done", "acknowledge: answered", folder.path());
    bench.send(numbered(0, 1)).await;
    bench.until("it says so", |bench| bench.context.health.reasons().len() == 1).await;
    insta::assert_snapshot!(bench.context.health.reasons()[0], @r#"output out: expected `ok` or a JSON object from the program, found "hello""#);
    assert_eq!(bench.give_up().await.1, [Outcome::Undelivered]);
}

#[test]
fn tells_what_is_wrong_with_the_settings() {
    insta::assert_snapshot!(plan(&kind(), "command: []").err().unwrap(), @"sawyer.yaml:1:1: command: expected the name of a program, found nothing");
    insta::assert_snapshot!(plan(&kind(), "acknowledge: maybe\ntimeout: 2h").err().unwrap(), @r#"
    sawyer.yaml:1:1: acknowledge: expected one of `written`, `answered`, found "maybe"
    sawyer.yaml:1:1: command: required, and missing; expected list of text
    sawyer.yaml:2:1: timeout: expected a value from 1ms to 1h, found 2h
    "#);
}
