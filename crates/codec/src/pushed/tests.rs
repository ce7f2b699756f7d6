use sawyer_model::{Value, names};

use super::*;
use crate::testing::{OBSERVED, show};

const BOUNDS: Bounds = Bounds { records_max: 1000, batch_bytes_max: 64 << 20 };

/// An intake of a sender that is believed this much.
pub(crate) fn intake(trust: Trust, known: &[(&str, &str)]) -> Intake {
    let stream = Stream::new(known.iter().map(|(name, value)| (*name, Value::from(*value))));
    Intake::new(Origin {
        stream: Arc::new(stream),
        trust: Arc::new(trust),
        source: SourceId(7),
        numbers: None,
        observed: OBSERVED,
        bounds: BOUNDS,
    })
}

/// All records of an intake, a line for each field.
pub(crate) fn shown(intake: Intake) -> String {
    let Taken { batch, .. } = intake.finish();
    let mut text = String::new();
    for record in batch.iter() {
        let mut fields: Vec<String> =
            record.fields().map(|(name, value)| format!("  {name} = {}\n", show(value))).collect();
        fields.sort();
        text.push_str(&format!("{}\n{}", record.timestamp(), fields.concat()));
    }
    text
}

fn said(trust: Trust, known: &[(&str, &str)], line: &str) -> String {
    let mut intake = intake(trust, known);
    intake.begin();
    intake.flatten(line).unwrap();
    intake.write(&Said { message: Some(b"m"), ..Said::default() }).unwrap();
    let fields = shown(intake);
    fields
        .lines()
        .skip(1)
        .map(str::trim)
        .filter(|line| *line != "message = \"m\"")
        .collect::<Vec<_>>()
        .join("; ")
}

fn shop() -> Trust {
    Trust::in_namespaces(vec!["shop".to_owned()])
}

#[test]
fn what_nobody_vouches_for_is_marked() {
    let line = r#"{"namespace":"shop","kubernetes":{"pod_name":"cart"},"x":1}"#;
    assert_eq!(
        said(Trust::Claimed, &[], line),
        r#"identity = "claimed"; namespace = "shop"; pod = "cart"; x = 1"#
    );
    assert_eq!(said(Trust::Claimed, &[], r#"{"identity":"verified"}"#), r#"body.identity = "verified""#);
    assert_eq!(said(Trust::Claimed, &[], r#"{"x":1}"#), "x = 1");
}

#[test]
fn what_is_said_under_a_second_name_is_not_found_as_identity() {
    let line = r#"{"namespace":"shop","kubernetes.namespace_name":"payments","kubernetes":{"cluster":"c"}}"#;
    let wanted = r#"body.kubernetes.namespace_name = "payments"; "#;
    assert_eq!(said(shop(), &[], line), format!(r#"body.cluster = "c"; {wanted}namespace = "shop""#));
    let claimed = format!(r#"{wanted}cluster = "c"; identity = "claimed"; namespace = "shop""#);
    assert_eq!(said(Trust::Claimed, &[], line), claimed);
}

#[test]
fn every_alias_of_identity_is_known() {
    for (alias, _) in names::IDENTITY_ALIASES {
        let shown = said(Trust::Claimed, &[], &format!(r#"{{"{alias}":"x"}}"#));
        assert!(!shown.contains(alias) && shown.contains("claimed"), "{alias}: {shown}");
    }
}

#[test]
fn what_is_too_long_is_refused_before_it_is_read() {
    let mut intake = intake(Trust::Claimed, &[]);
    intake.begin();
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(VALUE_BYTES_MAX));
    assert_eq!(intake.flatten(&long), Ok(()));
    assert_eq!(intake.fields().text_bytes(), 0, "nothing is copied");
    assert_eq!(intake.write(&Said::default()), Err(Refused::TooLong));
    intake.begin();
    intake.write(&Said { message: Some(b"next"), ..Said::default() }).unwrap();
}

#[test]
fn a_client_speaks_for_its_namespaces_only() {
    let inside = r#"{"namespace":"shop","pod":"cart","node":"n1"}"#;
    assert_eq!(said(shop(), &[], inside), r#"body.node = "n1"; namespace = "shop"; pod = "cart""#);
    let foreign = r#"{"namespace":"kube-system","pod":"etcd"}"#;
    assert_eq!(
        said(shop(), &[], foreign),
        r#"body.namespace = "kube-system"; body.pod = "etcd"; namespace = "shop""#
    );
    assert_eq!(said(shop(), &[], r#"{"pod":"cart"}"#), r#"namespace = "shop"; pod = "cart""#);
    let listed = r#"{"namespace":["shop","kube-system"]}"#;
    assert_eq!(said(shop(), &[], listed), r#"body.namespace = ["shop", "kube-system"]; namespace = "shop""#);
}

#[test]
fn a_client_with_several_namespaces_has_to_say_which() {
    let several = || Trust::in_namespaces(vec!["shop-*".to_owned(), "pay".to_owned()]);
    assert_eq!(
        said(several(), &[], r#"{"namespace":"shop-eu","pod":"a"}"#),
        r#"namespace = "shop-eu"; pod = "a""#
    );
    assert_eq!(said(several(), &[], r#"{"namespace":"pay"}"#), r#"namespace = "pay""#);
    for line in [r#"{"pod":"a"}"#, r#"{"namespace":"other","pod":"a"}"#] {
        let text = said(several(), &[], line);
        assert!(
            text.contains(r#"body.pod = "a""#)
                && !text.contains("; namespace")
                && !text.starts_with("namespace"),
            "{text}"
        );
    }
}

#[test]
fn a_collector_is_believed_in_everything() {
    let line = r#"{"k8s.cluster.name":"c","k8s.node.name":"n","k8s.namespace.name":"any","k8s.deployment.name":"d"}"#;
    assert_eq!(
        said(Trust::in_namespaces(vec!["*".to_owned()]), &[], line),
        r#"cluster = "c"; namespace = "any"; node = "n"; workload = "d"; workload_kind = "Deployment""#
    );
}

#[test]
fn what_is_fixed_is_not_overruled() {
    let known = [("namespace", "edge"), ("source", "http:in"), ("env", "prod")];
    let text = said(Trust::Claimed, &known, r#"{"namespace":"shop","source":"me","env":"dev","pod":"p"}"#);
    for wanted in [
        r#"namespace = "edge""#,
        r#"body.namespace = "shop""#,
        r#"body.source = "me""#,
        r#"source = "http:in""#,
    ] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
}

#[test]
fn time_and_message_come_from_fields_where_the_protocol_has_none() {
    let mut intake = intake(Trust::Claimed, &[]);
    let line = r#"{"@timestamp":"2026-11-20T11:59:00Z","msg":"hi","severity":"WARN"}"#;
    intake.begin();
    intake.flatten(line).unwrap();
    intake.write(&Said { original: Some(line), ..Said::default() }).unwrap();
    intake.begin();
    intake.flatten(r#"{"time":"2026-11-20T11:00:00Z","message":"not this"}"#).unwrap();
    let said = Said { timestamp: Some(OBSERVED), message: Some(b"\xffraw"), ..Said::default() };
    intake.write(&said).unwrap();
    insta::assert_snapshot!(shown(intake), @r#"
    2026-11-20T11:59:00Z
      _original = "{\"@timestamp\":\"2026-11-20T11:59:00Z\",\"msg\":\"hi\",\"severity\":\"WARN\"}"
      level = "warn"
      message = "hi"
    2026-11-20T12:00:00Z
      _original_base64 = "/3Jhdw=="
      body.message = "not this"
      message = "�raw"
      sawyer.mark = "invalid_utf8"
      time = "2026-11-20T11:00:00Z"
    "#);
}

fn nothing() -> Intake {
    intake(Trust::Claimed, &[])
}

#[test]
fn bounds_hold_and_leave_the_batch_as_it_was() {
    let mut intake = nothing();
    for _ in 0..BOUNDS.records_max {
        intake.begin();
        intake.write(&Said { message: Some(b"x"), ..Said::default() }).unwrap();
    }
    intake.begin();
    let said = Said { message: Some(b"x"), ..Said::default() };
    assert_eq!(intake.write(&said), Err(Refused::Full));
    assert_eq!(intake.len(), BOUNDS.records_max);
    let mut intake = nothing();
    let long = vec![b'x'; VALUE_BYTES_MAX + 1];
    intake.begin();
    assert_eq!(intake.write(&Said { message: Some(&long), ..Said::default() }), Err(Refused::TooLong));
    let large = vec![b'x'; 30 << 20];
    intake.begin();
    intake.write(&Said { message: Some(&large), ..Said::default() }).unwrap();
    intake.write(&Said { message: Some(&large), ..Said::default() }).unwrap();
    assert_eq!(intake.write(&Said { message: Some(&large), ..Said::default() }), Err(Refused::Full));
}
