use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::pushed::Trust;
use crate::pushed::tests::{intake, shown};

fn take(body: &[u8], index: Option<&str>) -> Result<(Bulk, Value, String), BulkError> {
    let mut intake = intake(Trust::Everything, &[]);
    let bulk = read(body, index, "client", &mut intake)?;
    let items = serde_json::from_str(&format!("[{}]", bulk.items)).unwrap();
    Ok((bulk, items, shown(intake)))
}

#[test]
fn what_was_there_is_told_in_its_item() {
    let body: String = ["create a", "index b", "create c", "create a", "create b", "index b"]
        .iter()
        .filter_map(|what| what.split_once(' '))
        .map(|(action, id)| format!("{{\"{action}\":{{\"_id\":\"{id}\"}}}}\n{{\"message\":\"{id}\"}}\n"))
        .collect();
    let mut intake = intake(Trust::Everything, &[]);
    let mut bulk = read(body.as_bytes(), Some("logs"), "client", &mut intake).unwrap();
    let batch = intake.finish().batch;
    let source = |at: usize| batch.get(at).source();
    // `b` was there before, so all three are known; of `a` the first is new, and the second a repetition.
    let other = SourceId(7);
    assert!(bulk.settle(&[source(1), source(1), source(1), source(0), other]));
    let items: Value = serde_json::from_str(&format!("[{}]", bulk.items)).unwrap();
    let told: Vec<String> = items
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            let (action, item) = item.as_object().unwrap().iter().next().unwrap();
            format!(
                "{action} {} {} {} {}",
                item["_id"], item["status"], item["result"], item["error"]["type"]
            )
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    create "a" 201 "created" null
    index "b" 200 "noop" null
    create "c" 201 "created" null
    create "a" 409 null "version_conflict_engine_exception"
    create "b" 409 null "version_conflict_engine_exception"
    index "b" 200 "noop" null
    "#);
    let mut again = bulk.clone();
    assert!(!again.settle(&[other]));
    assert_eq!(again.items, bulk.items);
}

#[test]
fn every_action_has_its_item_in_order() {
    let body = concat!(
        r#"{"create":{"_index":"logs","_type":"_doc"}}"#,
        "\n",
        r#"{"@timestamp":"2026-11-20T11:00:00Z","message":"one","kubernetes":{"namespace_name":"shop","pod_name":"cart"}}"#,
        "\n\n",
        r#"{ "index" : { "_index":"logs", "_id": 7, "pipeline":"x" } }"#,
        "\r\n",
        r#"{"msg":"two","log.level":"warn"}"#,
        "\r\n",
        r#"{"index":{}}"#,
        "\nnot json\n",
        r#"{"update":{"_id":"a"}}"#,
        "\n{\"doc\":{}}\n",
        r#"{"delete":{"_id":"a\"b"}}"#,
        "\n",
        r#"{"create":{}}"#,
        "\n{\"message\":\"last\"}",
    );
    let (bulk, items, records) = take(body.as_bytes(), Some("usual")).unwrap();
    assert_eq!((bulk.accepted, bulk.rejected), (3, 3));
    let told: Vec<String> = items
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            let (action, item) = item.as_object().unwrap().iter().next().unwrap();
            format!("{action} {} {} {}", item["_index"], item["status"], item["error"]["reason"])
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    create "logs" 201 null
    index "logs" 201 null
    index "usual" 400 "failed to parse: column 1: expected `{`, found `n`"
    update "usual" 400 "`update` is not possible: log records do not change"
    delete "usual" 400 "`delete` is not possible: log records do not change"
    create "usual" 201 null
    "#);
    assert_eq!(items[1]["index"]["_id"], "7");
    assert_eq!(items[4]["delete"]["_id"], "a\"b");
    assert_eq!(items[0]["create"]["_id"].as_str().unwrap().len(), 34);
    insta::assert_snapshot!(records, @r#"
    2026-11-20T11:00:00Z
      _original = "{\"@timestamp\":\"2026-11-20T11:00:00Z\",\"message\":\"one\",\"kubernetes\":{\"namespace_name\":\"shop\",\"pod_name\":\"cart\"}}"
      elasticsearch.index = "logs"
      message = "one"
      namespace = "shop"
      pod = "cart"
    2026-11-20T12:00:00Z
      _original = "{\"msg\":\"two\",\"log.level\":\"warn\"}"
      elasticsearch.id = "7"
      elasticsearch.index = "logs"
      level = "warn"
      message = "two"
    2026-11-20T12:00:00Z
      _original = "{\"message\":\"last\"}"
      elasticsearch.index = "usual"
      message = "last"
    "#);
}

#[test]
fn the_same_id_in_the_same_index_is_the_same_record() {
    let ids = |action: &str, doc: &str, sender: &str| {
        let mut intake = intake(Trust::Claimed, &[]);
        read(format!("{action}\n{doc}\n").as_bytes(), Some("i"), sender, &mut intake).unwrap();
        intake.finish().batch.get(0).id()
    };
    let (a, doc) = (r#"{"index":{"_id":"a"}}"#, r#"{"message":"x","@timestamp":"2026-11-20T11:00:00Z"}"#);
    let known = ids(a, doc, "c");
    assert_eq!(ids(r#"{"create":{"_id":"a","_index":"i"}}"#, doc, "c"), known);
    assert_ne!(ids(r#"{"index":{"_id":"b"}}"#, doc, "c"), known);
    assert_ne!(ids(r#"{"index":{"_id":"a","_index":"j"}}"#, doc, "c"), known);
    assert_ne!(ids(a, doc, "other"), known);
    let at = |time: &str| ids(a, &doc.replace("2026-11-20T11:00:00Z", time), "c");
    assert_eq!(at("2026-11-20T12:00:00+01:00"), known);
    assert_ne!(at("2026-11-20T11:00:00.000000001Z"), known, "a moment later is another time");
}

#[test]
fn a_request_that_is_none_is_told_with_its_line() {
    let error = |body: &str| take(body.as_bytes(), Some("i")).unwrap_err().to_string();
    assert_eq!(error("\n\n"), "request body is required");
    assert_eq!(
        error("{\"index\":{}}\n{}\n{\"indx\":{}}\n{}\n"),
        "Malformed action/metadata line [3], expected an object with one of `create`, `index`, `update`, `delete`, found `indx`"
    );
    assert!(error("{\"index\":{}}\n").contains("The document of the action in line [1] is missing"));
    assert!(error("[1]\n{}").starts_with("Malformed action/metadata line [1]"));
    let (_, items, _) = take(b"{\"index\":{}}\n{}\n", None).unwrap();
    assert_eq!(items[0]["index"]["error"]["reason"], "index is missing");
}

/// As Elasticsearch's own tests have it (`bulk/10_basic.yml`).
#[test]
fn empty_ids_empty_actions_and_op_types_are_as_in_elasticsearch() {
    let body = concat!(
        r#"{"index":{"_id":""}}"#,
        "\n{\"f\":1}\n",
        r#"{"index":{"_id":"id"}}"#,
        "\n{\"f\":2}\n",
        r#"{"index":{}}"#,
        "\n{\"f\":3}\n",
        r#"{"create":{}}"#,
        "\n{\"f\":4}\n",
        r#"{"index":{"op_type":"create"}}"#,
        "\n{\"f\":5}\n",
    );
    let (bulk, items, _) = take(body.as_bytes(), Some("test")).unwrap();
    assert_eq!((bulk.accepted, bulk.rejected), (4, 1));
    assert_eq!(items[0]["index"]["status"], 400);
    assert_eq!(items[0]["index"]["error"]["type"], "illegal_argument_exception");
    assert_eq!(items[0]["index"]["error"]["reason"], "if _id is specified it must not be empty");
    for (at, action) in [(1, "index"), (2, "index"), (3, "create"), (4, "create")] {
        assert_eq!(items[at][action]["result"], "created", "{at}");
    }
    let error = take(b"{\"index\":{}}\n{\"f\":1}\n{}\n{\"f\":1}\n", Some("test")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Malformed action/metadata line [3], expected FIELD_NAME but found [END_OBJECT]"
    );
}

#[test]
fn single_documents_are_taken_too() {
    let mut intake = intake(Trust::Claimed, &[]);
    let meta = Meta { action: Action::Create, index: Some("i".into()), id: Some("7".into()) };
    let bulk = read_one(b"{\n \"message\": \"x\"\n}", &meta, "c", &mut intake).unwrap();
    let item: Value = serde_json::from_str(&bulk.items).unwrap();
    assert_eq!((&item["create"]["_id"], &item["create"]["status"]), (&"7".into(), &201.into()));
    assert_eq!(intake.len(), 1);
}

proptest! {
    #[test]
    fn answers_are_json_whatever_comes(
        lines in prop::collection::vec(
            prop_oneof![
                Just(r#"{"index":{"_id":"\u0000\"x"}}"#.to_owned()),
                Just(r#"{"delete":{"_index":"\\"}}"#.to_owned()),
                Just(r#"{"message":"x"}"#.to_owned()),
                ".{0,20}",
            ],
            0..12,
        ),
    ) {
        if let Ok((bulk, items, _)) = take(lines.join("\n").as_bytes(), Some("i\"")) {
            prop_assert_eq!(items.as_array().unwrap().len() as u64, bulk.accepted + bulk.rejected);
        }
    }

    #[test]
    fn any_bytes_never_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..120)) {
        let _ = take(&body, None);
    }
}
