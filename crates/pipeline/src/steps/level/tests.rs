use sawyer_model::{Record, Value};

use crate::steps::testing::{bench, record};

/// The levels that records with these fields have afterwards.
fn levels(settings: &str, records: &[(&str, &[(&str, Value)])]) -> Vec<String> {
    let records: Vec<Record> = records
        .iter()
        .enumerate()
        .map(|(at, (message, fields))| {
            let mut record = record(at as u64 * 10, message);
            record.fields.extend(fields.iter().map(|(name, value)| ((*name).into(), value.clone())));
            record
        })
        .collect();
    let batch = bench("level", settings).unwrap().run(&records);
    let levels = batch.iter().map(|record| record.get("level").and_then(sawyer_model::ValueRef::as_str));
    levels.map(|level| level.unwrap_or("none").to_owned()).collect()
}

#[test]
fn other_words_and_numbers_are_mapped() {
    let settings = "{from: [severity_id, level, body.level], map: {'1': fatal, Notice: warn, OK: info}}";
    let found = levels(
        settings,
        &[
            ("", &[("severity_id", Value::Int(1)), ("level", Value::from("info"))]),
            ("", &[("severity_id", Value::Int(7)), ("level", Value::from("info"))]),
            ("", &[("body.level", Value::from("notice "))]),
            ("", &[("body.level", Value::from("ok"))]),
            ("", &[("body.level", Value::from("SEVERE"))]),
            ("", &[("body.level", Value::from("Metadata"))]),
        ],
    );
    assert_eq!(found, ["fatal", "info", "warn", "info", "error", "none"]);
}

#[test]
fn a_level_is_set_by_a_rule() {
    let found = levels(
        "{set: error, when: '\"out of memory\"'}",
        &[("it ran Out Of Memory", &[("level", Value::from("info"))]), ("fine", &[])],
    );
    assert_eq!(found, ["error", "none"]);
}

#[test]
fn what_tells_none_gets_the_default() {
    let records: [(&str, &[(&str, Value)]); 3] =
        [("ERROR: no", &[]), ("plain", &[]), ("plain", &[("level", Value::from("debug"))])];
    assert_eq!(levels("{default: info}", &records), ["error", "info", "debug"]);
    assert_eq!(levels("{}", &records), ["error", "none", "debug"]);
}

#[test]
fn tells_what_is_wrong() {
    let wrong = bench("level", "{map: {notice: warning}, defalt: info}").err().unwrap();
    insta::assert_snapshot!(wrong, @r#"
    sawyer.yaml:1:8: map.notice: expected one of `trace`, `debug`, `info`, `warn`, `error`, `fatal`, found "warning"
    sawyer.yaml:1:26: defalt: unknown key; did you mean `default`?
    "#);
    let wrong = bench("level", "{set: error, default: info, from: []}").err().unwrap();
    insta::assert_snapshot!(wrong, @r"
    sawyer.yaml:1:14: default: `set` gives the level whatever the record says; take one of both away
    sawyer.yaml:1:29: from: `set` gives the level whatever the record says; take one of both away
    sawyer.yaml:1:29: from: expected at least one field; leave the key out for the usual ones
    ");
}
