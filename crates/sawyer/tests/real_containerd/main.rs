//! Pods of a real containerd, made through the interface that the kubelet uses: every line once; as root.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(missing_docs, reason = "tests are told by their names")]

#[allow(dead_code, reason = "the harness has more than is needed here")]
#[path = "../black_box/harness.rs"]
mod harness;

#[allow(dead_code, reason = "not every test needs all programs in it")]
#[path = "../machine/busybox.rs"]
mod busybox;
#[path = "../black_box/cri.rs"]
mod cri;
mod cri_api;
#[allow(dead_code, reason = "not every daemon needs all of it")]
#[path = "../machine/daemon.rs"]
mod daemon;

use std::fs;
use std::path::{Path, PathBuf};

use busybox::Numbers;
use cri_api::{Pod, Runtime, text};
use daemon::{Daemon, Own, bounded, cgroup_of, output};
use harness::{AS_WRITTEN, Sawyer, pause};

const PROGRAMS: [&str; 6] = ["containerd", "ctr", "busybox", "curl", "unshare", "setpriv"];
const IMAGE: &str = "sawyer.test/busybox:1";
const UID: &str = "8e4a5afb-0ab6-44a9-aff5-be71699ac8b8";

fn can_run() -> bool {
    sawyer_testkit::may_use_root("a containerd of its own") && daemon::have_programs(&PROGRAMS)
}

/// A containerd with everything it has in one folder, and an image in it.
struct Containerd {
    _daemon: Daemon,
    runtime: Runtime,
    cgroup: String,
    pods: PathBuf,
}

impl Containerd {
    fn start(folder: &Path) -> Self {
        let at = folder.display();
        let settings = format!(
            "version = 2\nroot = '{at}/root'\nstate = '{at}/state'\n\
             [grpc]\naddress = '{at}/socket'\n\
             [plugins.'io.containerd.internal.v1.opt']\npath = '{at}/opt'\n\
             [plugins.'io.containerd.grpc.v1.cri']\nsandbox_image = '{IMAGE}'\ndisable_apparmor = true\n\
             restrict_oom_score_adj = true\n\
             [plugins.'io.containerd.grpc.v1.cri'.cni]\nbin_dir = '{at}/cni'\nconf_dir = '{at}/cni'\n\
             [plugins.'io.containerd.grpc.v1.cri'.containerd]\nsnapshotter = 'native'\n"
        );
        fs::write(folder.join("config.toml"), settings).unwrap();
        let script = "mount -t tmpfs tmpfs /run
            busybox ip link set lo up
            exec containerd --config config.toml";
        let mut daemon = Daemon::start(folder, Own::Processes, script);
        let socket = folder.join("socket");
        let runtime = Runtime::new(socket.clone());
        daemon.wait_for("answers", || runtime.try_call("Version", &[]).ok());
        let mut import = bounded("ctr");
        import.arg("--address").arg(socket).args(["--namespace", "k8s.io", "images", "import"]);
        output(import.arg(archive(folder)));
        let pods = folder.join("host/var/log/pods");
        fs::create_dir_all(&pods).unwrap();
        Self { _daemon: daemon, runtime, cgroup: cgroup_of(folder), pods }
    }

    fn pod(&self, name: &str) -> (Pod<'_>, PathBuf) {
        let logs = self.pods.join(format!("shop_{name}_{UID}"));
        fs::create_dir(&logs).unwrap();
        (Pod::run(&self.runtime, &logs, &self.cgroup), logs)
    }
}

/// The image as `docker save` would write it.
fn archive(folder: &Path) -> PathBuf {
    let layer = busybox::image(folder);
    let digest = String::from_utf8(output(bounded("sha256sum").arg(&layer))).unwrap();
    let digest = digest.split(' ').next().unwrap();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Cmd":["/bin/sleep","3600"]}},
            "rootfs":{{"type":"layers","diff_ids":["sha256:{digest}"]}}}}"#
    );
    let manifest = format!(r#"[{{"Config":"config.json","RepoTags":["{IMAGE}"],"Layers":["image.tar"]}}]"#);
    fs::write(folder.join("config.json"), config).unwrap();
    fs::write(folder.join("manifest.json"), manifest).unwrap();
    let archive = folder.join("archive.tar");
    let mut tar = bounded("tar");
    tar.arg("--directory").arg(folder).arg("--create").arg("--file").arg(&archive);
    output(tar.args(["config.json", "manifest.json", "image.tar"]));
    archive
}

/// What the kubelet does: a new file for the container, and the older ones compressed but for the youngest.
fn rotate(runtime: &Runtime, container: &str, log: &Path, number: u32) {
    let name = |number: u32| log.with_file_name(format!("0.log.20261120-1{number:05}"));
    if number > 1 {
        let plain = name(number - 1);
        output(bounded("gzip").arg("--keep").arg("--suffix=.tmp").arg(&plain));
        let packed = |ending: &str| PathBuf::from(format!("{}.{ending}", plain.display()));
        fs::rename(packed("tmp"), packed("gz")).unwrap();
        fs::remove_file(&plain).unwrap();
    }
    fs::rename(log, name(number)).unwrap();
    runtime.call("ReopenContainerLog", &[text(1, container)]);
}

#[test]
fn every_line_of_a_pod_is_found_once() {
    if !can_run() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let containerd = Containerd::start(folder.path());
    let (pod, _) = containerd.pod("cart-1");
    let mut sawyer = Sawyer::up_with(folder.path(), AS_WRITTEN);
    pod.container("app", 0, busybox::EVERYTHING, &[]);
    sawyer.wait_for_count("container: app", busybox::EVERYTHING_LINES as u64);
    // As after a crash: the same container again.
    pod.container("app", 1, "echo again; printf 'without an end'", &[]);
    sawyer.wait_for_count("container: app", busybox::EVERYTHING_LINES as u64 + 2);
    let wanted = cri::written(&containerd.pods);
    assert_eq!(wanted.len(), busybox::EVERYTHING_LINES + 1);
    let mut found = cri::found(&sawyer.all("pod: cart-1"));
    // containerd marks it as a piece of a line whose rest never comes.
    let unfinished = found.iter().position(|found| found.line == "without an end").unwrap();
    found.swap_remove(unfinished);
    cri::assert_same(found, wanted);
    assert_eq!(sawyer.count("namespace: shop and restart_count: 1"), 2);
    pod.remove();
}

#[test]
fn rotation_and_sigkill_lose_and_double_nothing() {
    if !can_run() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let containerd = Containerd::start(folder.path());
    let (pod, logs) = containerd.pod("cart-1");
    let mut numbers = Numbers::new(folder.path().join("numbers"));
    let id = pod.container("app", 0, busybox::NUMBERED, &[("/control", &numbers.folder)]);
    let log = logs.join("app/0.log");
    let mut rotated = 0;
    let mut rotate = || {
        rotated += 1;
        rotate(&containerd.runtime, &id, &log, rotated);
    };
    for _ in 0..4 {
        let mut sawyer = Sawyer::up_with(folder.path(), AS_WRITTEN);
        numbers.write(1000);
        numbers.wait(&mut sawyer, "container: app");
        numbers.write(1000);
        rotate();
        numbers.write(1000);
        sawyer.kill();
        rotate();
        numbers.write(1000);
        rotate();
    }
    let mut sawyer = Sawyer::up_with(folder.path(), AS_WRITTEN);
    numbers.wait(&mut sawyer, "container: app");
    let written = cri::written(&containerd.pods);
    assert_eq!(written.len() as u64, numbers.count, "nothing was deleted");
    cri::assert_same(cri::found(&sawyer.all("container: app")), written);
    pod.remove();
}

#[test]
fn a_pod_that_is_deleted_is_read_to_its_end() {
    if !can_run() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let containerd = Containerd::start(folder.path());
    let (pod, logs) = containerd.pod("job-1");
    let mut numbers = Numbers::new(folder.path().join("numbers"));
    pod.container("app", 0, busybox::NUMBERED, &[("/control", &numbers.folder)]);
    let mut sawyer = Sawyer::up_with(folder.path(), AS_WRITTEN);
    numbers.write(10);
    numbers.wait(&mut sawyer, "pod: job-1");
    // Held up, so that it is sure to be behind.
    sawyer.signal("STOP");
    numbers.write(5000);
    while (cri::written(&containerd.pods).len() as u64) < numbers.count {
        pause();
    }
    pod.remove();
    fs::remove_dir_all(logs).unwrap();
    sawyer.signal("CONT");
    numbers.wait(&mut sawyer, "pod: job-1");
}
