//! A sidecar beside a program whose file the system's own logrotate rotates; as root, like logrotate.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(missing_docs, reason = "tests are told by their names")]

#[allow(dead_code, reason = "the harness has more than is needed here")]
#[path = "../black_box/harness.rs"]
mod harness;

#[allow(dead_code, reason = "not every daemon needs all of it")]
#[path = "../machine/daemon.rs"]
mod daemon;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use harness::{SOON, Sawyer, binary, pause};

/// Writes so many lines for each number that it is told, into a file that it opens again when it is hung up on.
const PROGRAM: &str = r#"
import signal, sys
path, number = sys.argv[1], 0
file, hung_up = open(path, 'a'), False
def hang_up(*_):
    global hung_up
    hung_up = True
signal.signal(signal.SIGHUP, hang_up)
for count in sys.stdin:
    for _ in range(int(count)):
        if hung_up:
            file.close()
            file, hung_up = open(path, 'a'), False
        file.write(f'line {number} of a program whose file others rotate\n')
        file.flush()
        number += 1
    print(number, flush=True)
"#;

struct Program {
    child: Child,
    file: PathBuf,
    count: u32,
}

impl Program {
    fn start(file: &Path) -> Self {
        let mut command = Command::new("python3");
        command.args(["-c", PROGRAM]).arg(file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.spawn().unwrap();
        let deadline = Instant::now() + SOON;
        while !file.exists() {
            assert!(Instant::now() < deadline, "python3 does not start");
            pause();
        }
        Self { child, file: file.to_owned(), count: 0 }
    }

    /// Has it write so many lines more, and does not wait.
    fn write(&mut self, count: u32) {
        self.count += count;
        writeln!(self.child.stdin.as_mut().unwrap(), "{count}").unwrap();
    }

    /// Waits until all of them are in some file.
    fn wait(&self) {
        let last = format!("line {} ", self.count - 1);
        let deadline = Instant::now() + SOON;
        while !fs::read_to_string(&self.file).is_ok_and(|text| text.contains(&last)) {
            assert!(Instant::now() < deadline, "no {last}");
            pause();
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs logrotate now, whatever it thinks of the time.
fn logrotate(folder: &Path, config: &str) {
    let path = folder.join("logrotate.conf");
    fs::write(&path, config).unwrap();
    let mut command = Command::new("/usr/sbin/logrotate");
    let ran = command.arg("--force").arg("--state").arg(folder.join("state")).arg(path).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

fn sidecar(folder: &Path, options: &[&str]) -> (Sawyer, PathBuf) {
    let out = folder.join("printed");
    let files = folder.join("logs/*.log");
    let mut command = binary();
    command.args(["sidecar", "--stdout", "lines", "--files", files.to_str().unwrap()]).args(options);
    command.stdout(fs::OpenOptions::new().create(true).append(true).open(&out).unwrap());
    (Sawyer::launch(command).unwrap_or_else(|log| panic!("{log}")), out)
}

fn printed(out: &Path) -> Vec<u32> {
    let text = fs::read_to_string(out).unwrap();
    let number = |line: &str| line.strip_prefix("line ")?.split(' ').next()?.parse().ok();
    text.lines().map(|line| number(line).unwrap_or_else(|| panic!("as written: {line}"))).collect()
}

fn wait_for_all(sidecar: &mut Sawyer, out: &Path, count: u32) {
    let deadline = Instant::now() + SOON;
    while printed(out).len() < count as usize {
        assert!(Instant::now() < deadline, "{} of {count} lines; {}", printed(out).len(), sidecar.log());
        pause();
    }
    let mut found = printed(out);
    found.sort_unstable();
    let differs = found.iter().zip(0..).find(|(found, wanted)| *found != wanted);
    assert_eq!((found.len(), differs), (count as usize, None));
}

fn can_run() -> bool {
    sawyer_testkit::may_use_root("logrotate") && daemon::have_programs(&["logrotate", "python3"])
}

#[test]
fn every_line_is_printed_once_however_logrotate_goes_about_it() {
    if !can_run() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("logs/app.log");
    fs::create_dir(folder.path().join("logs")).unwrap();
    let mut program = Program::start(&file);
    let pid = program.child.id();
    let path = file.display();
    let (mut sidecar, out) = sidecar(folder.path(), &[]);
    // Renamed while the program writes; it opens the new file when it is hung up on.
    let renames = format!(
        "{path} {{\n rotate 20\n create\n compress\n delaycompress\n nosharedscripts\n postrotate\n \
         kill -HUP {pid}\n endscript\n}}\n"
    );
    for _ in 0..5 {
        program.write(3000);
        logrotate(folder.path(), &renames);
    }
    program.write(1);
    wait_for_all(&mut sidecar, &out, program.count);
    assert!(folder.path().join("logs/app.log.3.gz").exists(), "it rotated and compressed");
    // Copied and cut. What is written between the two is lost, as logrotate's manual says, so nothing is.
    let copies = format!("{path} {{\n rotate 20\n copytruncate\n}}\n");
    for _ in 0..5 {
        program.write(3000);
        program.wait();
        logrotate(folder.path(), &copies);
    }
    program.write(1);
    wait_for_all(&mut sidecar, &out, program.count);
    sidecar.stop();
    // While nobody reads, too.
    program.write(500);
    program.wait();
    logrotate(folder.path(), &renames);
    program.write(500);
    let (mut sidecar, out) = self::sidecar(folder.path(), &[]);
    wait_for_all(&mut sidecar, &out, program.count);
    sidecar.stop();
}

#[test]
fn a_sidecar_that_is_asked_to_keeps_a_volume_from_filling() {
    if !can_run() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("logs")).unwrap();
    let mut program = Program::start(&folder.path().join("logs/app.log"));
    let (mut sidecar, out) = sidecar(folder.path(), &["--rotate", "256KiB"]);
    for _ in 0..6 {
        program.write(10_000);
        wait_for_all(&mut sidecar, &out, program.count);
    }
    let blocks = || std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&program.file).unwrap()) * 512;
    let deadline = Instant::now() + SOON;
    while blocks() > 1 << 20 {
        assert!(Instant::now() < deadline, "{} bytes; {}", blocks(), sidecar.log());
        pause();
    }
    assert!(fs::metadata(&program.file).unwrap().len() > 2 << 20);
    sidecar.stop();
}
