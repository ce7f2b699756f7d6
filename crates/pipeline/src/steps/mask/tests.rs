use std::sync::Arc;

use proptest::prelude::*;
use sawyer_model::{Record, Stream, Value, names};

use crate::steps::testing::{bench, record, records};

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";

fn with(fields: &[(&str, Value)]) -> Record {
    let mut record = record(0, "nothing here");
    record.fields.extend(fields.iter().map(|(name, value)| ((*name).into(), value.clone())));
    record
}

#[test]
fn masks_messages_and_counts() {
    let mut bench = bench("mask", "{}").unwrap();
    let lines = records(&["user=x password=hunter2", "nothing", "a AKIAIOSFODNN7EXAMPLE postgres://u:p@h/d"]);
    insta::assert_snapshot!(bench.show(&lines), @r#"
    0 2026-11-20T11:59:59Z
    message = "user=x password=[masked:password]"
    --
    10 2026-11-20T11:59:59Z
    message = "nothing"
    --
    20 2026-11-20T11:59:59Z
    message = "a [masked:aws_key] postgres://u:[masked:url_password]@h/d"
    "#);
    assert_eq!(bench.count("sawyer_step_masked_values"), 3);
}

#[test]
fn masks_every_kind_of_field() {
    let mut bench = bench("mask", "{}").unwrap();
    let fields = with(&[
        ("_original", Value::from(format!("{{\"k\":\"{KEY}\"}}"))),
        ("plain", Value::from("plain")),
        ("list", Value::List(vec![Value::from("a"), Value::from(KEY), Value::Int(1)])),
        ("items", Value::Json(format!("[{{\"password\":1234,\"k\":\"{KEY}\"}}]").into())),
        ("db.password", Value::Int(1234)),
        ("user.passwd", Value::List(vec![Value::from("x y"), Value::from("")])),
        ("sawyer.mark", Value::from("invalid_utf8")),
        ("_original_base64", Value::from("QUtJQUlPU0ZPRE5ON0VYQU1QTEU=")),
    ]);
    insta::assert_snapshot!(bench.show(&[fields]), @r#"
    0 2026-11-20T11:59:59Z
    message = "nothing here"
    _original = "{\"k\":\"[masked:aws_key]\"}"
    plain = "plain"
    list = ["a", "[masked:aws_key]", 1]
    items = Json("[{\"password\":\"[masked:password]\",\"k\":\"[masked:aws_key]\"}]")
    db.password = "[masked:password]"
    user.passwd = ["[masked:password]", ""]
    sawyer.mark = "invalid_utf8"
    "#);
}

#[test]
fn masks_what_streams_carry_but_who_speaks() {
    let mut bench = bench("mask", "{}").unwrap();
    let mut line = record(0, "nothing");
    line.stream = Arc::new(Stream::new([
        ("pod", Value::from(KEY)),
        ("annotations.last", Value::from(format!("{{\"password\":\"x\",\"k\":\"{KEY}\"}}"))),
    ]));
    let batch = bench.run(&[line]);
    let stream = batch.get(0).stream();
    assert_eq!(stream.get("pod"), Some(&Value::from(KEY)));
    let masked = r#"{"password":"[masked:password]","k":"[masked:aws_key]"}"#;
    assert_eq!(stream.get("annotations.last"), Some(&Value::from(masked)));
}

#[test]
fn follows_a_private_key_over_records() {
    let mut bench = bench("mask", "{}").unwrap();
    let lines = records(&[
        "-----BEGIN PRIVATE KEY-----",
        "MIIEowIBAAKCAQEAxU0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJ",
        "Zm9v==",
        "-----END PRIVATE KEY-----",
        "Zm9v",
    ]);
    let messages = |batch: sawyer_model::Batch| -> Vec<String> {
        batch.iter().map(|record| record.message().to_owned()).collect()
    };
    let mut masked = messages(bench.run(&lines[..2]));
    masked.extend(messages(bench.run(&lines[2..])));
    let note = "[masked:private_key]";
    assert_eq!(masked, [note, note, note, note, "Zm9v"]);
}

#[test]
fn half_a_secret_at_a_cut_does_not_stay() {
    let mut bench = bench("mask", "{}").unwrap();
    let mut line = record(0, "x token AKIAIOSFOD…[99 bytes cut]…NN7EXAMPLE -----END PRIVATE KEY----- y");
    line.fields.push(("sawyer.mark".into(), Value::from("cut")));
    let text = bench.run(&[line]).get(0).message().to_owned();
    assert_eq!(text, "x token …[142 bytes cut]…");
    let mut off = crate::steps::testing::bench("mask", "{credentials: []}").unwrap();
    let mut line = record(0, "x AKIAIOSFOD…[99 bytes cut]…y");
    line.fields.push(("sawyer.mark".into(), Value::from("cut")));
    assert_eq!(off.run(&[line]).get(0).message(), "x AKIAIOSFOD…[99 bytes cut]…y");
}

#[test]
fn records_are_chosen_by_a_condition() {
    let mut bench = bench("mask", "{when: 'not open'}").unwrap();
    insta::assert_snapshot!(bench.show(&records(&["password=x", "open password=x"])), @r#"
    0 2026-11-20T11:59:59Z
    message = "password=[masked:password]"
    --
    10 2026-11-20T11:59:59Z
    message = "open password=x"
    "#);
}

#[test]
fn settings_choose_and_are_checked() {
    let mut chosen = bench(
        "mask",
        "{credentials: [], personal: [email], patterns: {staff: 'emp-\\d+'}, replacement: '<{kind}>'}",
    )
    .unwrap();
    let line = records(&["a@b.com emp-12 password=x"]);
    insta::assert_snapshot!(chosen.show(&line), @r#"
    0 2026-11-20T11:59:59Z
    message = "<email> <staff> password=x"
    "#);
    let wrong = bench("mask", "{credentials: [key], patterns: {'a b': 'x*'}}").err().unwrap();
    insta::assert_snapshot!(wrong, @r#"
    sawyer.yaml:1:16: credentials[0]: expected one of `private_key`, `aws_key`, `gcp_key`, `azure_key`, `service_token`, `jwt`, `bearer_token`, `password`, `url_password`, found "key"
    "#);
    let wrong = bench("mask", "{replacement: '\"', patterns: {'a b': 'x*'}}").err().unwrap();
    insta::assert_snapshot!(wrong, @r#"
    sawyer.yaml:1:2: replacement: expected text without quotes, backslashes and control characters, found "\""
    sawyer.yaml:1:31: patterns.a b: a name is made of letters, digits and `_`
    sawyer.yaml:1:31: patterns.a b: the pattern matches nothing at all, and so everywhere
    "#);
}

fn names_of_fields() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["message", "_original", "a", "b.c"][..])
}

proptest! {
    /// Wherever a secret stands, it does not leave.
    #[test]
    fn no_secret_survives_in_any_field(
        name in names_of_fields(),
        secret in "(AKIA[A-Z2-7]{16}|ghp_[0-9a-zA-Z]{36}|npm_[0-9a-zA-Z]{36}|xoxb-[0-9]{12}-[0-9a-zA-Z]{24})",
        before in "([a-z ]{0,10}[ =:\"])?",
        after in "([ ,\"][a-z ]{0,10})?",
        way in 0usize..4,
    ) {
        let text = format!("{before}{secret}{after}");
        let value = match way {
            0 => Value::from(text),
            1 => Value::List(vec![Value::from("x"), Value::from(text)]),
            2 => Value::Json(format!("[{{\"k\":{text:?}}}]").into()),
            _ => Value::from(format!("{{\"k\":{text:?}}}")),
        };
        let mut line = record(0, "x");
        line.fields.retain(|(known, _)| &**known != name);
        line.fields.push((name.into(), value));
        let raw = secret.as_bytes();
        let mut packed = String::new();
        line.fields.push((names::ORIGINAL_BASE64.into(), Value::from(sawyer_codec::text::base64(raw, &mut packed))));
        let shown = bench("mask", "{}").unwrap().show(&[line]);
        prop_assert!(!shown.contains(&secret) && !shown.contains(&packed), "{shown}");
    }
}
