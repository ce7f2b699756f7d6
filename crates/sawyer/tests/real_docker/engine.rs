//! A docker engine of the test's own.

use std::fs;
use std::path::{Path, PathBuf};

use crate::busybox;
use crate::daemon::{Daemon, Own, bounded, cgroup_of, output};

pub(crate) struct Engine {
    daemon: Daemon,
    socket: String,
    pub(crate) containers: PathBuf,
}

impl Engine {
    /// Starts it with everything it has in `folder`, and gives it an image named `busybox`.
    pub(crate) fn start(folder: &Path) -> Self {
        let settings = format!("{{\"deprecated-key-path\":\"{}/key.json\"}}", folder.display());
        fs::write(folder.join("daemon.json"), settings).unwrap();
        let cgroup = cgroup_of(folder);
        let script = format!(
            r#"mount -t tmpfs tmpfs /run
            mount -t tmpfs tmpfs /opt
            exec dockerd --config-file "$PWD/daemon.json" --data-root "$PWD/docker" --exec-root "$PWD/exec" \
                --pidfile "$PWD/pid" --host "unix://$PWD/socket" --storage-driver vfs --bridge none \
                --iptables=false --ip6tables=false --ip-forward=false --cgroup-parent "/{cgroup}""#
        );
        let daemon = Daemon::start(folder, Own::Processes, &script);
        let socket = format!("unix://{}/socket", folder.display());
        let mut engine = Self { daemon, socket, containers: folder.join("docker/containers") };
        let mut info = engine.command(&["info"]);
        engine.daemon.wait_for("answers", || info.output().unwrap().status.success().then_some(()));
        engine.run(&["import", busybox::image(folder).to_str().unwrap(), "busybox"]);
        engine
    }

    /// A process in its network.
    pub(crate) fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = bounded("docker");
        command.args(["--host", &self.socket]).args(args);
        command
    }

    /// Runs the client; gives back what it printed.
    pub(crate) fn run(&self, args: &[&str]) -> String {
        String::from_utf8(output(&mut self.command(args))).unwrap().trim().to_owned()
    }

    /// Starts a container that runs a script; gives back its id.
    pub(crate) fn container(&self, name: &str, options: &[&str], script: &str) -> String {
        let first = ["run", "--detach", "--network", "none", "--name", name];
        self.run(&[&first[..], options, &["busybox", "sh", "-c", script]].concat())
    }

    pub(crate) fn log_of(&self, id: &str) -> PathBuf {
        self.containers.join(id).join(format!("{id}-json.log"))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Containers whose program does not care for SIGTERM would each take the engine 10 s.
        let Ok(all) = self.command(&["ps", "--all", "--quiet"]).output() else { return };
        let all = String::from_utf8_lossy(&all.stdout).into_owned();
        let ids: Vec<&str> = all.split_whitespace().collect();
        drop(self.command(&[&["rm", "--force"], &ids[..]].concat()).output());
    }
}
