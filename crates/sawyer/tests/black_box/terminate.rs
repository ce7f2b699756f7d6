//! SIGTERM while a target answers late: what was read is delivered within `drain`, and is not sent again after the next
//! start. The target of this test knows records by nothing, so whatever comes twice is there twice.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use sawyer_testkit::peer::{Peer, Play, Reply};

use crate::harness::{AS_WRITTEN, SOON, Sawyer, pause};

const LINES: usize = 3000;

/// How much later than the signal the target answers: more than was ever waited for by default.
const LATE: Duration = Duration::from_secs(5);

type Gate = Arc<(Mutex<bool>, Condvar)>;

fn start(folder: &Path) -> Sawyer {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let args = ["--config", &path("agent.yaml"), "--data", &path("data"), "--host-root", &path("host")];
    Sawyer::start("agent", &args)
}

/// How often each number came.
fn arrived(peer: &Peer) -> BTreeMap<usize, usize> {
    let mut numbers = BTreeMap::new();
    for request in peer.received() {
        let body = String::from_utf8(request.body).unwrap();
        for (at, _) in body.match_indices("order #") {
            let digits: String = body[at + 7..].chars().take_while(char::is_ascii_digit).collect();
            *numbers.entry(digits.parse().unwrap()).or_default() += 1;
        }
    }
    numbers
}

#[test]
fn what_is_delivered_late_in_the_grace_period_is_delivered_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let pod = folder.join("host/var/log/pods/shop_cart_8e4a5afb-0ab6-44a9-aff5-be71699ac8b8/app");
    fs::create_dir_all(&pod).unwrap();
    let line = |at: usize| format!("2026-11-20T10:00:00.{at:09}Z stdout F order #{at} {}\n", "x".repeat(500));
    fs::write(pod.join("0.log"), (0..LINES).map(line).collect::<String>()).unwrap();
    let gate = Gate::default();
    let waits = Arc::clone(&gate);
    let peer = Peer::start(move |_, _| {
        let (open, opened) = &*waits;
        drop(opened.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
        Play::Answer(Reply::new(200, ""))
    });
    let config = format!(
        "inputs: {{containers: {{sweep_interval: 200ms}}}}\ndrain: 50s\n{AS_WRITTEN}outputs: {{peer: {{type: http, \
         url: {}, compression: none, original: false, answer_timeout: 60s, buffer: {{kind: memory}}}}}}\n",
        peer.url()
    );
    fs::write(folder.join("agent.yaml"), config).unwrap();

    let mut agent = start(folder);
    let deadline = Instant::now() + SOON;
    while peer.received().is_empty() {
        assert!(Instant::now() < deadline, "nothing is sent:\n{}", agent.log());
        pause();
    }
    let opens = std::thread::spawn(move || {
        let late = Instant::now() + LATE;
        while Instant::now() < late {
            pause();
        }
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        late
    });
    let (took, status, log) = agent.terminate();
    let ended = Instant::now();
    let opened = opens.join().unwrap();
    assert!(status.success(), "{log}");
    assert!(ended >= opened, "it waits for the target: {took:?}");
    let before = arrived(&peer).len();
    assert!(before > 0, "{log}");

    let mut log = OpenOptions::new().append(true).open(pod.join("0.log")).unwrap();
    log.write_all(line(LINES).as_bytes()).unwrap();
    let mut agent = start(folder);
    let deadline = Instant::now() + SOON;
    while arrived(&peer).len() <= LINES {
        assert!(Instant::now() < deadline, "{} of {LINES}:\n{}", arrived(&peer).len(), agent.log());
        pause();
    }
    let doubled: Vec<usize> =
        arrived(&peer).into_iter().filter(|(_, times)| *times > 1).map(|(at, _)| at).collect();
    assert!(
        doubled.is_empty(),
        "{} came twice, the first is {}; {before} came before",
        doubled.len(),
        doubled[0]
    );
}
