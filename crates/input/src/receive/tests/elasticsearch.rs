//! What clients of Elasticsearch ask and write, call by call.

use serde_json::Value;

use crate::receive::bench::{Bench, Fate, field};
use crate::receive::elasticsearch::read_plan;

const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");

const BULK: &[u8] = b"{\"create\":{\"_index\":\"logs\"}}\n{\"message\":\"one\"}\n{\"index\":{\"_index\":\"logs\",\"_id\":\"7\"}}\n{\"message\":\"two\"}\n";

#[tokio::test]
async fn every_answer_names_the_product() {
    let bench = Bench::start(read_plan, "");
    for (method, path) in
        [("GET", "/"), ("HEAD", "/"), ("GET", "/_license"), ("POST", "/_bulk"), ("GET", "/nothing/_search")]
    {
        let answer = bench.ask(method, path, &[], b"").await;
        assert!(answer.head.contains("x-elastic-product: elasticsearch"), "{method} {path}: {}", answer.head);
    }
    let info = bench.ask("GET", "/", &[], b"").await.json();
    assert_eq!(info["version"]["number"], "8.19.0");
    assert_eq!(info["version"]["build_flavor"], "default");
    assert_eq!(info["tagline"], "You Know, for Search");
    assert_eq!(bench.ask("HEAD", "/", &[], b"").await.body, b"");
}

/// As libbeat does: `HEAD` 404, `PUT` 200, `GET` 404, `PUT`, then bulk.
#[tokio::test]
async fn filebeat_starts_and_writes() {
    let bench = Bench::start(read_plan, "");
    let calls: [(&str, &str, &[u8], u16); 12] = [
        ("GET", "/", b"", 200),
        ("GET", "/_license", b"", 200),
        ("GET", "/_xpack", b"", 200),
        ("GET", "/_ilm/policy/filebeat", b"", 404),
        ("PUT", "/_ilm/policy/filebeat", br#"{"policy":{"phases":{}}}"#, 200),
        ("GET", "/_ilm/policy/filebeat", b"", 200),
        ("HEAD", "/_index_template/filebeat-8.19.0", b"", 404),
        ("PUT", "/_index_template/filebeat-8.19.0", br#"{"index_patterns":["filebeat-*"]}"#, 200),
        ("HEAD", "/_index_template/filebeat-8.19.0", b"", 200),
        ("GET", "/_data_stream/filebeat-8.19.0", b"", 404),
        ("PUT", "/_data_stream/filebeat-8.19.0", b"", 200),
        ("GET", "/_data_stream/filebeat-8.19.0", b"", 200),
    ];
    for (method, path, body, status) in calls {
        let answer = bench.ask(method, path, &[("x-elastic-product-origin", "beats")], body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
    }
    let path = "/_bulk?filter_path=errors%2Citems.%2A.error%2Citems.%2A.status";
    let answer = bench.post(path, &[NDJSON], BULK).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["items"][0]["create"]["status"], 201);
    assert_eq!(bench.messages(), ["one", "two"]);
}

#[tokio::test]
async fn fluent_bit_finds_the_words_it_looks_for() {
    let bench = Bench::start(read_plan, "");
    let answer = bench.post("/_bulk", &[NDJSON], BULK).await;
    assert!(answer.text().contains(r#""errors":false,"items":["#), "{}", answer.text());
    let wrong = [BULK, b"{\"create\":{\"_index\":\"logs\",\"_type\":\"_doc\"}}\nnot json\n"].concat();
    let answer = bench.post("/_bulk", &[NDJSON], &wrong).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains(r#""errors":true,"items":["#), "{}", answer.text());
    let items = answer.json()["items"].clone();
    assert_eq!(items[2]["create"]["status"], 400);
    assert_eq!(items[2]["create"]["error"]["type"], "document_parsing_exception");
    assert!(
        bench
            .metrics
            .text()
            .contains(r#"sawyer_receiver_rejected_records_total{input="in",reason="document"} 1"#)
    );
    assert_eq!(bench.taken().len(), 4);
}

/// Fluent Bit reads the first 512 KB of an answer, and looks for the words in them.
#[tokio::test]
async fn a_long_answer_begins_with_what_fluent_bit_looks_for() {
    let bench = Bench::start(read_plan, "");
    let id = "i".repeat(500);
    let bulk: String = (0..1200)
        .map(|number| {
            format!("{{\"create\":{{\"_index\":\"logs\",\"_id\":\"{id}{number}\",\"_type\":\"_doc\"}}}}\n{{\"log\":\"{number}\"}}\n")
        })
        .collect();
    let answer = bench.post("/_bulk?pipeline=any", &[NDJSON], bulk.as_bytes()).await;
    assert!(answer.body.len() > 512 << 10, "{}", answer.body.len());
    let beginning = String::from_utf8_lossy(&answer.body[..200]).into_owned();
    assert!(
        beginning.starts_with("{\"took\":") && beginning.contains(r#","errors":false,"items":[{"create":{"#),
        "{beginning}"
    );
    assert_eq!(answer.json()["items"].as_array().unwrap().len(), 1200);
    assert_eq!(bench.taken().len(), 1200);
}

/// Logstash looks who is there, at the licence, and for further nodes, which may only be this one, by the name it knows.
#[tokio::test]
async fn logstash_starts_and_writes() {
    let bench = Bench::start(read_plan, "");
    let calls: [(&str, &str, &[u8], u16); 8] = [
        ("HEAD", "/", b"", 200),
        ("GET", "/", b"", 200),
        ("GET", "/_license", b"", 200),
        ("GET", "/_nodes/http", b"", 200),
        ("GET", "/_ilm/policy/logstash-policy", b"", 404),
        ("PUT", "/_ilm/policy/logstash-policy", br#"{"policy":{"phases":{}}}"#, 200),
        ("HEAD", "/_index_template/ecs-logstash", b"", 404),
        ("PUT", "/_index_template/ecs-logstash", br#"{"index_patterns":["ecs-logstash-*"]}"#, 200),
    ];
    for (method, path, body, status) in calls {
        let answer = bench.ask(method, path, &[], body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        assert!(answer.head.contains("x-elastic-product: elasticsearch"), "{method} {path}");
        if path == "/_license" {
            assert_eq!(answer.json()["license"]["status"], "active");
        }
        if path == "/_nodes/http" {
            let nodes = answer.json()["nodes"].as_object().unwrap().clone();
            let node = nodes.values().next().unwrap();
            assert_eq!((nodes.len(), &node["http"]["publish_address"]), (1, &"localhost".into()));
        }
    }
    assert_eq!(bench.post("/_bulk", &[("content-type", "application/json")], BULK).await.status, 200);
    assert_eq!(bench.messages(), ["one", "two"]);
}

/// Vector asks for the health before it starts; rsyslog for a table of it.
#[tokio::test]
async fn health_is_told_as_json_and_as_a_table() {
    let bench = Bench::start(read_plan, "");
    let answer = bench.ask("GET", "/_cluster/health", &[], b"").await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("green")));
    let answer = bench.ask("GET", "/_cat/health", &[], b"").await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.head.contains("content-type: text/plain") && answer.text().contains(" sawyer green 1 1 "),
        "{}",
        answer.text()
    );
    let answer = bench.ask("GET", "/_cat/health?format=json", &[], b"").await;
    assert_eq!(answer.json()[0]["status"], "green");
}

/// Bulk helpers ask for it at their end.
#[tokio::test]
async fn what_is_written_is_refreshed() {
    let bench = Bench::start(read_plan, "");
    for path in ["/_refresh", "/logs/_refresh"] {
        assert_eq!(bench.post(path, &[], b"").await.json()["_shards"]["failed"], 0);
    }
    assert_eq!(bench.ask("DELETE", "/logs/_refresh", &[], b"").await.status, 400);
}

/// What a data stream keeps for how long is put and found, as Filebeat does at a serverless Elasticsearch.
#[tokio::test]
async fn the_lifecycle_of_a_data_stream_is_found_again() {
    let bench = Bench::start(read_plan, "");
    let path = "/_data_stream/filebeat/_lifecycle";
    assert_eq!(bench.ask("GET", path, &[], b"").await.status, 404);
    assert_eq!(bench.ask("PUT", path, &[], br#"{"data_retention":"7d"}"#).await.status, 200);
    let found = bench.ask("GET", path, &[], b"").await.json();
    assert_eq!(found["data_streams"][0]["name"], "filebeat");
    assert_eq!(found["data_streams"][0]["lifecycle"]["data_retention"], "7d");
}

#[tokio::test]
async fn clients_of_version_nine_put_and_get_their_media_type() {
    let bench = Bench::start(read_plan, "version: 9.1.0");
    let headers = [
        ("content-type", "application/vnd.elasticsearch+x-ndjson; compatible-with=9"),
        ("accept", "application/vnd.elasticsearch+json; compatible-with=9"),
    ];
    let answer = bench.ask("PUT", "/_bulk", &headers, BULK).await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.head.contains("content-type: application/vnd.elasticsearch+json; compatible-with=9"),
        "{}",
        answer.head
    );
    assert_eq!(bench.taken().len(), 2, "a PUT is no empty success");
}

#[tokio::test]
async fn the_same_id_is_the_same_record() {
    let bench = Bench::start(read_plan, "");
    for _ in 0..2 {
        bench.post("/_bulk", &[NDJSON], BULK).await;
    }
    let ids: Vec<_> = bench.taken().iter().map(|record| (record.source, record.range)).collect();
    assert_eq!(ids[1], ids[3], "it has an id");
    assert_ne!(ids[0], ids[2], "it has none");
    assert_eq!(field(&bench.taken()[1], "elasticsearch.id"), "7");
}

#[tokio::test]
async fn single_documents_and_indices_work() {
    let bench = Bench::start(read_plan, "");
    let answer = bench.ask("PUT", "/logs/_doc/7", &[], b"{\"message\":\"one\"}").await;
    assert_eq!((answer.status, answer.json()["result"].as_str()), (201, Some("created")));
    let answer = bench.post("/logs/_doc", &[], b"{\"message\":\"two\"}").await;
    assert_eq!(answer.status, 201);
    let answer = bench.post("/logs/_doc", &[], b"no").await;
    assert_eq!(
        (answer.status, answer.json()["error"]["type"].as_str()),
        (400, Some("document_parsing_exception"))
    );
    assert_eq!(bench.ask("HEAD", "/logs", &[], b"").await.status, 404);
    assert_eq!(bench.ask("PUT", "/logs", &[], b"{}").await.status, 200);
    assert_eq!(bench.ask("HEAD", "/logs", &[], b"").await.status, 200);
    assert_eq!(bench.messages(), ["one", "two"]);
}

#[tokio::test]
async fn nothing_unknown_succeeds() {
    let bench = Bench::start(read_plan, "");
    for (method, path) in [
        ("PUT", "/_security/user/x"),
        ("POST", "/logs/_search"),
        ("DELETE", "/logs"),
        ("PUT", "/a/b/c"),
        ("POST", "/_bulk/x"),
        ("GET", "/_cat/indices"),
        ("GET", "/logs/_count"),
    ] {
        let answer = bench.ask(method, path, &[], b"{}").await;
        assert_eq!(answer.status, 400, "{method} {path}: {}", answer.text());
        assert_eq!(answer.json()["status"], 400);
        assert!(answer.json()["error"]["reason"].as_str().unwrap().contains("no handler found for uri"));
    }
    assert!(bench.taken().is_empty());
}

#[tokio::test]
async fn trouble_is_told_as_elasticsearch_tells_it() {
    let settings = "clients: {shop: {token: key, namespaces: [shop]}}\nwait_max: 100ms\nanswer_max: 1s";
    let bench = Bench::start(read_plan, settings);
    let answer = bench.post("/_bulk", &[], BULK).await;
    assert_eq!((answer.status, error_type(&answer.json())), (401, "security_exception".to_owned()));
    assert!(answer.head.contains("www-authenticate: basic"), "{}", answer.head);
    let key = ("authorization", "ApiKey aWQ6a2V5");
    let answer = bench.post("/_bulk", &[key], b"{\"index\":{}}\n{}\n{\"no\":1}\n").await;
    assert_eq!((answer.status, error_type(&answer.json())), (400, "illegal_argument_exception".to_owned()));
    *bench.fate.lock() = Fate::Undelivered;
    let answer = bench.post("/_bulk", &[key], BULK).await;
    assert_eq!((answer.status, error_type(&answer.json())), (503, "cluster_block_exception".to_owned()));
    *bench.fate.lock() = Fate::Waits;
    let mut long = b"{\"index\":{\"_index\":\"i\"}}\n{\"message\":\"".to_vec();
    long.extend(vec![b'x'; 600_000]);
    long.extend(b"\"}\n");
    bench.post("/_bulk", &[key], &long).await;
    let answer = bench.post("/_bulk", &[key], &long).await;
    assert_eq!(
        (answer.status, error_type(&answer.json())),
        (429, "es_rejected_execution_exception".to_owned())
    );
    assert!(answer.head.contains("retry-after: 1"), "{}", answer.head);
}

fn error_type(answer: &Value) -> String {
    assert_eq!(answer["error"]["type"], answer["error"]["root_cause"][0]["type"]);
    answer["error"]["type"].as_str().unwrap().to_owned()
}
