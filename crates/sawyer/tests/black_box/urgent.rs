//! Errors pass a backlog: through the real buffer and the real delivery, to a target that was down and comes back.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use sawyer_testkit::peer::{Peer, Play, Received, Reply};

use crate::harness::{SOON, Sawyer, pause};

const BACKLOG: usize = 40_000;

/// Records of one request at most, and so about what may be under way when the error comes.
const REQUEST_RECORDS: usize = 500;

fn buffered(agent: &Sawyer) -> u64 {
    let (_, metrics) = agent.request("GET", "/metrics", &[], b"");
    let lines = metrics.lines().filter(|line| line.starts_with("sawyer_buffer_pushed_records_total{"));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
}

fn wait_until_buffered(agent: &mut Sawyer, wanted: u64) {
    let deadline = Instant::now() + SOON;
    while buffered(agent) < wanted {
        assert!(Instant::now() < deadline, "{} of {wanted} in the buffer:\n{}", buffered(agent), agent.log());
        pause();
    }
}

#[test]
fn an_error_passes_a_backlog() {
    let folder = tempfile::tempdir().unwrap();
    let (host, data) = (folder.path().join("host"), folder.path().join("data"));
    let pod = host.join("var/log/pods/shop_cart_8e4a5afb-0ab6-44a9-aff5-be71699ac8b8/app");
    fs::create_dir_all(&pod).unwrap();
    let log = pod.join("0.log");
    let mut lines = String::new();
    for at in 0..BACKLOG {
        writeln!(lines, "2026-11-20T10:00:00.{at:09}Z stdout F all is well with order {at}").unwrap();
    }
    fs::write(&log, lines).unwrap();
    let up = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&up);
    let peer = Peer::start(move |_, _| {
        let status = if answers.load(Ordering::SeqCst) { 200 } else { 503 };
        Play::Answer(Reply::new(status, ""))
    });
    let config = folder.path().join("agent.yaml");
    let settings = format!(
        "inputs: {{containers: }}\noutputs:\n  peer:\n    type: http\n    url: {}\n    compression: none\n    \
         batch_records_max: {REQUEST_RECORDS}\n    retry_pause_max: 200ms\n    memory_max: 4MiB\n",
        peer.url()
    );
    fs::write(&config, settings).unwrap();
    let args = ["--data", data.to_str().unwrap(), "--host-root", host.to_str().unwrap()];
    let config = ["--config", config.to_str().unwrap()];
    let mut agent = Sawyer::start("agent", &[&args[..], &config].concat());
    wait_until_buffered(&mut agent, BACKLOG as u64);
    let mut file = OpenOptions::new().append(true).open(&log).unwrap();
    file.write_all(b"2026-11-20T10:00:01Z stdout F {\"level\":\"error\",\"msg\":\"the pump burns\"}\n")
        .unwrap();
    wait_until_buffered(&mut agent, BACKLOG as u64 + 1);
    let refused = peer.received().len();
    up.store(true, Ordering::SeqCst);
    let deadline = Instant::now() + SOON;
    let records = |request: &Received| request.body.iter().filter(|byte| **byte == b'\n').count();
    let arrived = |requests: &[Received]| requests.iter().map(records).sum::<usize>();
    let requests = loop {
        let requests = peer.received().split_off(refused);
        if arrived(&requests) > BACKLOG {
            break requests;
        }
        assert!(Instant::now() < deadline, "{} arrived:\n{}", arrived(&requests), agent.log());
        pause();
    };
    let has_error = |request: &Received| String::from_utf8_lossy(&request.body).contains("the pump burns");
    let place = requests.iter().position(has_error).expect("the error arrived");
    let before = arrived(&requests[..place]);
    // One request was tried again and again, another may have been on its way when the target came back.
    assert!(before <= 2 * REQUEST_RECORDS, "{before} of {BACKLOG} went before the error");
    agent.stop();
}
