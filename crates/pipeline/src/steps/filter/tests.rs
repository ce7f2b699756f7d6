use crate::steps::testing::{bench, records};

fn messages(kind: &str, when: &str) -> (Vec<String>, i64) {
    let mut bench = bench(kind, &format!("when: '{when}'")).unwrap();
    let batch = bench.run(&records(&["one apple", "two pears", "three apples", ""]));
    let left = batch.iter().map(|record| record.message().to_owned()).collect();
    (left, bench.count("sawyer_step_dropped_records"))
}

#[test]
fn drop_leaves_out_what_matches() {
    assert_eq!(messages("drop", "apple or three"), (vec!["two pears".into(), String::new()], 2));
    assert_eq!(messages("drop", "namespace: other").1, 0);
    assert_eq!(messages("drop", "namespace: shop"), (vec![], 4));
}

#[test]
fn keep_leaves_out_what_does_not_match() {
    assert_eq!(messages("keep", "pears and pod: cart-*"), (vec!["two pears".into()], 3));
}

#[test]
fn drops_nobody_elses_copy() {
    use std::sync::Arc;

    use sawyer_model::{Ack, Batch, Transfer};

    let when = crate::steps::Condition::parse("apple").unwrap();
    let dropped = sawyer_telemetry::Counter::default();
    let mut step = super::Filter {
        plan: super::FilterPlan { when, name: None, keeps: false },
        dropped,
        rule: "".into(),
    };
    let batch: Arc<Batch> = Arc::new(records(&["apple", "pear"]).iter().collect());
    let mut out = Vec::new();
    let transfer = Transfer { batch: Arc::clone(&batch), ack: Ack::none() };
    crate::component::Step::apply(&mut step, transfer, &mut out);
    assert_eq!((batch.len(), out[0].batch.len()), (2, 1));
}

#[test]
fn counts_by_step_and_pipeline() {
    let mut bench = bench("drop", "when: apple").unwrap();
    bench.run(&records(&["apple"]));
    let text = bench.metrics.text();
    let line = "sawyer_step_dropped_records_total{rule=\"apple\",step=\"0-drop\",pipeline=\"main\"} 1\n";
    assert!(text.contains(line), "{text}");
    let mut bench = crate::steps::testing::bench("drop", "{when: apple, name: fruit}").unwrap();
    bench.run(&records(&["apple"]));
    assert!(bench.metrics.text().contains("{rule=\"fruit\","), "{}", bench.metrics.text());
}

#[test]
fn tells_what_is_wrong_with_the_condition() {
    insta::assert_snapshot!(bench("drop", "when: 'level: '").err().unwrap(), @r"
    sawyer.yaml:1:1: when: expected a value after `level:`, found the end of the query
      level: 
             ^
    ");
    insta::assert_snapshot!(bench("keep", "{}").err().unwrap(), @"sawyer.yaml:1:1: when: required, and missing; expected condition in KQL");
    insta::assert_snapshot!(bench("keep", "wehn: a").err().unwrap(), @r"
    sawyer.yaml:1:1: wehn: unknown key; did you mean `when`?
    sawyer.yaml:1:1: when: required, and missing; expected condition in KQL
    ");
}
