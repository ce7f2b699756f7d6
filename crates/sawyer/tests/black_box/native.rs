//! Agents, gateways and servers: every line in the store once, whoever dies in between.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use sawyer_testkit::free_address;

use crate::harness::{SOON, Sawyer, pause};

/// Lines between two rotations.
const FILE_LINES: u64 = 700;

/// Writes numbered lines of a container through rotations until it is told to stop.
struct Writer {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<u64>,
}

impl Writer {
    fn start(host: &Path) -> Self {
        let folder = host.join("var/log/pods/shop_cart_8e4a5afb-0ab6-44a9-aff5-be71699ac8b8/app");
        fs::create_dir_all(&folder).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut written = 0;
            while !stopped.load(Ordering::SeqCst) {
                write_some(&folder, &mut written);
                pause();
            }
            written
        });
        Self { stop, thread }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

/// Some lines, one in twenty an error, and a rotation when the file has enough.
pub(crate) fn write_some(folder: &Path, written: &mut u64) {
    let live = folder.join("0.log");
    let mut file = OpenOptions::new().create(true).append(true).open(&live).unwrap();
    for _ in 0..50 {
        let n = *written;
        let level = if n.is_multiple_of(20) { "error" } else { "info" };
        let message = format!("{{\"number\":{n},\"level\":\"{level}\",\"msg\":\"order {n} is on its way\"}}");
        writeln!(file, "2026-11-20T10:00:00.{n:09}Z stdout F {message}").unwrap();
        *written += 1;
        if written.is_multiple_of(FILE_LINES) {
            fs::rename(&live, folder.join(format!("0.log.20261120-{written:06}"))).unwrap();
            file = OpenOptions::new().create(true).append(true).open(&live).unwrap();
        }
    }
}

/// A process that is killed and started again at the same address.
pub(crate) struct Process {
    role: &'static str,
    listen: String,
    args: Vec<String>,
    pub(crate) running: Option<Sawyer>,
}

impl Process {
    pub(crate) fn new(role: &'static str, folder: &Path, config: &str, more: &[&str]) -> Self {
        let path = folder.join(format!("{role}.yaml"));
        fs::write(&path, config).unwrap();
        let data = folder.join(role);
        let args = ["--config", path.to_str().unwrap(), "--data", data.to_str().unwrap()];
        let args = [&args, more].concat().into_iter().map(str::to_owned).collect();
        Self { role, listen: free_address().to_string(), args, running: None }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    pub(crate) fn start(&mut self) -> &mut Sawyer {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        let deadline = Instant::now() + SOON;
        loop {
            match Sawyer::try_start_at(&self.listen, self.role, &args) {
                Ok(running) => return self.running.insert(running),
                Err(log) => assert!(Instant::now() < deadline, "it does not start:\n{log}"),
            }
            pause();
        }
    }

    pub(crate) fn kill(&mut self) {
        self.running.take().unwrap().kill();
    }
}

pub(crate) fn output(to: &Process, more: &str) -> String {
    let url = to.url();
    format!(
        "inputs: {{containers: }}\noutputs:\n  sawyer:\n    endpoint: {url}\n    retry_pause_max: 200ms\n    checkpoint_interval: 1s\n{more}"
    )
}

/// Kills each process several times while lines are written, and then looks for every line.
fn every_line_is_there_once(mut processes: Vec<Process>, host: &Path) {
    let writer = Writer::start(host);
    for process in &mut processes {
        process.start();
    }
    for round in 0..3 {
        for process in &mut processes {
            // So that it dies in the middle of something, in another middle each time.
            let until = Instant::now() + std::time::Duration::from_millis(150 + 130 * round);
            while Instant::now() < until {
                pause();
            }
            process.kill();
            process.start();
        }
    }
    let written = writer.stop();
    assert!(written > 2 * FILE_LINES, "{written} lines are too few to tell anything");
    let server = processes[0].running.as_mut().unwrap();
    server.wait_for_count("pod: cart", written);
    let mut times = BTreeMap::new();
    for record in server.all("pod: cart") {
        *times.entry(record["number"].as_u64().unwrap()).or_insert(0) += 1;
    }
    let wrong: Vec<_> = times.iter().filter(|(_, times)| **times != 1).collect();
    assert!(wrong.is_empty() && times.len() as u64 == written, "{wrong:?}");
    assert_eq!(server.count("level: error"), written.div_ceil(20));
    for process in &mut processes[1..] {
        all_is_confirmed(process.running.as_mut().unwrap());
    }
}

/// Waits until all that the output was told to be taken is confirmed, and nothing was missing meanwhile.
pub(crate) fn all_is_confirmed(process: &mut Sawyer) {
    let deadline = Instant::now() + SOON;
    loop {
        let (status, answer) = process.get("/api/v1/ledger", &[]);
        assert_eq!((status, &answer["closes"]), (200, &true.into()), "{answer}\n{}", process.log());
        let taken = &answer["checkpoints"][0]["taken"];
        assert_eq!((&taken["missing"], &taken["unknown"]), (&0.into(), &0.into()), "{answer}");
        if taken["open"] == 0 && taken["confirmed"].as_u64().unwrap() > 0 {
            return;
        }
        assert!(Instant::now() < deadline, "{answer}\n{}", process.log());
        pause();
    }
}

pub(crate) fn host(folder: &Path) -> PathBuf {
    let host = folder.join("host");
    fs::create_dir_all(&host).unwrap();
    host
}

#[test]
fn agent_and_server_may_die_at_any_time() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let server = Process::new("server", folder.path(), "store: {seal_interval: 1s}", &[]);
    let more = ["--host-root", host.to_str().unwrap()];
    let agent = Process::new("agent", folder.path(), &output(&server, ""), &more);
    every_line_is_there_once(vec![server, agent], &host);
}

#[test]
fn so_may_a_gateway_between_them() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let server = Process::new("server", folder.path(), "", &[]);
    let config = output(&server, "").replace("inputs: {containers: }", "inputs: {sawyer: }");
    let gateway = Process::new("gateway", folder.path(), &config, &[]);
    let more = ["--host-root", host.to_str().unwrap()];
    let agent = Process::new("agent", folder.path(), &output(&gateway, ""), &more);
    every_line_is_there_once(vec![server, gateway, agent], &host);
}

#[test]
fn a_wrong_token_is_told_and_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let mut written = 0;
    let pod = host.join("var/log/pods/shop_cart_8e4a5afb-0ab6-44a9-aff5-be71699ac8b8/app");
    fs::create_dir_all(&pod).unwrap();
    write_some(&pod, &mut written);
    let config = "inputs: {sawyer: {tokens: [old, right]}}\noutputs: {store: }";
    let mut server = Process::new("server", folder.path(), config, &[]);
    let more = ["--host-root", host.to_str().unwrap()];
    let mut agent = Process::new("agent", folder.path(), &output(&server, "    token: wrong"), &more);
    server.start();
    agent.start().wait_for_log("status 401 (are the credentials right?)");
    assert_eq!(server.running.as_ref().unwrap().count("*"), 0);
    agent.kill();
    fs::write(folder.path().join("agent.yaml"), output(&server, "    token: right")).unwrap();
    agent.start();
    server.running.as_mut().unwrap().wait_for_count("pod: cart", written);
}

/// Batches of all versions, as older senders have them, and one from the future.
#[test]
fn what_senders_of_before_send_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::new("server", folder.path(), "inputs: {sawyer: }\noutputs: {store: }", &[]);
    let server = server.start();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../segment/tests/golden");
    let mut body = Vec::new();
    let mut add = |batch: &[u8]| {
        body.extend_from_slice(&u32::try_from(batch.len()).unwrap().to_le_bytes());
        body.extend_from_slice(batch);
    };
    for name in
        ["batch-v1", "batch-zstd-v1", "batch-v4", "batch-by-columns", "batch-by-part", "batch-with-lines"]
    {
        add(&fs::read(golden.join(format!("{name}.bin"))).unwrap());
    }
    add(b"SAWYBAT\x05....");
    let content_type = ("content-type", "application/vnd.sawyer.batches; version=1");
    let (status, answer) = server.request("POST", "/api/v1/native", &[content_type], &body);
    assert_eq!(status, 200, "{answer}");
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let statuses: Vec<&str> =
        answer["batches"].as_array().unwrap().iter().map(|batch| batch["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, [["durable"; 6].as_slice(), &["refused"]].concat());
    assert_eq!(answer["reads"], 4);
}

#[test]
fn what_was_dropped_once_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let mut written = 0;
    let pod = host.join("var/log/pods/shop_cart_8e4a5afb-0ab6-44a9-aff5-be71699ac8b8/app");
    fs::create_dir_all(&pod).unwrap();
    write_some(&pod, &mut written);
    let mut server = Process::new("server", folder.path(), "", &[]);
    server.start();
    let more = ["--host-root", host.to_str().unwrap()];
    let drops = format!(
        "{}\npipelines: {{main: {{steps: [parse, drop: {{when: 'pod: cart'}}]}}}}",
        output(&server, "")
    );
    let mut agent = Process::new("agent", folder.path(), &drops, &more);
    let running = agent.start();
    // Its batches have no records, and are delivered all the same.
    let deadline = Instant::now() + SOON;
    while number(running, "sawyer_delivery_items_total") == 0.0 {
        assert!(Instant::now() < deadline, "nothing was delivered:\n{}", running.log());
        pause();
    }
    agent.kill();
    // Another agent, which knows nothing of the first one and drops nothing, reads all of it again.
    fs::remove_dir_all(folder.path().join("agent")).unwrap();
    fs::write(folder.path().join("agent.yaml"), output(&server, "")).unwrap();
    agent.start();
    let before = written;
    write_some(&pod, &mut written);
    server.running.as_mut().unwrap().wait_for_count("pod: cart", written - before);
}

#[test]
fn two_outputs_of_a_route_may_end_in_the_same_store() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let mut written = 0;
    let pod = host.join("var/log/pods/shop_cart_8e4a5afb-0ab6-44a9-aff5-be71699ac8b8/app");
    fs::create_dir_all(&pod).unwrap();
    let mut server = Process::new("server", folder.path(), "", &[]);
    server.start();
    let config = format!(
        "inputs: {{containers: }}\npipelines:\n  main:\n    steps:\n    - parse\n    - route:\n\
         \x20       routes: [{{when: 'level: error', outputs: [errors]}}]\n        default: [others]\n\
         outputs:\n  errors: {{type: sawyer, endpoint: '{url}'}}\n  others: {{type: sawyer, endpoint: '{url}'}}\n",
        url = server.url()
    );
    let more = ["--host-root", host.to_str().unwrap()];
    let mut agent = Process::new("agent", folder.path(), &config, &more);
    agent.start();
    for _ in 0..4 {
        write_some(&pod, &mut written);
        let server = server.running.as_mut().unwrap();
        server.wait_for_count("pod: cart", written);
        assert_eq!(server.count("level: error"), written.div_ceil(20));
    }
    // Whatever is read again is a repetition all the same.
    agent.kill();
    fs::remove_dir_all(folder.path().join("agent")).unwrap();
    agent.start();
    write_some(&pod, &mut written);
    server.running.as_mut().unwrap().wait_for_count("pod: cart", written);
}

/// The sum of a metric.
fn number(process: &Sawyer, name: &str) -> f64 {
    let (_, metrics) = process.request("GET", "/metrics", &[], b"");
    let lines = metrics.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
