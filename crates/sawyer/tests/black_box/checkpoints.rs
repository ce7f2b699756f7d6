//! The ledger from end to end: what an agent was told to be taken is asked for at the server that should have it.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::{SOON, Sawyer, pause, run, text};
use crate::native::{Process, all_is_confirmed, host, output, write_some};

const LOST: &str = "these records are lost";

fn pod(host: &Path) -> std::path::PathBuf {
    let pod = host.join("var/log/pods/shop_cart_8e4a5afb-0ab6-44a9-aff5-be71699ac8b8/app");
    fs::create_dir_all(&pod).unwrap();
    pod
}

fn written_bytes(pod: &Path) -> u64 {
    fs::metadata(pod.join("0.log")).unwrap().len()
}

/// What an output was told to be taken, once that is as it should be.
fn taken(process: &mut Sawyer, wanted: &Value) -> Value {
    let deadline = Instant::now() + SOON;
    loop {
        let (_, answer) = process.get("/api/v1/ledger", &[]);
        if answer["checkpoints"][0]["taken"] == *wanted {
            return answer;
        }
        assert!(Instant::now() < deadline, "{wanted} is not in {answer}\n{}", process.log());
        pause();
    }
}

fn sums(confirmed: u64, missing: u64, open: u64) -> Value {
    json!({ "bytes": confirmed + missing + open, "confirmed": confirmed, "missing": missing, "unknown": 0, "open": open })
}

/// What rules leave out on either side is no gap, and both sides show the same.
#[test]
fn what_rules_leave_out_is_confirmed_too() {
    let folder = tempfile::tempdir().unwrap();
    let (host, mut written) = (host(folder.path()), 0);
    let pod = pod(&host);
    let drops = |when: &str| format!("pipelines: {{main: {{steps: [parse, drop: {{when: '{when}'}}]}}}}\n");
    let mut server = Process::new("server", folder.path(), &drops("level: error"), &[]);
    server.start();
    let config = format!("{}{}", output(&server, ""), drops("number < 20"));
    let mut agent = Process::new("agent", folder.path(), &config, &["--host-root", host.to_str().unwrap()]);
    agent.start();
    write_some(&pod, &mut written);
    let server = server.running.as_mut().unwrap();
    server.wait_for_count("pod: cart", 28);
    let agent = agent.running.as_mut().unwrap();
    let confirmed = sums(written_bytes(&pod), 0, 0);
    let answer = taken(agent, &confirmed);
    assert_eq!(answer["closes"], true, "{answer}");
    let deadline = Instant::now() + SOON;
    loop {
        // It hears of it with the next lines.
        write_some(&pod, &mut written);
        all_is_confirmed(agent);
        let (_, answer) = server.get("/api/v1/ledger", &[]);
        let peer = &answer["peers"][0];
        assert_eq!((&peer["output"], &peer["lacked"]), (&json!("sawyer"), &json!(0)), "{answer}");
        let mut parts = peer["agent"].as_str().unwrap().split('/');
        assert!(parts.next().is_some_and(|node| !node.is_empty()), "{answer}");
        assert_eq!(parts.next(), Some("agent"), "its role: {answer}");
        if peer["taken"]["confirmed"].as_u64() >= confirmed["confirmed"].as_u64() {
            break;
        }
        assert!(Instant::now() < deadline, "{answer}");
    }
    let printed = run(&["status", "--server", &agent.address.to_string(), "-o", "text"]);
    let printed = text(&printed.stdout);
    assert!(printed.contains("output sawyer, at the end of its way"), "{printed}");
    let printed = run(&["status", "--server", &agent.address.to_string(), "-o", "json"]);
    let told: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(told["checkpoints"][0]["output"], "sawyer", "programs are told, too: {told}");
    let printed = run(&["status", "--server", &server.address.to_string(), "-o", "text"]);
    assert!(text(&printed.stdout).contains("has sent here by its output sawyer"), "{printed:?}");
    assert!(!server.log().contains(LOST) && !agent.log().contains(LOST));
}

/// A server whose store was lost: what the agent holds for taken since the last checkpoint is told by both, once, and
/// stays on the books.
#[test]
fn a_store_that_was_lost_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (host, mut written) = (host(folder.path()), 0);
    let pod = pod(&host);
    let mut server = Process::new("server", folder.path(), "", &[]);
    server.start();
    let often = output(&server, "");
    let seldom = often.replace("checkpoint_interval: 1s", "checkpoint_interval: 1h");
    let mut agent = Process::new("agent", folder.path(), &seldom, &["--host-root", host.to_str().unwrap()]);
    agent.start();
    write_some(&pod, &mut written);
    server.running.as_mut().unwrap().wait_for_count("pod: cart", written);
    let bytes = written_bytes(&pod);
    taken(agent.running.as_mut().unwrap(), &sums(0, 0, bytes));
    // It ends while nobody can be asked, and remembers.
    server.kill();
    let (_, status, log) = agent.running.take().unwrap().stop();
    assert!(status.success(), "{log}");
    fs::remove_dir_all(folder.path().join("server")).unwrap();
    server.start();
    fs::write(folder.path().join("agent.yaml"), &often).unwrap();
    agent.start();
    let running = agent.running.as_mut().unwrap();
    let answer = taken(running, &sums(0, bytes, 0));
    let gap = &answer["checkpoints"][0]["missing"][0];
    assert_eq!(
        (&gap["start"], &gap["end"], &answer["closes"]),
        (&json!(0), &json!(bytes), &json!(false)),
        "{answer}"
    );
    running.wait_for_log(LOST);
    let source = gap["source"].as_str().unwrap();
    assert!(running.log().contains(source), "{source}");
    let (_, metrics) = running.get("/metrics", &[]);
    let line = format!("sawyer_ledger_missing_bytes_total{{output=\"sawyer\"}} {bytes}\n");
    assert!(metrics.as_str().unwrap().contains(&line), "{metrics}");
    let server = server.running.as_mut().unwrap();
    server.wait_for_log(LOST);
    assert!(server.log().contains(source));
    let (_, metrics) = server.get("/metrics", &[]);
    assert!(
        metrics.as_str().unwrap().contains(&format!("sawyer_ledger_lacked_bytes_total {bytes}\n")),
        "{metrics}"
    );
    // What comes later is there.
    write_some(&pod, &mut written);
    let more = written_bytes(&pod) - bytes;
    taken(running, &sums(more, bytes, 0));
    let printed = run(&["status", "--server", &running.address.to_string(), "-o", "text"]);
    assert!(text(&printed.stdout).contains("MISSING"), "{printed:?}");
    let (_, status, log) = agent.running.take().unwrap().stop();
    assert!(status.success(), "{log}");
    let answer = taken(agent.start(), &sums(more, bytes, 0));
    assert_eq!(answer["checkpoints"][0]["missing"].as_array().unwrap().len(), 1, "{answer}");
}

/// Behind a gateway's buffer it may wait: nobody says that it is lost before it could not but be there. The gateway, which
/// was told itself, says so at once.
#[test]
fn behind_a_buffer_it_may_wait() {
    let folder = tempfile::tempdir().unwrap();
    let (host, mut written) = (host(folder.path()), 0);
    let pod = pod(&host);
    let mut server = Process::new("server", folder.path(), "", &[]);
    server.start();
    let seldom = |config: String| config.replace("checkpoint_interval: 1s", "checkpoint_interval: 1h");
    let through = output(&server, "").replace("inputs: {containers: }", "inputs: {sawyer: }");
    let mut gateway = Process::new("gateway", folder.path(), &seldom(through.clone()), &[]);
    gateway.start();
    let often = output(&gateway, "");
    let root = ["--host-root", host.to_str().unwrap()];
    let mut agent = Process::new("agent", folder.path(), &seldom(often.clone()), &root);
    agent.start();
    write_some(&pod, &mut written);
    server.running.as_mut().unwrap().wait_for_count("pod: cart", written);
    let bytes = written_bytes(&pod);
    for process in [&mut agent, &mut gateway] {
        taken(process.running.as_mut().unwrap(), &sums(0, 0, bytes));
    }
    server.kill();
    for process in [&mut agent, &mut gateway] {
        process.running.take().unwrap().stop();
    }
    fs::remove_dir_all(folder.path().join("server")).unwrap();
    server.start();
    fs::write(folder.path().join("gateway.yaml"), &through).unwrap();
    taken(gateway.start(), &sums(0, bytes, 0));
    fs::write(folder.path().join("agent.yaml"), &often).unwrap();
    let running = agent.start();
    let deadline = Instant::now() + SOON;
    loop {
        let answer = taken(running, &sums(0, 0, bytes));
        if !answer["checkpoints"][0]["answered"].is_null() {
            break;
        }
        assert!(Instant::now() < deadline, "{answer}");
        pause();
    }
    assert!(!running.log().contains(LOST), "{}", running.log());
}
