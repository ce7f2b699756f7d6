//! A daemon in namespaces of its own: what it mounts, starts and writes below `/run` and `/opt` ends with it.
//!
//! Owns: start, end, also after a panic or when the test itself is killed; the control groups below its name.
//! Invariant: nothing of the machine's is changed that is still changed afterwards.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{SOON, pause};

/// How long a daemon may take to end by itself before it is killed.
const END_MAX: Duration = Duration::from_secs(15);

/// What a daemon has for itself beside its mounts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    /// Processes and network too: the daemon is the first of its processes, and none outlives it.
    Processes,
    /// It sees processes of the machine, and itself as the root of the control groups.
    Files,
}

pub(crate) struct Daemon {
    outer: Child,
    /// The process that the script became.
    pid: u32,
    cgroup: String,
    log: PathBuf,
}

impl Daemon {
    /// Runs a script of `sh`, which at last is to `exec` the daemon, in `folder`.
    pub(crate) fn start(folder: &Path, own: Own, script: &str) -> Self {
        let log = folder.join("daemon.log");
        let output = File::create(&log).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare", "--mount"]);
        match own {
            Own::Processes => {
                command.args(["--net", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"])
            }
            Own::Files => command.arg("--cgroup"),
        };
        command.args(["sh", "-ec", script]).current_dir(folder).stdin(Stdio::null());
        let outer = command.stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
        let mut daemon = Self { pid: outer.id(), outer, cgroup: cgroup_of(folder), log };
        if own == Own::Processes {
            let children = format!("/proc/{0}/task/{0}/children", daemon.pid);
            daemon.pid = daemon.wait_for("its first process", || {
                fs::read_to_string(&children).ok()?.split_whitespace().next()?.parse().ok()
            });
        }
        daemon
    }

    /// Waits until something can be had; fails when the daemon ended, or it takes too long.
    pub(crate) fn wait_for<T>(&mut self, what: &str, mut get: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(got) = get() {
                return got;
            }
            let ended = self.outer.try_wait().unwrap();
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                panic!("the daemon does not get to {what} ({ended:?}); it said:\n{log}");
            }
            pause();
        }
    }

    /// The process that the script became, by its number on this machine.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn signal(&self, name: &str) {
        drop(Command::new("kill").args([&format!("-{name}"), &self.pid.to_string()]).status());
    }

    fn is_gone(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        // `pid (name) state …`; a zombie holds nothing.
        stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with('Z'))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.signal("TERM");
        let deadline = Instant::now() + END_MAX;
        while matches!(self.outer.try_wait(), Ok(None)) && Instant::now() < deadline {
            pause();
        }
        drop((self.outer.kill(), self.outer.wait()));
        let deadline = Instant::now() + END_MAX;
        while !(self.is_gone() && remove_cgroups(&self.cgroup)) && Instant::now() < deadline {
            pause();
        }
    }
}

/// The control group for what a daemon in this folder starts.
pub(crate) fn cgroup_of(folder: &Path) -> String {
    format!("sawyer-test{}", folder.file_name().unwrap().to_str().unwrap())
}

/// Removes the groups of this name from all hierarchies; says whether none is left.
fn remove_cgroups(name: &str) -> bool {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    hierarchies.chain([root.to_owned()]).all(|hierarchy| remove_folders(&hierarchy.join(name)))
}

fn remove_folders(path: &Path) -> bool {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_folders(&entry.path());
        }
    }
    fs::remove_dir(path).is_ok() || !path.exists()
}

/// Whether all of these programs are there; `false` after a skip that names the first that is not.
pub(crate) fn have_programs(names: &[&str]) -> bool {
    let folders = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin:/lib/systemd";
    let is_there = |name: &str| folders.split(':').any(|folder| Path::new(folder).join(name).is_file());
    let missing = names.iter().find(|name| !is_there(name));
    if let Some(name) = missing {
        sawyer_testkit::skip(&format!("no program {name}"));
    }
    missing.is_none()
}

/// A program that is killed when it takes too long.
pub(crate) fn bounded(program: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "30", program]).stdin(Stdio::null());
    command
}

/// Runs a command to its end, which has to be good, and gives back what it printed.
pub(crate) fn output(command: &mut Command) -> Vec<u8> {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = || String::from_utf8_lossy(&stderr).into_owned();
    assert!(status.success(), "{command:?}: {status}\n{}", said());
    stdout
}
