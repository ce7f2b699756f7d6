//! A sidecar beside a program that writes and rotates its own file.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::harness::{SOON, Sawyer, binary, pause};

/// Python's own rotation: rename at 20 kB, three old ones.
const PROGRAM: &str = r#"
import logging, logging.handlers, sys, time
handler = logging.handlers.RotatingFileHandler(sys.argv[1], maxBytes=20000, backupCount=3)
logging.basicConfig(level=logging.INFO, format='%(asctime)s %(levelname)s %(message)s', handlers=[handler])
for number in range(1000):
    logging.info('line %d of a program that rotates its file by itself', number)
    time.sleep(0.001)
"#;

fn write_rotating(file: &Path) {
    let ran = Command::new("python3").args(["-c", PROGRAM]).arg(file).status().unwrap();
    assert!(ran.success());
}

#[test]
fn a_sidecar_prints_every_line_of_a_program_that_rotates_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("app.log"), folder.path().join("printed"));
    let mut command = binary();
    let files = folder.path().join("*.log");
    command.args(["sidecar", "--stdout", "lines", "--files", files.to_str().unwrap()]);
    command.stdout(fs::File::create(&out).unwrap());
    let mut sidecar = Sawyer::launch(command).unwrap_or_else(|log| panic!("{log}"));
    write_rotating(&file);
    assert!(folder.path().join("app.log.3").exists(), "it rotated");
    let deadline = Instant::now() + SOON;
    let numbers = || -> Vec<u32> {
        let text = fs::read_to_string(&out).unwrap();
        let number = |line: &str| line.split("INFO line ").nth(1)?.split(' ').next()?.parse().ok();
        text.lines().map(|line| number(line).unwrap_or_else(|| panic!("as written: {line}"))).collect()
    };
    while numbers().len() < 1000 {
        assert!(Instant::now() < deadline, "{} lines; {}", numbers().len(), sidecar.log());
        pause();
    }
    let mut found = numbers();
    found.sort_unstable();
    assert_eq!(found, (0..1000).collect::<Vec<_>>());
    assert!(folder.path().join(".sawyer").is_dir(), "its state lies beside the files");
    sidecar.stop();
}

#[test]
fn a_sidecar_that_sends_says_whose_pod_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Sawyer::up_with(folder.path(), "inputs: {sawyer: }\noutputs: {store: }\n");
    let logs = folder.path().join("logs");
    fs::create_dir(&logs).unwrap();
    fs::write(logs.join("a.log"), "{\"level\":\"warn\",\"msg\":\"of a file\"}\n").unwrap();
    let config = folder.path().join("sidecar.yaml");
    fs::write(&config, format!("outputs: {{sawyer: {{endpoint: 'http://{}'}}}}\n", server.address)).unwrap();
    let mut command = binary();
    let files = logs.join("*.log");
    command.args(["sidecar", "--files", files.to_str().unwrap(), "--config", config.to_str().unwrap()]);
    command.env("POD_NAME", "cart-1").env("POD_NAMESPACE", "shop").env("CONTAINER_NAME", "app");
    command.stdout(Stdio::null());
    let sidecar = Sawyer::launch(command).unwrap_or_else(|log| panic!("{log}"));
    server.wait_for_count("namespace: shop and pod: cart-1 and container: app and level: warn", 1);
    assert_eq!(server.count("identity: *"), 0);
    sidecar.stop();
}

#[test]
fn lines_of_every_form_are_printed_as_they_were_written() {
    const LINES: &str = "{\"level\":\"warn\",  \"msg\":\"in JSON\",\"n\":1.50}\n\
        level=info msg=\"in logfmt\" n=2\n\
        10.0.0.1 - - [20/Nov/2026:10:00:00 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"curl\"\n\
        2026-11-20T10:00:00Z ERROR plain\n";
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("printed");
    let file = folder.path().join("app.log");
    fs::write(&file, LINES).unwrap();
    let mut command = binary();
    command.args(["sidecar", "--stdout", "lines", "--files", file.to_str().unwrap()]);
    command.stdout(fs::File::create(&out).unwrap());
    let mut sidecar = Sawyer::launch(command).unwrap_or_else(|log| panic!("{log}"));
    let deadline = Instant::now() + SOON;
    let mut printed = String::new();
    while printed.len() < LINES.len() && Instant::now() < deadline {
        pause();
        printed = fs::read_to_string(&out).unwrap();
    }
    assert_eq!(printed, LINES, "{}", sidecar.log());
    sidecar.stop();
}
