//! The configuration changes while the process runs.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sawyer_testkit::free_address;
use sawyer_testkit::peer::{Peer, Play, Reply};

use crate::harness::{SOON, Sawyer, pause};
use crate::pods::{POD, Writer};

/// A number on `/metrics`.
fn number(sawyer: &Sawyer, sample: &str) -> f64 {
    let (_, text) = sawyer.request("GET", "/metrics", &[], b"");
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')).unwrap_or("0");
    line.parse().unwrap()
}

fn wait_for(sawyer: &mut Sawyer, sample: &str, wanted: f64) {
    let deadline = Instant::now() + SOON;
    while number(sawyer, sample) < wanted {
        assert!(Instant::now() < deadline, "{sample} stays below {wanted}; the log:\n{}", sawyer.log());
        pause();
    }
}

const ACCEPTED: &str = "sawyer_config_reloads_total{result=\"accepted\"}";
const REFUSED: &str = "sawyer_config_reloads_total{result=\"refused\"}";

fn push(sawyer: &Sawyer, message: &str) {
    let (status, answer) = sawyer.post("/api/v1/ingest", format!("{{\"message\":\"{message}\"}}").as_bytes());
    assert_eq!(status, 200, "{answer}");
}

/// Gives a record whose message is this, once it is there.
fn pushed(sawyer: &Sawyer, message: &str) -> serde_json::Value {
    push(sawyer, message);
    let mut found = sawyer.all(&format!("message: \"{message}\""));
    assert_eq!(found.len(), 1, "{message}");
    found.remove(0)
}

fn config(version: u32) -> String {
    format!(
        "inputs: {{containers: , push: }}\npipelines:\n  main:\n    steps:\n    - set: {{fields: {{version: {version}}}}}\n"
    )
}

/// Pushes numbered records one after the other until told to stop; gives how many.
fn push_all_the_time(address: std::net::SocketAddr, stop: &AtomicBool) -> u64 {
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        let body = format!("{{\"message\":\"pushed\",\"n\":{n}}}\n");
        let mut stream = TcpStream::connect(address).expect("the listener stays");
        let head = "POST /api/v1/ingest HTTP/1.1\r\nhost: test\r\nconnection: close\r\n";
        write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        assert!(answer.contains(" 200 "), "{n}: {answer}");
        n += 1;
    }
    n
}

/// Follows the live tail; gives up at the line that has `last` in it.
fn tail_until(address: std::net::SocketAddr, last: &str) -> u64 {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let query = "/api/v1/tail?query=message%3A%20*";
    write!(stream, "GET {query} HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    let mut lines = 0;
    for line in BufReader::new(stream).lines() {
        lines += 1;
        if line.expect("the tail stays").contains(last) {
            return lines;
        }
    }
    panic!("the tail ended after {lines} lines");
}

/// Pushes to a receiver, each time over a connection of its own, until told to stop; gives how often.
fn push_to_loki(address: std::net::SocketAddr, stop: &AtomicBool) -> u64 {
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        let now = sawyer_telemetry::Clock::system().now().nanos();
        let body = format!(
            "{{\"streams\":[{{\"stream\":{{\"app\":\"cart\"}},\"values\":[[\"{now}\",\"order {n}\"]]}}]}}"
        );
        let mut stream = TcpStream::connect(address).expect("nobody is refused");
        let head = "POST /loki/api/v1/push HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\
                    authorization: Bearer s3cret\r\ncontent-type: application/json\r\n";
        write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).expect("everybody is answered");
        // Who was let in at the last moment is told to come again, as when a target is away.
        assert!(answer.contains(" 204 ") || answer.contains(" 503 "), "{n}: {answer}");
        n += u64::from(answer.contains(" 204 "));
    }
    n
}

/// Connects to a receiver of lines until told to stop; gives how often.
fn connect_all_the_time(address: std::net::SocketAddr, stop: &AtomicBool) -> u64 {
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut stream = TcpStream::connect(address).expect("nobody is refused");
        writeln!(stream, "<13>Nov 28 12:00:00 host cart: order {n}").unwrap();
        n += 1;
        pause();
    }
    n
}

/// Sends to a path until told to stop, as programs do to `/dev/log`; gives how often.
fn send_all_the_time(path: &Path, stop: &AtomicBool) -> u64 {
    let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        socket
            .send_to(format!("<13>Nov 28 12:00:00 cart: local {n}").as_bytes(), path)
            .expect("nobody is refused");
        n += 1;
        pause();
    }
    n
}

/// Waits until some records came by this version of the configuration.
fn wait_for_more(sawyer: &mut Sawyer, version: u32) {
    let deadline = Instant::now() + SOON;
    while sawyer.count(&format!("app: cart and version: {version}")) < 20 {
        assert!(Instant::now() < deadline, "version {version}; the log:\n{}", sawyer.log());
        pause();
    }
}

#[test]
fn receivers_refuse_nobody_while_the_configuration_is_exchanged() {
    let folder = tempfile::tempdir().unwrap();
    let (loki, lines, gone) = (free_address(), free_address(), free_address());
    let local = folder.path().join("host/log");
    let config = |version: u32, more: &str| {
        let receivers = format!(
            "loki: {{listen: '{loki}', clients: {{all: {{token: s3cret}}}}}}, syslog: {{tcp: '{lines}', udp: '{lines}', unix: /log}}"
        );
        format!(
            "inputs: {{{receivers}{more}}}\npipelines: {{main: {{steps: [set: {{fields: {{version: {version}}}}}]}}}}\n"
        )
    };
    let more = format!(", gelf: {{tcp: '{gone}'}}");
    let mut sawyer = Sawyer::up_with(folder.path(), &config(0, &more));
    assert!(TcpStream::connect(gone).is_ok());
    let stop = Arc::new(AtomicBool::new(false));
    let run = |push: fn(std::net::SocketAddr, &AtomicBool) -> u64, address| {
        let stop = Arc::clone(&stop);
        thread::spawn(move || push(address, &stop))
    };
    let (pushing, connecting) = (run(push_to_loki, loki), run(connect_all_the_time, lines));
    let sending = thread::spawn({
        let (stop, local) = (Arc::clone(&stop), local.clone());
        move || send_all_the_time(&local, &stop)
    });
    for version in 1..=4 {
        wait_for_more(&mut sawyer, version - 1);
        fs::write(folder.path().join("sawyer.yaml"), config(version, "")).unwrap();
        sawyer.signal("HUP");
        wait_for(&mut sawyer, ACCEPTED, f64::from(version));
    }
    wait_for_more(&mut sawyer, 4);
    assert!(TcpStream::connect(gone).is_err(), "what is not wanted any more is closed");
    stop.store(true, Ordering::Relaxed);
    let (pushed, connected) = (pushing.join().unwrap(), connecting.join().unwrap());
    assert_eq!(sawyer.count("app: cart"), pushed, "each once");
    assert!(connected > 0);
    sawyer.wait_for_count("message: local", sending.join().unwrap());
    assert!(sawyer.terminate().1.success());
    assert!(TcpStream::connect(loki).is_err() && !local.exists());
}

#[test]
fn a_reload_under_load_loses_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let container = folder.path().join("host/var/log/pods").join(POD).join("app");
    fs::create_dir_all(&container).unwrap();
    let mut sawyer = Sawyer::up_with(folder.path(), &config(0));
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let line = |n| format!("{{\"number\":{n},\"msg\":\"some text\"}}");
    let writer = Writer { container, stop: Arc::clone(&stop), count: Arc::clone(&count), line };
    let writing = thread::spawn(move || writer.run());
    let address = sawyer.address;
    let pushing = thread::spawn({
        let stop = Arc::clone(&stop);
        move || push_all_the_time(address, &stop)
    });
    let tailing = thread::spawn(move || tail_until(address, "the last word"));
    for version in 1..=4 {
        let wanted = sawyer.count("number: *") + 3000;
        let deadline = Instant::now() + SOON;
        while sawyer.count("number: *") < wanted {
            assert!(Instant::now() < deadline, "too slow:\n{}", sawyer.log());
            pause();
        }
        fs::write(folder.path().join("sawyer.yaml"), config(version)).unwrap();
        sawyer.signal("HUP");
        wait_for(&mut sawyer, ACCEPTED, f64::from(version));
    }
    stop.store(true, Ordering::Relaxed);
    writing.join().unwrap();
    let pushes = pushing.join().unwrap();
    let total = count.load(Ordering::Relaxed);
    sawyer.wait_for_count("number: *", total);
    let mut numbers: Vec<i64> =
        sawyer.all("number: *").iter().map(|record| record["number"].as_i64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..total as i64).collect::<Vec<_>>());
    let mut pushed_numbers: Vec<i64> =
        sawyer.all("message: pushed").iter().map(|record| record["n"].as_i64().unwrap()).collect();
    pushed_numbers.sort_unstable();
    assert_eq!(pushed_numbers, (0..pushes as i64).collect::<Vec<_>>());
    for version in 0..4 {
        assert!(sawyer.count(&format!("version: {version}")) > 0, "{version}");
    }
    // A tail passes on so many records of a second; the last one is to be in a second of its own.
    let quiet = Instant::now() + Duration::from_millis(1100);
    while Instant::now() < quiet {
        pause();
    }
    assert_eq!(pushed(&sawyer, "the last word")["version"], 4);
    assert!(tailing.join().unwrap() > 0);
    let (_, status, log) = sawyer.stop();
    assert!(status.success(), "{log}");
}

#[test]
fn a_wrong_configuration_is_refused_as_a_whole_with_its_reasons() {
    let folder = tempfile::tempdir().unwrap();
    let mut sawyer = Sawyer::up_with(folder.path(), &config(0));
    let path = folder.path().join("sawyer.yaml");
    let wrong = "pipelines:\n  main:\n    steps:\n    - set: {feilds: {version: 1}}\n    - drop: {when: 'level: '}\n\
                 outputs: {stroe: }\nstore: {retention: 3d}\n";
    fs::write(&path, wrong).unwrap();
    wait_for(&mut sawyer, REFUSED, 1.0);
    for reason in [
        "sawyer.yaml:4:13: pipelines.main.steps[0].set.feilds: unknown key; did you mean `fields`?",
        "pipelines.main.steps[1].drop.when: expected a value after `level:`",
        "outputs.stroe: `type` is missing, and the name is not a type; did you mean `store`?",
        "store: cannot change while Sawyer runs: restart it, or put back what was there",
    ] {
        sawyer.wait_for_log(reason);
        let (status, text) = sawyer.request("GET", "/readyz", &[], b"");
        assert_eq!(status, 200);
        assert!(text.starts_with("ok\nconfiguration: refused at ") && text.contains(reason), "{text}");
    }
    assert!(number(&sawyer, "sawyer_config_refused_problems{}") >= 4.0);
    let (_, status) = sawyer.get("/api/v1/status", &[]);
    assert!(status["configuration"]["refused_problems"].as_i64() >= Some(4), "{status}");
    assert_eq!(pushed(&sawyer, "old rules")["version"], 0, "the one before goes on");
    // One that is good, and cannot be opened: its file would lie below a file.
    let unopenable = format!("{}outputs: {{store: , file: {{path: {}/x}}}}\n", config(2), path.display());
    fs::write(&path, unopenable).unwrap();
    wait_for(&mut sawyer, REFUSED, 2.0);
    sawyer.wait_for_log("open output `file`");
    assert_eq!(pushed(&sawyer, "still old")["version"], 0);
    fs::write(&path, config(0)).unwrap();
    sawyer.wait_for_log("again the one that runs");
    let deadline = Instant::now() + SOON;
    while sawyer.request("GET", "/readyz", &[], b"").1 != "ok\n" {
        assert!(Instant::now() < deadline);
        pause();
    }
    sawyer.signal("HUP");
    sawyer.wait_for_log("the configuration is as before");
    fs::write(&path, config(3)).unwrap();
    wait_for(&mut sawyer, ACCEPTED, 1.0);
    assert_eq!(pushed(&sawyer, "new rules")["version"], 3);
}

/// Puts the files of a ConfigMap where the kubelet puts them: a link to a folder, exchanged in one move.
fn mount(folder: &Path, version: &str, files: &[(&str, &str)]) {
    let data = folder.join(format!("..{version}"));
    fs::create_dir_all(&data).unwrap();
    for (name, text) in files {
        fs::write(data.join(name), text).unwrap();
        let link = folder.join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new("..data").join(name), link).unwrap();
        }
    }
    symlink(format!("..{version}"), folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}

#[test]
fn a_config_map_an_include_and_a_secret_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let etc = folder.path().join("etc");
    fs::create_dir(&etc).unwrap();
    let main = "include: conf.d/*.yaml\ninputs: {push: }\n";
    let pipeline = |version: u32| {
        format!(
            "pipelines: {{main: {{steps: [{{set: {{fields: {{version: {version}, team: '${{file:team}}'}}}}}}]}}}}\n"
        )
    };
    mount(&etc, "v1", &[("sawyer.yaml", &format!("{main}{}", pipeline(1))), ("team", "shop")]);
    let data = folder.path().join("data");
    let config = etc.join("sawyer.yaml");
    let args = ["--data", data.to_str().unwrap(), "--config", config.to_str().unwrap()];
    let mut sawyer = Sawyer::start("server", &args);
    let first = pushed(&sawyer, "first");
    assert_eq!((&first["version"], &first["team"]), (&1.into(), &"shop".into()));
    mount(&etc, "v2", &[("sawyer.yaml", &format!("{main}{}", pipeline(2))), ("team", "shop")]);
    wait_for(&mut sawyer, ACCEPTED, 1.0);
    assert_eq!(pushed(&sawyer, "second")["version"], 2);
    mount(&etc, "v3", &[("sawyer.yaml", &format!("{main}{}", pipeline(2))), ("team", "cart")]);
    wait_for(&mut sawyer, ACCEPTED, 2.0);
    assert_eq!(pushed(&sawyer, "third")["team"], "cart");
    fs::create_dir(etc.join("conf.d")).unwrap();
    let out = folder.path().join("out.ndjson");
    let included = format!("outputs: {{store: , file: {{path: '{}'}}}}\n", out.display());
    fs::write(etc.join("conf.d/out.yaml"), included).unwrap();
    wait_for(&mut sawyer, ACCEPTED, 3.0);
    pushed(&sawyer, "fourth");
    wait_for(&mut sawyer, "sawyer_output_taken_records_total{output=\"file\"}", 1.0);
    assert_eq!(sawyer.count("*"), 4);
}

/// The names of the rules.
fn rules(sawyer: &Sawyer) -> Vec<String> {
    let (status, answer) = sawyer.get("/api/v1/alerts/rules", &[]);
    assert_eq!(status, 200, "{answer}");
    let rules = answer["rules"].as_array().unwrap().iter();
    rules.map(|rule| rule["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn rules_of_alerts_change_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::start(|_, _| Play::Answer(Reply::new(200, "")));
    let alerts = |rules: &str| {
        let url = peer.url();
        let rule = |name: &str| {
            format!(
                "    {name}: {{query: 'message: alarm', count: '>= 1', notify: hook, interval: 1s, lateness: 0s}}\n"
            )
        };
        let rules: String = rules.split(' ').map(rule).collect();
        format!(
            "inputs: {{push: }}\nalerts:\n  notifiers: {{hook: {{type: webhook, url: '{url}'}}}}\n  rules:\n{rules}"
        )
    };
    let mut sawyer = Sawyer::up_with(folder.path(), &alerts("stays goes"));
    let config = folder.path().join("sawyer.yaml");
    assert_eq!(rules(&sawyer), ["goes", "stays"]);
    push(&sawyer, "alarm");
    let told = |what: &str| {
        let bodies = peer.received().into_iter().map(|request| String::from_utf8(request.body).unwrap());
        bodies.filter(|body| body.contains(what)).count()
    };
    let wait = |sawyer: &mut Sawyer, what: &str| {
        let deadline = Instant::now() + SOON;
        while told(what) == 0 {
            assert!(Instant::now() < deadline, "nobody is told of {what}; the log:\n{}", sawyer.log());
            pause();
        }
    };
    wait(&mut sawyer, "\"stays\"");
    wait(&mut sawyer, "\"goes\"");
    // A syntax error in one rule, a template error in the other: both are told, once, and everything goes on.
    let wrong = alerts("stays comes").replacen("message: alarm", "message: (alarm", 1);
    let wrong = wrong.replace("lateness: 0s}", "lateness: 0s, summary: '{{ valu }}'}");
    fs::write(&config, wrong).unwrap();
    sawyer.signal("HUP");
    wait_for(&mut sawyer, REFUSED, 1.0);
    pushed(&sawyer, "meanwhile");
    let log = sawyer.log();
    for told in ["alerts.rules.stays.query: expected", "there is no `valu`; did you mean `value`?"] {
        assert!(log.contains(told), "{told} in {log}");
    }
    assert_eq!(log.matches("the configuration is refused").count(), 1, "{log}");
    assert!(number(&sawyer, "sawyer_config_refused_problems{}") >= 2.0);
    assert_eq!(rules(&sawyer), ["goes", "stays"], "as a whole");
    fs::write(&config, alerts("stays comes")).unwrap();
    sawyer.signal("HUP");
    wait_for(&mut sawyer, ACCEPTED, 1.0);
    assert_eq!(rules(&sawyer), ["comes", "stays"]);
    wait(&mut sawyer, "\"comes\"");
    assert_eq!(told("\"stays\""), 1, "a rule that stays is not told of again");
    // Inputs and outputs have nothing to do with it, and go on.
    assert!(!sawyer.log().contains("passing on what was read"), "{}", sawyer.log());
    // Together with the topology, too.
    let both = format!("{}drain: 9s\n", alerts("comes"));
    fs::write(&config, both).unwrap();
    sawyer.signal("HUP");
    wait_for(&mut sawyer, ACCEPTED, 2.0);
    assert_eq!(rules(&sawyer), ["comes"]);
    sawyer.stop();
}
