use sawyer_model::Value;

use crate::steps::testing::{bench, record, records};

#[test]
fn sets_fields() {
    let lines = records(&["one", "two"]);
    let mut changes = bench("set", "{fields: {env: prod, n: 1, message: x}, when: one}").unwrap();
    insta::assert_snapshot!(changes.show(&lines), @r#"
    0 2026-11-20T11:59:59Z
    message = "x"
    env = "prod"
    n = 1
    --
    10 2026-11-20T11:59:59Z
    message = "two"
    "#);
    assert_eq!(changes.count("sawyer_step_changed_records"), 1);
    let mut missing = bench("set", "{fields: {pod: other, env: prod}, only_missing: true}").unwrap();
    let batch = missing.run(&lines);
    assert_eq!(batch.get(0).get("pod").unwrap().as_str(), Some("cart-1"));
    assert_eq!(batch.get(0).get("env").unwrap().as_str(), Some("prod"));
}

#[test]
fn renames_and_removes_own_fields_and_those_of_the_stream() {
    let mut line = record(0, "one");
    line.fields.push(("a.b".into(), Value::Int(1)));
    line.fields.push(("a.c".into(), Value::Int(2)));
    let batch = bench("rename", "fields: {a.b: x, pod: instance}").unwrap().run(&[line.clone()]);
    let renamed = batch.get(0);
    assert_eq!(renamed.get("x").unwrap().to_value(), Value::Int(1));
    assert_eq!(renamed.get("instance").unwrap().as_str(), Some("cart-1"));
    assert!(renamed.get("a.b").is_none() && renamed.get("pod").is_none());
    let batch = bench("remove", "fields: [a.*, container]").unwrap().run(&[line]);
    let names: Vec<&str> = batch.get(0).fields().map(|(name, _)| name).collect();
    assert_eq!(names, ["message", "namespace", "pod"]);
    let mut marked = record(0, "one");
    marked.fields.push(("sawyer.mark".into(), Value::from("cut")));
    let batch = bench("remove", "fields: [s*]").unwrap().run(&[marked]);
    assert_eq!(batch.get(0).marks().count(), 1);
}

#[test]
fn what_sawyer_says_itself_is_not_changed() {
    let wrong = |kind, text| bench(kind, text).err().unwrap();
    insta::assert_snapshot!(wrong("set", "fields: {timestamp: x, a: [1]}"), @r#"
    sawyer.yaml:1:10: fields.timestamp: the field `timestamp` cannot be changed by a step
    sawyer.yaml:1:24: fields.a: expected text, a number, true or false, found a list
    "#);
    insta::assert_snapshot!(wrong("rename", "fields: {a: b, b: _c}"), @r#"
    sawyer.yaml:1:10: fields.a: `b` is renamed itself; use two steps
    sawyer.yaml:1:16: fields.b: the field `_c` cannot be changed by a step
    "#);
    insta::assert_snapshot!(wrong("remove", "fields: [sawyer.mark, '*']"), @r#"
    sawyer.yaml:1:10: fields[0]: the field `sawyer.mark` cannot be changed by a step
    sawyer.yaml:1:23: fields[1]: expected the name of a field, found "*"
    "#);
}
