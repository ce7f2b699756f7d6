//! What goes wrong in a real life: each gets a clear message or a marked record, and nothing else suffers.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use crate::harness::{self, Sawyer, pause, run, text};

fn container(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(format!("host/var/log/pods/shop_{name}_8e4a5afb-0ab6-44a9-aff5-be71699ac8b8/app"));
    fs::create_dir_all(&path).unwrap();
    path.join("0.log")
}

fn healthy_neighbour(folder: &Path) {
    let rows: String = (0..10).map(|n| format!("2026-11-20T10:00:0{n}Z stdout F fine {n}\n")).collect();
    fs::write(container(folder, "fine"), rows).unwrap();
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().unwrap().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn push(sawyer: &Sawyer, from: u32, to: u32) {
    let body: String = (from..to).map(|n| format!("{{\"message\":\"pushed {n}\",\"n\":{n}}}\n")).collect();
    let (status, answer) = sawyer.post("/api/v1/ingest", body.as_bytes());
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn odd_lines_are_kept_and_marked() {
    let folder = tempfile::tempdir().unwrap();
    healthy_neighbour(folder.path());
    let mut odd = b"2026-11-20T10:00:00Z stdout F bad \xff\xfe utf-8\n".to_vec();
    odd.extend_from_slice(b"2026-11-20T10:00:01Z stdout F a \0 nul\n");
    odd.extend_from_slice(b"this is no CRI line at all\n");
    odd.extend_from_slice(b"2016-11-20T10:00:02Z stdout F ten years ago\n");
    odd.extend_from_slice(b"2036-11-20T10:00:02Z stdout F in ten years\n");
    odd.extend_from_slice(b"2026-11-20T10:00:03Z stdout F HEAD ");
    odd.extend_from_slice(&vec![b'x'; 20 << 20]);
    odd.extend_from_slice(b" TAIL\n2026-11-20T10:00:04Z stdout F after\n");
    fs::write(container(folder.path(), "odd"), odd).unwrap();
    let mut sawyer = Sawyer::up(folder.path());
    sawyer.wait_for_count("pod: odd", 7);
    assert_eq!(sawyer.count("pod: fine"), 10);
    let one = |query: &str| {
        let mut found = sawyer.all(query);
        assert_eq!(found.len(), 1, "{query}");
        found.remove(0)
    };
    let marked = |record: &Value, mark: &str| record["sawyer.mark"].to_string().contains(mark);
    let utf8 = one("pod: odd and sawyer.mark: invalid_utf8");
    assert_eq!(utf8["message"], "bad \u{fffd}\u{fffd} utf-8");
    assert_eq!(utf8["_original_base64"], "YmFkIP/+IHV0Zi04");
    assert_eq!(one("pod: odd and message: nul")["message"], "a \0 nul");
    assert!(marked(&one("message: \"no CRI line\""), "malformed"));
    assert!(marked(&one("message: \"in ten years\""), "clock"));
    assert_eq!(one("message: \"ten years ago\"")["timestamp"], "2016-11-20T10:00:02Z");
    let long = one("pod: odd and message: HEAD and message: TAIL");
    assert!(marked(&long, "cut"), "{:?}", long["sawyer.mark"]);
    assert_eq!(long["sawyer.length"], (20 << 20) + 10);
    assert!(long["message"].as_str().unwrap().len() < 2 << 20);
    assert_eq!(one("pod: odd and message: after")["message"], "after");
}

#[test]
fn a_torn_write_ahead_log_costs_only_what_was_not_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let sawyer = Sawyer::up(folder.path());
    push(&sawyer, 0, 100);
    sawyer.kill();
    let logs = files(&folder.path().join("data/store"), ".wal");
    let last = logs.last().expect("a write-ahead log");
    OpenOptions::new().append(true).open(last).unwrap().write_all(&[0x17; 333]).unwrap();
    let mut sawyer = Sawyer::up(folder.path());
    assert_eq!(sawyer.count("message: pushed"), 100);
    push(&sawyer, 100, 110);
    assert_eq!(sawyer.count("message: pushed"), 110);
    assert!(sawyer.log().contains("torn_bytes"), "the torn bytes are told:\n{}", sawyer.log());
    let kept = files(&folder.path().join("data/store"), ".wal.torn");
    let kept = fs::read(&kept[0]).unwrap();
    assert_eq!(kept[kept.len() - 333..], [0x17; 333], "they are kept, behind the zeros of the last block");
}

#[test]
fn a_flipped_bit_in_a_segment_is_named_and_the_rest_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sawyer.yaml");
    // Three segments, and a merge cannot come before the next start.
    fs::write(&config, "store: {seal_interval: 10ms, merge_threads: 1}\ninputs: {push: }\n").unwrap();
    let data = folder.path().join("data");
    let args = ["--data", data.to_str().unwrap(), "--config", config.to_str().unwrap()];
    for n in 0..3 {
        let sawyer = Sawyer::start("server", &args);
        push(&sawyer, n * 100, n * 100 + 100);
        let deadline = Instant::now() + harness::SOON;
        while sawyer.get("/api/v1/status", &[]).1["store"]["segments"].as_u64() < Some(1) {
            assert!(Instant::now() < deadline, "nothing is sealed");
            pause();
        }
    }
    let segments = files(&data.join("store"), ".seg");
    assert!(!segments.is_empty());
    let victim = &segments[0];
    let mut file = OpenOptions::new().read(true).write(true).open(victim).unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.seek(SeekFrom::Start(middle)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(middle)).unwrap();
    file.write_all(&[byte[0] ^ 0x10]).unwrap();
    drop(file);
    let mut sawyer = Sawyer::start("server", &args);
    let found = sawyer.all("message: pushed");
    push(&sawyer, 300, 400);
    assert_eq!(sawyer.all("message: pushed and n >= 300").len(), 100);
    if found.len() < 300 {
        sawyer.wait_for_log(victim.file_name().unwrap().to_str().unwrap());
    }
    assert!(segments.len() == 1 || found.len() >= 200, "other segments are served: {}", found.len());
}

#[test]
fn a_port_in_use_is_told_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let first = Sawyer::up(folder.path());
    let other = folder.path().join("other");
    let args = ["server", "--listen", &first.address.to_string(), "--data", other.to_str().unwrap()];
    let output = run(&args);
    assert!(!output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains(&first.address.to_string()) && said.contains("--listen"), "{said}");
}

#[test]
fn a_data_folder_in_use_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let first = Sawyer::up(folder.path());
    let data = folder.path().join("data");
    let output = run(&["server", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
    assert!(!output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains(&first.pid().to_string()) && said.contains("--data"), "{said}");
}

#[test]
fn a_data_folder_that_cannot_be_written_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    if root {
        // Root may write anywhere but below a file.
        fs::remove_dir(&data).unwrap();
        fs::write(&data, "a file").unwrap();
    } else {
        fs::set_permissions(&data, fs::Permissions::from_mode(0o500)).unwrap();
    }
    let output = run(&["up", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
    assert!(!output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains(data.to_str().unwrap()) && said.contains("--data"), "{said}");
}

#[test]
fn every_mistake_in_a_configuration_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sawyer.yaml");
    let yaml = "inputs:\n  containers: {line_maxx: 1MiB}\noutputs:\n  store:\n  copy: {type: fil, path: x}\nlisten: here\nretention: 1d\n";
    fs::write(&config, yaml).unwrap();
    let output = run(&["check", "--config", config.to_str().unwrap()]);
    assert!(!output.status.success());
    let said = text(&output.stderr);
    for place in
        [":2:16: inputs.containers.line_maxx: unknown key; did you mean `line_max`?", ":5:", ":6:", ":7:"]
    {
        assert!(said.contains(&format!("sawyer.yaml{place}")), "{place} in\n{said}");
    }
    assert!(!run(&["up", "--config", config.to_str().unwrap()]).status.success());
    let yaml = "outputs:\n  store:\n  copy: {type: http, url: '${NOBODY_SETS_THIS}', tiemout: 5s}\nlisten: '${NOR_THIS:-here}'\n";
    fs::write(&config, yaml).unwrap();
    let said = text(&run(&["check", "--config", config.to_str().unwrap()]).stderr);
    assert!(said.contains("has 3 problems"), "{said}");
    for told in [
        ":3:27: outputs.copy.url: environment variable",
        ":3:50: outputs.copy.tiemout: unknown key",
        ":4:1: listen: ",
    ] {
        assert!(said.contains(&format!("sawyer.yaml{told}")), "{told} in\n{said}");
    }
    fs::write(&config, "store: {retention: 1d}\n").unwrap();
    assert!(run(&["check", "--config", config.to_str().unwrap()]).status.success());
}

#[test]
fn a_wrong_query_shows_its_place_and_costs_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let sawyer = Sawyer::up(folder.path());
    push(&sawyer, 0, 10);
    let (status, answer) = sawyer.get("/api/v1/search", &[("query", "level: (error or")]);
    assert_eq!(status, 400, "{answer}");
    assert_eq!(answer["error"]["kind"], "invalid");
    assert!(answer["error"]["caret"].as_str().unwrap().contains("\n"), "{answer}");
    for (path, params) in [
        ("/api/v1/search", ("limit", "100000")),
        ("/api/v1/search", ("order", "up")),
        ("/api/v1/search", ("cursor", "nonsense")),
        ("/api/v1/search", ("start", "yesterday-ish")),
        ("/api/v1/histogram", ("interval", "1 fortnight")),
        ("/api/v1/histogram", ("time_zone", "Mars/Base")),
        ("/api/v1/values", ("limit", "5")),
    ] {
        let (status, answer) = sawyer.get(path, &[params]);
        assert_eq!(status, 400, "{path} {params:?}: {answer}");
        assert!(!answer["error"]["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(sawyer.get("/api/v1/records/xyz", &[]).0, 400);
    assert_eq!(sawyer.get("/api/v1/records/000000000000000000000000000000ab-1", &[]).0, 404);
    for nothing in ["/api/v1/nothing", "/api/v2/search", "/api/nothing"] {
        let (status, answer) = sawyer.get(nothing, &[]);
        assert_eq!((status, &answer["error"]["kind"]), (404, &"not_found".into()), "{nothing}: {answer}");
    }
    let long = serde_json::json!({"query": format!("{} level:", "a and ".repeat(20_000))}).to_string();
    let (status, answer) = sawyer.post("/api/v1/count", long.as_bytes());
    let caret = answer["error"]["caret"].as_str().unwrap();
    assert!(status == 400 && caret.len() < 1000 && caret.ends_with('^'), "{caret}");
    let (status, answer) = sawyer.request("PUT", "/api/v1/search", &[], b"");
    assert!(status == 405 && answer.contains("/search does not take PUT"), "{answer}");
    let (status, answer) = sawyer.get("/api/v1/count", &[("q", "level: error")]);
    assert!(status == 400 && answer.to_string().contains("q: unknown parameter"), "{answer}");
    assert_eq!(sawyer.count("message: pushed"), 10);
}

#[test]
fn an_oversized_body_is_refused_whole() {
    let folder = tempfile::tempdir().unwrap();
    let sawyer = Sawyer::up(folder.path());
    let line = format!("{{\"message\":\"{}\"}}\n", "x".repeat(1 << 20));
    let body = line.repeat(65);
    let (status, answer) = sawyer.post("/api/v1/ingest", body.as_bytes());
    assert_eq!(status, 413);
    assert_eq!(answer["error"]["message"], "body: longer than 67108864 bytes");
    assert_eq!(sawyer.count("*"), 0);
}

#[test]
fn what_would_be_silently_useless_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sawyer.yaml");
    fs::write(&config, "inputs: {ingest: {type: push}}\n").unwrap();
    let (config, data) = (config.to_str().unwrap(), folder.path().join("data"));
    let up = ["up", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    for (args, said) in [
        (["--config", config, "--demo"].as_slice(), "nothing would read what the demo writes"),
        (["--log", "debgu"].as_slice(), "log: expected `error`, `warn`"),
        (["--listen", "localhost"].as_slice(), "expected an address and a port, such as 127.0.0.1:7280"),
    ] {
        let output = run(&[&up[..if args[0] == "--listen" { 1 } else { 5 }], args].concat());
        assert!(!output.status.success() && text(&output.stderr).contains(said), "{}", text(&output.stderr));
    }
}

#[test]
fn an_input_that_cannot_be_opened_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sawyer.yaml");
    let inputs = "inputs: {devices: {type: syslog, udp: null, tcp: null, unix: /nowhere/log}}\n";
    fs::write(&config, inputs).unwrap();
    let [host, data] = ["host", "data"].map(|name| folder.path().join(name));
    fs::create_dir_all(&host).unwrap();
    let [config, host, data] = [&config, &host, &data].map(|path| path.to_str().unwrap());
    let log = Sawyer::try_start("up", &["--config", config, "--host-root", host, "--data", data]).err();
    let log = log.unwrap();
    assert!(log.contains("open input `devices`") && log.contains("/nowhere/log"), "{log}");
}
