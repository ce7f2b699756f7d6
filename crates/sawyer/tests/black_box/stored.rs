//! `sawyer store`, beside a server that runs and after it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sawyer_disk::RealDisk;
use sawyer_model::{Batch, Record, SeqRange, SourceId, Stream};
use sawyer_store::{Store, StorePlan};
use sawyer_telemetry::{Clock, Metrics};
use serde_json::Value;

use crate::harness::{Sawyer, pause, run, text};

/// The first file of segments below a data folder.
fn segment(data: &Path) -> std::path::PathBuf {
    let entry = std::fs::read_dir(data.join("store/segments")).unwrap().next().unwrap();
    entry.unwrap().path()
}

#[test]
fn a_store_is_checked_copied_and_printed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = |args: &[&str], data: &Path| {
        let output = run(&[&["store"], args, &["--data", data.to_str().unwrap()]].concat());
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    let config = folder.path().join("sawyer.yaml");
    std::fs::write(&config, "store: {seal_interval: 100ms}\n").unwrap();
    let mut sawyer = Sawyer::start(
        "server",
        &["--data", data.to_str().unwrap(), "--config", config.to_str().unwrap(), "--log", "info"],
    );
    let lines: String = (0..50)
        .map(|n| format!("{{\"level\":\"{}\",\"msg\":\"m{n}\"}}\n", ["info", "error"][n % 2]))
        .collect();
    assert_eq!(sawyer.post("/api/v1/ingest", lines.as_bytes()).0, 200);
    sawyer.wait_for_count("", 50);

    let backup = folder.path().join("backup/store");
    let copied = store(&["backup", backup.to_str().unwrap()], &data);
    assert!(copied.0, "{copied:?}");
    let again = store(&["backup", backup.to_str().unwrap()], &data);
    assert!(!again.0 && again.2.contains("has something in it"), "{again:?}");
    let verified = store(&["verify"], &data);
    assert!(verified.0 && verified.1.contains("problems=0"), "{verified:?}");
    let busy = store(&["dump"], &data);
    assert!(!busy.0 && busy.2.contains("another process has the data folder open"), "{busy:?}");
    sawyer.kill();

    for data in [&data, &folder.path().join("backup")] {
        let dumped = store(&["dump", "level: error"], data);
        let records: Vec<Value> = dumped.1.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(records.len(), 25, "{dumped:?}");
        assert_eq!(records[0]["_original"], "{\"level\":\"error\",\"msg\":\"m1\"}");
    }
    assert!(store(&["dump", "level: ("], &data).2.contains("query:"));
    let nowhere = store(&["stats"], folder.path());
    assert!(!nowhere.0 && nowhere.2.contains("there is no store"), "{nowhere:?}");
    assert!(!folder.path().join("store").exists());
}

#[test]
fn what_policies_free_is_told_before_and_deleted_records_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = folder.path().join("sawyer.yaml");
    let text_of = |policies: &str| format!("store: {{seal_interval: 100ms, policies: [{policies}]}}\n");
    std::fs::write(&config, text_of("{name: errors, query: 'level: error', keep: 90d}")).unwrap();
    let (data_text, config_text) = (data.to_str().unwrap(), config.to_str().unwrap());
    let mut sawyer = Sawyer::start("server", &["--data", data_text, "--config", config_text]);
    let lines: String =
        (0..60).map(|n| format!("{{\"level\":\"{}\"}}\n", ["info", "error", "debug"][n % 3])).collect();
    assert_eq!(sawyer.post("/api/v1/ingest", lines.as_bytes()).0, 200);
    sawyer.wait_for_count("", 60);
    let deadline = Instant::now() + Duration::from_secs(60);
    while sawyer.get("/api/v1/retention", &[]).1["records"] != 60 {
        assert!(Instant::now() < deadline, "it is sealed soon");
        pause();
    }
    let (status, told) = sawyer.get("/api/v1/retention", &[]);
    assert_eq!(
        (status, &told["policies"][0]["name"], &told["policies"][0]["records"]),
        (200, &"errors".into(), &20.into())
    );
    assert_eq!((&told["policies"][1]["records"], &told["due_records"]), (&40.into(), &0.into()));
    let preview = b"policies: [{name: d, query: 'level: debug', size_max: 1MiB}]";
    let (status, told) = sawyer.post("/api/v1/retention/preview", preview);
    assert_eq!((status, &told["policies"][0]["records"], &told["due_bytes"]), (200, &20.into(), &0.into()));
    let (status, told) =
        sawyer.post("/api/v1/retention/preview", b"policies: [{name: d, query: 'level: ('}]");
    assert_eq!(status, 400, "{told}");
    let store = |args: &[&str]| text(&run(&[&["store"], args, &["--data", data_text]].concat()).stdout);
    let told = store(&["retention", "--config", config_text]);
    assert!(told.starts_with("policy=errors keep=7776000s records=20"), "{told}");
    sawyer.kill();

    assert_eq!(store(&["delete", "level: debug"]), "records=20 deleted=0; `--yes` deletes them\n");
    assert_eq!(store(&["delete", "level: debug", "--yes"]), "deleted=20\n");
    assert_eq!(store(&["delete", "level: debug"]), "records=0 deleted=0; `--yes` deletes them\n");
    assert_eq!(store(&["dump"]).lines().count(), 40);
    assert!(store(&["verify"]).contains("problems=0"));
}

#[test]
fn a_running_server_deletes_what_it_is_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut sawyer = Sawyer::start("server", &["--data", folder.path().to_str().unwrap()]);
    let lines: String =
        (0..60).map(|n| format!("{{\"level\":\"{}\"}}\n", ["info", "debug"][n % 2])).collect();
    assert_eq!(sawyer.post("/api/v1/ingest", lines.as_bytes()).0, 200);
    let json = [("content-type", "application/json")];
    let ask = |sawyer: &Sawyer, headers: &[(&str, &str)], body: &str| {
        let (status, body) = sawyer.request("POST", "/api/v1/delete", headers, body.as_bytes());
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    // Neither by a slip nor from elsewhere.
    let all = r#"{"query": "level: debug", "start": "0", "confirm": true}"#;
    let elsewhere = [json[0], ("x-forwarded-for", "10.0.0.1")];
    assert_eq!((ask(&sawyer, &[], all).0, ask(&sawyer, &elsewhere, all).0), (415, 403));
    for slip in [r#"{"query": "level: debug", "confirm": true}"#, r#"{"start": "0", "confirm": true}"#] {
        let (status, told) = ask(&sawyer, &json, slip);
        assert!(status == 400 && told["error"]["message"].as_str().unwrap().contains("required"), "{told}");
    }
    sawyer.wait_for_count("", 60);

    let server = format!("http://{}", sawyer.address);
    let store = |query: &str, args: &[&str]| {
        let output = run(&[&["store", "delete", query, "--server", &server], args].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    assert_eq!(store("level: debug", &[]), "records=30 deleted=0; `--yes` deletes them\n");
    sawyer.wait_for_count("", 60);
    assert_eq!(store("level: debug", &["--yes"]), "deleted=30\n");
    sawyer.wait_for_count("", 30);
    assert_eq!(ask(&sawyer, &json, all), (200, serde_json::json!({"deleted": 0})));
    let metrics = sawyer.request("GET", "/metrics", &[], b"").1;
    assert!(metrics.contains("sawyer_store_deleted_records_total{} 30"), "{metrics}");
}

#[test]
fn deleting_takes_nothing_else_however_old_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let old = Clock::system().now().saturating_sub(Duration::from_secs(40 * 86_400));
    let record = |start: u64| Record {
        timestamp: old,
        observed: old,
        source: SourceId(7),
        range: SeqRange::new(start, start + 1),
        stream: Arc::new(Stream::new([("namespace", "shop".into())])),
        fields: vec![("level".into(), ["info", "debug"][start as usize % 2].into())],
    };
    let batch: Arc<Batch> = Arc::new((0..10).map(record).collect::<Vec<_>>().iter().collect());
    let open = || {
        let disk = Arc::new(RealDisk::new(data.join("store")).unwrap());
        Store::open_manual(disk, StorePlan::keeping_all(), Clock::manual(old), &Metrics::new()).unwrap()
    };
    assert_eq!(open().append(Arc::clone(&batch)).unwrap().stored, 10);
    let store =
        |args: &[&str]| text(&run(&[&["store"], args, &["--data", data.to_str().unwrap()]].concat()).stdout);
    assert_eq!(store(&["delete", "level: debug", "--yes"]), "deleted=5\n");
    assert_eq!(store(&["dump"]).lines().count(), 5);
    assert_eq!(open().append(batch).unwrap().stored, 0, "its source is remembered");
}

#[test]
fn figures_and_all_records_of_a_query_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let sawyer = Sawyer::start("server", &["--data", folder.path().to_str().unwrap()]);
    let lines: String = (0..1000)
        .map(|n| {
            format!(
                "{{\"message\":\"request {n} took {}ms\",\"took\":{n},\"user\":\"u{}\"}}\n",
                n % 7,
                n % 50
            )
        })
        .collect();
    assert_eq!(sawyer.post("/api/v1/ingest", lines.as_bytes()).0, 200);

    let (status, told) = sawyer.get("/api/v1/summary", &[("field", "took"), ("percentiles", "50,99.9,100")]);
    assert_eq!(status, 200, "{told}");
    assert_eq!(
        (&told["rows"], &told["numbers"], &told["min"], &told["mean"]),
        (&1000.into(), &1000.into(), &0.0.into(), &499.5.into())
    );
    let median = told["percentiles"]["50"].as_f64().unwrap();
    assert!((median - 499.0).abs() <= 5.0 && told["percentiles"]["100"] == 999.0, "{told}");
    let distinct = sawyer.get("/api/v1/summary", &[("field", "user")]).1["distinct"].as_u64().unwrap();
    assert!((49..=51).contains(&distinct), "{distinct}");
    assert_eq!(sawyer.get("/api/v1/summary", &[("field", "took"), ("percentiles", "101")]).0, 400);

    let (status, told) = sawyer.get("/api/v1/patterns", &[]);
    assert_eq!(
        (status, &told["patterns"][0]["pattern"], &told["patterns"][0]["count"]),
        (200, &"request <*> took <*>".into(), &1000.into())
    );

    let (status, body) = sawyer.request("GET", "/api/v1/export?order=asc&query=user:u7", &[], b"");
    let lines: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((status, lines.len()), (200, 21), "{body}");
    assert!(lines[..20].iter().all(|record| record["user"] == "u7"));
    let end = &lines[20]["_end"];
    assert_eq!(
        (&end["cursor"], &end["stats"]["partial"], &end["stats"]["rows_matched"]),
        (&Value::Null, &false.into(), &20.into())
    );

    let (status, told) = sawyer.get("/api/v1/export", &[("format", "xml")]);
    assert_eq!((status, told["error"]["message"].to_string().contains("`parquet`")), (400, true), "{told}");
    assert_eq!(sawyer.get("/api/v1/export", &[("format", "parquet"), ("truncate", "100")]).0, 400);

    let (status, told) = sawyer.get("/api/v1/count", &[("time_max", "0s")]);
    assert_eq!((status, &told["stats"]["partial"]), (200, &true.into()), "{told}");
    assert_eq!(sawyer.get("/api/v1/count", &[("bytes_max", "much")]).0, 400);

    let address = format!("http://{}", sawyer.address);
    let printed = text(&run(&["query", "--server", &address, "--patterns"]).stdout);
    assert_eq!(printed, "      1000  request <*> took <*>\n");
    let printed = text(&run(&["query", "--server", &address, "--summary", "took"]).stdout);
    assert!(printed.contains("      rows  1000\n") && printed.contains("       p50  "), "{printed}");
}

#[test]
fn what_queries_may_take_can_be_set() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sawyer.yaml");
    std::fs::write(&config, "queries: {rows_max: 10}\n").unwrap();
    let (config, data) = (config.to_str().unwrap(), folder.path().join("data"));
    let sawyer = Sawyer::start("server", &["--data", data.to_str().unwrap(), "--config", config]);
    assert_eq!(sawyer.post("/api/v1/ingest", "{\"message\":\"hello\"}\n".repeat(20).as_bytes()).0, 200);
    let (status, told) = sawyer.get("/api/v1/count", &[]);
    assert_eq!((status, &told["stats"]["partial"]), (200, &true.into()), "{told}");
    let (status, told) = sawyer.get("/api/v1/search", &[]);
    assert_eq!((status, told["records"].as_array().map(Vec::len)), (200, Some(0)), "{told}");
    assert!(told["cursor"].is_string(), "there is more: {told}");
    let checked = run(&["check", "--role", "agent", "--config", config]);
    let refused = text(&checked.stderr);
    assert!(!checked.status.success() && refused.contains("answers no queries"), "{refused}");
}

#[test]
fn damage_is_found_by_verify() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = folder.path().join("sawyer.yaml");
    std::fs::write(&config, "store: {seal_interval: 50ms}\n").unwrap();
    let arguments = ["--data", data.to_str().unwrap(), "--config", config.to_str().unwrap()];
    let mut sawyer = Sawyer::start("server", &arguments);
    assert_eq!(sawyer.post("/api/v1/ingest", b"{\"msg\":\"one\"}\n").0, 200);
    sawyer.wait_for_count("", 1);
    while std::fs::read_dir(data.join("store/segments")).unwrap().next().is_none() {
        pause();
    }
    let status = sawyer.stop();
    assert!(status.1.success(), "{status:?}");
    let stats = run(&["store", "stats", "--data", data.to_str().unwrap()]);
    assert!(text(&stats.stdout).contains("column=message"), "{stats:?}");
    let file = segment(&data);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[30] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let verified = run(&["store", "verify", "--data", data.to_str().unwrap()]);
    assert!(!verified.status.success());
    let said = text(&verified.stdout);
    assert!(
        said.contains(file.file_name().unwrap().to_str().unwrap()) && said.contains("problems=1"),
        "{said}"
    );
}

/// Kills the server at random moments while records come in, are sealed and merged.
#[test]
fn what_was_acknowledged_survives_any_kill() {
    const LIVES: u64 = 12;
    const LINES: u64 = 40;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = folder.path().join("sawyer.yaml");
    let settings = "seal_interval: 20ms, memory_max: 1MiB, merged_bytes_max: 256KiB";
    let policy = "policies: [{name: all, query: 'level: debug', size_max: 1MiB}]";
    std::fs::write(&config, format!("store: {{{settings}, {policy}}}\n")).unwrap();
    let arguments = ["--data", data.to_str().unwrap(), "--config", config.to_str().unwrap()];
    let (mut next, mut acknowledged) = (0, Vec::new());
    for life in 0..LIVES {
        let sawyer = Sawyer::start("server", &arguments);
        let (address, pid) = (sawyer.address, sawyer.pid().to_string());
        // Some lives end while the first records come in, others while much is merged.
        let moment = Duration::from_millis(5 + life * 7919 % 600);
        let killer = std::thread::spawn(move || {
            std::thread::park_timeout(moment);
            std::process::Command::new("kill").args(["-9", &pid]).status().unwrap()
        });
        loop {
            let first = next * LINES;
            let body: String = (first..first + LINES)
                .map(|n| format!("{{\"level\":\"info\",\"message\":\"line {n}\"}}\n"))
                .collect();
            let key = format!("batch-{next}");
            next += 1;
            if !posted(address, &key, &body) {
                break;
            }
            acknowledged.extend(first..first + LINES);
        }
        assert!(killer.join().unwrap().success());
        drop(sawyer);
        let verified = run(&["store", "verify", "--data", data.to_str().unwrap()]);
        assert!(verified.status.success(), "life {life}: {}", text(&verified.stdout));
    }
    assert!(acknowledged.len() as u64 > LIVES * LINES, "{}", acknowledged.len());
    let dumped = text(&run(&["store", "dump", "--data", data.to_str().unwrap()]).stdout);
    let mut found: Vec<u64> = dumped
        .lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            record["message"].as_str().unwrap().strip_prefix("line ").unwrap().parse().unwrap()
        })
        .collect();
    found.sort_unstable();
    assert!(found.windows(2).all(|two| two[0] < two[1]), "a record is there twice");
    let lost = acknowledged.iter().filter(|line| found.binary_search(line).is_err()).count();
    assert_eq!(lost, 0, "of {}", acknowledged.len());
}

/// Sends a body; says whether it was acknowledged.
fn posted(address: SocketAddr, key: &str, body: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let head = format!(
        "POST /api/v1/ingest HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nidempotency-key: {key}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    let mut answer = String::new();
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
    sent.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
}
