use std::sync::mpsc;

use sawyer_config::Document;
use sawyer_model::{Ack, Outcome, RecordRef};

use super::*;
use crate::steps::testing::records;

const OUTPUTS: [&str; 3] = ["archive", "pager", "store"];

fn plan(settings: &str) -> Result<RoutePlan, String> {
    let document = Document::parse("sawyer.yaml", settings).unwrap();
    let mut problems = Problems::new();
    let plan = RoutePlan::read(&document.at(), &OUTPUTS.map(str::to_owned), &mut problems);
    problems.into_result(plan).map_err(|problems| problems.to_string())
}

/// What each output gets of lines.
fn check(settings: &str, lines: &[&str]) -> (Vec<String>, i64) {
    let metrics = Metrics::new();
    let mut router = plan(settings).unwrap().open("main", &OUTPUTS, &metrics);
    let (told, outcome) = mpsc::channel();
    let ack = Ack::new(move |outcome| told.send(outcome).unwrap());
    let batch: Arc<Batch> = Arc::new(records(lines).iter().collect());
    let transfer = Transfer { batch: Arc::clone(&batch), ack };
    let shares: Vec<Transfer> = router.divide(&transfer).into_iter().map(|(share, _)| share).collect();
    transfer.ack.durable();
    let mut told = Vec::new();
    for share in shares {
        assert!(outcome.try_recv().is_err(), "every output has a share in the duty");
        assert_eq!(share.batch.covered(), batch.covered());
        let messages: Vec<&str> = share.batch.iter().map(RecordRef::message).collect();
        told.push(messages.join(" "));
        share.ack.durable();
    }
    assert_eq!(outcome.recv().unwrap(), Outcome::Durable);
    let dropped = metrics.numbers("sawyer_step_dropped_records").iter().map(|(_, number)| number).sum();
    (told, dropped)
}

#[test]
fn a_record_goes_wherever_a_route_takes_it() {
    let settings = "{routes: [{when: red, outputs: [pager, store]}, {when: big or red, outputs: archive}], default: store}";
    let (told, dropped) = check(settings, &["red", "big", "none", "bigger"]);
    assert_eq!(told, ["red big", "red", "red none bigger"]);
    assert_eq!(dropped, 0);
}

#[test]
fn what_no_route_takes_is_counted() {
    let settings = "{routes: [{when: red, outputs: pager}, {when: 'big', outputs: [store, archive]}]}";
    let (told, dropped) = check(settings, &["red", "none", "none"]);
    assert_eq!(told, ["", "red", ""]);
    assert_eq!(dropped, 2);
}

#[test]
fn tells_what_is_wrong() {
    let wrong = "{routes: [{when: 'level: ', outputs: [pagr]}], defalt: [x]}";
    insta::assert_snapshot!(plan(wrong).unwrap_err(), @r"
    sawyer.yaml:1:12: routes[0].when: expected a value after `level:`, found the end of the query
      level: 
             ^
    sawyer.yaml:1:48: defalt: unknown key; did you mean `default`?
    ");
    let wrong = "{routes: [{when: a, outputs: [pagr]}, {when: b, outputs: []}], default: [x]}";
    insta::assert_snapshot!(plan(wrong).unwrap_err(), @r"
    sawyer.yaml:1:21: routes[0].outputs: the pipeline gives to no output `pagr`; did you mean `pager`?
    sawyer.yaml:1:49: routes[1].outputs: expected at least one output
    sawyer.yaml:1:64: default: the pipeline gives to no output `x`
    ");
}
