//! The common schema, and who may say who speaks.

use std::fs;

use crate::harness::Sawyer;

const RECORD: &str = r#"{"timestamp":"2024-06-01T12:34:56Z","level":"ERROR","service":"user-api","namespace":"prod","pod":"user-api-1234abcd","trace_id":"abc123xyz","message":"DB connection timeout"}"#;

#[test]
fn a_body_fills_the_common_fields_and_does_not_pass_for_somebody_else() {
    let folder = tempfile::tempdir().unwrap();
    let container =
        folder.path().join("host/var/log/pods/dev_real-1_0a1b2c3d-0ab6-44a9-aff5-be71699ac8b8/app");
    fs::create_dir_all(&container).unwrap();
    fs::write(container.join("0.log"), format!("2026-11-20T10:00:00Z stdout F {RECORD}\n")).unwrap();
    let mut sawyer = Sawyer::up(folder.path());
    sawyer.wait_for_count("pod: *", 1);
    let record = &sawyer.all("*")[0];
    assert_eq!(record["timestamp"], "2026-11-20T10:00:00Z", "the runtime's time counts");
    assert_eq!(record["_original"], RECORD);
    for query in [
        "level: error",
        "level: ERROR",
        "service: user-api",
        "trace_id: abc123xyz",
        "trace_id: ABC123XYZ",
        "abc123xyz",
        "message: timeout",
        "message: \"connection timeout\"",
        "\"DB connection\"",
        "namespace: dev",
        "pod: real-1",
        "body.namespace: prod",
        "body.pod: user-api-*",
        "body.timestamp: \"2024-06-01T12:34:56Z\"",
        "kubernetes.namespace_name: dev",
        "service.name: user-api",
    ] {
        assert_eq!(sawyer.count(query), 1, "{query} in {record}");
    }
    for query in ["namespace: prod", "pod: user-api-*", "level: info", "message: connect", "service: app"] {
        assert_eq!(sawyer.count(query), 0, "{query} in {record}");
    }
}

#[test]
fn a_body_that_names_no_service_speaks_for_its_container_and_tells_its_trace() {
    let folder = tempfile::tempdir().unwrap();
    let container =
        folder.path().join("host/var/log/pods/dev_real-1_0a1b2c3d-0ab6-44a9-aff5-be71699ac8b8/app");
    fs::create_dir_all(&container).unwrap();
    let lines = [
        r#"{"msg":"a","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#,
        r#"{"msg":"b","service":"cart","env":"prod"}"#,
    ];
    let rows: String = lines.iter().map(|line| format!("2026-11-20T10:00:00Z stdout F {line}\n")).collect();
    fs::write(container.join("0.log"), rows).unwrap();
    let mut sawyer = Sawyer::up(folder.path());
    sawyer.wait_for_count("pod: *", 2);
    let [one, two] = <[_; 2]>::try_from(sawyer.all("*")).unwrap();
    assert_eq!((&one["message"], &one["service"]), (&"a".into(), &"app".into()), "{one}");
    assert_eq!(one["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(one["span_id"], "00f067aa0ba902b7");
    assert_eq!((&two["service"], &two["env"]), (&"cart".into(), &"prod".into()), "{two}");
    for (query, count) in [("service: app", 1), ("service: cart", 1), ("service: *", 2), ("env: prod", 1)] {
        assert_eq!(sawyer.count(query), count, "{query}");
    }
}

#[test]
fn a_pushed_record_keeps_its_claims_as_claims() {
    let folder = tempfile::tempdir().unwrap();
    let sawyer = Sawyer::up(folder.path());
    let body =
        format!("{RECORD}\n{{\"message\": 1,}}\n\n{{\"msg\":\"결제 완료\",\"@timestamp\":1717245296000}}\n");
    let (status, answer) = sawyer.post("/api/v1/ingest", body.as_bytes());
    assert_eq!((status, &answer["accepted"], &answer["rejected"]), (200, &2.into(), &1.into()), "{answer}");
    let told: Vec<(u64, &str)> = answer["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["line"].as_u64().unwrap(), item["status"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [(1, "stored"), (2, "rejected"), (4, "stored")]);
    assert!(answer["items"][1]["error"].as_str().unwrap().starts_with("column "), "{answer}");
    // Acknowledged means durable, and what is durable can be searched.
    assert_eq!(sawyer.count("namespace: prod and identity: claimed and level: error"), 1);
    assert_eq!(sawyer.count("message: 결제"), 1);
    assert_eq!(sawyer.all("trace_id: abc123xyz")[0]["timestamp"], "2024-06-01T12:34:56Z");
    sawyer.kill();
    assert_eq!(Sawyer::up(folder.path()).count("*"), 2);
}

#[test]
fn a_request_repeated_under_its_key_stores_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let sawyer = Sawyer::up(folder.path());
    for _ in 0..3 {
        let headers = [("idempotency-key", "batch-17")];
        let (status, answer) =
            sawyer.request("POST", "/api/v1/ingest", &headers, b"{\"message\":\"a\"}\n{\"message\":\"b\"}");
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!(sawyer.count("*"), 2);
    // What is acknowledged is there, so another body under the same key must not pass for the first.
    let headers = [("idempotency-key", "batch-17")];
    let (status, answer) = sawyer.request("POST", "/api/v1/ingest", &headers, b"{\"message\":\"other\"}");
    assert_eq!((status, sawyer.count("other")), (200, 1), "{answer}");
}

#[test]
fn a_process_without_the_input_for_it_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sawyer.yaml");
    fs::write(&config, "inputs: {containers: }\n").unwrap();
    let (config, data) = (config.to_str().unwrap(), folder.path().join("data"));
    let sawyer = Sawyer::start("server", &["--config", config, "--data", data.to_str().unwrap()]);
    let (status, answer) = sawyer.post("/api/v1/ingest", b"{\"message\":1}");
    assert_eq!(status, 400, "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("no input of the kind `push`"), "{answer}");
}
