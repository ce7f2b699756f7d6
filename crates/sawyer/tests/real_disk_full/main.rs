//! A full disk, on a file system of the test's own; as root: below the store here, below a buffer in [`buffer`].
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(missing_docs, reason = "tests are told by their names")]

#[allow(dead_code, reason = "the harness has more than is needed here")]
#[path = "../black_box/harness.rs"]
mod harness;

mod buffer;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{Sawyer, pause};

fn push(sawyer: &Sawyer, from: u32, to: u32) {
    let body: String = (from..to).map(|n| format!("{{\"message\":\"pushed {n}\"}}\n")).collect();
    let (status, answer) = sawyer.post("/api/v1/ingest", body.as_bytes());
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn a_full_disk_refuses_writes_and_recovers() {
    if !sawyer_testkit::may_use_root("a tmpfs of its own") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let mount = Mount::tmpfs(&data, "64m");
    let config = folder.path().join("sawyer.yaml");
    fs::write(&config, "store: {free_min: 4MiB, memory_max: 8MiB, size_max: 1GiB}\n").unwrap();
    let (data, config) = (data.to_str().unwrap(), config.to_str().unwrap());
    let host = folder.path().join("host");
    fs::create_dir(&host).unwrap();
    let args = ["--data", data, "--config", config, "--host-root", host.to_str().unwrap()];
    let mut sawyer = Sawyer::start("up", &args);
    push(&sawyer, 0, 100);
    let ballast = Path::new(data).join("ballast");
    let file = fill(&ballast);
    // The kubelet's files keep what cannot be stored; a container's line waits in its file.
    let waits = host.join("var/log/pods/shop_waits_8e4a5afb-0ab6-44a9-aff5-be71699ac8b8/app");
    fs::create_dir_all(&waits).unwrap();
    fs::write(waits.join("0.log"), "2026-11-20T10:00:00Z stdout F patience\n").unwrap();
    sawyer.wait_for_log("disk is full");
    assert_eq!(sawyer.count("message: pushed"), 100, "reads go on");
    while sawyer.request("GET", "/readyz", &[], b"").0 != 503 {
        pause();
    }
    assert_eq!(sawyer.request("GET", "/healthz", &[], b"").0, 200);
    drop(file);
    fs::remove_file(&ballast).unwrap();
    sawyer.wait_for_count("message: patience", 1);
    push(&sawyer, 100, 200);
    assert_eq!(sawyer.count("message: pushed"), 200);
    while sawyer.request("GET", "/readyz", &[], b"").0 != 200 {
        pause();
    }
    drop(sawyer);
    drop(mount);
}

/// Takes all the space that is left.
fn fill(ballast: &Path) -> fs::File {
    let mut file = fs::File::create(ballast).unwrap();
    while file.write_all(&[0; 1 << 16]).is_ok() {}
    file
}

struct Mount(PathBuf);

impl Mount {
    fn tmpfs(at: &Path, size: &str) -> Self {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(at)
            .status();
        assert!(mounted.unwrap().success());
        Self(at.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(&self.0).status());
    }
}
