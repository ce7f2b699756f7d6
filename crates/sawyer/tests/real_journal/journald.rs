//! A systemd-journald of the test's own, which believes that it is the machine's.

use std::fs;
use std::io::Write;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::daemon::{Daemon, Own};
use crate::harness::pause;

pub(crate) const MACHINE_ID: &str = "0123456789abcdef0123456789abcdef";

/// The smallest files that journald makes, so that they are rotated soon; and nothing is left out.
const SETTINGS: &str = "[Journal]\nStorage=auto\nSystemMaxFileSize=512K\nRuntimeMaxFileSize=512K\n\
                        RateLimitIntervalSec=0\nReadKMsg=no\nAudit=no\nForwardToWall=no\n";

pub(crate) struct Journald {
    pub(crate) daemon: Daemon,
    _run: Tmpfs,
    host: PathBuf,
}

impl Journald {
    /// Starts it with `/run` and `/var/log` below `folder/host`.
    pub(crate) fn start(folder: &Path) -> Self {
        let host = folder.join("host");
        for path in ["run", "var/log/journal", "etc"] {
            fs::create_dir_all(host.join(path)).unwrap();
        }
        fs::write(host.join("etc/machine-id"), format!("{MACHINE_ID}\n")).unwrap();
        fs::write(host.join("etc/hostname"), "journal-node\n").unwrap();
        fs::write(folder.join("journald.conf"), SETTINGS).unwrap();
        // journald removes the journal below /run when it has copied it, but not from a disk.
        let run = Tmpfs::mount(host.join("run"));
        let script = "mount --bind host/run /run
            mount --bind host/var/log /var/log
            mount --bind host/etc/machine-id /etc/machine-id
            mount --bind journald.conf /etc/systemd/journald.conf
            exec /lib/systemd/systemd-journald";
        let daemon = Daemon::start(folder, Own::Files, script);
        let mut journald = Self { daemon, _run: run, host };
        let sockets = [journald.socket("socket"), journald.socket("stdout"), journald.socket("dev-log")];
        journald.daemon.wait_for("listens", || sockets.iter().all(|path| path.exists()).then_some(()));
        journald
    }

    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        self.host.join("run/systemd/journal").join(name)
    }

    /// Sends entries with these numbers, as programs do that know journald's own protocol.
    pub(crate) fn write(&self, numbers: std::ops::Range<u64>) {
        let socket = UnixDatagram::unbound().unwrap();
        socket.connect(self.socket("socket")).unwrap();
        let more = "some text that differs ".repeat(10);
        for number in numbers {
            let entry = format!(
                "MESSAGE=number {number} {more}\nPRIORITY=6\nSYSLOG_IDENTIFIER=numbers\nNUMBER={number}\n"
            );
            socket.send(entry.as_bytes()).unwrap();
        }
    }

    /// What a service prints, as systemd connects it.
    pub(crate) fn print(&self, unit: &str, program: &str, text: &str) {
        let mut stream = UnixStream::connect(self.socket("stdout")).unwrap();
        write!(stream, "{program}\n{unit}\n6\n1\n0\n0\n0\n{text}").unwrap();
    }

    /// `logger` of util-linux, over the socket of syslog.
    pub(crate) fn logger(&self, args: &[&str]) {
        let socket = self.socket("dev-log");
        assert!(Command::new("logger").arg("--socket").arg(socket).args(args).status().unwrap().success());
    }

    /// The journal files below a folder of the host.
    pub(crate) fn files(&self, below: &str) -> usize {
        let folder = self.host.join(below).join(MACHINE_ID);
        fs::read_dir(folder).map_or(0, Iterator::count)
    }

    /// Copies the journal of `/run` to the disk, as at the end of a boot.
    pub(crate) fn flush(&self) {
        self.daemon.signal("USR1");
        while self.files("var/log/journal") == 0 || self.files("run/log/journal") > 0 {
            pause();
        }
    }

    pub(crate) fn rotate(&self) {
        let before = self.files("var/log/journal");
        self.daemon.signal("USR2");
        while self.files("var/log/journal") == before {
            pause();
        }
    }
}

struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(at: PathBuf) -> Self {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&at).status();
        assert!(mounted.unwrap().success());
        Self(at)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(&self.0).status());
    }
}
