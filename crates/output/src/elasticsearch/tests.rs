//! Against a cluster on loopback that keeps documents by index and id, and fails as its script says.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sawyer_model::{Outcome, Record, Value};
use sawyer_testkit::peer::{Peer, Play, Received, Reply};
use serde_json::{Value as Json, json};

use super::*;
use crate::runs::Rows as _;
use crate::testing::{Bench, batch_of, context, numbered, plan, record, sim};
use sawyer_testkit::Dice;

/// A cluster that keeps documents.
#[derive(Clone, Default)]
struct Cluster(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    documents: BTreeMap<(String, String), Json>,
    templates: BTreeMap<String, Json>,
    conflicts: usize,
    /// Documents that a test wants to be refused, by a text in them.
    refused: Option<&'static str>,
    /// What single documents meet instead of being stored, drawn by chance.
    dice: Option<Dice>,
}

fn body_of(request: &Received) -> Vec<u8> {
    let mut body = Vec::new();
    match request.header("content-encoding") {
        Some("gzip") => {
            flate2::read::GzDecoder::new(&*request.body).read_to_end(&mut body).unwrap();
        }
        None => body = request.body.clone(),
        Some(other) => panic!("sent as {other}"),
    }
    body
}

fn error(kind: &str, reason: &str) -> Json {
    json!({ "type": kind, "reason": reason })
}

impl Cluster {
    fn answer(&self, request: &Received) -> Reply {
        let path = request.target.split('?').next().unwrap();
        match (request.method.as_str(), path) {
            ("POST", "/_bulk") => self.bulk(request),
            (method, path) => self.template(method, path.strip_prefix("/_index_template/").unwrap(), request),
        }
    }

    fn template(&self, method: &str, name: &str, request: &Received) -> Reply {
        let templates = &mut self.0.lock().templates;
        match method {
            "GET" if templates.contains_key(name) => Reply::new(200, "{}"),
            "GET" => Reply::new(404, "{}"),
            "PUT" => {
                let known = templates.insert(name.to_owned(), serde_json::from_slice(&request.body).unwrap());
                assert_eq!(known, None, "what is there is left as it is");
                Reply::new(200, r#"{"acknowledged":true}"#)
            }
            other => panic!("{other}"),
        }
    }

    fn bulk(&self, request: &Received) -> Reply {
        assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
        let body = String::from_utf8(body_of(request)).unwrap();
        assert!(body.ends_with('\n'));
        let mut lines = body.lines();
        let mut items = Vec::new();
        let mut state = self.0.lock();
        while let Some(action) = lines.next() {
            let action: Json = serde_json::from_str(action).unwrap();
            let action = action["create"].as_object().unwrap();
            let key =
                (action["_index"].as_str().unwrap().to_owned(), action["_id"].as_str().unwrap().to_owned());
            items.push(json!({ "create": state.create(&key, lines.next().unwrap()) }));
        }
        let errors = items.iter().any(|item| item["create"]["status"] != 201);
        let answer = json!({ "errors": errors, "items": items });
        Reply::new(200, answer.to_string())
    }

    fn documents(&self) -> BTreeMap<(String, String), Json> {
        self.0.lock().documents.clone()
    }
}

impl State {
    fn create(&mut self, key: &(String, String), text: &str) -> Json {
        let failed = |status: u16, error: Json| json!({ "_id": key.1, "status": status, "error": error });
        match self.dice.as_mut().map(|dice| dice.below(12)) {
            Some(0) => return failed(429, error("es_rejected_execution_exception", "the queue is full")),
            Some(1) => return failed(503, error("unavailable_shards_exception", "the primary is gone")),
            _ => {}
        }
        if self.refused.is_some_and(|word| text.contains(word)) {
            return failed(400, error("document_parsing_exception", "failed to parse field [a]"));
        }
        if self.documents.contains_key(key) {
            self.conflicts += 1;
            return failed(409, error("version_conflict_engine_exception", "document already exists"));
        }
        self.documents.insert(key.clone(), serde_json::from_str(text).unwrap());
        // A cluster that does not know `filter_path` sends much that nobody needs.
        json!({ "_id": key.1, "status": 201, "_shards": { "total": 2, "padding": "x".repeat(300) } })
    }
}

fn open(settings: &str, url: &str) -> Bench {
    let context = context(&sim());
    let text = format!("endpoint: {url}\nretry_pause_max: 100ms\nbatch_age_max: 10ms\n{settings}");
    let output = plan(&kind("elasticsearch"), &text).unwrap().open(&context).unwrap();
    Bench::start(output, context)
}

fn document(record: &Record) -> Json {
    let documents =
        Documents::new(IndexName::parse("logs-{namespace}-{date}").unwrap(), Original::UnlessJson);
    let mut out = Vec::new();
    documents.write(&batch_of(std::slice::from_ref(record)), 0..1, &mut out, &mut |_| {});
    let text = String::from_utf8(out).unwrap();
    let (action, document) = text.split_once('\n').unwrap();
    let id = "00000000000000000000000000000007-0";
    let expected = format!(r#"{{"create":{{"_index":"logs-shop-2026.11.20","_id":"{id}"}}}}"#);
    assert_eq!(action, expected);
    assert!(document.ends_with("}\n"));
    serde_json::from_str(document).unwrap()
}

#[test]
fn a_document_has_the_fields_of_its_record() {
    let mut record = record(0, "it \"works\"");
    record.fields.push(("http.status".into(), Value::Int(500)));
    record.fields.push(("_original".into(), Value::from("raw")));
    record.fields.push(("tags".into(), Value::List(vec![Value::from("a"), Value::Bool(true)])));
    let expected = json!({
        "@timestamp": "2026-11-20T12:00:00Z", "observed": "2026-11-20T12:00:00Z",
        "message": "it \"works\"", "http.status": 500, "original": "raw", "tags": ["a", true],
        "namespace": "shop", "pod": "cart-1", "container": "app",
    });
    assert_eq!(document(&record), expected);
}

#[test]
fn a_line_whose_fields_say_it_all_is_not_repeated() {
    let original = |line: &str, original| {
        let mut record = record(0, "x");
        record.fields.push(("_original".into(), Value::from(line)));
        let documents = Documents::new(IndexName::parse("logs").unwrap(), original);
        let mut out = Vec::new();
        documents.write(&batch_of(&[record]), 0..1, &mut out, &mut |_| {});
        let document = out.split(|byte| *byte == b'\n').nth(1).unwrap();
        serde_json::from_slice::<Json>(document).unwrap().get("original").cloned()
    };
    let json = r#"{"msg": "x", "n": 1.50}"#;
    let long = format!(r#"{{"msg": "{}"}}"#, "x".repeat(70_000));
    for (line, usually) in
        [(json, false), (&format!(" {json} "), false), (&long, true), ("msg=x", true), ("{x", true)]
    {
        let line_of = |kept: bool| kept.then(|| Json::from(line));
        assert_eq!(original(line, Original::UnlessJson), line_of(usually), "{line:.30}");
        assert_eq!(original(line, Original::Always), line_of(true));
        assert_eq!(original(line, Original::Never), None);
    }
}

#[test]
fn names_are_such_as_elasticsearch_takes() {
    let mut record = record(0, "x");
    for name in [
        "_id",
        "@timestamp",
        "original",
        "labels.app",
        "labels.app.kubernetes.io/name",
        "a",
        "a.b.c",
        "d..e",
        "",
        ".f",
        "결제.금액",
    ] {
        record.fields.push((name.into(), Value::Int(1)));
    }
    record.fields.push(("rows".into(), Value::Json(r#"[{"x":1}]"#.into())));
    record.fields.push(("rows.x".into(), Value::Int(1)));
    let document = document(&record);
    let names: BTreeSet<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "@timestamp",
        "observed",
        "message",
        "namespace",
        "pod",
        "container",
        "body._id",
        "body.@timestamp",
        "body.original",
        "labels.app",
        "labels.app_kubernetes_io/name",
        "a",
        "a_b.c",
        "d._.e",
        "_",
        "__f",
        "결제.금액",
        "rows",
    ];
    assert_eq!(names, expected.into());
    assert_eq!(document["rows"], json!([{ "x": 1 }]));
}

#[test]
fn a_name_follows_from_the_record_that_has_it() {
    let with = |fields: &[(&str, Value)]| {
        let mut record = record(0, "x");
        record.fields.extend(fields.iter().map(|(name, value)| ((*name).into(), value.clone())));
        record
    };
    let rows = Value::Json("[]".into());
    let records = [
        with(&[("a", Value::Int(1)), ("a.b", Value::Int(2))]),
        with(&[("a.b", Value::Int(3)), ("pod", Value::Int(4))]),
        with(&[("a", rows), ("a.b", Value::Int(5)), ("pod.ip", Value::Int(6))]),
    ];
    let names = |record: &Record| {
        let Json::Object(document) = document(record) else { panic!() };
        document
    };
    let alone: Vec<_> = records.iter().map(names).collect();
    let documents = Documents::new(IndexName::parse("logs-{date}").unwrap(), Original::UnlessJson);
    let mut out = Vec::new();
    documents.write(&batch_of(&records), 0..records.len(), &mut out, &mut |_| {});
    let lines = out.split(|byte| *byte == b'\n').skip(1).step_by(2);
    let together: Vec<Json> = lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
    assert_eq!(together, alone.iter().cloned().map(Json::Object).collect::<Vec<_>>());
    let has = |at: usize, name: &str| alone[at].contains_key(name);
    assert!(has(0, "a_b") && has(1, "a.b") && !has(2, "a.b") && !has(2, "a_b") && has(2, "pod_ip"));
    assert_eq!(alone[1]["pod"], 4);
}

/// What happens to a request on the way, by chance.
fn fault(cluster: &Cluster, dice: &mut Dice, request: &Received) -> Play {
    let count = body_of(request).iter().filter(|byte| **byte == b'\n').count() / 2;
    if count > 120 {
        return Play::Answer(Reply::new(413, "too large"));
    }
    match dice.below(14) {
        0 => Play::HangUp,
        1 => Play::Answer(Reply::new(429, "slower").header("retry-after", "0")),
        2 => Play::Answer(Reply::new(503, "<html>no backend</html>")),
        3 => Play::Answer(Reply::new(500, "")),
        4 if count % 3 == 0 => Play::Silence,
        // Stored, and nobody is told.
        5 => {
            cluster.answer(request);
            Play::HangUp
        }
        6 => Play::Half(cluster.answer(request)),
        7 => Play::Slowly(cluster.answer(request), Duration::from_millis(50)),
        _ => Play::Answer(cluster.answer(request)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_arrives_once_whatever_happens_on_the_way() {
    const BATCHES: u64 = 60;
    const RECORDS: u64 = 50;
    for seed in 0..3 {
        let cluster = Cluster::default();
        cluster.0.lock().dice = Some(Dice::new(seed));
        let (inner, dice) = (cluster.clone(), Mutex::new(Dice::new(seed + 100)));
        let peer = Peer::start(move |_, request| fault(&inner, &mut dice.lock(), request));
        // The first one is stopped in the middle; the second reads everything again.
        for last in [false, true] {
            let mut bench = open("answer_timeout: 400ms\nbatch_records_max: 400\n", &peer.url());
            for at in 0..BATCHES {
                bench.send(numbered(at * RECORDS, RECORDS)).await;
            }
            if !last {
                bench.until("some arrived", |_| cluster.documents().len() > 100).await;
                let outcomes = bench.give_up().await.1;
                assert!(outcomes.contains(&Outcome::Undelivered), "seed {seed}");
                continue;
            }
            let metrics = bench.context.metrics.clone();
            let (ended, outcomes) =
                tokio::time::timeout(Duration::from_secs(120), bench.drain()).await.unwrap();
            ended.unwrap();
            assert_eq!(outcomes, vec![Outcome::Durable; BATCHES as usize], "seed {seed}");
            let documents = cluster.documents();
            let messages: BTreeSet<&str> =
                documents.values().map(|document| document["message"].as_str().unwrap()).collect();
            let expected: Vec<String> = (0..BATCHES * RECORDS).map(|at| format!("line {at}")).collect();
            assert_eq!(messages, expected.iter().map(String::as_str).collect(), "every one, seed {seed}");
            assert_eq!(documents.len(), messages.len(), "once, seed {seed}");
            let duplicates: i64 =
                metrics.numbers("sawyer_delivery_duplicate_items").iter().map(|(_, n)| n).sum();
            assert!(duplicates > 0, "some were sent again, seed {seed}");
            assert!(cluster.0.lock().conflicts as i64 >= duplicates, "seed {seed}");
        }
    }
}

#[tokio::test]
async fn an_answer_over_512_kib_is_read_whole() {
    let cluster = Cluster::default();
    let inner = cluster.clone();
    let peer = Peer::start(move |_, request| {
        let reply = inner.answer(request);
        assert!(reply.body.len() > 512 << 10);
        Play::Answer(reply)
    });
    let mut bench = open("", &peer.url());
    bench.send(numbered(0, 4000)).await;
    assert_eq!(bench.drain().await.1, [Outcome::Durable]);
    assert_eq!(cluster.documents().len(), 4000);
    assert_eq!(peer.received().len(), 1);
}

#[tokio::test]
async fn a_document_at_fault_costs_no_other() {
    let cluster = Cluster::default();
    cluster.0.lock().refused = Some("line 7\"");
    let inner = cluster.clone();
    let peer = Peer::start(move |_, request| Play::Answer(inner.answer(request)));
    let mut bench = open("", &peer.url());
    bench.send(numbered(0, 20)).await;
    bench.send(numbered(20, 20)).await;
    let metrics = bench.context.metrics.clone();
    let (ended, outcomes) = bench.drain().await;
    ended.unwrap();
    // Nobody keeps dead letters yet, so the source has to.
    assert_eq!(outcomes, [Outcome::Undelivered, Outcome::Durable]);
    assert_eq!(cluster.documents().len(), 39);
    assert_eq!(metrics.numbers("sawyer_delivery_rejected_items")[0].1, 1);
}

#[tokio::test]
async fn wrong_credentials_lose_nothing() {
    let cluster = Cluster::default();
    let inner = cluster.clone();
    let peer = Peer::start(move |number, request| match number {
        0..3 => Play::Answer(Reply::new(401, r#"{"error":"missing authentication credentials"}"#)),
        _ => Play::Answer(inner.answer(request)),
    });
    let mut bench = open("auth: {type: api_key, key: 'id:secret'}", &peer.url());
    bench.send(numbered(0, 5)).await;
    let told = |bench: &Bench| bench.context.health.reasons().into_iter().next();
    bench.until("trouble is told", |bench| told(bench).is_some()).await;
    let reason = told(&bench).unwrap();
    assert!(reason.starts_with("output out: status 401 (are the credentials right?): "), "{reason}");
    let health = bench.context.health.clone();
    assert_eq!(bench.drain().await.1, [Outcome::Durable]);
    assert!(health.reasons().is_empty());
    assert_eq!(cluster.documents().len(), 5);
    assert_eq!(peer.received()[0].header("authorization"), Some("ApiKey aWQ6c2VjcmV0"));
}

#[tokio::test]
async fn sets_a_template_up_once() {
    let cluster = Cluster::default();
    for _ in 0..2 {
        let inner = cluster.clone();
        let peer = Peer::start(move |number, request| match number {
            0 => Play::Answer(Reply::new(503, "")),
            _ => Play::Answer(inner.answer(request)),
        });
        let mut bench = open("index: 'logs-{date}'\ntemplate: data_stream\npipeline: geo", &peer.url());
        bench.deliver(numbered(0, 5)).await;
        bench.deliver(numbered(5, 5)).await;
        bench.drain().await.0.unwrap();
        let bulk = peer.received().last().unwrap().target.clone();
        assert_eq!(bulk, "/_bulk?filter_path=errors,items.*.status,items.*.error&pipeline=geo");
    }
    let templates = cluster.0.lock().templates.clone();
    let template = &templates["logs"];
    assert_eq!(template["index_patterns"], json!(["logs-*"]));
    assert_eq!(template["data_stream"], json!({}));
    assert_eq!(template["template"]["mappings"]["properties"]["@timestamp"]["type"], "date_nanos");
    assert_eq!(cluster.0.lock().conflicts, 10, "the second run found all of it");
}

#[tokio::test]
async fn goes_on_to_the_next_address() {
    let cluster = Cluster::default();
    let inner = cluster.clone();
    let peer = Peer::start(move |_, request| Play::Answer(inner.answer(request)));
    let mut bench = open("compression: none", &format!("[{}, {}]", Peer::nobody(), peer.url()));
    bench.send(numbered(0, 5)).await;
    assert_eq!(bench.drain().await.1, [Outcome::Durable]);
    assert_eq!(cluster.documents().len(), 5);
}

#[tokio::test]
async fn gives_up_at_once_when_it_has_to() {
    let peer = Peer::start(|_, _| Play::Silence);
    let mut bench = open("", &peer.url());
    bench.send(numbered(0, 5)).await;
    let (ended, outcomes) = tokio::time::timeout(Duration::from_secs(20), bench.give_up()).await.unwrap();
    ended.unwrap();
    assert_eq!(outcomes, [Outcome::Undelivered]);
}

#[test]
fn wrong_settings_are_all_told() {
    let told = |text: &str| plan(&kind("elasticsearch"), text).unwrap_err();
    assert_eq!(told(""), "sawyer.yaml:1:1: endpoint: required, and missing; expected list of text");
    assert_eq!(
        told("endpoint: elastic:9200\nindex: Logs\nbatch_mx: 1MiB"),
        "sawyer.yaml:1:1: endpoint: expected an address such as \"https://logs.example:9200\", found \"elastic:9200\"\n\
         sawyer.yaml:2:1: index: an index cannot have `L` in its name, found \"Logs\"\n\
         sawyer.yaml:3:1: batch_mx: unknown key; did you mean `batch_max`?"
    );
    assert_eq!(
        told("endpoint: [elastic:9200, 'http://me:pw@e']\nindex: Logs"),
        "sawyer.yaml:1:1: endpoint: an address with a password in it would be shown in messages; set `auth` instead\n\
         sawyer.yaml:1:1: endpoint: expected an address such as \"https://logs.example:9200\", found \"elastic:9200\"\n\
         sawyer.yaml:2:1: index: an index cannot have `L` in its name, found \"Logs\""
    );
    assert_eq!(
        told("endpoint: http://e\nauth: {type: basic, user: me}"),
        "sawyer.yaml:2:1: auth: expected either `password` or `password_file`"
    );
    let template = "endpoint: http://e\nindex: '{namespace}'\ntemplate: index";
    assert!(
        told(template).starts_with("sawyer.yaml:2:1: index: a template needs an index whose name begins")
    );
}
