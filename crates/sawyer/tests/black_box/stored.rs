//! `sawyer store`, beside a server that runs and after it.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Sawyer, run, text};

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
        crate::harness::pause();
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
