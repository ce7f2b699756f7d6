//! `sawyer store`, beside a server that runs and after it.

use std::hash::BuildHasher;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sawyer_disk::RealDisk;
use sawyer_model::{Batch, Record, SeqRange, SourceId, Stream};
use sawyer_store::{Store, StorePlan};
use sawyer_telemetry::{Clock, Metrics};
use sawyer_testkit::Dice;
use serde_json::Value;

use crate::harness::{SOON, Sawyer, binary, pause, run, text};

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
fn what_is_encrypted_is_read_with_its_key_alone() {
    let folder = tempfile::tempdir().unwrap();
    let [data, key, other, config] = ["data", "key", "other", "sawyer.yaml"]
        .map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    std::fs::write(&key, format!("{}\n", "5a".repeat(32))).unwrap();
    std::fs::write(&other, "11".repeat(32)).unwrap();
    let text_of = |key: &str| {
        format!(
            "encryption_at_rest: {{keys: ['${{file:{key}}}']}}\nstore: {{seal_interval: 100ms}}\noutputs: {{store: }}\n"
        )
    };
    std::fs::write(&config, text_of(&key)).unwrap();
    let arguments = ["--data", &data, "--config", &config];
    let mut sawyer = Sawyer::start("server", &arguments);
    assert_eq!(sawyer.post("/api/v1/ingest", b"{\"msg\":\"unmistakable\"}\n").0, 200);
    sawyer.wait_for_count("unmistakable", 1);
    let sealed = Instant::now() + Duration::from_secs(60);
    while std::fs::read_dir(Path::new(&data).join("store/segments")).unwrap().next().is_none() {
        assert!(Instant::now() < sealed, "{}", sawyer.log());
        pause();
    }
    assert_eq!(sawyer.post("/api/v1/ingest", b"{\"msg\":\"unmistakable\"}\n").0, 200);
    sawyer.kill();
    let mut folders = vec![Path::new(&data).to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let content = std::fs::read(&path).unwrap();
                assert!(!content.windows(12).any(|part| part == b"unmistakable"), "{}", path.display());
                files += usize::from(content.starts_with(b"SWencr"));
            }
        }
    }
    assert!(files >= 3, "a segment, a log and a catalogue: {files}");

    let store = |args: &[&str], key: Option<&str>| {
        let key: Vec<&str> = key.iter().flat_map(|key| ["--key-file", *key]).collect();
        let output = run(&[&["store"], args, &["--data", &data], &key].concat());
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    for wrong in [None, Some(other.as_str())] {
        let refused = store(&["dump"], wrong);
        assert!(!refused.0 && refused.2.contains("a key that is not among"), "{refused:?}");
    }
    let backup = folder.path().join("backup/store");
    assert!(store(&["verify"], Some(&key)).1.contains("problems=0"));
    assert!(store(&["backup", backup.to_str().unwrap()], Some(&key)).0);
    let dumped = store(&["dump"], Some(&key));
    assert_eq!(dumped.1.matches("unmistakable").count(), 4, "{dumped:?}");
    let copy = folder.path().join("backup");
    let plain = run(&["store", "dump", "--data", copy.to_str().unwrap()]);
    assert!(!plain.status.success() && text(&plain.stderr).contains("a key"), "{}", text(&plain.stderr));

    std::fs::write(&config, "encryption_at_rest: {keys: []}\n").unwrap();
    let said = Sawyer::try_start("server", &arguments).err().unwrap();
    assert!(said.contains("at least one"), "{said}");

    // Without its key it does not start, rather than take all for damaged.
    std::fs::write(&config, text_of(&other)).unwrap();
    let said = Sawyer::try_start("server", &arguments).err().unwrap();
    assert!(said.contains("a key that is not among"), "{said}");
    std::fs::write(&config, text_of(&key)).unwrap();
    let mut sawyer = Sawyer::start("server", &arguments);
    sawyer.wait_for_count("unmistakable", 2);
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

/// A server with a key and 60 records, every other one of level `debug`, and the path of a backup of it.
fn backed_up(folder: &Path) -> (Sawyer, String) {
    let [data, config, key, backup] = ["data", "sawyer.yaml", "key", "backup/store"]
        .map(|name| folder.join(name).to_str().unwrap().to_owned());
    std::fs::write(&key, "5a".repeat(32)).unwrap();
    let settings =
        format!("encryption_at_rest: {{keys: ['${{file:{key}}}']}}\nstore: {{seal_interval: 100ms}}\n");
    std::fs::write(&config, settings).unwrap();
    let mut sawyer = Sawyer::start("server", &["--data", &data, "--config", &config]);
    let lines: String = (0..60)
        .map(|n| format!("{{\"level\":\"{}\",\"message\":\"line {n}\"}}\n", ["info", "debug"][n % 2]))
        .collect();
    assert_eq!(sawyer.post("/api/v1/ingest", lines.as_bytes()).0, 200);
    sawyer.wait_for_count("", 60);
    let copied = run(&["store", "backup", &backup, "--data", &data, "--key-file", &key]);
    assert!(copied.status.success(), "{}", text(&copied.stderr));
    (sawyer, backup)
}

/// Whether `sawyer store COMMAND` of a running server succeeded, and what it printed.
fn store_of(sawyer: &Sawyer, command: &str, args: &[&str]) -> (bool, String, String) {
    let server = format!("http://{}", sawyer.address);
    let output = run(&[&["store", command, "--server", &server], args].concat());
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_running_server_brings_back_what_a_backup_has() {
    let folder = tempfile::tempdir().unwrap();
    let (mut sawyer, backup) = backed_up(folder.path());
    assert_eq!(store_of(&sawyer, "delete", &["level: debug", "--yes"]).1, "deleted=30\n");
    let told = store_of(&sawyer, "restore", &[&backup, "message: line"]);
    assert!(told.1.starts_with("records=30 bytes="), "{told:?}");
    assert!(told.1.ends_with(" present=30 expired=0 restored=0; `--yes` restores them\n"), "{told:?}");
    sawyer.wait_for_count("", 30);
    let early = store_of(&sawyer, "restore", &[&backup, "--end", "2020-01-01", "--yes"]);
    assert_eq!(early.1, "records=0 bytes=0 present=0 expired=0 restored=0\n");
    for (records, present) in [(30, 30), (0, 60)] {
        let told = store_of(&sawyer, "restore", &[&backup, "--keep", "7d", "--yes"]);
        assert!(told.0 && told.1.starts_with(&format!("records={records} bytes=")), "{told:?}");
        assert!(told.1.ends_with(&format!(" present={present} expired=0 restored={records}\n")), "{told:?}");
        sawyer.wait_for_count("level: debug", 30);
        sawyer.wait_for_count("", 60);
    }
    let metrics = sawyer.request("GET", "/metrics", &[], b"").1;
    assert!(metrics.contains("sawyer_store_restored_records_total{} 30"), "{metrics}");
    // They are there after a kill as well.
    sawyer.kill();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let mut again = Sawyer::start("server", &["--data", &at("data"), "--config", &at("sawyer.yaml")]);
    again.wait_for_count("", 60);
}

#[test]
fn what_cannot_be_restored_is_refused_or_named() {
    let folder = tempfile::tempdir().unwrap();
    let (sawyer, backup) = backed_up(folder.path());
    let json = [("content-type", "application/json")];
    let ask = |headers: &[(&str, &str)], body: &str| {
        let (status, body) = sawyer.request("POST", "/api/v1/restore", headers, body.as_bytes());
        (status, serde_json::from_str::<Value>(&body).unwrap()["error"]["message"].to_string())
    };
    let whole = format!(r#"{{"from": "{backup}", "confirm": true}}"#);
    let elsewhere = [json[0], ("x-forwarded-for", "10.0.0.1")];
    assert_eq!((ask(&[], &whole).0, ask(&elsewhere, &whole).0), (415, 403));
    for (body, status, why) in [
        ("{}", 400, "full path"),
        (r#"{"from": "backup"}"#, 400, "full path"),
        (r#"{"from": "/nowhere/at/all"}"#, 404, "there is no folder"),
        (r#"{"from": "/", "keep": "soon"}"#, 400, "from 1h"),
    ] {
        let told = ask(&json, body);
        assert!(told.0 == status && told.1.contains(why), "{body}: {told:?}");
    }
    let above = Path::new(&backup).parent().unwrap().to_str().unwrap();
    let told = store_of(&sawyer, "restore", &[above]);
    assert!(!told.0 && told.2.contains("catalogue is missing"), "{told:?}");

    let first = std::fs::read_dir(Path::new(&backup).join("segments")).unwrap().next();
    let damaged = first.map_or(Path::new(&backup).join("catalogue"), |entry| entry.unwrap().path());
    let mut bytes = std::fs::read(&damaged).unwrap();
    // Behind both copies of the header.
    bytes[170] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    let told = store_of(&sawyer, "restore", &[&backup]);
    let name = damaged.file_name().unwrap().to_str().unwrap();
    assert!(!told.0 && told.1.contains(&format!("{name}: ")) && told.2.contains("are damaged"), "{told:?}");

    let other = folder.path().join("other");
    let without_key = Sawyer::start("server", &["--data", other.to_str().unwrap()]);
    let refused = store_of(&without_key, "restore", &[&backup]);
    assert!(!refused.0 && refused.2.contains("a key that is not among"), "{refused:?}");
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
    // It is said instead of asking for the same again and again.
    let url = format!("http://{}", sawyer.address);
    for args in [&["query"][..], &["query", "-n", "0"], &["query", "--newest-first"], &["logs", "cart-1"]] {
        let asked = run(&[args, &["--server", &url]].concat());
        let said = text(&asked.stderr);
        assert!(
            !asked.status.success() && said.contains("limits for queries are too low"),
            "{args:?}: {said}"
        );
    }
    // A file with its name is whole.
    for (name, why) in
        [("all.ndjson", "the server's limits, or damage"), ("all.parquet", "a bound of `queries`")]
    {
        let file = folder.path().join(name);
        let exported = run(&["export", "--server", &url, "--to", file.to_str().unwrap()]);
        let said = text(&exported.stderr);
        assert!(!exported.status.success() && said.contains(why), "{name}: {said}");
        assert!(!file.exists(), "{name}");
    }
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

/// Seed of the moments at which the server is killed, and of what it is sent:
/// `SAWYER_TEST_SEED=7 cargo test -p sawyer --test black_box any_kill` tries those of a run again that failed.
const SEED_VARIABLE: &str = "SAWYER_TEST_SEED";

/// Dice of the seed that is given, or of any.
fn seeded() -> (Dice, u64) {
    let given = std::env::var(SEED_VARIABLE).ok().map(|seed| seed.parse().expect("a seed is a number"));
    let seed = given.unwrap_or_else(|| std::hash::RandomState::new().hash_one(0) % 1_000_000);
    (Dice::new(seed), seed)
}

fn moment(dice: &mut Dice, below_ms: u64) -> Duration {
    Duration::from_micros(dice.below(below_ms * 1000))
}

/// What was sent: lines with numbers, every other one of level `debug` and of no use to any compression.
#[derive(Default)]
struct Sent {
    batches: u64,
    acknowledged: Vec<u64>,
}

const LINES: u64 = 40;

impl Sent {
    fn is_debug(line: u64) -> bool {
        line.is_multiple_of(2)
    }

    /// Sends some lines; says whether they were acknowledged.
    fn send(&mut self, address: SocketAddr, dice: &mut Dice) -> bool {
        let lines = self.batches * LINES..(self.batches + 1) * LINES;
        let body: String = lines
            .clone()
            .map(|n| {
                let level =
                    if Self::is_debug(n) { "debug" } else { ["info", "warn", "error"][n as usize % 3] };
                let noise: String = (0..256).map(|_| format!("{:016x}", dice.number())).collect();
                let noise = if Self::is_debug(n) { noise.as_str() } else { "" };
                format!("{{\"level\":\"{level}\",\"message\":\"line {n}\",\"noise\":\"{noise}\"}}\n")
            })
            .collect();
        let key = format!("batch-{}", self.batches);
        self.batches += 1;
        let acknowledged = posted(address, &key, &body);
        if acknowledged {
            self.acknowledged.extend(lines);
        }
        acknowledged
    }

    fn debug_lines(&self) -> usize {
        self.acknowledged.iter().filter(|line| Self::is_debug(**line)).count()
    }
}

/// Kills a process that was started just now, while it finds out what the one before left.
fn kill_at_start(arguments: &[&str], moment: Duration) {
    let mut command = binary();
    command.arg("server").args(["--listen", "127.0.0.1:0"]).args(arguments);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::park_timeout(moment);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Kills the server at random moments: while it starts, while records come in, are sealed, merged and squeezed, and
/// while a policy has some of them removed.
#[test]
fn what_was_acknowledged_survives_any_kill() {
    const LIVES: u64 = 12;
    let (mut dice, seed) = seeded();
    eprintln!("{SEED_VARIABLE}={seed}");
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = folder.path().join("sawyer.yaml");
    let settings = "seal_interval: 20ms, memory_max: 1MiB, merged_bytes_max: 256KiB, squeeze_after: 0s";
    let policy = "policies: [{name: few, query: 'level: debug', size_max: 1MiB}]";
    std::fs::write(&config, format!("store: {{{settings}, {policy}}}\n")).unwrap();
    let arguments = ["--data", data.to_str().unwrap(), "--config", config.to_str().unwrap()];
    let verify = |told: &str| {
        let verified = run(&["store", "verify", "--data", data.to_str().unwrap()]);
        assert!(verified.status.success(), "{told}: {}", text(&verified.stdout));
    };
    let mut sent = Sent::default();
    for life in 0..LIVES {
        if life > 0 && dice.number().is_multiple_of(2) {
            kill_at_start(&arguments, moment(&mut dice, 150));
        }
        let sawyer = Sawyer::start("server", &arguments);
        let (address, pid) = (sawyer.address, sawyer.pid().to_string());
        // Some lives end while the first records come in, others while much is merged.
        let killed_after = moment(&mut dice, 600);
        let killer = std::thread::spawn(move || {
            std::thread::park_timeout(killed_after);
            std::process::Command::new("kill").args(["-9", &pid]).status().unwrap()
        });
        while sent.send(address, &mut dice) {}
        assert!(killer.join().unwrap().success());
        drop(sawyer);
        verify(&format!("seed={seed} life={life}"));
    }
    // One in peace, until the policy has removed some.
    let sawyer = Sawyer::start("server", &arguments);
    let deadline = Instant::now() + SOON;
    while sawyer.count("level: debug") >= sent.debug_lines() as u64 {
        assert!(Instant::now() < deadline, "nothing was removed of {} lines", sent.debug_lines());
        if sent.debug_lines() < 4_000 {
            assert!(sent.send(sawyer.address, &mut dice));
        } else {
            pause();
        }
    }
    drop(sawyer.stop());
    verify(&format!("seed={seed} at the end"));
    check_dumped(&data, &sent, seed);
}

/// Every line is there once; of those that a policy has removed some are missing.
fn check_dumped(data: &Path, sent: &Sent, seed: u64) {
    let dumped = text(&run(&["store", "dump", "--data", data.to_str().unwrap()]).stdout);
    let mut found: Vec<u64> = dumped
        .lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            record["message"].as_str().unwrap().strip_prefix("line ").unwrap().parse().unwrap()
        })
        .collect();
    found.sort_unstable();
    assert!(found.windows(2).all(|two| two[0] < two[1]), "a record is there twice: seed={seed}");
    let lost = sent.acknowledged.iter().filter(|line| found.binary_search(line).is_err());
    let (debug, lost): (Vec<u64>, Vec<u64>) = lost.partition(|line| Sent::is_debug(**line));
    assert_eq!(lost, [0u64; 0], "of {}: seed={seed}", sent.acknowledged.len());
    assert!(!debug.is_empty(), "some were removed");
    let aside = std::fs::read_dir(data.join("store/quarantine")).unwrap();
    let aside: Vec<String> = aside.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(
        aside.iter().all(|name| name.contains(".wal.torn")),
        "nothing was damaged: {aside:?} seed={seed}"
    );
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
