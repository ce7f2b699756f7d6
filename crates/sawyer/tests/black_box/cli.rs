//! The command line against a running server.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::harness::{Sawyer, binary, text};

const PODS: &str = "host/var/log/pods";
const UID: &str = "8e4a5afb-0ab6-44a9-aff5-be71699ac8b8";

fn write(folder: &Path, pod: &str, file: &str, lines: &[&str]) {
    let container = folder.join(PODS).join(format!("shop_{pod}_{UID}/app"));
    fs::create_dir_all(&container).unwrap();
    let mut file = OpenOptions::new().create(true).append(true).open(container.join(file)).unwrap();
    for (n, line) in lines.iter().enumerate() {
        writeln!(file, "{} stdout F {line}", sawyer_model::Timestamp::from_nanos(now() + n as i64)).unwrap();
    }
}

/// A minute ago, so that `--since` finds it and the future does not begin yet.
fn now() -> i64 {
    sawyer_telemetry::Clock::system().now().nanos() - 60_000_000_000
}

struct Cli<'a>(&'a Sawyer);

impl Cli<'_> {
    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = binary();
        command.args(args).arg("--server").arg(format!("http://{}", self.0.address)).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn refusal(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        assert!(!output.status.success(), "{args:?}: {}", text(&output.stdout));
        text(&output.stderr)
    }
}

#[test]
fn query_prints_text_json_and_raw_lines() {
    let folder = tempfile::tempdir().unwrap();
    let json = r#"{"level":"error","msg":"payment refused","order":{"id":7}}"#;
    write(folder.path(), "cart-6d5f4c7b9-x2x4z", "0.log", &["first", json]);
    let mut sawyer = Sawyer::up(folder.path());
    sawyer.wait_for_count("pod: *", 2);
    let cli = Cli(&sawyer);
    let out = cli.run(&["query", "namespace: shop"]);
    let messages: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        messages.iter().map(|r| r["message"].as_str().unwrap()).collect::<Vec<_>>(),
        ["first", "payment refused"]
    );
    assert!(
        cli.run(&["query", "level: error", "-o", "text"])
            .contains("error shop/cart-6d5f4c7b9-x2x4z/app payment refused")
    );
    assert_eq!(cli.run(&["query", "level: error", "-o", "raw"]), format!("{json}\n"));
    assert!(cli.run(&["query", "--newest-first", "-n", "1", "pod: *"]).contains("payment refused"));
    assert_eq!(cli.run(&["query", "-n", "0", "pod: *"]).lines().count(), 2);
    let said = cli.refusal(&["query", "level: (error"]);
    assert!(said.contains('^'), "{said}");
    let nobody = binary().args(["query", "x", "--server", "http://127.0.0.1:1"]).output().unwrap();
    assert!(text(&nobody.stderr).contains("is a server running there?"), "{}", text(&nobody.stderr));
}

#[test]
fn logs_of_a_workload_are_there_after_its_pods_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "cart-6d5f4c7b9-x2x4z", "0.log", &["before the crash"]);
    write(folder.path(), "cart-6d5f4c7b9-x2x4z", "1.log", &["after the crash", "still here"]);
    write(folder.path(), "cartoon-6d5f4c7b9-x2x4z", "0.log", &["somebody else"]);
    let mut sawyer = Sawyer::up(folder.path());
    sawyer.wait_for_count("pod: *", 4);
    fs::remove_dir_all(folder.path().join(PODS)).unwrap();
    let cli = Cli(&sawyer);
    assert_eq!(
        cli.run(&["logs", "deploy/cart", "-n", "shop"]),
        "before the crash\nafter the crash\nstill here\n"
    );
    assert_eq!(cli.run(&["logs", "deploy/cart", "-n", "shop", "--tail", "1"]), "still here\n");
    assert_eq!(cli.run(&["logs", "deploy/cart", "-n", "shop", "--previous"]), "before the crash\n");
    assert_eq!(cli.run(&["logs", "cart-6d5f4c7b9-x2x4z", "-n", "shop", "-c", "app"]).lines().count(), 3);
    assert_eq!(cli.run(&["logs", "deploy/cart", "-n", "other"]), "");
    assert!(cli.refusal(&["logs", "svc/cart", "-n", "shop"]).contains("unknown kind `svc`"));
}

#[test]
fn follow_and_tail_show_new_lines() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "cart-6d5f4c7b9-x2x4z", "0.log", &["old"]);
    let mut sawyer = Sawyer::up(folder.path());
    sawyer.wait_for_count("pod: *", 1);
    let cli = Cli(&sawyer);
    let mut following = cli.command(&["logs", "deploy/cart", "-n", "shop", "-f"]);
    let mut following = following.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "old");
    write(folder.path(), "cart-6d5f4c7b9-x2x4z", "0.log", &["new 1", "new 2"]);
    assert_eq!(lines.next().unwrap().unwrap(), "new 1");
    assert_eq!(lines.next().unwrap().unwrap(), "new 2");
    let (_, status, log) = sawyer.stop();
    assert!(status.success() && log.contains("stopped"), "{log}");
    assert!(lines.next().is_none());
    let ended = following.wait_with_output().unwrap();
    let said = text(&ended.stderr);
    assert_eq!(said, "sawyer: the server has ended the live view\n", "a stop is no fault of the connection");
}

#[test]
fn an_empty_answer_says_so_beside_the_output() {
    let folder = tempfile::tempdir().unwrap();
    let lines: Vec<String> = (0..101).map(|n| format!("line {n}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    write(folder.path(), "cart-6d5f4c7b9-x2x4z", "0.log", &lines);
    let mut sawyer = Sawyer::up(folder.path());
    sawyer.wait_for_count("pod: *", 101);
    let cli = Cli(&sawyer);
    let told = |args: &[&str]| {
        let output = cli.command(args).output().unwrap();
        assert!(output.status.success(), "{args:?}");
        (text(&output.stdout).lines().count(), text(&output.stderr))
    };
    assert_eq!(told(&["query", "no: thing"]), (0, "sawyer: nothing found in the last 1h\n".into()));
    let (lines, said) = told(&["query", "pod: *"]);
    assert!(lines == 100 && said.contains("the newest 100, there are more"), "{lines} {said}");
    assert_eq!(told(&["query", "pod: *", "-n", "100"]), (100, String::new()));
    assert_eq!(told(&["query", "pod: *", "-n", "0"]), (101, String::new()));
    let (lines, said) = told(&["logs", "deploy/cart"]);
    assert!(lines == 0 && said.contains("no lines of `deploy/cart` in namespace `default`"), "{said}");
    for command in ["query", "tail", "export"] {
        let said = cli.refusal(&[command, "level:", "error", "and", "pod: *"]);
        assert!(said.contains("put it into quotes, as in 'level: error and pod: *'"), "{said}");
    }
    for since in ["5x", "h", "now", "1h/d"] {
        let said = cli.refusal(&["query", "*", "--since", since]);
        assert!(said.contains("--since: expected a length such as"), "{said}");
    }
}

#[test]
fn a_context_is_a_name_for_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let sawyer = Sawyer::up(folder.path());
    let run = |args: &[&str]| {
        let output = binary().env("XDG_CONFIG_HOME", folder.path()).args(args).output().unwrap();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    };
    assert!(run(&["context", "add", "here", &sawyer.address.to_string()]).0);
    assert!(run(&["context", "add", "nowhere", "http://127.0.0.1:1"]).0);
    assert!(run(&["query", "*"]).0);
    assert!(!run(&["query", "*", "--context", "nowhere"]).0);
    let typed = binary()
        .env("XDG_CONFIG_HOME", folder.path())
        .env("SAWYER_SERVER", sawyer.address.to_string())
        .args(["query", "*", "--context", "nowhere"])
        .output()
        .unwrap();
    assert!(!typed.status.success(), "what is typed goes before the environment");
    let (_, list) = run(&["context", "list"]);
    assert!(list.contains("* here  "), "{list}");
    assert!(run(&["context", "use", "nowhere"]).0);
    assert!(!run(&["query", "*"]).0);
    let (good, said) = run(&["context", "use", "elsewhere"]);
    assert!(!good && said.contains("known are: here, nowhere"), "{said}");
}
