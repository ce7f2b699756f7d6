//! Volumes in memory, which are mounted and taken away while an agent in a mount namespace of its own runs; as root.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(missing_docs, reason = "tests are told by their names")]

#[allow(dead_code, reason = "the harness has more than is needed here")]
#[path = "../black_box/harness.rs"]
mod harness;

#[allow(dead_code, reason = "not every daemon needs all of it")]
#[path = "../machine/daemon.rs"]
mod daemon;

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;

use harness::{SOON, Sawyer, pause};

const PODS: &str = "var/lib/kubelet/pods";

/// What the kubelet says of its pods: one that writes files into a volume in memory.
const LIST: &str = r#"{"kind": "PodList", "apiVersion": "v1", "items": [{
    "metadata": {"name": "shop", "namespace": "default", "uid": "u1", "annotations": {"sawyer.dev/files": "/log/*.log"}},
    "spec": {"volumes": [{"name": "log", "emptyDir": {"medium": "Memory"}}],
             "containers": [{"name": "app", "image": "shop:1", "volumeMounts": [{"name": "log", "mountPath": "/log"}]}]}}]}"#;

/// Answers every request with the list of pods; gives its address.
fn kubelet() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut request = BufReader::new(&stream).lines().map_while(Result::ok);
            let path = request.next().unwrap_or_default();
            assert!(path.starts_with("GET /pods"), "{path}");
            let _ = request.find(String::is_empty);
            let length = LIST.len();
            // A client that left needs no answer.
            let _ = write!(
                &stream,
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{LIST}"
            );
        }
    });
    address
}

/// A mount of the test's own.
struct Mount(PathBuf);

impl Mount {
    fn new(args: &[&str], at: &Path) -> Self {
        assert!(Command::new("mount").args(args).arg(at).status().unwrap().success(), "mount {args:?}");
        Self(at.to_owned())
    }

    /// Takes it away as the kubelet does: not while anybody has a file of it open.
    fn take_away(self) {
        let deadline = Instant::now() + SOON;
        while !Command::new("umount").arg(&self.0).output().unwrap().status.success() {
            assert!(Instant::now() < deadline, "somebody has a file of the volume open");
            pause();
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // It may have been taken away.
        drop(Command::new("umount").args(["--lazy", "--recursive"]).arg(&self.0).output());
    }
}

#[test]
fn volumes_in_memory_are_read_and_can_be_taken_away() {
    if !sawyer_testkit::may_use_root("mounts a tmpfs")
        || !daemon::have_programs(&["unshare", "mount", "umount"])
    {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let pods = folder.path().join("host").join(PODS);
    fs::create_dir_all(&pods).unwrap();
    // As systemd and `mountPropagation: HostToContainer` have it.
    let shared = Mount::new(&["--bind", pods.to_str().unwrap()], &pods);
    assert!(Command::new("mount").arg("--make-rshared").arg(&shared.0).status().unwrap().success());
    let config = folder.path().join("sawyer.yaml");
    let kubernetes =
        format!("{{from: kubelet, kubelet: '{}', token_file: /nowhere, ca_file: null}}", kubelet());
    let containers = format!("{{sweep_interval: 200ms, pod_files: /{PODS}, kubernetes: {kubernetes}}}");
    fs::write(&config, format!("{}inputs: {{containers: {containers}}}\n", harness::AS_WRITTEN)).unwrap();
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--propagation",
        "slave",
        env!("CARGO_BIN_EXE_sawyer"),
        "up",
        "--listen",
        "127.0.0.1:0",
    ]);
    command.arg("--data").arg(folder.path().join("data")).arg("--host-root").arg(folder.path().join("host"));
    let mut sawyer = Sawyer::launch({
        command.arg("--config").arg(config).stdout(std::process::Stdio::null());
        command
    })
    .unwrap();
    let volume = pods.join("u1/volumes/kubernetes.io~empty-dir/log");
    let write = |lines: std::ops::Range<u32>| {
        let mut file = OpenOptions::new().create(true).append(true).open(volume.join("app.log")).unwrap();
        lines.for_each(|line| writeln!(file, "line {line}").unwrap());
    };
    for round in 0..2 {
        fs::create_dir_all(&volume).unwrap();
        let memory = Mount::new(&["-t", "tmpfs", "tmpfs"], &volume);
        let first = 1000 * round;
        write(first..first + 100);
        sawyer.wait_for_count("pod: shop and container: app", 200 * u64::from(round) + 100);
        write(first + 100..first + 200);
        sawyer.wait_for_count("pod: shop and container: app", 200 * u64::from(round) + 200);
        memory.take_away();
        fs::remove_dir(&volume).unwrap();
    }
    let records = sawyer.all("pod: shop");
    let found: Vec<&str> = records.iter().map(|record| record["message"].as_str().unwrap()).collect();
    let wanted: Vec<String> = (0..200).chain(1000..1200).map(|line| format!("line {line}")).collect();
    assert_eq!(found, wanted);
    assert_eq!(records[0]["source"], "/log/app.log");
    let (_, metrics) = sawyer.request("GET", "/metrics", &[], b"");
    let unread = "sawyer_input_bytes_rotated_unread_total{input=\"containers\"} 0";
    assert!(metrics.lines().any(|line| line == unread), "nothing went unread\n{}", sawyer.log());
}
